#include <equipoise/compress/levels.hpp>
#include <equipoise/parallel/error.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::compress {
namespace {

/// Counts like those of magnitudes relative to a norm: most of them small.
std::vector<std::int64_t> peaked() {
  std::vector<std::int64_t> counts;
  for (int b = 0; b < 1024; ++b)
    counts.push_back(static_cast<std::int64_t>(1e6 * std::exp(-b / 40.0)));
  return counts;
}

TEST(AdaptedLevels, UniformHistogramKeepsEvenLevels) {
  const std::vector<std::int64_t> flat(1024, 7);
  const auto level = adapted_levels(flat, 8);
  for (std::size_t j = 0; j <= 8; ++j) EXPECT_NEAR(level[j], static_cast<double>(j) / 8.0, 1e-12);
  // int (l + w - u)(u - l) du = w^3 / 6 on each of 8 steps of 1/8.
  EXPECT_NEAR(level_variance(flat, level), 1.0 / (6.0 * 64.0), 1e-14);
}

TEST(AdaptedLevels, VarianceNeverRisesAndLevelsAscend) {
  const auto counts = peaked();
  double previous = level_variance(counts, adapted_levels(counts, 7, 0));
  const double start = previous;
  for (int sweeps = 1; sweeps <= 12; ++sweeps) {
    const auto level = adapted_levels(counts, 7, sweeps);
    EXPECT_EQ(level.front(), 0.0);
    EXPECT_EQ(level.back(), 1.0);
    for (std::size_t j = 1; j < level.size(); ++j) EXPECT_LT(level[j - 1], level[j]);
    const double now = level_variance(counts, level);
    EXPECT_LE(now, previous * (1.0 + 1e-12));
    previous = now;
  }
  EXPECT_LT(previous, 0.5 * start) << "a peaked histogram must gain from its own levels";
}

TEST(AdaptedLevels, TwoLevelsByHand) {
  // All mass even on [0, 1/2]: l solves l^2 / 2 = int_l^{1/2} (1 - u) du = 3/8 - l + l^2 / 2, so l
  // = 3/8.
  EXPECT_NEAR(adapted_levels(std::vector<std::int64_t>{1, 0}, 2)[1], 0.375, 1e-12);
}

TEST(AdaptedLevels, BadInput) {
  EXPECT_THROW(static_cast<void>(adapted_levels(peaked(), 0)), ConfigurationError);
  EXPECT_THROW(static_cast<void>(adapted_levels({}, 3)), ConfigurationError);
  EXPECT_THROW(static_cast<void>(adapted_levels(std::vector<std::int64_t>{0, 0}, 3)),
               ConfigurationError);
  EXPECT_THROW(static_cast<void>(adapted_levels(std::vector<std::int64_t>{1, -1}, 3)),
               ConfigurationError);
}

}  // namespace
}  // namespace equipoise::compress
