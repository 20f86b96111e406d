#include <equipoise/linalg/matrix_sets.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>

#include <Eigen/SVD>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace equipoise::linalg {
namespace {

using Vector = std::vector<double>;
constexpr double infinity = std::numeric_limits<double>::infinity();

Vector random_point(std::size_t size, std::int64_t trial) {
  const parallel::Draw draw(23, parallel::Purpose::probe, trial);
  Vector x(size);
  for (std::size_t i = 0; i < size; ++i) x[i] = 2.0 * draw.normal(i);
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

/// Idempotence, nonexpansiveness, and the obtuse angle to other points of the set.
void expect_projection(std::size_t size, const std::function<void(std::span<double>)>& project) {
  const auto projected = [&](Vector x) {
    project(x);
    return x;
  };
  for (std::int64_t trial = 0; trial < 40; ++trial) {
    const Vector x = random_point(size, 2 * trial), y = random_point(size, 2 * trial + 1);
    const Vector px = projected(x), py = projected(y);
    const Vector again = minus(projected(px), px), apart = minus(px, py), before = minus(x, y);
    EXPECT_LE(std::sqrt(dot(again, again)), 1e-11);
    EXPECT_LE(std::sqrt(dot(apart, apart)), std::sqrt(dot(before, before)) + 1e-11);
    EXPECT_LE(dot(minus(x, px), minus(py, px)), 1e-10);
  }
}

TEST(MatrixSets, PositiveSemidefinite) {
  const PositiveSemidefinite cone(3);
  expect_projection(9, [&](auto x) { cone.project(x); });
  Vector x = {0, 2, 2, 0};  // eigenvalues 2 and -2: (1, 1) / sqrt 2 stays
  PositiveSemidefinite(2).project(x);
  for (const double v : x) EXPECT_NEAR(v, 1.0, 1e-14);
  EXPECT_THROW(PositiveSemidefinite(0), ConfigurationError);
}

TEST(MatrixSets, AffineSets) {
  Eigen::MatrixXd a(2, 4);
  a << 1, 1, 1, 1, 1, -1, 2, 0;
  const AffineSet set(a, Eigen::Vector2d(4, 1));
  expect_projection(4, [&](auto x) { set.project(x); });
  Vector x = {0, 0, 0, 0};
  AffineSet(a.topRows(1), Eigen::VectorXd::Constant(1, 4.0)).project(x);
  for (const double v : x) EXPECT_NEAR(v, 1.0, 1e-14);
  a.row(1) = 2.0 * a.row(0);
  EXPECT_THROW(AffineSet(a, Eigen::Vector2d(4, 8)), ConfigurationError);
  EXPECT_THROW(AffineSet(a, Eigen::VectorXd::Zero(3)), ConfigurationError);
}

TEST(MatrixSets, Polyhedra) {
  Eigen::MatrixXd a(5, 3);
  a << 1, 1, 1, -1, 0, 0, 0, -1, 0, 0, 0, -1, 1, -2, 0.5;
  const Polyhedron set(a, (Eigen::VectorXd(5) << 1, 0, 0, 0, 0.2).finished());
  expect_projection(3, [&](auto x) { set.project(x); });
  Vector inside = {0.1, 0.2, 0.3}, corner = {5, 0, 0};
  set.project(inside);
  EXPECT_EQ(inside, (Vector{0.1, 0.2, 0.3}));
  Polyhedron(a.topRows(4), Eigen::Vector4d(1, 0, 0, 0)).project(corner);  // a simplex with inside
  EXPECT_NEAR(corner[0], 1.0, 1e-13);
  EXPECT_NEAR(corner[1], 0.0, 1e-13);
  Eigen::MatrixXd crossed(2, 1);
  crossed << 1, -1;
  Vector x = {0.0};
  EXPECT_THROW(Polyhedron(crossed, Eigen::Vector2d(-1, -1)).project(x), InputError);
}

TEST(MatrixSets, Flows) {
  // 2 units from node 0 to node 3 over two roads and a bridge between them.
  const FlowPolytope set(
      {{0, 1, infinity}, {0, 2, 1.5}, {1, 3, 1.2}, {2, 3, infinity}, {1, 2, infinity}},
      {2, 0, 0, -2});
  expect_projection(5, [&](auto x) { set.project(x); });
  Vector x(5, 0.0);
  set.project(x);
  EXPECT_NEAR(x[0] + x[1], 2.0, 1e-12);
  EXPECT_NEAR(x[2] + x[3], 2.0, 1e-12);
  EXPECT_NEAR(x[0], 1.0, 1e-12);  // the shortest flow splits evenly
  EXPECT_NEAR(x[4], 0.0, 1e-12);
  Vector y(1, 0.0);
  EXPECT_THROW(FlowPolytope({{0, 1, 1.0}}, {2, -2}).project(y), InputError);
  EXPECT_THROW(FlowPolytope({{0, 1, 1.0}}, {2, -1}), ConfigurationError);
  EXPECT_THROW(FlowPolytope({{0, 2, 1.0}}, {1, -1}), ConfigurationError);
}

TEST(MatrixSets, ThresholdsOfGroupsAndSingularValues) {
  Vector x = {3, 4, 0.3, 0.4, 2};
  group_soft_threshold(1.0, 2, x);
  const Vector expected = {2.4, 3.2, 0, 0, 1};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(x[i], expected[i], 1e-15);
  Vector m = {3, 0, 0, 1, 0, 0};  // singular values 3 and 1
  singular_value_threshold(2.0, 2, m);
  EXPECT_NEAR(m[0], 1.0, 1e-14);
  EXPECT_NEAR(m[3], 0.0, 1e-14);
  // The prox p of |.|_* has x - p in amount times the subgradient: <x - p, p> = amount |p|_*.
  Vector r = random_point(12, 3), p = r;
  singular_value_threshold(0.5, 3, p);
  double nuclear = 0.0;
  {
    Eigen::Map<Eigen::Matrix<double, 4, 3, Eigen::RowMajor>> matrix(p.data());
    nuclear = Eigen::MatrixXd(matrix).jacobiSvd().singularValues().sum();
  }
  EXPECT_NEAR(dot(minus(r, p), p), 0.5 * nuclear, 1e-10);
}

TEST(MatrixSets, EntropySteps) {
  Vector x = {0.25, 0.75};
  entropy_step(1.0, Vector{std::log(3.0) + 900.0, 900.0}, 2.0, x);
  EXPECT_NEAR(x[0], 2.0 * (0.25 / 3.0) / (0.25 / 3.0 + 0.75), 1e-12);
  EXPECT_NEAR(x[0] + x[1], 2.0, 1e-14);
}

}  // namespace
}  // namespace equipoise::linalg
