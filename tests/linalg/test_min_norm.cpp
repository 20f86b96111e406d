#include <equipoise/linalg/min_norm.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace equipoise::linalg {
namespace {

using Vectors = std::vector<std::vector<double>>;

std::vector<double> gram_of(const Vectors& v) {
  std::vector<double> gram;
  for (const auto& a : v) {
    for (const auto& b : v) gram.push_back(std::inner_product(a.begin(), a.end(), b.begin(), 0.0));
  }
  return gram;
}

/// Optimality: <p, v_i> >= |p|^2 for every i characterises the point of least norm.
void expect_optimal(const std::vector<double>& gram, const MinNormPoint& point) {
  const std::size_t k = point.weights.size();
  EXPECT_NEAR(std::accumulate(point.weights.begin(), point.weights.end(), 0.0), 1.0, 1e-14);
  EXPECT_GE(*std::min_element(point.weights.begin(), point.weights.end()), 0.0);
  double scale = 0.0;
  for (std::size_t i = 0; i < k; ++i) scale = std::max(scale, gram[i * k + i]);
  double norm = 0.0;
  std::vector<double> products(k, 0.0);
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = 0; j < k; ++j) products[i] += gram[i * k + j] * point.weights[j];
    norm += point.weights[i] * products[i];
  }
  EXPECT_NEAR(norm, point.norm_squared, 1e-12 * scale);
  for (std::size_t i = 0; i < k; ++i) EXPECT_GE(products[i], norm - 1e-12 * scale);
  EXPECT_LE(point.violation, 1e-12);
}

TEST(MinNormPoint, ClosedForms) {
  // The segment from (1, 1) to (1, -1) is nearest to 0 at its middle; a third point behind it is
  // idle.
  const auto gram = gram_of({{1, 1}, {1, -1}, {5, 0}});
  const auto middle = min_norm_point(gram);
  EXPECT_NEAR(middle.weights[0], 0.5, 1e-14);
  EXPECT_NEAR(middle.weights[1], 0.5, 1e-14);
  EXPECT_EQ(middle.weights[2], 0.0);
  EXPECT_NEAR(middle.norm_squared, 1.0, 1e-14);
  // Orthogonal vectors: weights proportional to 1 / |v|^2, norm^2 = 1 / sum 1/|v|^2.
  const auto orthogonal = min_norm_point(gram_of({{1, 0, 0}, {0, 2, 0}, {0, 0, 3}}));
  const double total = 1.0 + 1.0 / 4 + 1.0 / 9;
  EXPECT_NEAR(orthogonal.norm_squared, 1.0 / total, 1e-14);
  EXPECT_NEAR(orthogonal.weights[2], 1.0 / 9 / total, 1e-14);
  // A vertex, a single vector, and a hull that contains 0.
  EXPECT_EQ(min_norm_point(gram_of({{3, 3}, {1, 1}})).weights, (std::vector<double>{0, 1}));
  EXPECT_EQ(min_norm_point(gram_of({{-2}})).norm_squared, 4.0);
  EXPECT_NEAR(min_norm_point(gram_of({{1, 0}, {-1, 1}, {-1, -2}})).norm_squared, 0.0, 1e-15);
}

TEST(MinNormPoint, DegenerateVectors) {
  for (const Vectors& v :
       {Vectors{{1, 2}, {1, 2}, {1, 2}}, Vectors{{0, 0}, {1, 0}}, Vectors{{0.0}, {0.0}},
        Vectors{{1, 0}, {1, 1e-9}, {1, -1e-9}}, Vectors{{1, 1}, {2, 2}, {3, 3}, {-1, 1}},
        Vectors{{1e-150}, {-1e-150}}, Vectors{{1e150, 0}, {0, 1e150}}}) {
    const auto gram = gram_of(v);
    expect_optimal(gram, min_norm_point(gram));
  }
}

TEST(MinNormPoint, RandomHulls) {
  for (std::int64_t trial = 0; trial < 200; ++trial) {
    const parallel::Draw draw(5, parallel::Purpose::probe, trial);
    const auto count = 1 + draw.below(50, 0);
    const auto dimension = 1 + draw.below(60, 1);
    Vectors v(count, std::vector<double>(dimension));
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < dimension; ++j) {
        v[i][j] = draw.normal(100 + i * dimension + j) + (trial % 2 == 0 ? 1.0 : 0.0);
      }
    }
    const auto gram = gram_of(v);
    const auto point = min_norm_point(gram);
    expect_optimal(gram, point);
    EXPECT_LE(point.iterations, 200);
  }
}

TEST(MinNormPoint, BadInputIsRefused) {
  EXPECT_THROW((void)min_norm_point({}), ConfigurationError);
  const std::vector<double> crooked = {1, 2, 3};
  EXPECT_THROW((void)min_norm_point(crooked), ConfigurationError);
  const std::vector<double> bad = {std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THROW((void)min_norm_point(bad), NotFiniteError);
}

}  // namespace
}  // namespace equipoise::linalg
