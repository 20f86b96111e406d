#include "support.hpp"

#include <equipoise/control/moreau_yosida.hpp>

#include <gtest/gtest.h>

#include <numeric>

namespace equipoise::control {
namespace {

constexpr double pi = std::numbers::pi;

double mode(const Point& x, double frequency) {
  return std::sin(frequency * pi * x[0]) * std::sin(frequency * pi * x[1]);
}
double hump(const Point& x) { return 0.1 - std::pow(x[0] - 0.5, 2) - std::pow(x[1] - 0.5, 2); }

/// y = sin sin touches its bound in a disc, where the multiplier is 10 max(0, hump); u is the
/// second mode.
std::shared_ptr<Tracking> touching(std::int64_t cells, double beta) {
  auto problem = tracking({.cells = cells, .element = Element::fd}, beta, [&](const Point& x) {
    return mode(x, 1) + 10.0 * std::max(0.0, hump(x)) + 8.0 * pi * pi * beta * mode(x, 2);
  });
  problem->source = problem->grid().interpolate(
      [](const Point& x) { return 2.0 * pi * pi * mode(x, 1) - mode(x, 2); });
  return problem;
}

linalg::Vector touched(const Grid& grid) {
  return grid.interpolate([](const Point& x) { return mode(x, 1) + std::max(0.0, -hump(x)); });
}

TEST(MoreauYosida, AStateConstrainedProblemIsSolvedToSecondOrder) {
  std::vector<double> errors;
  for (const std::int64_t cells : {16, 32, 64}) {
    const auto problem = touching(cells, 1e-3);
    StateConstrained method(problem, touched(problem->grid()), {.last_weight = 1e8});
    EXPECT_GT(run(method, 1e-7, 200), 0) << method.report().message;
    EXPECT_FALSE(method.report().failed);
    // One to five steps for a weight; the first one starts from nothing.
    EXPECT_LE(*std::max_element(method.steps().begin() + 1, method.steps().end()), 5);
    // The violation falls in proportion to the weight.
    const auto& violations = method.violations();
    for (std::size_t k = violations.size() - 2; k < violations.size(); ++k)
      EXPECT_NEAR(violations[k - 1] / violations[k], 10.0, 1.0);
    auto y = problem->grid().vector();
    {
      linalg::Entries values(y);
      std::copy(method.state().begin(), method.state().end(), values.span().begin());
    }
    const auto exact = problem->grid().interpolate([](const Point& x) { return mode(x, 1); });
    linalg::check(VecAXPY(y, -1.0, exact));
    errors.push_back(problem->grid().norm(y));
  }
  EXPECT_GT(std::log2(errors[0] / errors[1]), 1.7) << errors[0] << " " << errors[1];
  EXPECT_GT(std::log2(errors[1] / errors[2]), 1.7) << errors[2];
}

TEST(MoreauYosida, AnInactiveBoundChangesNothing) {
  const auto problem = tracking({.cells = 16, .element = Element::fd}, 1e-2, corner_target);
  StateConstrained bounded(problem, problem->grid().interpolate([](const Point&) { return 1e3; }),
                           {});
  EXPECT_EQ(run(bounded, 1e-12), 1);  // the first solve settles: no node is active
  AllAtOnce free(problem, {});
  EXPECT_GT(run(free, 1e-10), 0);
  const auto point = free.point();
  const linalg::ConstEntries y(point.state);
  for (std::int64_t i = 0; i < y.size(); ++i)
    EXPECT_NEAR(bounded.state()[static_cast<std::size_t>(i)], y[i], 1e-8);
}

double ball(const Point& x) {
  const double r2 = x[0] * x[0] + x[1] * x[1];
  return r2 < 1.0 ? std::sqrt(1.0 - r2) : -1.0;
}
double membrane(const Point& x) {
  constexpr double contact = 0.6979651482;
  const double r = std::hypot(x[0], x[1]);
  return r <= contact ? std::sqrt(1.0 - r * r)
                      : -contact * contact * std::log(r / 2.0) / std::sqrt(1.0 - contact * contact);
}

TEST(MoreauYosida, TheObstaclePathHasTheStatedTotalsAndViolation) {
  for (const auto& [cells, total] : {std::pair<std::int64_t, std::int64_t>{32, 15}, {64, 16}}) {
    const Obstacle problem{
        std::make_shared<Hierarchy>(
            world(),
            GridShape{.cells = cells, .element = Element::fd, .lower = -2.0, .upper = 2.0}),
        ball, [](const Point&) { return 0.0; }, membrane};
    PenalisedObstacle method(problem, {.last_weight = 1e8});
    for (int step = 0; step < 100 && !method.report().finished; ++step) method.step();
    EXPECT_NEAR(static_cast<double>(
                    std::accumulate(method.steps().begin(), method.steps().end(), std::int64_t{0})),
                static_cast<double>(total), 2.0)
        << cells;
    EXPECT_GT(method.violations().back(), 3e-8);
    EXPECT_LT(method.violations().back(), 4.5e-8);
    EXPECT_EQ(method.weight(), 1e8);
  }
}

TEST(MoreauYosida, BadPathsAreRefused) {
  const auto problem = tracking({.cells = 4, .element = Element::fd}, 1e-2, corner_target);
  EXPECT_THROW(StateConstrained(problem, problem->grid().vector(),
                                {.first_weight = 10.0, .last_weight = 1.0}),
               ConfigurationError);
  EXPECT_THROW(StateConstrained(
                   problem, problem->grid().interpolate([](const Point&) { return INFINITY; }), {}),
               ConfigurationError);
  const auto q1 = tracking({.cells = 4}, 1e-2, corner_target);
  EXPECT_THROW(StateConstrained(q1, q1->grid().vector(), {}), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::control
