#include "support.hpp"

#include <equipoise/control/active_set.hpp>

#include <gtest/gtest.h>

namespace equipoise::control {
namespace {

constexpr double pi = std::numbers::pi;
double product(const Point& x, double k) {
  return std::sin(k * pi * x[0]) * std::sin(k * pi * x[1]);
}

int settle(ActiveSet& method, int limit = 20) {
  for (int step = 1; step <= limit; ++step) {
    method.step();
    if (method.done()) return step;
  }
  return -1;
}

/// The norm on the grid of nodal values minus a function.
double distance(const Grid& grid, const std::vector<double>& values,
                const std::function<double(const Point&)>& exact) {
  auto error = grid.interpolate(exact);
  {
    linalg::Entries e(error);
    for (std::int64_t i = 0; i < e.size(); ++i) e[i] -= values[static_cast<std::size_t>(i)];
  }
  return grid.norm(error);
}

TEST(ActiveSet, ManufacturedBoundsInTheTabulatedSolves) {
  // y = sin sin, p = -2 nu sin 2pi x sin 2pi y, u = clip(-p/nu, -0.5, 1); specs: solves at n = 16,
  // 32, 64 and errors at n = 128, of second order.
  struct Row {
    double nu;
    std::vector<int> counts;
    double control_error, state_error;
  };
  for (const Row& row :
       {Row{1e-2, {2, 2, 3}, 8.519e-5, 2.287e-5}, Row{1e-4, {3, 3, 4}, 6.432e-4, 3.208e-6},
        Row{1e-6, {4, 4, 5}, 1.097e-3, 1.56e-6}}) {
    const ControlLimits limits{.lower = -0.5, .upper = 1.0};
    const auto adjoint = [&](const Point& x) { return -2 * row.nu * product(x, 2); };
    const auto control = [&](const Point& x) { return limits.control(row.nu, adjoint(x)); };
    for (std::size_t i = 0; i < row.counts.size(); ++i) {
      const std::int64_t cells = 16 << i;
      const auto problem =
          tracking({.cells = cells, .element = Element::fd}, row.nu,
                   [&](const Point& x) { return product(x, 1) - 8 * pi * pi * adjoint(x); });
      problem->source = problem->grid().interpolate(
          [&](const Point& x) { return 2 * pi * pi * product(x, 1) - control(x); });
      ActiveSet method(problem, limits);
      EXPECT_NEAR(settle(method), row.counts[i], 1) << row.nu << " " << cells;
      EXPECT_EQ(method.report().residual, 0.0);
      if (i < 2) continue;
      // Between n = 64 and 128 the kinks of u move the errors off the exact factor 4.
      EXPECT_NEAR(distance(problem->grid(), method.control(), control) / row.control_error, 4.0,
                  1.6);
      EXPECT_NEAR(
          distance(problem->grid(), method.state(), [](const Point& x) { return product(x, 1); }) /
              row.state_error,
          4.0, 1.6);
    }
  }
}

TEST(ActiveSet, WithoutLimitsItIsOneSolveAndAgreesWithReducedCg) {
  const auto problem =
      tracking({.cells = 24, .element = Element::fd, .grading = 0.5}, 1e-4, corner_target);
  ActiveSet method(problem, {});
  EXPECT_EQ(settle(method), 1);
  ReducedCg cg(std::make_shared<TrackingFunctional>(problem));
  run(cg, 1e-11);
  EXPECT_NEAR(method.report().objective, cg.report().objective, 1e-12);
}

TEST(ActiveSet, SparseControlsSatisfyTheOptimalityConditions) {
  const auto problem = tracking({.cells = 24, .element = Element::fd}, 1e-4, corner_target);
  // An l1 cost above the largest adjoint at u = 0 makes the zero control optimal.
  TrackingFunctional functional(problem, Riesz::mass);
  functional.value(functional.space().primal());
  Dual derivative = functional.space().dual();
  functional.derivative(derivative);
  double largest = 0.0;
  linalg::check(VecNorm(functional.adjoint(), NORM_INFINITY, &largest));
  std::int64_t previous = problem->grid().nodes() + 1;
  for (const double fraction : {0.01, 0.1, 0.5, 1.01}) {
    const ControlLimits limits{.lower = -5.0, .upper = 8.0, .sparsity = fraction * largest};
    ActiveSet method(problem, limits);
    EXPECT_GT(settle(method, 40), 0) << fraction;
    std::int64_t support = 0;
    for (std::size_t i = 0; i < method.control().size(); ++i) {
      const double expected = limits.control(problem->beta, method.adjoint()[i]);
      EXPECT_NEAR(method.control()[i], expected, 1e-9);
      support += method.control()[i] != 0.0 ? 1 : 0;
    }
    support = world().sum(support);
    EXPECT_LT(support, previous);
    if (fraction > 1.0) {
      EXPECT_EQ(support, 0);
    }
    previous = support;
  }
}

TEST(ActiveSet, BadInputIsRefused) {
  const auto problem = tracking({.cells = 8, .element = Element::fd}, 1e-2, corner_target);
  EXPECT_THROW(ActiveSet(problem, {.lower = 1.0, .upper = -1.0}), ConfigurationError);
  EXPECT_THROW(ActiveSet(problem, {.lower = 1.0, .upper = 2.0, .sparsity = 0.1}),
               ConfigurationError);
  EXPECT_THROW(ActiveSet(problem, {.sparsity = -0.1}), ConfigurationError);
  EXPECT_THROW(ActiveSet(tracking({.cells = 8}, 1e-2, corner_target), {}), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::control
