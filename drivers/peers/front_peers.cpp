// The 21 points of the corner front (target of Rees, Dollar and Wathen against the effort), each a
// quadratic control problem solved, by others from u = 0, to |j'| <= 1e-8 |j'(0)| by our
// all-at-once method, by TAO and by ROL: PDE solves per point. Run: front_peers [cells]
#include "contest.hpp"

#include <equipoise/control/tracking.hpp>
#include <equipoise/pareto/dual_solver.hpp>
#include <equipoise/problems/pareto/pde_instance.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numbers>

namespace equipoise::peers {
namespace {

double corner(const control::Point& x) {
  if (x[0] > 0.5 || x[1] > 0.5) return 0.0;
  return std::pow((2 * x[0] - 1) * (2 * x[1] - 1), 2);
}

/// The effort over the misfit at 21 weights: a = l s/(1 - s + l s) with
/// l = 4 pi^4 weighs the misfit.
std::vector<double> costs() {
  std::vector<double> result;
  for (int i = 0; i <= 20; ++i) {
    const double s = i == 0 ? 0.025 : i == 20 ? 0.999 : 0.05 * i;
    result.push_back((1.0 - s) / (4.0 * std::pow(std::numbers::pi, 4) * s));
  }
  return result;
}

/// PDE solves of the points of one solver; what did not arrive counts all that it spent.
struct Column {
  std::vector<double> solves;
  double seconds = 0.0;
  int missed = 0;
};

/// Our method: state and adjoint of each point at once, in V-cycles over the 7 of one solve to
/// 1e-10.
class AllAtOnce {
 public:
  AllAtOnce(const parallel::Comm& comm, std::int64_t cells, bool warm)
      : solver_(problems::linear_pde_solver(problems::make_pde_objectives(comm, {"corner", cells}),
                                            {4e-10, 100})),
        warm_(warm) {}

  Score solve(Contest& contest, double cost) {
    contest.begin(warm_ ? "equipoise all-at-once, warm" : "equipoise all-at-once, cold");
    const auto before = cycles();
    if (!warm_) fields_.clear();
    (void)solver_->solve(std::vector<double>{1.0 / (1.0 + cost), cost / (1.0 + cost)}, fields_);
    linalg::Vector control = linalg::copy(contest.start().values);
    {
      linalg::Entries entries(control);
      for (std::int64_t i = 0; i < entries.size(); ++i) {
        entries[i] = fields_[static_cast<std::size_t>(i)];
      }
    }
    contest.shows(control);
    Score score = contest.end("above the target");
    score.state = cycles() - before;
    return score;
  }

 private:
  [[nodiscard]] std::int64_t cycles() const { return solver_->counters()[1].second; }
  std::unique_ptr<pareto::WeightedSolver> solver_;
  bool warm_;
  std::vector<double> fields_;
};

void front(const parallel::Comm& comm, std::int64_t cells) {
  auto problem = std::make_shared<control::Tracking>();
  problem->hierarchy = std::make_shared<control::Hierarchy>(
      comm, control::GridShape{.cells = cells, .element = control::Element::q1});
  problem->target = problem->grid().interpolate(corner);
  problem->source = problem->grid().vector();
  std::map<std::string, Column> columns;
  const auto note = [&](const Score& score, double solves) {
    Column& column = columns[score.solver];
    column.solves.push_back(solves);
    column.seconds += score.seconds;
    column.missed += score.reached ? 0 : 1;
  };
  AllAtOnce cold(comm, cells, false);
  AllAtOnce warm(comm, cells, true);
  for (const double cost : costs()) {
    problem->beta = cost;
    Contest contest(
        [&] {
          return std::make_shared<control::TrackingFunctional>(problem, control::Riesz::mass,
                                                               1e-12);
        },
        [](control::ReducedFunctional& functional) { return functional.space().primal(); }, -1e308,
        1e308);
    for (auto* ours : {&cold, &warm}) {
      const Score score = ours->solve(contest, cost);
      note(score, static_cast<double>(score.state) / 7.0);
    }
    const auto show = [&](const Score& score) {
      note(score, static_cast<double>(score.pde_solves()));
    };
    run_tao(contest, false, show);
#ifdef EQUIPOISE_ROL
    run_rol(contest, false, show);
#endif
    if (comm.rank() == 0) {
      fmt::print("beta = {:.3e} done\n", cost);
      std::fflush(stdout);
    }
  }
  if (comm.rank() != 0) return;
  fmt::print("{:<50} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "PDE solves per point", "median", "largest",
             "total", "seconds", "missed");
  for (auto& [solver, column] : columns) {
    std::sort(column.solves.begin(), column.solves.end());
    double total = 0.0;
    for (const double s : column.solves) total += s;
    fmt::print("{:<50} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.2f} {:>8}\n", solver,
               column.solves[column.solves.size() / 2], column.solves.back(), total, column.seconds,
               column.missed);
  }
}

}  // namespace
}  // namespace equipoise::peers

int main(int argc, char** argv) {
  using namespace equipoise;
  MPI_Init(&argc, &argv);
  {
    const auto comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
    linalg::start_petsc(comm);
    peers::front(comm, argc > 1 ? std::atoll(argv[1]) : 128);
  }
  MPI_Finalize();
}
