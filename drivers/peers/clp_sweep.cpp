// Small, badly scaled programs with known answers, ours in default settings next to Clp's dual
// simplex, one process:
//
//   clp_sweep 0 120        # numbers of the first and one past the last
//
// prints every program where either of them misses the answer, and a count.

#include <equipoise/parallel/session.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/config.hpp>
#include <equipoise/state/field_map.hpp>

#include <ClpSimplex.hpp>
#include <fmt/format.h>
#include <problems/known_programs.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace {

using namespace equipoise::problems;

struct Answer {
  std::int64_t status = -1;  ///< as KnownAnswer; -1 for none
  double objective = 0.0, residual = 0.0;
  std::int64_t iterations = 0;
};

std::vector<double> limited(std::vector<double> bounds) {
  for (double& v : bounds) v = std::clamp(v, -COIN_DBL_MAX, COIN_DBL_MAX);
  return bounds;
}

Answer by_clp(const equipoise::formats::MpsProgram& p) {
  std::vector<int> row, column;
  std::vector<double> value;
  for (const auto& e : p.matrix) {
    row.push_back(e.row);
    column.push_back(e.column);
    value.push_back(e.value);
  }
  CoinPackedMatrix matrix(true, row.data(), column.data(), value.data(),
                          static_cast<CoinBigIndex>(value.size()));
  matrix.setDimensions(static_cast<int>(p.row_lower.size()), static_cast<int>(p.cost.size()));
  ClpSimplex model;
  model.loadProblem(matrix, limited(p.lower).data(), limited(p.upper).data(), p.cost.data(),
                    limited(p.row_lower).data(), limited(p.row_upper).data());
  model.setLogLevel(0);
  ClpSolve how;
  how.setSolveType(ClpSolve::useDual);
  model.initialSolve(how);
  return {model.status() <= 2 ? model.status() : -1, model.objectiveValue(), 0.0,
          model.numberIterations()};
}

Answer by_us(const equipoise::parallel::Comm& comm, const equipoise::formats::MpsProgram& p) {
  LinearProgramInstance instance(comm, DistributedProgram::spread(comm, p, "sweep"));
  equipoise::state::Config config;
  const auto method = instance.make_method("halpern-pdhg", config);
  equipoise::solve::StopOptions stop;
  stop.tolerance = 1e-8;
  stop.max_iterations = 20000;
  const auto summary = equipoise::solve::run(comm, *method, stop, {}, {}, {true, {}});
  equipoise::state::FieldMap map;
  method->solution(map);
  return {summary.stop == equipoise::solve::Stop::converged ? map.integers("status")[0] : -1,
          summary.objective, summary.residual, summary.iterations};
}

int run(const equipoise::parallel::Comm& comm, int argc, char** argv) {
  const std::uint64_t first = argc > 1 ? std::stoull(argv[1]) : 0;
  const std::uint64_t end = argc > 2 ? std::stoull(argv[2]) : 120;
  int ours_missed = 0, clp_missed = 0;
  double worst_ours = 0.0, worst_clp = 0.0;
  for (std::uint64_t number = first; number < end; ++number) {
    const KnownProgram known = KnownProgramMaker(number).make();
    const auto error = [&](const Answer& a) {
      if (a.status != static_cast<std::int64_t>(known.answer)) return HUGE_VAL;
      if (known.answer != KnownAnswer::optimum) return 0.0;
      return std::abs(a.objective - known.optimum) / (1.0 + std::abs(known.optimum));
    };
    const Answer ours = by_us(comm, known.program);
    const Answer clp = by_clp(known.program);
    const bool missed = !(error(ours) <= 1e-6), peer_missed = !(error(clp) <= 1e-6);
    ours_missed += missed;
    clp_missed += peer_missed;
    if (!missed) worst_ours = std::max(worst_ours, error(ours));
    if (!peer_missed) worst_clp = std::max(worst_clp, error(clp));
    if (!missed && !peer_missed) continue;
    fmt::print(
        "{:>4}: {}x{}, answer {} ({:.10g}); ours {} ({:.10g}, residual {:.1e}, {} iterations); "
        "Clp {} ({:.10g})\n",
        number, known.program.row_lower.size(), known.program.cost.size(),
        static_cast<int>(known.answer), known.optimum, ours.status, ours.objective, ours.residual,
        ours.iterations, clp.status, clp.objective);
  }
  fmt::print(
      "{} programs: ours missed {}, Clp {}; largest relative error of an objective {:.1e} "
      "and {:.1e}\n",
      end - first, ours_missed, clp_missed, worst_ours, worst_clp);
  return ours_missed > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  return equipoise::parallel::run_session(
      argc, argv, [&](const equipoise::parallel::Comm& comm) { return run(comm, argc, argv); });
}
