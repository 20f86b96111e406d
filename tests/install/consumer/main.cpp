// A project of its own: a problem the library has never seen, through installed headers and
// libraries alone.
#include <equipoise/parallel/session.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/field_map.hpp>
#include <equipoise/vi/methods.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace {

/// Agent m pulls z towards the point m of every axis; z must stay at or below 1. The mean of 0..4
/// is 2, so z = 1.
struct Bounded {
  std::int64_t dimension() const { return 3; }
  std::int64_t agents() const { return 5; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
    for (std::size_t i = 0; i < z.size(); ++i) out[i] = z[i] - static_cast<double>(agent);
  }
  void prox(double, std::span<double> z) const {
    for (double& value : z) value = std::min(value, 1.0);
  }
};
static_assert(equipoise::vi::AgentProblem<Bounded>);

}  // namespace

int main(int argc, char** argv) {
  return equipoise::parallel::run_session(argc, argv, [](const equipoise::parallel::Comm& comm) {
    const Bounded problem;
    equipoise::state::Config options;
    const auto method =
        equipoise::vi::make_method("extragradient", {.comm = comm}, problem, options);
    const auto summary = equipoise::solve::run(comm, *method, {.tolerance = 1e-12}, {}, {}, {});
    equipoise::state::FieldMap solution;
    method->solution(solution);
    double error = 0.0;
    for (const double z : solution.doubles("z")) error = std::max(error, std::fabs(z - 1.0));
    if (comm.rank() == 0) fmt::print("{} iterations, error {:.1e}\n", summary.iterations, error);
    return error < 1e-9 ? 0 : 1;
  });
}
