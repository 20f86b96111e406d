#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/continuation.hpp>
#include <equipoise/problems/pareto/smooth.hpp>
#include <equipoise/problems/pareto/switching.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {
namespace {

class Continuations : public OnRanks {};

/// Fonseca and Fleming's problem with its Hessians: a concave front.
struct Concave : problems::Fonseca {
  void hessian_product(std::span<const double> weights, std::span<const double> x,
                       std::span<const double> v, std::span<double> out) const {
    std::vector<double> f(2);
    evaluate(x, f);
    const double a = 1.0 / std::sqrt(static_cast<double>(x.size()));
    std::fill(out.begin(), out.end(), 0.0);
    for (const std::size_t i : {0, 1}) {
      const double centre = i == 0 ? a : -a;
      double along = 0.0;
      for (std::size_t j = 0; j < x.size(); ++j) along += (x[j] - centre) * v[j];
      for (std::size_t j = 0; j < x.size(); ++j)
        out[j] += weights[i] * (1.0 - f[i]) * (2.0 * v[j] - 4.0 * (x[j] - centre) * along);
    }
  }
};

TEST_F(Continuations, AConcaveFrontIsTracedEvenly) {
  const Concave problem{};
  ContinuationOptions options;
  options.spacing = 0.04;
  Continuation tracer(comm, problem, options);
  finish(tracer);
  const Population points = tracer.points();
  std::vector<std::pair<double, double>> curve;
  for (std::size_t i = 0; i < points.size(); ++i) {
    // |x - a| + |x + a| = 2 on the segment, with |x -+ a|^2 = -log(1 - f).
    const double sum =
        std::sqrt(-std::log1p(-points.f[2 * i])) + std::sqrt(-std::log1p(-points.f[2 * i + 1]));
    EXPECT_NEAR(sum, 2.0, 1e-5) << i;
    curve.emplace_back(points.f[2 * i], points.f[2 * i + 1]);
  }
  std::sort(curve.begin(), curve.end());
  const double width = curve.back().first - curve.front().first;
  for (std::size_t i = 0; i + 1 < curve.size(); ++i) {
    const double gap =
        std::hypot(curve[i + 1].first - curve[i].first, curve[i + 1].second - curve[i].second) /
        width;
    EXPECT_LT(gap, 2.0 * options.spacing) << i;
    EXPECT_GT(gap, 0.5 * options.spacing) << i;
  }
  Continuation alone(parallel::Comm(), problem, options);
  finish(alone);
  EXPECT_EQ(alone.points().x, points.x);
}

TEST_F(Continuations, TheLargestNumberOfPointsIsTold) {
  const Concave problem{};
  ContinuationOptions options;
  options.max_points = 5;
  Continuation tracer(comm, problem, options);
  finish(tracer);
  EXPECT_NE(tracer.report().message.find("max_points"), std::string::npos);
}

/// The Pareto set of squared distances to unit vectors is their simplex: x = w.
TEST_F(Continuations, ThreeObjectivesCoverTheSimplexWithTheirWeights) {
  const problems::Distances problem{5, 3, 0.5};
  ContinuationOptions options;
  options.spacing = 0.15;
  Continuation tracer(comm, problem, options);
  finish(tracer);
  const Population points = tracer.points();
  EXPECT_GT(points.size(), 25U);
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      EXPECT_GE(points.x[5 * i + j], -1e-8);
      EXPECT_NEAR(points.x[5 * i + j], tracer.weights()[3 * i + j], 1e-8);
    }
    EXPECT_NEAR(points.x[5 * i + 3], 0.0, 1e-9);
  }
  for (int a = 0; a <= 12; ++a) {
    for (int b = 0; a + b <= 12; ++b) {
      const std::vector<double> x{a / 12.0, b / 12.0, (12 - a - b) / 12.0, 0.0, 0.0};
      std::vector<double> f(3);
      problem.evaluate(x, f);
      double nearest = INFINITY;
      for (std::size_t i = 0; i < points.size(); ++i) {
        double square = 0.0;
        // Ranges are [0, 0.5].
        for (std::size_t j = 0; j < 3; ++j)
          square += std::pow(2.0 * (points.f[3 * i + j] - f[j]), 2);
        nearest = std::min(nearest, std::sqrt(square));
      }
      EXPECT_LT(nearest, 1.5 * options.spacing) << a << " " << b;
    }
  }
}

/// A bound cuts the segment between the minimizers: the front bends along it.
struct Cut : problems::Distances {
  [[nodiscard]] double upper(std::int64_t i) const { return i == 0 ? 0.6 : 2.0; }
};

TEST_F(Continuations, BoundsAreFollowed) {
  const Cut problem{};
  ContinuationOptions options;
  options.spacing = 0.05;
  Continuation tracer(comm, problem, options);
  finish(tracer);
  const Population points = tracer.points();
  EXPECT_GT(points.size(), 15U);
  std::size_t held = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double w = tracer.weights()[2 * i];
    // Minimizer of the weighted sum over the box: x_1 = min(w, 0.6), x_2 = 1 - w.
    EXPECT_NEAR(points.x[3 * i], std::min(w, 0.6), 1e-8);
    EXPECT_NEAR(points.x[3 * i + 1], 1.0 - w, 1e-8);
    held += points.x[3 * i] == 0.6 ? 1 : 0;
  }
  EXPECT_GT(held, 3U);
}

TEST_F(Continuations, BadInputIsExplained) {
  EXPECT_THROW(Continuation(comm, problems::Zdt{1, 0}, {}), ConfigurationError);
  EXPECT_THROW(Continuation(comm, problems::Fonseca{}, {}), ConfigurationError);
  EXPECT_THROW(Continuation(comm, problems::Distances{3, 1, 1.0}, {}), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::pareto
