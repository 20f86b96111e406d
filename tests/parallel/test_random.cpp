#include <equipoise/parallel/random.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace equipoise::parallel {
namespace {

using Words = std::array<std::uint32_t, 4>;

// The three vectors that Random123 1.14 ships for philox4x32-10 (kat_vectors), laid into
// (seed, purpose, iteration, agent, index).
TEST(Draw, KnownAnswersOfPhilox) {
  EXPECT_EQ(Draw(0, Purpose::coin, 0, 0).block(0),
            (Words{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}));
  EXPECT_EQ(Draw(~std::uint64_t{0}, static_cast<Purpose>(0xffffU), 0xffffffffffff, 0xffffffff)
                .block(0xffffffffU),
            (Words{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}));
  EXPECT_EQ(Draw(0x299f31d0a4093822U, static_cast<Purpose>(0x08d3U), 0x85a3243f6a88, 0x13198a2e)
                .block(0x03707344U),
            (Words{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U}));
}

TEST(Draw, EveryPartOfTheCounterCounts) {
  std::set<std::uint64_t> seen;
  std::size_t drawn = 0;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    for (std::uint32_t purpose = 0; purpose < 12; ++purpose) {
      for (const std::int64_t iteration : {0LL, 1LL, 2LL, 1LL << 32, 1LL << 33, 1LL << 40}) {
        for (std::int64_t agent = 0; agent < 8; ++agent) {
          const Draw draw(seed, static_cast<Purpose>(purpose), iteration, agent);
          for (const std::uint64_t index : {0ULL, 1ULL, 2ULL, 3ULL, 1ULL << 32, 1ULL << 33}) {
            seen.insert(draw.bits(index));
            ++drawn;
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), drawn);
}

TEST(Draw, WithAgentIsTheDrawOfThatAgent) {
  const Draw a(4, Purpose::mask, 9, 1);
  EXPECT_EQ(a.with_agent(6).bits(3), Draw(4, Purpose::mask, 9, 6).bits(3));
  EXPECT_NE(a.with_agent(6).bits(3), a.bits(3));
}

TEST(Draw, NeighboursAreUncorrelated) {
  constexpr int n = 40000;
  std::array<double, 3> sums{};
  for (int i = 0; i < n; ++i) {
    const Draw draw(1, Purpose::noise, i / 200, i % 200);
    const double u = draw.uniform(5) - 0.5;
    sums[0] += u * (Draw(1, Purpose::noise, i / 200 + 1, i % 200).uniform(5) - 0.5);
    sums[1] += u * (draw.with_agent(i % 200 + 1).uniform(5) - 0.5);
    sums[2] += u * (draw.uniform(6) - 0.5);
  }
  // A product of two independent centred uniforms has variance 1/144.
  for (const double s : sums) EXPECT_LT(std::abs(s), 5.0 * std::sqrt(n / 144.0));
}

TEST(Draw, ManyWordsAtOnceAreTheSameWords) {
  const Draw draw(8, Purpose::device_rounding, 3, 2);
  const unsigned long long carry = 4 * 0x1'0000'0000ULL;
  for (const std::uint64_t first : {0ULL, 1ULL, 3ULL, 126ULL, carry - 300, carry - 2, carry + 5}) {
    for (const std::size_t size : {0U, 1U, 5U, 127U, 128U, 400U}) {
      std::vector<std::uint32_t> words(size);
      draw.fill_words(first, words);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < size; ++i) wrong += words[i] != draw.word(first + i) ? 1 : 0;
      EXPECT_EQ(wrong, 0U) << first << " " << size;
    }
  }
}

TEST(Draw, UniformHasItsMoments) {
  constexpr int n = 100000;
  const Draw draw(2, Purpose::start, 0);
  double mean = 0.0;
  double square = 0.0;
  for (int i = 0; i < n; ++i) {
    const double u = draw.uniform(static_cast<std::uint64_t>(i));
    EXPECT_TRUE(u >= 0.0 && u < 1.0);
    mean += u / n;
    square += u * u / n;
  }
  EXPECT_LT(std::abs(mean - 0.5), 5.0 * std::sqrt(1.0 / 12.0 / n));
  EXPECT_LT(std::abs(square - 1.0 / 3.0), 5.0 * std::sqrt(4.0 / 45.0 / n));
}

TEST(Draw, NormalsHaveTheirMoments) {
  constexpr int n = 100000;
  const Draw draw(3, Purpose::start, 0);
  std::array<double, 5> moment{};
  for (int i = 0; i < n; ++i) {
    const double x = draw.normal(static_cast<std::uint64_t>(i));
    for (std::size_t k = 1; k < 5; ++k) moment[k] += std::pow(x, static_cast<double>(k)) / n;
  }
  // Moments 0, 1, 0, 3; variances of the powers 1, 2, 15, 96.
  EXPECT_LT(std::abs(moment[1]), 5.0 * std::sqrt(1.0 / n));
  EXPECT_LT(std::abs(moment[2] - 1.0), 5.0 * std::sqrt(2.0 / n));
  EXPECT_LT(std::abs(moment[3]), 5.0 * std::sqrt(15.0 / n));
  EXPECT_LT(std::abs(moment[4] - 3.0), 5.0 * std::sqrt(96.0 / n));
}

TEST(Draw, IntegersBelowAreUniform) {
  constexpr int n = 70000;
  const Draw draw(4, Purpose::mask, 1);
  std::array<int, 7> count{};
  for (int i = 0; i < n; ++i) ++count[draw.below(7, static_cast<std::uint64_t>(i))];
  for (const int c : count) EXPECT_LT(std::abs(c - n / 7.0), 5.0 * std::sqrt(n * 6.0 / 49.0));
  for (std::uint64_t i = 0; i < 100; ++i) EXPECT_EQ(draw.below(1, i), 0U);
}

// Almost half of all words are rejected at this n; without rejection the lower half would come
// twice as often.
TEST(Draw, IntegersBelowAreUniformWhereManyAreRejected) {
  constexpr int n = 20000;
  const std::uint64_t limit = (std::uint64_t{1} << 63U) + (std::uint64_t{1} << 62U);
  const Draw draw(5, Purpose::mask, 1);
  std::array<int, 3> third{};
  for (int i = 0; i < n; ++i) {
    const std::uint64_t x = draw.below(limit, static_cast<std::uint64_t>(i));
    EXPECT_LT(x, limit);
    ++third[x / (std::uint64_t{1} << 62U)];
  }
  for (const int c : third) EXPECT_LT(std::abs(c - n / 3.0), 5.0 * std::sqrt(n * 2.0 / 9.0));
}

}  // namespace
}  // namespace equipoise::parallel
