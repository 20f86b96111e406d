// The multi-block quadratic: reference figures, and hypergradients by
// every linear solver.
#include <equipoise/bilevel/check.hpp>
#include <equipoise/bilevel/implicit.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace {

using namespace equipoise;
using bilevel::Blocks;
using problems::MultiBlockQuadratic;
using problems::QuadraticOptions;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

MultiBlockQuadratic make(const QuadraticOptions& options, std::int64_t classes = 64) {
  const auto layout = Blocks::layout(options.blocks, classes, world().size());
  return {options, layout.owned(world().rank())};
}

std::vector<double> ramp(std::int64_t n) {
  std::vector<double> x(static_cast<std::size_t>(n));
  for (std::size_t l = 0; l < x.size(); ++l) {
    x[l] = -1.0 + 2.0 * static_cast<double>(l) / static_cast<double>(n - 1);
  }
  return x;
}

struct Figures {
  std::int64_t m, dx, dy;
  double optimum, at_zero, slope_at_zero, distance, first, slope_on_ramp;
};
const Figures figures[] = {{4, 3, 2, .3502470704058556, .5760362717911459, .8117575026618757,
                            .7694516199801645, .6907003365509274, -1.109345420122836},
                           {50, 10, 5, 3.3419760966407455, 3.3465433613212525, .07478552388650171,
                            .13808569091653264, .01496320464819858, -.2033602400674908},
                           {1000, 10, 5, 3.3798815170163325, 3.3799044988996823, .00672368098317506,
                            .009621172805284392, .00022034241333999035, -.20736226145483547}};

TEST(Quadratic, ClosedFormHasThePublishedFigures) {
  for (const auto& row : figures) {
    const auto problem = make({row.m, row.dx, row.dy});
    std::vector<double> x(static_cast<std::size_t>(row.dx)), p(x.size());
    double value = 0.0;
    problem.exact(x, p, value);
    EXPECT_NEAR(value, row.at_zero, 1e-13);
    EXPECT_NEAR(bilevel::norm(p), row.slope_at_zero, 1e-13);
    problem.exact(ramp(row.dx), p, value);
    EXPECT_NEAR(p[0], row.slope_on_ramp, 1e-13);
    problem.optimum(x);
    EXPECT_NEAR(bilevel::norm(x), row.distance, 1e-12);
    EXPECT_NEAR(x[0], row.first, 1e-12);
    problem.exact(x, p, value);
    EXPECT_NEAR(value, row.optimum, 1e-13);
    EXPECT_LE(bilevel::norm(p), 1e-13);
  }
}

TEST(Quadratic, OracleKeepsItsPromises) {
  QuadraticOptions options{4, 3, 2};
  options.noise = 0.3;
  for (const std::int64_t inner : {1, 2, 5}) {
    options.inner = inner;
    const MultiBlockQuadratic problem(options, {0, 4});
    std::vector<double> y(static_cast<std::size_t>(inner), 0.4);
    const auto checks = bilevel::check_oracle(problem, 2, ramp(3), y);
    EXPECT_GE(checks.size(), 18U);
    for (const auto& check : checks)
      EXPECT_TRUE(check.passed()) << check.name << " " << check.error;
  }
}

/// A quadratic with a wrong Hessian-vector product: the check must see it.
struct Wrong : MultiBlockQuadratic {
  using MultiBlockQuadratic::MultiBlockQuadratic;
  void hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const {
    MultiBlockQuadratic::hvp_yy_g(i, batch, x, y, v, out);
    out[0] += 0.01 * v[1];
  }
};

TEST(Quadratic, CheckFindsAWrongHessian) {
  const Wrong problem({4, 3, 2}, {0, 4});
  std::int64_t failed = 0;
  for (const auto& check :
       bilevel::check_oracle(problem, 0, ramp(3), std::vector<double>{0.3, 0.1})) {
    failed += check.passed() ? 0 : 1;
  }
  EXPECT_GE(failed, 2);
}

TEST(Implicit, EveryLinearSolverGivesTheClosedForm) {
  for (const std::string linear : {"cg", "mfac", "minres", "gmres", "neumann", "direct"}) {
    const auto problem = make({50, 10, 5});
    const bilevel::OracleView view(problem);
    const Blocks blocks(world(), view, 64);
    bilevel::CountedOracle oracle(view);
    bilevel::Exchange exchange(blocks, 10, {});
    bilevel::ImplicitOptions options;
    options.linear = linear;
    bilevel::Implicit implicit(blocks, oracle, exchange, options);
    const auto x = ramp(10);
    auto y = blocks.zeros(), q = blocks.zeros();
    std::vector<double> p(10), exact(10);
    double value = 0.0;
    const auto result = implicit.gradient(x, y, q, 1e-13, 1e-12, p);
    problem.exact(x, exact, value);
    bilevel::axpy(-1.0, exact, p);
    EXPECT_LE(bilevel::norm(p), 1e-10 * bilevel::norm(exact)) << linear;
    EXPECT_LE(bilevel::norm(p), result.bound + 1e-14) << linear;
    EXPECT_NEAR(result.value, value, 1e-12) << linear;
    EXPECT_TRUE(result.certified);
    EXPECT_TRUE(result.reached) << linear;
  }
}

TEST(Implicit, BoundHoldsAtCoarseAccuracies) {
  const auto problem = make({50, 10, 5}, 7);
  const bilevel::OracleView view(problem);
  const Blocks blocks(world(), view, 7);
  bilevel::CountedOracle oracle(view);
  bilevel::Exchange exchange(blocks, 10, {});
  bilevel::Implicit implicit(blocks, oracle, exchange, {});
  const auto x = ramp(10);
  std::vector<double> p(10), exact(10);
  double value = 0.0;
  problem.exact(x, exact, value);
  for (const double accuracy : {1.0, 1e-1, 1e-2, 1e-4, 1e-8}) {
    auto y = blocks.zeros(), q = blocks.zeros();
    const auto result = implicit.gradient(x, y, q, accuracy, accuracy, p);
    double error = 0.0;
    for (std::size_t l = 0; l < p.size(); ++l) error += (p[l] - exact[l]) * (p[l] - exact[l]);
    EXPECT_LE(std::sqrt(error), result.bound + 1e-14) << accuracy;
    EXPECT_LE(result.inner, accuracy);
    EXPECT_LE(result.low, value + 1e-12);
    EXPECT_GE(result.high, value - 1e-12);
  }
}

TEST(Linear, ZeroRightHandSideAndIterationCap) {
  const MultiBlockQuadratic problem({4, 3, 5}, {0, 4});
  bilevel::CountedOracle oracle{bilevel::OracleView(problem)};
  const std::vector<double> x(3), y(5);
  std::vector<double> b(5), w(5, 3.0);
  using bilevel::LinearSolver;
  for (const auto solver : {LinearSolver::cg, LinearSolver::minres, LinearSolver::gmres}) {
    std::fill(w.begin(), w.end(), 3.0);
    std::fill(b.begin(), b.end(), 0.0);
    oracle.clear();
    EXPECT_TRUE(bilevel::solve_linear(solver, {oracle, 0, {}, x, y}, b, w, 1e-10, 10).converged);
    EXPECT_EQ(bilevel::norm(w), 0.0);
    EXPECT_EQ(oracle.counts()[bilevel::CountedOracle::hessian_vector], 0);
    b = {1.0, -2.0, 0.5, 0.0, 3.0};
    const auto capped = bilevel::solve_linear(solver, {oracle, 0, {}, x, y}, b, w, 1e-10, 1);
    EXPECT_FALSE(capped.converged);
    EXPECT_EQ(capped.iterations, 1);
    EXPECT_TRUE(bilevel::solve_linear(solver, {oracle, 0, {}, x, y}, b, w, 1e-10, 30).converged);
  }
  const auto spectrum = bilevel::estimate_spectrum({oracle, 1, {}, x, y}, 40);
  EXPECT_NEAR(spectrum.smallest, 0.5, 1e-10);
  EXPECT_NEAR(spectrum.largest, 2.0, 1e-10);
}

// A kept factor is exact where it was made: one product more than the dense Hessian's dy. It serves
// other right-hand sides, and another Hessian until that takes more than a quarter of dy products.
TEST(Linear, KeptFactorServesUntilItIsStale) {
  constexpr std::size_t dy = 12;
  const MultiBlockQuadratic problem({4, 3, dy}, {0, 4});
  bilevel::CountedOracle oracle{bilevel::OracleView(problem)};
  const auto products = [&] {
    return oracle.counts()[bilevel::CountedOracle::hessian_vector] /
           problem.num_samples(0, bilevel::Level::lower);
  };
  const std::vector<double> x(3), y(dy);
  std::vector<double> b(dy), w(dy), check(dy), kept(bilevel::kept_header + dy * dy);
  const auto solve = [&](std::int64_t block, double first) {
    for (std::size_t k = 0; k < dy; ++k) b[k] = first + std::cos(static_cast<double>(k));
    std::fill(w.begin(), w.end(), 0.0);
    oracle.clear();
    const auto report = bilevel::solve_linear(
        bilevel::LinearSolver::automatic, {oracle, block, {}, x, y}, b, w, 1e-12, 100, 0.0, kept);
    EXPECT_TRUE(report.converged) << report.residual;
    const auto count = products();
    oracle.hvp_yy_g(block, {}, x, y, w, check);
    for (std::size_t k = 0; k < dy; ++k) EXPECT_NEAR(check[k], b[k], 1e-11);
    return count;
  };
  const auto n = static_cast<std::int64_t>(dy);
  EXPECT_LE(solve(0, 1.0), n + 2);
  EXPECT_NEAR(kept[bilevel::kept_smallest], 0.5, 1e-12);
  EXPECT_NEAR(kept[bilevel::kept_largest], 2.0, 1e-12);
  EXPECT_LE(solve(0, -3.0), 2);
  EXPECT_LE(solve(1, 1.0), n / 4 + n + 2);
  EXPECT_LE(solve(1, 2.0), 2);
}

}  // namespace
