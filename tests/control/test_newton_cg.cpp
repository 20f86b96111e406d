#include "support.hpp"

#include <equipoise/control/coefficient.hpp>
#include <equipoise/control/derivative_check.hpp>
#include <equipoise/control/heat.hpp>
#include <equipoise/control/newton_cg.hpp>

#include <gtest/gtest.h>

#include <numeric>

namespace equipoise::control {
namespace {

double truth(const Point& x) {
  return std::hypot(x[0] - 0.5, x[1] - 0.5) <= 0.2 ? std::log(2.0) : std::log(9.0);
}
double start(const Point&) { return std::log(2.0); }

Primal scramble(const Space& space, std::int64_t seed, double size) {
  Primal v = space.primal();
  linalg::Entries values(v.values);
  const auto begin = space.partition().range(space.comm().rank()).begin;
  for (std::int64_t i = 0; i < values.size(); ++i)
    values[i] = size * scrambled(begin + i + 7919 * seed);
  return v;
}

TEST(Derivatives, TaylorOrdersAndHessianSymmetry) {
  CoefficientFunctional inversion(world(), {.cells = 6}, truth);
  const auto m = inversion.interpolate([](const Point& x) { return 0.5 + x[0] * x[1]; });
  const auto result = check_derivatives(inversion, m, scramble(inversion.space(), 1, 1.0),
                                        scramble(inversion.space(), 2, 1.0));
  EXPECT_NEAR(result.value_order, 1.0, 0.1);
  EXPECT_NEAR(result.gradient_order, 2.0, 0.1);
  EXPECT_NEAR(result.hessian_order, 3.0, 0.1);
  EXPECT_LT(result.asymmetry, 1e-9);

  TrackingFunctional tracked(tracking({.cells = 12, .grading = 0.7}, 1e-3, corner_target));
  auto quadratic =
      check_derivatives(tracked, scramble(tracked.space(), 1, 1.0),
                        scramble(tracked.space(), 2, 1.0), scramble(tracked.space(), 3, 1.0));
  EXPECT_GT(quadratic.gradient_order, 1.9);
  EXPECT_EQ(quadratic.hessian_order, std::numeric_limits<double>::infinity());
  EXPECT_LT(quadratic.asymmetry, 1e-9);

  auto heat = std::make_shared<Heat>();
  heat->hierarchy = std::make_shared<Hierarchy>(world(), GridShape{.cells = 6, .grading = 0.5});
  heat->steps = 7;
  heat->target = [](const Point& x, double t) { return t * x[0]; };
  heat->theta = 0.5;
  HeatFunctional heated(heat, {2});
  quadratic = check_derivatives(heated, scramble(heated.space(), 1, 1.0),
                                scramble(heated.space(), 2, 1.0), scramble(heated.space(), 3, 1.0));
  EXPECT_GT(quadratic.gradient_order, 1.9);
  EXPECT_EQ(quadratic.hessian_order, std::numeric_limits<double>::infinity());
  EXPECT_LT(quadratic.asymmetry, 1e-9);
}

TEST(Derivatives, AWrongDerivativeIsFound) {
  class Wrong : public TrackingFunctional {
   public:
    using TrackingFunctional::TrackingFunctional;
    void derivative(Dual& out) override {
      TrackingFunctional::derivative(out);
      linalg::check(VecScale(out.values, 1.01));
    }
  };
  Wrong wrong(tracking({.cells = 8}, 1e-3, corner_target));
  const auto result =
      check_derivatives(wrong, scramble(wrong.space(), 1, 1.0), scramble(wrong.space(), 2, 1.0),
                        scramble(wrong.space(), 3, 1.0));
  EXPECT_LT(result.gradient_order, 1.5);
}

TEST(NewtonCg, InvertsTheCoefficientInTheStatedSteps) {
  // Published on 64 x 64 cells (hIPPYlib tutorial): 8 Newton and 43 CG steps,
  // costs 1.12916e-5, 7.83206e-7, ..., 1.80266e-7. The noise is another, the meshes here are
  // smaller.
  for (const std::int64_t cells : {16, 32}) {
    const auto functional =
        std::make_shared<CoefficientFunctional>(world(), CoefficientOptions{.cells = cells}, truth);
    NewtonCg method(functional, functional->interpolate(start), {});
    method.step();
    EXPECT_NEAR(method.report().objective, 1.12916e-5, 0.05 * 1.12916e-5);
    const int steps = 1 + run(method, 1e-8, 15);
    EXPECT_NEAR(steps, 8, 2) << cells;
    EXPECT_NEAR(method.report().objective, 1.80266e-7, 0.05 * 1.80266e-7);
    const auto& inner = method.cg_steps();
    EXPECT_NEAR(static_cast<double>(std::accumulate(inner.begin(), inner.end(), std::int64_t{0})),
                43.0, 8.0);
    for (const auto& [kind, count] : functional->counters()) {
      if (kind == "factorisations") {
        EXPECT_EQ(count,
                  steps + 1);  // every step length was 1, and nothing was rebuilt for a Hessian
      }
    }
  }
}

TEST(NewtonCg, AQuadraticFunctionalTakesOneStepAndRefusalsAreReported) {
  const auto functional =
      std::make_shared<TrackingFunctional>(tracking({.cells = 16}, 1e-2, corner_target));
  NewtonCg method(functional, functional->space().primal(), {.gauss_newton_steps = 0});
  EXPECT_LE(run(method, 1e-8, 8), 6);

  // A functional whose derivative has the wrong sign yields no direction of descent for its cost.
  class Reversed : public TrackingFunctional {
   public:
    using TrackingFunctional::TrackingFunctional;
    void derivative(Dual& out) override {
      TrackingFunctional::derivative(out);
      linalg::check(VecScale(out.values, -1.0));
    }
  };
  const auto reversed = std::make_shared<Reversed>(tracking({.cells = 16}, 1e-2, corner_target));
  NewtonCg stuck(reversed, reversed->space().primal(), {});
  stuck.step();
  EXPECT_TRUE(stuck.report().failed);
  EXPECT_NE(stuck.report().message.find("halvings"), std::string::npos) << stuck.report().message;
}

TEST(Coefficient, BadInputIsRefused) {
  EXPECT_THROW(CoefficientFunctional(world(), {.cells = 1}, truth), ConfigurationError);
  EXPECT_THROW(CoefficientFunctional(world(), {.regularization = 0.0}, truth), ConfigurationError);
  EXPECT_THROW(CoefficientFunctional(world(), {.noise = -1.0}, truth), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::control
