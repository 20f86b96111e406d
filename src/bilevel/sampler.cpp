#include <equipoise/bilevel/sampler.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/partition/partition.hpp>

#include <algorithm>
#include <numeric>

namespace equipoise::bilevel {

void sample_without_replacement(std::int64_t n, std::int64_t count, const parallel::Draw& draw,
                                std::uint64_t first, std::vector<std::int64_t>& out) {
  out.clear();
  if (count >= n) {
    out.resize(static_cast<std::size_t>(n));
    std::iota(out.begin(), out.end(), std::int64_t{0});
    return;
  }
  for (std::int64_t j = n - count; j < n; ++j) {
    const auto number = static_cast<std::int64_t>(draw.below(
        static_cast<std::uint64_t>(j + 1), first + static_cast<std::uint64_t>(j - (n - count))));
    const auto place = std::lower_bound(out.begin(), out.end(), number);
    if (place == out.end() || *place != number) {
      out.insert(place, number);
    } else {
      out.push_back(j);  // j exceeds everything drawn so far
    }
  }
}

BlockSampler::BlockSampler(std::int64_t blocks, std::int64_t sampled, Mode mode,
                           std::int64_t classes, std::uint64_t seed)
    : blocks_(blocks),
      sampled_(sampled),
      strata_(mode == Mode::global ? 1 : std::min(classes, sampled)),
      seed_(seed) {
  if (sampled < 1 || sampled > blocks) {
    throw ConfigurationError("method.blocks = {}: an iteration samples between 1 and all {} blocks",
                             sampled, blocks);
  }
}

void BlockSampler::draw(std::int64_t iteration, SampledBlocks& out) const {
  out.ids.clear();
  out.weights.clear();
  const parallel::Draw numbers(seed_, parallel::Purpose::client_sampling, iteration);
  const auto strata = partition::Partition::uniform(blocks_, static_cast<int>(strata_));
  const auto shares = partition::Partition::uniform(sampled_, static_cast<int>(strata_));
  std::vector<std::int64_t> part;
  for (int p = 0; p < strata.parts(); ++p) {
    const auto blocks = strata.range(p), share = shares.range(p);
    sample_without_replacement(blocks.size(), share.size(), numbers,
                               static_cast<std::uint64_t>(share.begin), part);
    for (const auto i : part) {
      out.ids.push_back(blocks.begin + i);
      out.weights.push_back(static_cast<double>(blocks.size()) / static_cast<double>(share.size()));
    }
  }
}

}  // namespace equipoise::bilevel
