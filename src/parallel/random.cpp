#include <equipoise/parallel/random.hpp>

#include <Random123/philox.h>

#include <cmath>
#include <cstddef>
#include <cstring>
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

/// Eight 64-bit lanes, of which the generator uses the lower halves: products of 32 bits fit. The
/// compiler turns the operations into whatever vectors the machine has.
typedef std::uint64_t Lanes __attribute__((vector_size(64)));
constexpr std::size_t sets = 4;  ///< independent lanes in flight
constexpr std::size_t group = sets * 8 * 4;

/// Words of the 32 blocks whose counters end in low, low + 1, ...; the same numbers as Draw::block.
void philox(std::uint64_t seed, std::uint32_t first, std::uint32_t second, std::uint32_t third,
            std::uint64_t low, std::uint32_t* out) {
  constexpr Lanes zero{}, lower = zero + 0xFFFFFFFFU;
  Lanes c0[sets], c1[sets], c2[sets], c3[sets];
  for (std::size_t s = 0; s < sets; ++s) {
    c0[s] = zero + first;
    c1[s] = zero + second;
    c2[s] = zero + third;
    c3[s] = Lanes{0, 1, 2, 3, 4, 5, 6, 7} + (low + 8 * s);
  }
  auto k0 = static_cast<std::uint32_t>(seed);
  auto k1 = static_cast<std::uint32_t>(seed >> 32U);
  for (int round = 0; round < 10; ++round) {
    for (std::size_t s = 0; s < sets; ++s) {
      const Lanes a = (c0[s] & lower) * 0xD2511F53U;
      const Lanes b = (c2[s] & lower) * 0xCD9E8D57U;
      c0[s] = (b >> 32U) ^ c1[s] ^ k0;
      c1[s] = b;
      c2[s] = (a >> 32U) ^ c3[s] ^ k1;
      c3[s] = a;
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  for (std::size_t s = 0; s < sets; ++s, out += 32) {
    const Lanes left = (c0[s] & lower) | (c1[s] << 32U);
    const Lanes right = (c2[s] & lower) | (c3[s] << 32U);
    const Lanes early = __builtin_shufflevector(left, right, 0, 8, 1, 9, 2, 10, 3, 11);
    const Lanes late = __builtin_shufflevector(left, right, 4, 12, 5, 13, 6, 14, 7, 15);
    std::memcpy(out, &early, sizeof early);
    std::memcpy(out + 16, &late, sizeof late);
  }
}

}  // namespace

void Draw::fill_words(std::uint64_t first, std::span<std::uint32_t> out) const {
  std::size_t done = 0;
  for (; done < out.size() && (first + done) % 4 != 0; ++done) out[done] = word(first + done);
  for (; done + group <= out.size(); done += group) {
    const std::uint64_t start = (first + done) / 4;
    const auto high = static_cast<std::uint32_t>(start >> 32U);
    const auto low = static_cast<std::uint32_t>(start);
    if (low > 0xFFFFFFFFU - group / 4) break;  // the block number would carry
    philox(seed_, iteration_, purpose_ ^ (high << 8U), agent_, low, out.data() + done);
  }
  if (done < out.size()) {
    std::array<std::uint32_t, 4> words{};
    for (std::size_t i = done; i < out.size(); ++i) {
      const std::uint64_t index = first + i;
      if (i == done || index % 4 == 0) words = block(index / 4);
      out[i] = words[index % 4];
    }
  }
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
