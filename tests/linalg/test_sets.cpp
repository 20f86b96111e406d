#include <equipoise/linalg/sets.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::linalg {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
using Vector = std::vector<double>;

template <class Set>
Vector projected(const Set& set, Vector x) {
  set.project(x);
  return x;
}
double dot(const Vector& a, const Vector& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}
Vector minus(Vector a, const Vector& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}
double norm(const Vector& a) { return std::sqrt(dot(a, a)); }

std::vector<std::pair<std::string, AnySet>> all_sets() {
  return {{"free", Free{}},
          {"non-negative", NonNegative{}},
          {"box", Box({-infinity, -1, 0, 0.5, 2}, {0, 1, infinity, 0.5, 3})},
          {"uniform box", Box(-0.3, infinity)},
          {"simplex", Simplex(1.0)},
          {"simplex 0", Simplex(0.0)},
          {"simplex 7", Simplex(7.0)},
          {"l1", Ball1(1.5)},
          {"l1 0", Ball1(0.0)},
          {"l2", Ball2(0.7)},
          {"linf", BallInf(0.4)},
          {"cone", SecondOrderCone{}}};
}

Vector random_point(std::int64_t trial, std::int64_t which) {
  const parallel::Draw draw(17, parallel::Purpose::probe, trial, which);
  Vector x(5);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 2.0 * draw.normal(i);
  return x;
}

// The three tests of every projection: idempotence, nonexpansiveness, and the obtuse angle
// <x - P(x), z - P(x)> <= 0 for every z of the set, which characterises the projection on a convex
// set.
TEST(Sets, ProjectionLaws) {
  for (const auto& [name, any] : all_sets()) {
    std::visit(
        [&, label = name](const auto& set) {
          for (std::int64_t trial = 0; trial < 300; ++trial) {
            const auto x = random_point(trial, 0);
            const auto y = random_point(trial, 1);
            const auto px = projected(set, x);
            const auto py = projected(set, y);
            EXPECT_LE(norm(minus(projected(set, px), px)), 1e-14) << label;
            EXPECT_LE(norm(minus(px, py)), norm(minus(x, y)) + 1e-14) << label;
            EXPECT_LE(dot(minus(x, px), minus(py, px)), 1e-12) << label;
          }
        },
        any);
  }
}

TEST(Sets, ClosedForms) {
  EXPECT_EQ(projected(NonNegative{}, {-1, 0, 2}), (Vector{0, 0, 2}));
  EXPECT_EQ(projected(Box({-1, 0}, {infinity, 0}), {1e300, 5}), (Vector{1e300, 0}));
  EXPECT_EQ(projected(Box({0.0}, {1, 2}), {3, 3}), (Vector{1, 2}));
  EXPECT_EQ(projected(Simplex(1), {0.5, 0.5}), (Vector{0.5, 0.5}));
  EXPECT_EQ(projected(Simplex(1), {3, 0, 0}), (Vector{1, 0, 0}));
  EXPECT_EQ(projected(Simplex(1), {1, 0.5, -1}), (Vector{0.75, 0.25, 0}));  // theta = 1/4
  EXPECT_EQ(projected(Simplex(0), {1, 2}), (Vector{0, 0}));
  EXPECT_EQ(projected(Ball1(1), {1, -0.5, -0.1}), (Vector{0.75, -0.25, 0}));
  EXPECT_EQ(projected(Ball1(2), {1, -0.5, -0.1}), (Vector{1, -0.5, -0.1}));
  EXPECT_EQ(projected(Ball1(infinity), {1e308, 1e308}), (Vector{1e308, 1e308}));
  EXPECT_EQ(projected(Ball2(5), {6, 8}), (Vector{3, 4}));
  EXPECT_EQ(projected(Ball2(1), {0, 0}), (Vector{0, 0}));
  EXPECT_NEAR(projected(Ball2(1), {3e200, 4e200})[1], 0.8, 1e-15);
  EXPECT_EQ(projected(BallInf(1), {2, -3, 0.5}), (Vector{1, -1, 0.5}));
  EXPECT_EQ(projected(SecondOrderCone{}, {3, 4, 0}), (Vector{1.5, 2, 2.5}));
  EXPECT_EQ(projected(SecondOrderCone{}, {3, 4, -5}), (Vector{0, 0, 0}));
  EXPECT_EQ(projected(SecondOrderCone{}, {3, 4, 6}), (Vector{3, 4, 6}));
  Vector x = {2, -2, 0.5, -0.5};
  soft_threshold(1, x);
  EXPECT_EQ(x, (Vector{1, -1, 0, 0}));
}

TEST(Sets, SimplexOfManyAndFarComponents) {
  const parallel::Draw draw(1, parallel::Purpose::probe, 0);
  for (const double shift : {0.0, 1e8, -1e8}) {
    Vector x(2000);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = shift + std::exp(3.0 * draw.normal(i));
    const auto p = projected(Simplex(10.0), x);
    double sum = 0.0;
    // On the support the shift x - p is one number; off it, x is at most that number.
    double theta = -infinity;
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum += p[i];
      if (p[i] > 0.0) theta = std::max(theta, x[i] - p[i]);
    }
    EXPECT_NEAR(sum, 10.0, 1e-6);  // entries near 1e8 are known to 1e-8 only
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (p[i] > 0.0) {
        EXPECT_NEAR(x[i] - p[i], theta, 1e-7);
      } else {
        EXPECT_LE(x[i], theta + 1e-7);
      }
    }
  }
}

TEST(Sets, ProductWorksBlockByBlock) {
  const Product product({{2, Simplex(1.0)}, {0, Free{}}, {1, Box(-1.0, 1.0)}, {2, Ball2(5.0)}});
  EXPECT_EQ(product.dimension(), 5U);
  EXPECT_EQ(projected(product, {3, 0, -7, 6, 8}), (Vector{1, 0, -1, 3, 4}));
}

TEST(Sets, BadSetsAreRefused) {
  EXPECT_THROW(Box(1.0, 0.0), ConfigurationError);
  EXPECT_THROW(Box({0, 0}, {1, -1}), ConfigurationError);
  EXPECT_THROW(Box({0, 0}, {1, 1, 1}), ConfigurationError);
  EXPECT_THROW(Box(0.0, std::nan("")), ConfigurationError);
  EXPECT_THROW(Box(Vector{}, Vector{}), ConfigurationError);
  EXPECT_THROW(Simplex(-1.0), ConfigurationError);
  EXPECT_THROW(Simplex{infinity}, ConfigurationError);
  EXPECT_THROW(Ball1(-1e-300), ConfigurationError);
  EXPECT_THROW(Ball2{std::nan("")}, ConfigurationError);
  EXPECT_THROW(BallInf(-1.0), ConfigurationError);
}

// Every rank projects its part of one vector; the result is the projection of the whole, with the
// bits of a single rank.
TEST(Sets, PartsOfAVectorAreProjectedTogether) {
  auto comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  const parallel::Draw draw(5, parallel::Purpose::probe, 0);
  for (const std::size_t size : {1U, 3U, 1000U}) {
    for (const double shift : {0.0, 1e3}) {
      Vector whole(size);
      for (std::size_t i = 0; i < size; ++i) whole[i] = shift + 2.0 * draw.normal(i);
      const auto cut = [&](int rank) {
        return size * static_cast<std::size_t>(rank) / static_cast<std::size_t>(comm.size());
      };
      const std::size_t begin = cut(comm.rank()), end = cut(comm.rank() + 1);
      const auto check = [&](const auto& set) {
        Vector part(whole.begin() + static_cast<std::ptrdiff_t>(begin),
                    whole.begin() + static_cast<std::ptrdiff_t>(end));
        Vector alone = whole;
        set.project(part, comm);
        set.project(alone, parallel::Comm());
        const Vector serial = projected(set, whole);
        for (std::size_t i = begin; i < end; ++i) {
          EXPECT_EQ(part[i - begin], alone[i]);
          EXPECT_NEAR(alone[i], serial[i], 1e-12 * (1.0 + shift));
        }
      };
      check(Simplex(1.0));
      check(Simplex(1e4));
      check(Ball1(2.5));
      check(Ball1(infinity));
      check(Ball2(0.7));
      check(Ball2(1e6));
    }
  }
  comm.close();
}

}  // namespace
}  // namespace equipoise::linalg
