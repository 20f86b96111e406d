#include <equipoise/parallel/random.hpp>

#include <Random123/philox.h>

#include <cmath>
#include <cstddef>
#include <numbers>

namespace equipoise::parallel {

std::array<std::uint32_t, 4> Draw::block(std::uint64_t index) const {
  const r123::Philox4x32::key_type key = {
      {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32U)}};
  // The index has 32 bits of its own; the rest goes above the agent, which stays below 2^24 in
  // practice.
  const auto high = static_cast<std::uint32_t>(index >> 32U);
  const r123::Philox4x32::ctr_type counter = {
      {iteration_, purpose_ ^ (high << 8U), agent_, static_cast<std::uint32_t>(index)}};
  const auto out = r123::Philox4x32()(counter, key);
  return {out[0], out[1], out[2], out[3]};
}

std::uint64_t Draw::bits(std::uint64_t index) const {
  const auto words = block(index / 2);
  const std::size_t half = 2 * (index % 2);
  return static_cast<std::uint64_t>(words[half]) << 32U | words[half + 1];
}

std::uint32_t Draw::word(std::uint64_t index) const { return block(index / 4)[index % 4]; }

namespace {

/// Philox4x32-10 of `lanes` counters at once, written so that the compiler turns every loop into
/// vectors.
constexpr std::size_t lanes = 16;
using Lanes = std::uint32_t[lanes];

void philox(Lanes& c0, Lanes& c1, Lanes& c2, Lanes& c3, std::uint64_t seed) {
  auto k0 = static_cast<std::uint32_t>(seed);
  auto k1 = static_cast<std::uint32_t>(seed >> 32U);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t j = 0; j < lanes; ++j) {
      const std::uint64_t a = std::uint64_t{0xD2511F53U} * c0[j];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * c2[j];
      c0[j] = static_cast<std::uint32_t>(b >> 32U) ^ c1[j] ^ k0;
      c1[j] = static_cast<std::uint32_t>(b);
      c2[j] = static_cast<std::uint32_t>(a >> 32U) ^ c3[j] ^ k1;
      c3[j] = static_cast<std::uint32_t>(a);
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
}

}  // namespace

void Draw::fill_words(std::uint64_t first, std::span<std::uint32_t> out) const {
  constexpr std::size_t group = 4 * lanes;
  std::size_t done = 0;
  while (done < out.size() && (first + done) % 4 != 0) {
    out[done] = word(first + done);
    ++done;
  }
  for (; done + group <= out.size(); done += group) {
    const std::uint64_t start = (first + done) / 4;
    const auto high = static_cast<std::uint32_t>(start >> 32U);
    const auto low = static_cast<std::uint32_t>(start);
    if (low + (lanes - 1) > 0xFFFFFFFFU) break;  // the block number carries inside this group
    Lanes c0, c1, c2, c3;
    for (std::size_t j = 0; j < lanes; ++j) {
      c0[j] = iteration_;
      c1[j] = purpose_ ^ (high << 8U);
      c2[j] = agent_;
      c3[j] = low + static_cast<std::uint32_t>(j);
    }
    philox(c0, c1, c2, c3, seed_);
    std::uint32_t* to = out.data() + done;
    for (std::size_t j = 0; j < lanes; ++j) {
      to[4 * j] = c0[j];
      to[4 * j + 1] = c1[j];
      to[4 * j + 2] = c2[j];
      to[4 * j + 3] = c3[j];
    }
  }
  for (; done < out.size(); ++done) out[done] = word(first + done);
}

double Draw::uniform(std::uint64_t index) const {
  return static_cast<double>(bits(index) >> 11U) * 0x1.0p-53;
}

double Draw::normal(std::uint64_t index) const {
  const auto words = block(index);
  const std::uint64_t a = static_cast<std::uint64_t>(words[0]) << 32U | words[1];
  const std::uint64_t b = static_cast<std::uint64_t>(words[2]) << 32U | words[3];
  const double radius = (static_cast<double>(a >> 11U) + 1.0) * 0x1.0p-53;  // in (0, 1]
  const double angle = 2.0 * std::numbers::pi * static_cast<double>(b >> 11U) * 0x1.0p-53;
  return std::sqrt(-2.0 * std::log(radius)) * std::cos(angle);
}

__extension__ typedef unsigned __int128 Wide;

std::uint64_t Draw::below(std::uint64_t n, std::uint64_t index) const {
  // Lemire's method; a rejected draw moves to another word of the same logical index.
  std::uint64_t word = bits(index);
  for (std::uint64_t attempt = 1;; ++attempt) {
    const auto wide = static_cast<Wide>(word) * n;
    const auto low = static_cast<std::uint64_t>(wide);
    if (low >= n || low >= (0 - n) % n) return static_cast<std::uint64_t>(wide >> 64U);
    word = with_agent(static_cast<std::int64_t>(agent_ ^ (attempt << 24U))).bits(index);
  }
}

}  // namespace equipoise::parallel
