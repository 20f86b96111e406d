#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/distributed_vector.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/problems/vi/obstacle.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace equipoise::problems {
namespace {

using parallel::Comm;
using partition::Range;
using Vector = std::vector<double>;

double maximum(const Vector& a) {
  double largest = 0.0;
  for (const double v : a) largest = std::max(largest, std::abs(v));
  return largest;
}

/// u - P(u - F(u)), the natural residual with step `step`, on one rank.
Vector natural_residual(const Obstacle& problem, const Vector& u, double step) {
  const Range all = {0, problem.layout().dimension()};
  Vector moved(u.size());
  problem.apply_partitioned(all, u, {}, moved);
  for (std::size_t i = 0; i < u.size(); ++i) moved[i] = u[i] - step * moved[i];
  problem.prox(step, all, moved);
  for (std::size_t i = 0; i < u.size(); ++i) moved[i] = u[i] - moved[i];
  return moved;
}

/// Projected Gauss-Seidel with over-relaxation, an independent way to the discrete solution. Its
/// stencil and boundary values are written out afresh.
Vector reference(std::int64_t n) {
  const std::int64_t m = n - 2;
  const double h = 4.0 / static_cast<double>(n - 1);
  const auto radius = [&](std::int64_t i, std::int64_t j) {
    return std::hypot(-2.0 + static_cast<double>(i) * h, -2.0 + static_cast<double>(j) * h);
  };
  Vector grid(static_cast<std::size_t>(n * n));
  const auto u = [&](std::int64_t i, std::int64_t j) -> double& {
    return grid[static_cast<std::size_t>(i * n + j)];
  };
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) u(i, j) = Obstacle::exact(radius(i, j));
  }
  const double omega = 2.0 / (1.0 + std::sin(std::numbers::pi / static_cast<double>(n - 1)));
  for (double change = 1.0; change > 1e-14;) {
    change = 0.0;
    for (std::int64_t i = 1; i + 1 < n; ++i) {
      for (std::int64_t j = 1; j + 1 < n; ++j) {
        const double mean = 0.25 * (u(i - 1, j) + u(i + 1, j) + u(i, j - 1) + u(i, j + 1));
        const double next =
            std::max(Obstacle::psi(radius(i, j)), u(i, j) + omega * (mean - u(i, j)));
        change = std::max(change, std::abs(next - u(i, j)));
        u(i, j) = next;
      }
    }
  }
  Vector interior;
  for (std::int64_t i = 1; i <= m; ++i) {
    for (std::int64_t j = 1; j <= m; ++j) interior.push_back(u(i, j));
  }
  return interior;
}

TEST(Obstacle, ContinuousSolutionIsSmoothAtTheFreeBoundary) {
  const double a = 0.697965148223374;
  EXPECT_NEAR(Obstacle::exact(a * (1 - 1e-15)), Obstacle::exact(a), 3e-15);
  // The slope of psi is -a / sqrt(1 - a^2), that of the logarithm -A / a.
  EXPECT_NEAR(a / std::sqrt(1.0 - a * a), 0.680259411891719 / a, 3e-15);
  EXPECT_NEAR(0.680259411891719 * std::numbers::ln2, 0.471519893402112, 1e-15);
  for (double r = 0.0; r < 2.9; r += 0.01) EXPECT_GE(Obstacle::exact(r), Obstacle::psi(r));
  EXPECT_NEAR(Obstacle::psi(0.9 + 1e-9), Obstacle::psi(0.9), 3e-9);
}

TEST(Obstacle, StencilIsExactForQuadratics) {
  // F(u) with u = x^2 + 2 y^2 at the interior of the interior is -Lap u = -6.
  const std::int64_t n = 12;
  const std::int64_t m = n - 2;
  const Obstacle problem(n);
  const double h = problem.width();
  Vector u;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < m; ++j) {
      const double x = -2.0 + static_cast<double>(j + 1) * h;
      const double y = -2.0 + static_cast<double>(i + 1) * h;
      u.push_back(x * x + 2 * y * y);
    }
  }
  Vector out(u.size());
  problem.apply_partitioned({0, m * m}, u, {}, out);
  for (std::int64_t i = 1; i + 1 < m; ++i) {
    for (std::int64_t j = 1; j + 1 < m; ++j)
      EXPECT_NEAR(out[static_cast<std::size_t>(i * m + j)], -6.0, 1e-11);
  }
}

TEST(Obstacle, ConstantsAreTheExtremeEigenvalues) {
  // The eigenvectors sin(i pi k / (n-1)) sin(j pi l / (n-1)), for k = l = 1 and k = l = m.
  const std::int64_t n = 9;
  const std::int64_t m = n - 2;
  const Obstacle problem(n);
  const auto c = problem.constants();
  for (const auto& [k, lambda] :
       {std::pair{std::int64_t{1}, c.strong_monotonicity}, std::pair{m, c.lipschitz}}) {
    Vector v;
    for (std::int64_t i = 1; i <= m; ++i) {
      for (std::int64_t j = 1; j <= m; ++j) {
        const double angle = std::numbers::pi * static_cast<double>(k) / static_cast<double>(n - 1);
        v.push_back(std::sin(angle * static_cast<double>(i)) *
                    std::sin(angle * static_cast<double>(j)));
      }
    }
    Vector image(v.size());
    Vector zero(v.size(), 0.0);
    Vector minus_b(v.size());
    problem.apply_partitioned({0, m * m}, v, {}, image);
    problem.apply_partitioned({0, m * m}, zero, {}, minus_b);
    for (std::size_t i = 0; i < v.size(); ++i)
      EXPECT_NEAR(image[i] - minus_b[i], lambda * v[i], 1e-11);
  }
}

TEST(Obstacle, DiscretisationErrorIsOfSecondOrder) {
  Vector errors;
  for (const std::int64_t n : {17, 33, 65}) {
    const Obstacle problem(n);
    const auto u = reference(n);
    const double h = problem.width();
    EXPECT_LE(maximum(natural_residual(problem, u, 1.0 / problem.constants().lipschitz)), 1e-12);
    Vector exact(u.size());
    EXPECT_TRUE(problem.solution({0, problem.layout().dimension()}, exact));
    double error = 0.0;
    for (std::size_t i = 0; i < u.size(); ++i) error = std::max(error, std::abs(u[i] - exact[i]));
    EXPECT_LE(error, 0.5 * h * h) << n;
    errors.push_back(error);
  }
  // Irregular near the free boundary, but of second order over two halvings: 16 within a factor
  // of 2.
  EXPECT_GE(errors[0] / errors[2], 8.0);
}

TEST(Obstacle, SameBitsOnAnyNumberOfRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  for (const std::int64_t n : {3, 4, 5, 20}) {  // fewer rows than ranks, too
    const Obstacle problem(n, comm.size(), comm.rank());
    const Obstacle serial(n);
    const std::int64_t dimension = (n - 2) * (n - 2);
    const parallel::Draw draw(2, parallel::Purpose::probe, n);
    Vector u(static_cast<std::size_t>(dimension));
    for (std::size_t i = 0; i < u.size(); ++i) u[i] = draw.normal(i);
    Vector expected(u.size());
    serial.apply_partitioned({0, dimension}, u, {}, expected);

    const Range owned = problem.layout().owned(comm.rank());
    const auto part = [&](const Vector& v) {
      return Vector(v.begin() + owned.begin, v.begin() + owned.end);
    };
    partition::Halo halo(comm, problem.layout().coordinates(), problem.ghosts(comm.rank()));
    auto mine = part(u);
    Vector out(mine.size());
    problem.apply_partitioned(owned, mine, halo.exchange(mine), out);
    EXPECT_EQ(out, part(expected));

    serial.prox(0.1, {0, dimension}, u);
    problem.prox(0.1, owned, mine);
    EXPECT_EQ(mine, part(u));
    serial.start({0, dimension}, u);
    problem.start(owned, mine);
    EXPECT_EQ(mine, part(u));
    (void)serial.solution({0, dimension}, u);
    (void)problem.solution(owned, mine);
    EXPECT_EQ(mine, part(u));
    EXPECT_EQ(problem.fingerprint(), serial.fingerprint());
  }
}

TEST(Obstacle, BadSizesAreRefused) {
  EXPECT_THROW(Obstacle(2), ConfigurationError);
  EXPECT_THROW(Obstacle(30001), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::problems
