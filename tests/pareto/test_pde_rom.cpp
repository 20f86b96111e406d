#include <equipoise/pareto/dual_solver.hpp>
#include <equipoise/pareto/front_search.hpp>
#include <equipoise/problems/pareto/pde_instance.hpp>
#include <equipoise/problems/pareto/rom_solver.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::problems {
namespace {

class ReducedFronts : public testing::Test {
 protected:
  void TearDown() override { comm.close(); }
  /// A front in the reduced space: every acceptance against the full minimum at its weights.
  void expect_certified(const PdeFrontOptions& options, double accuracy, std::int64_t most) {
    const auto problem = make_pde_objectives(comm, options);
    RomOptions rom;
    rom.accuracy = accuracy;
    auto solver = rom_solver(problem, make_pde_solver(problem, 1e-12, 100), rom);
    const RomSolver& watch = *solver;
    pareto::FrontOptions front;
    front.spacing = 0.1;
    pareto::FrontSearch search(pareto::Groups::split(comm, comm.size()),
                               std::make_unique<pareto::DualSolver>(
                                   std::move(solver), pareto::DualSolverOptions{.tolerance = 1e-6}),
                               front);
    for (int i = 0; i < 400 && !search.report().finished; ++i) search.step();
    EXPECT_TRUE(search.report().finished);
    EXPECT_GT(search.front().size(), 12U);
    EXPECT_LE(watch.full_solves(), most);
    auto full = make_pde_solver(problem, 1e-12, 100);
    std::size_t reduced = 0;
    for (std::size_t i = 0; i < watch.record().size(); i += 7) {
      const auto& accepted = watch.record()[i];
      if (accepted.enriched) continue;
      ++reduced;
      std::vector<double> x;
      const auto best = full->solve(accepted.weights, x);
      double minimum = 0.0;
      for (std::size_t o = 0; o < best.f.size(); ++o) minimum += accepted.weights[o] * best.f[o];
      EXPECT_GE(accepted.value, minimum * (1.0 - 1e-10));
      EXPECT_LE(accepted.value - minimum, accepted.bound + 1e-10 * minimum);
      EXPECT_LE(accepted.bound, accuracy * accepted.value);
    }
    EXPECT_GT(reduced, 3U);
  }
  parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
};

TEST_F(ReducedFronts, LinearAcceptancesAreWithinTheirBound) {
  expect_certified({"corner", 16}, 1e-4, 12);
}

TEST_F(ReducedFronts, SemilinearAcceptancesAreWithinTheirBound) {
  PdeFrontOptions options{"opposed", 12};
  options.kappa = 10.0;
  expect_certified(options, 1e-3, 15);
}

/// Where two reduced minima lie within the accuracy, the multipliers have no limit; the point still
/// counts, and its values are those of its control.
TEST_F(ReducedFronts, SmallJumpsLeaveNoHole) {
  for (const char* name : {"pascoletti_serafini", "chebyshev", "nbi"}) {
    PdeFrontOptions options{"opposed", 16};
    options.kappa = 10.0;
    const auto problem = make_pde_objectives(comm, options);
    pareto::DualSolverOptions dual{.tolerance = 1e-6};
    dual.uncertainty = 1e-2;
    pareto::FrontOptions front;
    front.spacing = 0.1;
    front.scalarisation = name;
    pareto::FrontSearch search(
        pareto::Groups::split(comm, comm.size()),
        std::make_unique<pareto::DualSolver>(
            rom_solver(problem, make_pde_solver(problem, 1e-12, 100), RomOptions{}), dual),
        front);
    for (int i = 0; i < 400 && !search.report().finished; ++i) search.step();
    EXPECT_EQ(search.holes(), 0) << name;
    EXPECT_EQ(search.report().message, "") << name;
  }
}

}  // namespace
}  // namespace equipoise::problems
