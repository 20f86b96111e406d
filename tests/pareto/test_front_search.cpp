#include "problems/copy_fields.hpp"
#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/continuation.hpp>
#include <equipoise/pareto/descent.hpp>
#include <equipoise/pareto/front_search.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/problems/pareto/smooth.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {
namespace {

class Fronts : public OnRanks {};

TEST_F(Fronts, EveryScalarisationFillsAConvexFrontEvenly) {
  const problems::Distances problem{5, 2, 0.5};
  for (const char* name : {"pascoletti_serafini", "weighted_sum", "epsilon_constraint", "chebyshev",
                           "reference_point"}) {
    FrontOptions options;
    options.scalarisation = name;
    options.anchor_weight = 0.0;
    FrontSearch search(comm, problem, options);
    finish(search);
    const Population front = search.front();
    EXPECT_GT(front.size(), 20U) << name;
    // Front: sqrt(2 f_1 / h') + sqrt(2 f_2 / h') = sqrt 2, with |x - e_i|^2 = 2 (1 - s)^2 on the
    // segment.
    for (std::size_t i = 0; i < front.size(); ++i) {
      const double sum = std::sqrt(front.f[2 * i] / 0.5) + std::sqrt(front.f[2 * i + 1] / 0.5);
      EXPECT_NEAR(sum, 1.0, 1e-6) << name << " " << i;
    }
    const auto gaps = search.gaps();
    EXPECT_LE(*std::max_element(gaps.begin(), gaps.end()), options.spacing) << name;
    const bool even =
        std::string(name) == "pascoletti_serafini" || std::string(name) == "weighted_sum";
    if (even) {
      EXPECT_GE(*std::min_element(gaps.begin(), gaps.end()), 0.25 * options.spacing) << name;
    }
  }
}

TEST_F(Fronts, ConcavePartsAreFoundAndRanksAgree) {
  const problems::Fonseca problem{3};
  FrontOptions options;
  FrontSearch search(comm, problem, options);
  finish(search);
  const Population front = search.front();
  EXPECT_GT(front.size(), 15U);
  EXPECT_EQ(search.holes(), 0);
  for (std::size_t i = 0; i < front.size(); ++i) {
    // |x - a| + |x + a| = 2 on the segment, with |x -+ a|^2 = -log(1 - f).
    const double sum =
        std::sqrt(-std::log1p(-front.f[2 * i])) + std::sqrt(-std::log1p(-front.f[2 * i + 1]));
    EXPECT_NEAR(sum, 2.0, 1e-5) << i;
  }
  FrontSearch alone(parallel::Comm(), problem, options);
  finish(alone);
  EXPECT_EQ(alone.front().x, front.x);
}

TEST_F(Fronts, AWeightedSumMissesAConcaveFront) {
  const problems::Fonseca problem{3};
  FrontOptions options;
  options.scalarisation = "weighted_sum";
  FrontSearch search(comm, problem, options);
  finish(search);
  EXPECT_GT(search.holes(), 0);
  EXPECT_LT(search.front().size(), 15U);
}

TEST_F(Fronts, ThreeObjectivesLieOnTheSimplex) {
  const problems::Distances problem{4, 3, 1.0};
  FrontOptions options;
  options.spacing = 0.2;
  options.anchor_weight = 0.0;
  FrontSearch search(comm, problem, options);
  finish(search);
  const Population front = search.front();
  EXPECT_GT(front.size(), 30U);
  for (std::size_t i = 0; i < front.size(); ++i) {
    double sum = 0.0;
    for (std::size_t j = 0; j < 3; ++j) {
      EXPECT_GE(front.x[4 * i + j], -1e-6);
      sum += front.x[4 * i + j];
    }
    EXPECT_NEAR(sum, 1.0, 1e-6);
    EXPECT_NEAR(front.x[4 * i + 3], 0.0, 1e-6);
  }
  // Largest hole: every point of the exact front has a neighbour within twice the spacing (ranges
  // are [0, 1]).
  for (int a = 0; a <= 20; ++a) {
    for (int b = 0; a + b <= 20; ++b) {
      const std::vector<double> x{a / 20.0, b / 20.0, (20 - a - b) / 20.0, 0.0};
      std::vector<double> f(3);
      problem.evaluate(x, f);
      double nearest = INFINITY;
      for (std::size_t i = 0; i < front.size(); ++i) {
        double square = 0.0;
        for (std::size_t j = 0; j < 3; ++j) square += std::pow(front.f[3 * i + j] - f[j], 2);
        nearest = std::min(nearest, std::sqrt(square));
      }
      EXPECT_LT(nearest, 2.0 * options.spacing) << a << " " << b;
    }
  }
}

TEST_F(Fronts, ThreeObjectivesResumeBitByBit) {
  const problems::Distances problem{4, 3, 1.0};
  FrontOptions options;
  options.spacing = 0.2;
  for (const int steps : {1, 2, 4}) {
    FrontSearch through(comm, problem, options);
    FrontSearch second(comm, problem, options);
    for (int i = 0; i < steps; ++i) through.step();
    ASSERT_FALSE(through.report().finished);
    problems::expect_same_continuation(through, second, 2);
    EXPECT_EQ(through.report().finished, second.report().finished);
  }
}

TEST_F(Fronts, TheLargestNumberOfPointsIsToldWhereItEndsAFront) {
  for (const std::size_t objectives : {2U, 3U}) {
    const problems::Distances problem{4, static_cast<std::int64_t>(objectives), 1.0};
    FrontOptions options;
    options.spacing = 0.1;
    options.max_points = 3;
    FrontSearch search(comm, problem, options);
    finish(search);
    EXPECT_NE(search.report().message.find("max_points"), std::string::npos) << objectives;
    options.max_points = 10000;
    FrontSearch whole(comm, problem, options);
    finish(whole);
    EXPECT_EQ(whole.report().message.find("max_points"), std::string::npos) << objectives;
  }
}

/// Fronts of the pairs come first and bound the whole: points of every face, lines not asked for
/// twice, and few beyond the faces.
TEST_F(Fronts, TheHierarchySolvesFacesFirstAndLittleBesides) {
  const problems::Distances problem{4, 4, 1.0};
  FrontOptions options;
  options.spacing = 0.25;
  options.anchor_weight = 0.0;
  FrontSearch search(comm, problem, options);
  std::vector<std::size_t> generation;
  while (!search.report().finished) {
    search.step();
    generation.resize(search.members().size(), generation.empty() ? 0 : generation.back() + 1);
  }
  std::vector<std::size_t> faces(5, 0);
  std::size_t last_pair = 0;
  std::size_t first_inside = 1000000;
  for (std::size_t m = 0; m < search.members().size(); ++m) {
    const auto& w = search.members()[m].answer.weights;
    const auto size = static_cast<std::size_t>(
        std::count_if(w.begin(), w.end(), [](double v) { return v > 1e-7; }));
    ++faces[size];
    if (size == 2) last_pair = std::max(last_pair, generation[m]);
    if (size == 4) first_inside = std::min(first_inside, generation[m]);
  }
  EXPECT_EQ(faces[1], 4U);
  EXPECT_GE(faces[2], 12U);  // six edges
  EXPECT_GE(faces[3], 4U);   // four faces
  EXPECT_GE(faces[4], 1U);
  EXPECT_LT(last_pair, first_inside);
  const auto counters = search.counters();
  if (comm.rank() == 0) {
    EXPECT_LT(counters[0].second, 6 * static_cast<std::int64_t>(search.members().size()));
  }
  FrontSearch alone(parallel::Comm(), problem, options);
  finish(alone);
  EXPECT_EQ(alone.front().x, search.front().x);
}

/// Both objectives have the same minimizer.
struct OnePoint : problems::Distances {
  void evaluate(std::span<const double> x, std::span<double> f) const {
    problems::Distances::evaluate(x, f);
    f[1] = 2.0 * f[0];
  }
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const {
    problems::Distances::gradients(x, f, g);
    f[1] = 2.0 * f[0];
    for (std::size_t j = 0; j < x.size(); ++j) g[x.size() + j] = 2.0 * g[j];
  }
  void hessian_product(std::span<const double> weights, std::span<const double>,
                       std::span<const double> v, std::span<double> out) const {
    for (std::size_t j = 0; j < v.size(); ++j) out[j] = (weights[0] + 2.0 * weights[1]) * v[j];
  }
};
/// f_1 falls without end.
struct Unbounded : problems::Distances {
  [[nodiscard]] double lower(std::int64_t) const { return -INFINITY; }
  [[nodiscard]] double upper(std::int64_t) const { return INFINITY; }
  void evaluate(std::span<const double> x, std::span<double> f) const {
    problems::Distances::evaluate(x, f);
    f[0] = -std::exp(x[0]);
  }
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const {
    problems::Distances::gradients(x, f, g);
    f[0] = -std::exp(x[0]);
    g[0] = f[0];
    for (std::size_t j = 1; j < x.size(); ++j) g[j] = 0.0;
  }
};

/// f_2 is no number.
struct NotANumber : problems::Distances {
  void evaluate(std::span<const double> x, std::span<double> f) const {
    problems::Distances::evaluate(x, f);
    f[1] = NAN;
  }
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const {
    problems::Distances::gradients(x, f, g);
    f[1] = NAN;
  }
};

TEST_F(Fronts, ValuesThatAreNoNumbersAreExplained) {
  const NotANumber problem{};
  const auto message = [](auto& method) -> std::string {
    try {
      method.step();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::diverged);
      return error.what();
    }
    return "no exception";
  };
  FrontSearch search(comm, problem, {});
  EXPECT_NE(message(search).find("an objective or gradient is not finite"), std::string::npos);
  Continuation tracer(comm, problem, {});
  EXPECT_NE(message(tracer).find("an objective or gradient is not finite"), std::string::npos);
  Descent descent(comm, problem, "mgda", {}, 1);
  EXPECT_NE(message(descent).find("objective 2 is nan"), std::string::npos);
}

TEST_F(Fronts, DegenerateAndUnboundedFrontsAreExplained) {
  const OnePoint problem{};
  FrontSearch search(comm, problem, {});
  finish(search);
  EXPECT_EQ(search.front().size(), 1U);
  const Unbounded endless{};
  FrontSearch never(comm, endless, {});
  try {
    never.step();
    ADD_FAILURE() << "no exception";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::diverged);
    EXPECT_NE(std::string(error.what()).find("an end of the front cannot be computed"),
              std::string::npos);
  }
  EXPECT_THROW(FrontSearch(comm, problems::Zdt{1, 0}, {}), ConfigurationError);
}

TEST_F(Fronts, ThreeObjectivesWithOneMinimizerAreOnePoint) {
  struct Same : OnePoint {
    [[nodiscard]] std::int64_t objectives() const { return 3; }
    void evaluate(std::span<const double> x, std::span<double> f) const {
      OnePoint::evaluate(x, f.first(2));
      f[2] = 3.0 * f[0];
    }
    void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const {
      OnePoint::gradients(x, f.first(2), g);
      f[2] = 3.0 * f[0];
      for (std::size_t j = 0; j < x.size(); ++j) g[2 * x.size() + j] = 3.0 * g[j];
    }
    void hessian_product(std::span<const double> w, std::span<const double> x,
                         std::span<const double> v, std::span<double> out) const {
      const std::vector<double> two{w[0] + 3.0 * w[2], w[1]};
      OnePoint::hessian_product(two, x, v, out);
    }
  };
  const Same problem{};
  FrontSearch search(comm, problem, {});
  finish(search);
  EXPECT_EQ(search.front().size(), 1U);
}

TEST_F(Fronts, CommonDescentReachesTheParetoSet) {
  const problems::Distances problem{4, 3, 2.0};
  for (const char* kind : {"mgda", "newton"}) {
    DescentOptions options;
    options.starts = 16;
    Descent descent(comm, problem, kind, options, 1);
    for (int i = 0; i < 300 && !(descent.report().residual < 1e-9); ++i) descent.step();
    EXPECT_LT(descent.report().residual, 1e-9) << kind;
    const Population points = descent.points();
    for (std::size_t i = 0; i < points.size(); ++i) {
      double sum = 0.0;
      for (std::size_t j = 0; j < 3; ++j) {
        EXPECT_GE(points.x[4 * i + j], -1e-8);
        sum += points.x[4 * i + j];
      }
      EXPECT_NEAR(sum, 1.0, 1e-8) << kind;
      EXPECT_NEAR(points.x[4 * i + 3], 0.0, 1e-8) << kind;
    }
    Descent alone(parallel::Comm(), problem, kind, options, 1);
    for (int i = 0; i < 300 && !(alone.report().residual < 1e-9); ++i) alone.step();
    EXPECT_EQ(alone.points().x, points.x) << kind;
  }
  const problems::Fonseca concave{2};
  const DescentOptions options;
  EXPECT_THROW(Descent(comm, concave, "newton", options, 1), ConfigurationError);
  EXPECT_THROW(Descent(comm, problems::Zdt{1, 0}, "mgda", options, 1), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::pareto
