#include "support.hpp"

#include <equipoise/control/derivative_check.hpp>
#include <equipoise/control/newton_cg.hpp>
#include <equipoise/control/scenarios.hpp>

#include <gtest/gtest.h>

namespace equipoise::control {
namespace {

constexpr double pi = std::numbers::pi;
double mode(const Point& x) { return std::sin(pi * x[0]) * std::sin(pi * x[1]); }

std::shared_ptr<Scenarios> scenarios(std::int64_t groups, const GridShape& shape,
                                     std::vector<std::function<double(const Point&)>> coefficients,
                                     const std::function<double(const Point&)>& target) {
  auto problem = std::make_shared<Scenarios>();
  problem->levels = std::make_shared<TwoLevels>(world(), groups);
  problem->hierarchy = std::make_shared<Hierarchy>(problem->levels->mesh, shape);
  problem->coefficients = std::move(coefficients);
  problem->beta = 1e-4;
  problem->target = problem->grid().interpolate(target);
  return problem;
}

const std::vector<double> factors = {0.5, 1.0, 1.7, 3.0, 4.1};

std::vector<std::function<double(const Point&)>> constants() {
  std::vector<std::function<double(const Point&)>> result;
  for (const double a : factors) result.emplace_back([a](const Point&) { return a; });
  return result;
}

std::vector<std::function<double(const Point&)>> rough(int count) {
  std::vector<std::function<double(const Point&)>> result;
  for (int m = 0; m < count; ++m) {
    result.emplace_back([m](const Point& x) {
      return std::exp(std::sin(5.0 * x[0] + m) + std::cos(4.0 * x[1] * (m + 1)));
    });
  }
  return result;
}

TEST(Scenarios, AConstantCoefficientScalesTheStiffness) {
  for (const Element element : {Element::q1, Element::fd}) {
    for (int dim = 1; dim <= 3; ++dim) {
      const Grid grid(
          world(),
          {.dimension = dim, .cells = dim == 3 ? 5 : 12, .element = element, .grading = 0.4});
      const auto matrix = assemble_diffusion(grid, [](const Point&) { return 2.5; });
      const auto x = noise(grid);
      auto image = grid.vector(), expected = grid.vector();
      linalg::check(MatMult(matrix, x, image));
      grid.apply(x, expected, nullptr);
      linalg::check(VecAXPY(image, -2.5, expected));
      EXPECT_LT(linalg::dot(image, image), 1e-26 * linalg::dot(expected, expected));
    }
  }
}

TEST(Scenarios, TheMeanOfConstantCoefficientsHasItsClosedForm) {
  // yd an eigenfunction of eigenvalue lambda: u = c yd, c = sum 1/(a lambda) / (sum 1/(a lambda)^2
  // + M beta).
  for (const std::int64_t groups : {1, 5}) {
    const GridShape shape{.cells = 16, .element = Element::fd};
    const auto problem = scenarios(groups, shape, constants(), mode);
    const double lambda = 2.0 * 4.0 * 256.0 * std::pow(std::sin(pi / 32.0), 2);
    double first = 0.0, second = 0.0;
    for (const double a : factors) {
      first += 1.0 / (a * lambda);
      second += 1.0 / std::pow(a * lambda, 2);
    }
    const double c = first / (second + static_cast<double>(factors.size()) * problem->beta);
    ReducedCg cg(std::make_shared<ScenarioFunctional>(problem));
    EXPECT_EQ(run(cg, 1e-9, 5), 1);
    auto difference = linalg::copy(cg.control().values);
    linalg::check(VecAXPY(difference, -c, problem->target));
    EXPECT_LT(problem->grid().norm(difference), 1e-10 * c);
  }
}

TEST(Scenarios, ATailIsTheMeanOfItsWorstScenarios) {
  // With constant coefficients u = c yd, and the best c minimizes the tail of known functions.
  const GridShape shape{.cells = 16, .element = Element::fd};
  const auto problem = scenarios(3, shape, constants(), mode);
  problem->tail = 0.6;  // the mean of the worst two of five
  const double lambda = 2.0 * 4.0 * 256.0 * std::pow(std::sin(pi / 32.0), 2);
  const double half = 0.5 * problem->grid().inner(problem->target, problem->target);
  const auto cost = [&](double c) {
    std::vector<double> misfits;
    for (const double a : factors) misfits.push_back(half * std::pow(c / (a * lambda) - 1.0, 2));
    std::sort(misfits.rbegin(), misfits.rend());
    return 0.5 * (misfits[0] + misfits[1]) + problem->beta * half * c * c;
  };
  double low = 0.0, high = 200.0;  // the cost is convex in c
  for (int k = 0; k < 200; ++k) {
    const double a = low + (high - low) / 3.0, b = high - (high - low) / 3.0;
    (cost(a) < cost(b) ? high : low) = cost(a) < cost(b) ? b : a;
  }
  // The smoothed maximum is above the true one by at most an eighth of its width.
  Primal start;
  for (const double smoothing : {1e-1, 1e-2}) {
    problem->smoothing = smoothing;
    const auto functional = std::make_shared<ScenarioFunctional>(problem);
    if (start.values.get() == nullptr) start = functional->space().primal();
    NewtonCg method(functional, std::move(start), {.gauss_newton_steps = 0});
    EXPECT_GT(run(method, 1e-7, 60), 0) << smoothing;
    EXPECT_GE(method.report().objective, cost(low) - 1e-9);
    EXPECT_LE(method.report().objective, cost(low) + smoothing * half / (8.0 * 0.4) + 1e-9);
    double total = 0.0;
    for (const double w : functional->weights()) total += w;
    EXPECT_NEAR(total, 1.0, 1e-9);
    start = functional->space().primal();
    linalg::check(VecCopy(method.control().values, start.values));
  }
}

TEST(Scenarios, DerivativesAreThoseOfTheRisk) {
  for (const double tail : {0.0, 0.5}) {
    const auto problem = scenarios(2, {.cells = 8, .grading = 0.4}, rough(6), mode);
    problem->tail = tail;
    problem->smoothing = 0.3;
    ScenarioFunctional functional(problem);
    const Space& space = functional.space();
    const auto direction = [&](std::int64_t seed, double size) {
      Primal v = space.primal();
      linalg::check(VecCopy(noise(problem->grid(), seed), v.values));
      linalg::check(VecScale(v.values, size));
      return v;
    };
    const auto result =
        check_derivatives(functional, direction(1, 20.0), direction(2, 20.0), direction(3, 20.0));
    EXPECT_GT(result.gradient_order, 1.9) << tail;
    EXPECT_GT(result.hessian_order, 2.8) << tail;
    EXPECT_LT(result.asymmetry, 1e-9);
  }
}

TEST(Scenarios, GroupsDoNotChangeTheAnswer) {
  std::vector<double> costs;
  for (const std::int64_t groups : {1, 2, 4}) {
    const auto problem = scenarios(groups, {.cells = 16}, rough(6), corner_target);
    problem->tail = 0.5;
    const auto functional = std::make_shared<ScenarioFunctional>(problem);
    NewtonCg method(functional, functional->space().primal(), {.gauss_newton_steps = 0});
    EXPECT_GT(run(method, 1e-8, 60), 0) << groups;
    costs.push_back(method.report().objective);
  }
  for (const double cost : costs) EXPECT_NEAR(cost, costs.front(), 1e-10 * costs.front());
}

TEST(Scenarios, BadInputIsRefused) {
  const auto make = [](const std::function<void(Scenarios&)>& spoil) {
    const auto problem = scenarios(2, {.cells = 8}, rough(2), mode);
    spoil(*problem);
    ScenarioFunctional functional(problem);
  };
  EXPECT_THROW(make([](Scenarios& s) { s.beta = 0.0; }), ConfigurationError);
  EXPECT_THROW(make([](Scenarios& s) { s.tail = 1.0; }), ConfigurationError);
  EXPECT_THROW(make([](Scenarios& s) { s.smoothing = 0.0; }), ConfigurationError);
  EXPECT_THROW(make([](Scenarios& s) { s.coefficients.clear(); }), ConfigurationError);
  EXPECT_THROW(make([](Scenarios& s) { s.coefficients[1] = [](const Point&) { return -1.0; }; }),
               Error);
}

}  // namespace
}  // namespace equipoise::control
