#pragma once

#include <equipoise/bilevel/blocks.hpp>
#include <equipoise/compress/mean.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::bilevel {

/// The one exchange of vectors in a bilevel method: the mean over blocks of one vector of length dx
/// each.
///
/// Terms of blocks are added class by class on their owner; the classes are the agents of a
/// `compress::Mean`, which keeps the memory of error feedback. So the result has the same bits on
/// any number of ranks, with codecs too. Memory: one vector per hosted class.
class Exchange {
 public:
  /// `setting` needs codec choices and the seed only; sizes and weights are filled in.
  Exchange(const Blocks& blocks, std::int64_t dimension, compress::MeanSetting setting);

  /// Forgets the terms of the last round.
  void clear();
  /// Adds weight * m * h / m: with weight 1 for every block the result is the plain mean over
  /// blocks. Blocks of a class must come in ascending order.
  void add(std::int64_t block, double weight, std::span<const double> h);
  /// Sets the term of a hosted class, which weighs as many blocks as it has.
  void set_class(std::int64_t number, std::span<const double> h);
  /// As `add`, for an h that is 0 outside of `support` (distinct entries).
  void add_sparse(std::int64_t block, double weight, std::span<const double> h,
                  std::span<const std::int64_t> support);
  /// Lets `mean` send (index, value) pairs where all terms were added by `add_sparse` and the pairs
  /// are fewer than a quarter of the entries: an allgather of 12 bytes a pair, classes added in
  /// order. Costs one more reduction of 8 bytes a round. No effect with a codec.
  void allow_sparse() {
    const auto& setting = mean_.setting();
    sparse_allowed_ = setting.codec == "identity" && setting.server_codec == "identity";
  }
  /// The mean through the codec, or without it. **Collective**, one round.
  void mean(std::int64_t iteration, std::span<double> out) {
    start(iteration, out);
    finish();
  }
  /// `mean` in two halves, between which the caller computes and leaves `out` and the terms alone.
  /// **Collective**, both.
  void start(std::int64_t iteration, std::span<double> out);
  void finish();
  void dense(std::span<double> out) { mean_.dense(terms_, out); }

  [[nodiscard]] parallel::Traffic traffic() const {
    auto sum = mean_.traffic();
    sum += sparse_traffic_;
    return sum;
  }
  [[nodiscard]] compress::Mean& channel() { return mean_; }
  [[nodiscard]] const compress::Mean& channel() const { return mean_; }

 private:
  [[nodiscard]] std::span<double> row(std::int64_t number);
  [[nodiscard]] bool few();
  void mean_of_pairs(std::span<double> out);

  const Blocks* blocks_;
  std::size_t dimension_;
  std::vector<double> terms_;
  compress::Mean mean_;
  bool sparse_allowed_ = false, dense_terms_ = false, pairs_ = false;
  std::span<double> out_;                           ///< of a mean that has started
  std::vector<std::vector<std::int64_t>> touched_;  ///< entries of each hosted class
  std::vector<std::byte> packed_, gathered_;
  parallel::Traffic sparse_traffic_;
};

}  // namespace equipoise::bilevel
