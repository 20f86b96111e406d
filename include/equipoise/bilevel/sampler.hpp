#pragma once

#include <equipoise/parallel/random.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::bilevel {

/// Sets out to `count` of 0 .. n-1, ascending, uniformly without replacement (Floyd's method).
/// Draws `count` numbers of `draw`, from `first` on; O(count log count) time and O(count) memory.
void sample_without_replacement(std::int64_t n, std::int64_t count, const parallel::Draw& draw,
                                std::uint64_t first, std::vector<std::int64_t>& out);

/// The blocks of one iteration, ascending, with the weight of each in the mean over blocks (the
/// weights of all m blocks would be 1 each).
struct SampledBlocks {
  std::vector<std::int64_t> ids;
  std::vector<double> weights;
};

/// Draws I of m blocks from (seed, iteration) alone, so that every rank knows them without
/// communication: `global` uniformly, weight m / I; `stratified` I_p out of each of min(classes, I)
/// equal strata of m_p consecutive blocks, weight m_p / I_p, which balances the work of ranks. Both
/// are unbiased.
class BlockSampler {
 public:
  enum class Mode { global, stratified };
  /// Throws ConfigurationError for I > m or I < 1.
  BlockSampler(std::int64_t blocks, std::int64_t sampled, Mode mode, std::int64_t classes,
               std::uint64_t seed);
  void draw(std::int64_t iteration, SampledBlocks& out) const;
  [[nodiscard]] std::int64_t sampled() const { return sampled_; }

 private:
  std::int64_t blocks_, sampled_, strata_;
  std::uint64_t seed_;
};

}  // namespace equipoise::bilevel
