#include <equipoise/parallel/random.hpp>

#include <Random123/philox.h>

#include <cmath>
#include <numbers>

namespace equipoise::parallel {

std::array<std::uint32_t, 4> Draw::block(std::uint64_t index) const {
  const r123::Philox4x32::key_type key = {{static_cast<std::uint32_t>(seed_),
                                           static_cast<std::uint32_t>(seed_ >> 32U)}};
  // The index has 32 bits of its own; the rest goes above the agent, which stays below 2^24 in practice.
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
