#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/consensus.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/smooth.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace equipoise::pareto {
namespace {

class ConsensusBased : public OnRanks {};

/// Rastrigin's function of one variable around `centre`: local minima at every whole distance.
double ripple(double x, double centre) {
  const double d = x - centre;
  return d * d + 2.5 * (1.0 - std::cos(2.0 * std::numbers::pi * d));
}

TEST_F(ConsensusBased, AGlobalMinimumAmongManyLocalOnes) {
  const auto f = [](std::span<const double> x) {
    double sum = 0.0;
    for (std::size_t j = 0; j < x.size(); ++j) sum += ripple(x[j], 0.3 * static_cast<double>(j));
    return sum;
  };
  const std::vector<double> lower(4, -3.0);
  const std::vector<double> upper(4, 3.0);
  ConsensusOptions options;
  options.particles = 200;
  options.noise = 1.2;  // contracts slowly: time to look around
  const auto best = consensus_minimum(comm, f, lower, upper, options);
  EXPECT_LT(best.value, 1e-2);
  EXPECT_LT(best.spread, 0.1);
  EXPECT_EQ(best.evaluations, 200 * 400);
  for (std::size_t j = 0; j < 4; ++j) EXPECT_NEAR(best.x[j], 0.3 * static_cast<double>(j), 0.05);
  const auto alone = consensus_minimum(parallel::Comm(), f, lower, upper, options);
  EXPECT_EQ(alone.x, best.x);
}

TEST_F(ConsensusBased, ASaddlePointAmongManyLocalOnes) {
  // Each side has many local optima; the only saddle point of the whole is (0.5, -0.25).
  const auto f = [](std::span<const double> x, std::span<const double> y) {
    return ripple(x[0], 0.5) - ripple(y[0], -0.25) + 0.3 * (x[0] - 0.5) * (y[0] + 0.25);
  };
  const std::vector<double> lower(2, -3.0);
  const std::vector<double> upper(2, 3.0);
  const auto saddle = consensus_saddle(comm, f, 1, lower, upper, {});
  EXPECT_NEAR(saddle.x[0], 0.5, 0.02);
  EXPECT_NEAR(saddle.x[1], -0.25, 0.02);
  EXPECT_NEAR(saddle.value, 0.0, 1e-2);
  EXPECT_THROW((void)consensus_saddle(comm, f, 2, lower, upper, {}), ConfigurationError);
}

TEST_F(ConsensusBased, AFrontOfSquaredDistances) {
  const problems::Distances problem{4, 2, 1.0};
  IslandOptions options;
  options.evaluations = 20000;
  Islands islands(comm, problem, "cbo", {}, options, 3);
  while (!islands.report().finished) islands.step();
  // Front: sqrt f_1 + sqrt f_2 = 1, of hypervolume 1.1^2 - 1/6 below (1.1, 1.1).
  const std::vector<double> reference{1.1, 1.1};
  const double share = hypervolume(islands.front().values(), reference) / (1.1 * 1.1 - 1.0 / 6.0);
  EXPECT_GT(share, 0.97);
  EXPECT_LE(share, 1.0);
}

TEST_F(ConsensusBased, BadInputIsExplained) {
  const auto f = [](std::span<const double> x) { return x[0]; };
  const std::vector<double> lower{0.0};
  const std::vector<double> upper{1.0};
  const std::vector<double> endless{INFINITY};
  EXPECT_THROW((void)consensus_minimum(comm, f, lower, endless, {}), ConfigurationError);
  ConsensusOptions wild;
  wild.noise = 1.5;
  EXPECT_THROW((void)consensus_minimum(comm, f, lower, upper, wild), ConfigurationError);
  const auto broken = [](std::span<const double>) { return NAN; };
  EXPECT_THROW((void)consensus_minimum(comm, broken, lower, upper, {}), NotFiniteError);
}

}  // namespace
}  // namespace equipoise::pareto
