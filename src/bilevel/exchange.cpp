#include <equipoise/bilevel/exchange.hpp>

#include <algorithm>

namespace equipoise::bilevel {
namespace {

compress::MeanSetting complete(const Blocks& blocks, std::int64_t dimension,
                               compress::MeanSetting setting) {
  setting.dimension = dimension;
  setting.weights = blocks.class_weights();
  return setting;
}

}  // namespace

Exchange::Exchange(const Blocks& blocks, std::int64_t dimension, compress::MeanSetting setting)
    : blocks_(&blocks),
      dimension_(static_cast<std::size_t>(dimension)),
      terms_(static_cast<std::size_t>(blocks.hosted().size() * dimension)),
      mean_(blocks.comm(), blocks.classes(), complete(blocks, dimension, std::move(setting))) {}

void Exchange::clear() { std::fill(terms_.begin(), terms_.end(), 0.0); }

void Exchange::add(std::int64_t block, double weight, std::span<const double> h) {
  const std::int64_t number = blocks_->class_of(block);
  const double share =
      weight / (blocks_->class_weight(number) * static_cast<double>(blocks_->count()));
  double* row =
      terms_.data() + static_cast<std::size_t>(number - blocks_->hosted().begin) * dimension_;
  for (std::size_t k = 0; k < dimension_; ++k) row[k] += share * h[k];
}

void Exchange::set_class(std::int64_t number, std::span<const double> h) {
  std::copy(h.begin(), h.end(),
            terms_.begin() + static_cast<std::ptrdiff_t>(number - blocks_->hosted().begin) *
                                 static_cast<std::ptrdiff_t>(dimension_));
}

}  // namespace equipoise::bilevel
