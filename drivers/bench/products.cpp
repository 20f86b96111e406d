#include "bench.hpp"
#include "command.hpp"

#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/problems/vi/linear_program.hpp>

#include <fmt/format.h>

#include <ctime>

namespace equipoise::drivers {
namespace {

/// Of the processor, the busiest rank's. **Collective.**
template <class Work>
double processor_seconds(const parallel::Comm& comm, Work work) {
  const std::clock_t start = std::clock();
  work();
  return comm.max(static_cast<double>(std::clock() - start) / double{CLOCKS_PER_SEC});
}

struct Repeats {
  std::int64_t repeats = 20;
  void describe(state::OptionVisitor& visit) {
    visit.option("repeats", repeats, "products, and iterations, that are timed",
                 state::at_least_one);
  }
};

}  // namespace

/// An iteration of the first-order method for linear programs next to the two products alone, by
/// plain compressed rows and columns: A x, and A' y.
int bench_products(const parallel::Comm& comm, const Words& words) {
  Words all = {"problem.generate=random", "problem.per_column=10", "problem.rows=50000",
               "problem.columns=100000"};
  all.insert(all.end(), words.begin(), words.end());
  state::Config config = read_words(comm, all);
  problems::LinearProgramOptions options;
  Repeats wanted;
  config.read("problem", options);
  config.read("bench", wanted);
  config.reject_unused();
  auto program = problems::DistributedProgram::read(comm, options);
  const auto repeats = static_cast<double>(wanted.repeats);
  double plain = 0.0;
  {
    partition::DistributedMatrix matrix(comm, program.rows.coordinates(),
                                        program.columns.coordinates(),
                                        program.entries(comm.rank()));
    std::vector<double> x(program.cost.size(), 1.0), y(program.row_lower.size(), 1.0);
    matrix.multiply(x, y);
    matrix.multiply_transposed(y, x);
    plain = processor_seconds(comm,
                              [&] {
                                for (std::int64_t k = 0; k < wanted.repeats; ++k) {
                                  matrix.multiply(x, y);
                                  matrix.multiply_transposed(y, x);
                                  for (double& t : x) t *= 1e-6;
                                }
                              }) /
            repeats;
  }
  const auto coefficients = static_cast<double>(program.nonzeros);
  const auto vectors = static_cast<double>(program.rows.dimension() + program.columns.dimension());
  problems::LinearProgramInstance instance(comm, std::move(program));
  state::Config settings;
  settings.assign("method.polish=off");
  settings.assign(fmt::format("method.check_every={}", 100 * wanted.repeats));
  const auto method = instance.make_method("halpern-pdhg", settings);
  method->step();
  const double iteration = processor_seconds(comm,
                                             [&] {
                                               for (std::int64_t k = 0; k < wanted.repeats; ++k)
                                                 method->step();
                                             }) /
                           repeats;
  if (comm.rank() == 0) {
    fmt::print(
        "{:.0f} coefficients, {} rank{}; a pair of products, {:.0f} MB of matrix and {:.0f} MB of "
        "vectors\n",
        coefficients, comm.size(), comm.size() == 1 ? "" : "s", 24e-6 * coefficients,
        16e-6 * vectors);
    fmt::print("plain products:     {:.3g} s of the processor, {:.2f} GB/s\n", plain,
               1e-9 * (24.0 * coefficients + 16.0 * vectors) / plain);
    fmt::print("a whole iteration:  {:.3g} s of the processor, {:.2f} times the products\n",
               iteration, iteration / plain);
  }
  return 0;
}

}  // namespace equipoise::drivers
