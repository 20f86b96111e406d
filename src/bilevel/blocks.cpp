#include <equipoise/bilevel/blocks.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <exception>

namespace equipoise::bilevel {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

partition::Layout Blocks::layout(std::int64_t blocks, std::int64_t classes, int ranks) {
  if (blocks < 1)
    throw ConfigurationError("a bilevel problem needs at least one block, not {}", blocks);
  if (classes < 1) throw ConfigurationError("run.classes must be at least 1, not {}", classes);
  const int count = static_cast<int>(std::min(blocks, classes));
  return {partition::Partition::uniform(blocks, count),
          partition::Partition::uniform(count, ranks)};
}

Blocks::Blocks(parallel::Comm comm, OracleView oracle, std::int64_t classes)
    : comm_(std::move(comm)),
      oracle_(oracle),
      layout_(layout(oracle.num_blocks(), classes, comm_.size())) {
  owned_ = layout_.owned(comm_.rank());
  std::vector<std::int64_t> ends = {0};
  std::int64_t sum = 0;
  offsets_.push_back(0);
  for (int rank = 0; rank < comm_.size(); ++rank) {
    const auto range = layout_.owned(rank);
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      const std::int64_t dim = oracle.dim_inner(i);
      if (dim < 1) throw ConfigurationError("block {} has an inner dimension of {}", i, dim);
      sum += dim;
      largest_ = std::max(largest_, dim);
      if (rank == comm_.rank()) offsets_.push_back(offsets_.back() + dim);
    }
    ends.push_back(sum);
  }
  entries_ = partition::Partition::from_offsets(std::move(ends));
}

void Blocks::work(const std::function<void()>& share) const {
  const auto& table = oracle_.table();
  parallel::agree(comm_, [&] {
    if (!table.enter) return share();
    std::exception_ptr problem;
    table.enter(oracle_.self());
    try {
      share();
    } catch (...) {
      problem = std::current_exception();
    }
    table.leave(oracle_.self());
    if (problem) std::rethrow_exception(problem);
  });
}

double Blocks::class_weight(std::int64_t number) const {
  return static_cast<double>(layout_.chunks().range(static_cast<int>(number)).size()) /
         static_cast<double>(count());
}

std::vector<double> Blocks::class_weights() const {
  std::vector<double> weights(index(classes().size()));
  for (std::size_t c = 0; c < weights.size(); ++c)
    weights[c] = class_weight(static_cast<std::int64_t>(c));
  return weights;
}

std::vector<double> Blocks::zeros() const { return std::vector<double>(index(offsets_.back())); }

std::span<double> Blocks::of(std::vector<double>& data, std::int64_t i) const {
  const auto k = index(i - owned_.begin);
  return std::span(data).subspan(index(offsets_[k]), index(offsets_[k + 1] - offsets_[k]));
}

std::span<const double> Blocks::of(const std::vector<double>& data, std::int64_t i) const {
  const auto k = index(i - owned_.begin);
  return std::span(data).subspan(index(offsets_[k]), index(offsets_[k + 1] - offsets_[k]));
}

}  // namespace equipoise::bilevel
