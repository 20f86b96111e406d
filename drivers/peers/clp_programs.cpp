// Clp on the programs that `equipoise solve problem.name=lp` takes, one process:
//
//   clp_programs problem.mps=afiro.mps.gz
//   clp_programs problem.generate=transport problem.rows=200 problem.columns=200 bench.seconds=120
//
// prints, for the dual simplex, and for the barrier method with and without crossover: seconds (of
// the processor), iterations, status, objective.

#include <equipoise/parallel/session.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/state/config.hpp>

#include <ClpPresolve.hpp>
#include <ClpSimplex.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <string>
#include <vector>

namespace {

using equipoise::problems::DistributedProgram;

struct Limits {
  double seconds = 120.0;
  void describe(equipoise::state::OptionVisitor& visit) {
    visit.option("seconds", seconds, "time limit of each of Clp's runs",
                 equipoise::state::positive);
  }
};

/// Clp's infinity.
std::vector<double> limited(std::vector<double> bounds) {
  for (double& v : bounds) v = std::clamp(v, -COIN_DBL_MAX, COIN_DBL_MAX);
  return bounds;
}

void load(const DistributedProgram& p, ClpSimplex& model) {
  std::vector<int> row, column;
  std::vector<double> value;
  for (const auto& e : p.entries(0)) {
    row.push_back(static_cast<int>(e.row));
    column.push_back(static_cast<int>(e.column));
    value.push_back(e.value);
  }
  CoinPackedMatrix matrix(true, row.data(), column.data(), value.data(),
                          static_cast<CoinBigIndex>(value.size()));
  matrix.setDimensions(static_cast<int>(p.row_lower.size()), static_cast<int>(p.cost.size()));
  model.loadProblem(matrix, limited(p.lower).data(), limited(p.upper).data(), p.cost.data(),
                    limited(p.row_lower).data(), limited(p.row_upper).data());
  model.setDblParam(ClpObjOffset, -p.constant);
  model.setLogLevel(0);
}

int run(const equipoise::parallel::Comm& comm, int argc, char** argv) {
  equipoise::state::Config config;
  for (int k = 1; k < argc; ++k) config.assign(argv[k]);
  equipoise::problems::LinearProgramOptions options;
  Limits limits;
  config.read("problem", options);
  config.read("bench", limits);
  config.reject_unused();
  const auto program = DistributedProgram::read(comm, options);
  fmt::print("{}: {} rows, {} columns, {} nonzeros\n", program.name, program.rows.dimension(),
             program.columns.dimension(), program.nonzeros);
  const std::vector<std::pair<std::string, ClpSolve::SolveType>> kinds = {
      {"dual simplex", ClpSolve::useDual},
      {"barrier and crossover", ClpSolve::useBarrier},
      {"barrier alone", ClpSolve::useBarrierNoCross}};
  for (const auto& [name, kind] : kinds) {
    ClpSimplex model;
    load(program, model);
    model.setMaximumSeconds(limits.seconds);
    ClpSolve how;
    how.setSolveType(kind);
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t processor_start = std::clock();
    model.initialSolve(how);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double processor = static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC;
    const int status = model.status();
    fmt::print("{:<22} {:>9.3f} ({:.3f}) s {:>9} iterations  {:<10} {:.12g}\n", name, seconds,
               processor, model.numberIterations(),
               status == 0   ? "optimal"
               : status == 1 ? "infeasible"
               : status == 2 ? "unbounded"
                             : "stopped",
               (program.maximise ? -1.0 : 1.0) * model.objectiveValue());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return equipoise::parallel::run_session(
      argc, argv, [&](const equipoise::parallel::Comm& comm) { return run(comm, argc, argv); });
}
