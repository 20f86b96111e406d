#include "support.hpp"

#include <Eigen/Dense>
#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::vi {
namespace {

using Eigen::MatrixXd;

/// The matrix of a linear operator, column by column.
MatrixXd matrix(const DenseGame& game, std::int64_t agent) {
  const auto d = static_cast<std::size_t>(game.dimension());
  Vector zero(d, 0.0);
  Vector shift(d);
  game.apply(agent, zero, shift);
  MatrixXd j(game.dimension(), game.dimension());
  Vector column(d);
  for (std::size_t i = 0; i < d; ++i) {
    zero[i] = 1.0;
    game.apply(agent, zero, column);
    zero[i] = 0.0;
    for (std::size_t r = 0; r < d; ++r)
      j(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(i)) = column[r] - shift[r];
  }
  return j;
}

double norm2(const MatrixXd& j) {
  return std::sqrt(
      Eigen::SelfAdjointEigenSolver<MatrixXd>(j.transpose() * j, Eigen::EigenvaluesOnly)
          .eigenvalues()
          .maxCoeff());
}

struct Figures {
  double h, lipschitz, lipschitz_rms, delta_max, delta_rms, norm_solution;
};

// Section 7 of the specification of this family: the reference table's check values.
TEST(Game, HasTheCheckValuesOfTheReferenceTable) {
  for (const Figures& f : {Figures{1.0, 10.1032, 14.1262, 15.1097, 13.6291, 2.340255},
                           Figures{0.1, 9.9943, 10.0368, 1.5110, 1.3629, 4.346303}}) {
    GameOptions options;
    options.heterogeneity = f.h;
    const DenseGame game(options, {0, 20});
    const MatrixXd first = matrix(game, 0);
    MatrixXd mean = MatrixXd::Zero(100, 100);
    double rms = 0.0;
    double delta_max = 0.0;
    double delta_rms = 0.0;
    for (std::int64_t m = 0; m < 20; ++m) {
      const MatrixXd j = matrix(game, m);
      mean += j / 20.0;
      const double l = norm2(j);
      const double delta = norm2(j - first);
      rms += l * l / 20.0;
      delta_max = std::max(delta_max, delta);
      delta_rms += delta * delta / 20.0;
    }
    EXPECT_NEAR(norm2(mean), f.lipschitz, 6e-5);
    EXPECT_NEAR(std::sqrt(rms), f.lipschitz_rms, 6e-5);
    EXPECT_NEAR(delta_max, f.delta_max, 6e-5);
    EXPECT_NEAR(std::sqrt(delta_rms), f.delta_rms, 6e-5);
    Vector z(100);
    EXPECT_TRUE(game.solution(z));
    EXPECT_NEAR(Eigen::Map<Eigen::VectorXd>(z.data(), 100).norm(), f.norm_solution, 6e-7);
  }
}

TEST(Game, TheSolutionIsAZeroOfTheMeanOperator) {
  const DenseGame game(small_game(), {0, 5});
  Vector z(30);
  Vector out(30);
  Vector sum(30, 0.0);
  EXPECT_TRUE(game.solution(z));
  for (std::int64_t m = 0; m < 5; ++m) {
    game.apply(m, z, out);
    for (std::size_t i = 0; i < 30; ++i) sum[i] += out[i] / 5.0;
  }
  for (const double s : sum) EXPECT_LT(std::abs(s), 1e-12);
}

TEST(Game, IsStronglyMonotoneWithItsMu) {
  const MatrixXd j = matrix(DenseGame(small_game(), {0, 5}), 2);
  const MatrixXd symmetric = 0.5 * (j + j.transpose());
  const auto values = Eigen::SelfAdjointEigenSolver<MatrixXd>(symmetric).eigenvalues();
  EXPECT_NEAR(values.minCoeff(), 0.1, 1e-13);
  EXPECT_NEAR(values.maxCoeff(), 0.1, 1e-13);
}

TEST(Game, AgentsDoNotDependOnWhoHostsThem) {
  const DenseGame whole(small_game(), {0, 5});
  const DenseGame part(small_game(), {3, 5});
  problems::GameOptions cheap = small_game();
  const problems::LowRankGame low(cheap, {0, 5});
  const problems::LowRankGame low_part(cheap, {3, 5});
  Vector z(30);
  for (std::size_t i = 0; i < 30; ++i) z[i] = std::sin(static_cast<double>(i));
  Vector a(30), b(30);
  whole.apply(4, z, a);
  part.apply(4, z, b);
  EXPECT_TRUE(same_bits(a, b));
  low.apply(4, z, a);
  low_part.apply(4, z, b);
  EXPECT_TRUE(same_bits(a, b));
  EXPECT_EQ(whole.fingerprint(), part.fingerprint());
}

// J + J' = 2 mu I: the coupling of the cheap operator is skew as well.
TEST(Game, TheCheapOperatorIsStronglyMonotoneToo) {
  const problems::LowRankGame game(small_game(), {0, 5});
  Vector z(30), zero(30, 0.0), at_z(30), at_zero(30);
  for (std::size_t i = 0; i < 30; ++i) z[i] = std::cos(3.0 * static_cast<double>(i));
  for (std::int64_t m = 0; m < 5; ++m) {
    game.apply(m, z, at_z);
    game.apply(m, zero, at_zero);
    double product = 0.0;
    double square = 0.0;
    for (std::size_t i = 0; i < 30; ++i) {
      product += (at_z[i] - at_zero[i]) * z[i];
      square += z[i] * z[i];
    }
    EXPECT_NEAR(product, 0.1 * square, 1e-12 * square);
  }
}

TEST(Game, AnOddDimensionIsRefused) {
  EXPECT_THROW(DenseGame(small_game(7), {0, 5}), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::vi
