#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/subdivision.hpp>
#include <equipoise/problems/pareto/nonsmooth.hpp>
#include <equipoise/problems/pareto/smooth.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {
namespace {

class Subdivisions : public OnRanks {};

void finish(Subdivision& method) {
  while (!method.report().finished) method.step();
}

bool holds(const Subdivision& cover, std::size_t box, const std::vector<double>& x, double slack) {
  const auto centre = cover.centre(box);
  const auto radius = cover.radius();
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (std::abs(x[j] - centre[j]) > (1.0 + slack) * radius[j]) return false;
  }
  return true;
}

/// The Pareto set is the triangle of the unit vectors (the segment for two objectives): every point
/// of it lies in a box or beside one, and no box lies far from it.
TEST_F(Subdivisions, BoxesCoverTheSimplex) {
  for (const std::int64_t k : {2, 3}) {
    const problems::Distances problem{k, k, 1.0};
    SubdivisionOptions options;
    options.depth = 5 * k;
    Subdivision cover(comm, problem, options, 1);
    finish(cover);
    EXPECT_DOUBLE_EQ(cover.report().residual, 1.0 / 32.0);
    const double side = 4.0 / 32.0;
    for (std::size_t b = 0; b < cover.boxes(); ++b) {
      const auto c = cover.centre(b);
      double sum = 0.0;
      for (const double v : c) {
        EXPECT_GE(v, -1.5 * side);
        sum += v;
      }
      EXPECT_NEAR(sum, 1.0, 1.5 * side * static_cast<double>(k)) << k;
    }
    for (int a = 0; a <= 16; ++a) {
      for (int c = 0; a + c <= 16; ++c) {
        if (k == 2 && a + c != 16) continue;
        std::vector<double> x{a / 16.0, c / 16.0};
        if (k == 3) x.push_back((16 - a - c) / 16.0);
        bool found = false;
        for (std::size_t b = 0; b < cover.boxes() && !found; ++b) found = holds(cover, b, x, 2.0);
        EXPECT_TRUE(found) << k << ": " << a << " " << c;
      }
    }
    Subdivision alone(parallel::Comm(), problem, options, 1);
    finish(alone);
    EXPECT_EQ(alone.boxes(), cover.boxes());
    EXPECT_EQ(alone.centre(0), cover.centre(0));
  }
}

TEST_F(Subdivisions, SamplingNeedsNoGradients) {
  // The Pareto set of ZDT1 with two variables is x_2 = 0, 0 <= x_1 <= 1.
  const problems::Zdt problem{1, 2};
  SubdivisionOptions options;
  options.depth = 12;
  options.samples = 17;
  Subdivision cover(comm, problem, options, 1);
  finish(cover);
  double left = 1.0;
  double right = 0.0;
  for (std::size_t b = 0; b < cover.boxes(); ++b) {
    EXPECT_LT(cover.centre(b)[1], 0.05);
    left = std::min(left, cover.centre(b)[0]);
    right = std::max(right, cover.centre(b)[0]);
  }
  EXPECT_GT(cover.boxes(), 16U);
  EXPECT_LT(left, 0.05);
  EXPECT_GT(right, 0.9);
}

TEST_F(Subdivisions, NonsmoothObjectives) {
  struct Boxed : problems::NonsmoothPair {
    [[nodiscard]] double lower(std::int64_t) const { return -4.0; }
    [[nodiscard]] double upper(std::int64_t) const { return 4.0; }
  };
  Boxed problem;
  problem.first = "CB3";
  problem.second = "DEM";
  SubdivisionOptions options;
  options.depth = 8;
  options.samples = 5;
  Subdivision cover(comm, problem, options, 1);
  finish(cover);
  // The minimizers (1, 1) of CB3 and (0, -3) of DEM belong to the set.
  for (const auto& x : {std::vector<double>{1.0, 1.0}, {0.0, -3.0}}) {
    bool found = false;
    for (std::size_t b = 0; b < cover.boxes(); ++b) found = found || holds(cover, b, x, 2.0);
    EXPECT_TRUE(found) << x[0];
  }
  EXPECT_LT(cover.boxes(), 100U);
}

TEST_F(Subdivisions, BadInputIsExplained) {
  SubdivisionOptions gradient;
  gradient.selection = "gradient";
  EXPECT_THROW(Subdivision(comm, problems::Zdt{1, 2}, gradient, 1), ConfigurationError);
  EXPECT_THROW(Subdivision(comm, problems::Zdt{1, 30}, {}, 1), ConfigurationError);
}

TEST_F(Subdivisions, EndsAtTheDepthWhoseHalvesWouldBeTooMany) {
  SubdivisionOptions few;
  few.max_boxes = 20;
  const problems::Distances problem{2, 2, 1.0};
  Subdivision cover(comm, problem, few, 1);
  finish(cover);
  EXPECT_NE(cover.report().message.find("method.max_boxes"), std::string::npos);
  EXPECT_GT(cover.report().residual, 1.0 / 64.0);
  EXPECT_LE(cover.boxes(), 20U);
  EXPECT_GT(2 * cover.boxes(), 20U);
}

}  // namespace
}  // namespace equipoise::pareto
