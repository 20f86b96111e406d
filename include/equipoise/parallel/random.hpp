#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace equipoise::parallel {

/// What a random number is for; part of its counter, so that no two uses share a draw.
enum class Purpose : std::uint32_t {
  coin = 0,
  mask = 1,
  device_rounding = 2,
  owner_rounding = 3,
  client_sampling = 4,
  level_update = 5,
  problem = 6,
  start = 7,
  probe = 8,
  batch = 9,
  noise = 10,
  population = 11,
};

/// Counter-based random numbers: Philox4x32-10 keyed by the seed, with the counter
/// (iteration, purpose, agent, index). There is no state to save, and any rank can draw what any
/// other drew. An agent may be anything logical: a device, a chunk, a block, a member of a
/// population. Cost: one Philox block (about 10 ns) gives two doubles; `index` may run to 2^33.
/// Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
class Draw {
 public:
  constexpr Draw(std::uint64_t seed, Purpose purpose, std::int64_t iteration,
                 std::int64_t agent = 0)
      : seed_(seed),
        iteration_(static_cast<std::uint32_t>(iteration)),
        purpose_(static_cast<std::uint32_t>(purpose) |
                 static_cast<std::uint32_t>(static_cast<std::uint64_t>(iteration) >> 32U) << 16U),
        agent_(static_cast<std::uint32_t>(agent)) {}

  /// Four independent 32-bit words of block `index`.
  [[nodiscard]] std::array<std::uint32_t, 4> block(std::uint64_t index) const;
  /// 64 random bits.
  [[nodiscard]] std::uint64_t bits(std::uint64_t index) const;
  /// Uniform in [0, 1) with 53 bits.
  [[nodiscard]] double uniform(std::uint64_t index) const;
  /// Standard normal, by Box and Muller from the block `index`.
  [[nodiscard]] double normal(std::uint64_t index) const;
  /// Uniform integer in [0, n), without bias (multiply-shift with rejection).
  [[nodiscard]] std::uint64_t below(std::uint64_t n, std::uint64_t index) const;

  /// 32 random bits: word `index % 4` of block `index / 4`.
  [[nodiscard]] std::uint32_t word(std::uint64_t index) const;
  /// out[i] = word(first + i), many at a time: about ten times faster than word by word.
  void fill_words(std::uint64_t first, std::span<std::uint32_t> out) const;

  /// The same draws for another agent.
  [[nodiscard]] constexpr Draw with_agent(std::int64_t agent) const {
    Draw copy = *this;
    copy.agent_ = static_cast<std::uint32_t>(agent);
    return copy;
  }

 private:
  std::uint64_t seed_;
  std::uint32_t iteration_;
  std::uint32_t purpose_;
  std::uint32_t agent_;
};

}  // namespace equipoise::parallel
