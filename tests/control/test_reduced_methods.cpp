#include "support.hpp"

#include <equipoise/control/coefficient.hpp>
#include <equipoise/control/lbfgs.hpp>
#include <equipoise/control/trust_region.hpp>

#include <gtest/gtest.h>

namespace equipoise::control {
namespace {

double truth(const Point& x) {
  return std::hypot(x[0] - 0.5, x[1] - 0.5) <= 0.2 ? std::log(2.0) : std::log(9.0);
}

std::shared_ptr<TrackingFunctional> tracked(std::int64_t cells, double grading,
                                            Riesz riesz = Riesz::mass) {
  return std::make_shared<TrackingFunctional>(
      tracking({.cells = cells, .grading = grading}, 1e-4, corner_target), riesz);
}

double distance(const Primal& a, const Primal& b) {
  auto difference = linalg::copy(a.values);
  linalg::check(VecAXPY(difference, -1.0, b.values));
  double size = 0.0, scale = 0.0;
  linalg::check(VecNorm(difference, NORM_2, &size));
  linalg::check(VecNorm(b.values, NORM_2, &scale));
  return size / scale;
}

TEST(Lbfgs, TakesTheSameStepsOnEveryMeshInTheRightInnerProduct) {
  std::vector<int> right, wrong;
  for (const std::int64_t cells : {8, 16, 32}) {
    const auto functional = tracked(cells, 0.9);
    Lbfgs method(functional, functional->space().primal(), {});
    right.push_back(run(method, 1e-6, 200));
    const auto euclidean = tracked(cells, 0.9, Riesz::identity);
    Lbfgs blind(euclidean, euclidean->space().primal(), {});
    wrong.push_back(run(blind, 1e-6, 400));
    ReducedCg reference(functional);
    EXPECT_GT(run(reference, 1e-10), 0);
    EXPECT_LT(distance(method.control(), reference.control()), 1e-3);
  }
  EXPECT_GT(right[0], 0);
  EXPECT_NEAR(right[2], right[0], 5) << right[0] << " " << right[1] << " " << right[2];
  EXPECT_GT(wrong[2], right[2] + 10) << wrong[0] << " " << wrong[1] << " " << wrong[2];
}

TEST(TrustRegion, SolvesAQuadraticProblemAndTheInversionFromFarAway) {
  const auto functional = tracked(16, 0.0);
  TrustRegion quadratic(functional, functional->space().primal(), {});
  EXPECT_GT(run(quadratic, 1e-8, 30), 0);
  ReducedCg reference(functional);
  EXPECT_GT(run(reference, 1e-10), 0);
  EXPECT_LT(distance(quadratic.control(), reference.control()), 1e-6);

  // Full Hessians from the first step on: curvature is negative on the way.
  const auto inversion =
      std::make_shared<CoefficientFunctional>(world(), CoefficientOptions{.cells = 12}, truth);
  TrustRegion method(inversion, inversion->interpolate([](const Point&) { return 0.0; }),
                     {.gauss_newton_steps = 0});
  EXPECT_GT(run(method, 1e-8, 60), 0) << method.report().message;
  Lbfgs other(inversion, inversion->interpolate([](const Point&) { return std::log(2.0); }),
              {.memory = 20});
  EXPECT_GT(run(other, 3e-4, 600), 0) << other.report().message;
  EXPECT_NEAR(other.report().objective / method.report().objective, 1.0, 1e-2);
}

TEST(TrustRegion, ReportsAFunctionalWhoseDerivativeIsWrong) {
  class Reversed : public TrackingFunctional {
   public:
    using TrackingFunctional::TrackingFunctional;
    void derivative(Dual& out) override {
      TrackingFunctional::derivative(out);
      linalg::check(VecScale(out.values, -1.0));
    }
  };
  const auto reversed = std::make_shared<Reversed>(tracking({.cells = 8}, 1e-2, corner_target));
  TrustRegion region(reversed, reversed->space().primal(), {});
  Lbfgs lbfgs(reversed, reversed->space().primal(), {});
  for (solve::Method* method : std::initializer_list<solve::Method*>{&region, &lbfgs}) {
    for (int step = 0; step < 200 && !method->report().failed; ++step) method->step();
    EXPECT_TRUE(method->report().failed);
    EXPECT_NE(method->report().message.find("step"), std::string::npos);
  }
}

}  // namespace
}  // namespace equipoise::control
