#pragma once

#include <equipoise/bilevel/blocks.hpp>
#include <equipoise/compress/mean.hpp>

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
  /// The mean through the codec, or without it. **Collective**, one round.
  void mean(std::int64_t iteration, std::span<double> out) { mean_(iteration, terms_, out); }
  void dense(std::span<double> out) { mean_.dense(terms_, out); }

  [[nodiscard]] compress::Mean& channel() { return mean_; }
  [[nodiscard]] const compress::Mean& channel() const { return mean_; }

 private:
  const Blocks* blocks_;
  std::size_t dimension_;
  std::vector<double> terms_;
  compress::Mean mean_;
};

}  // namespace equipoise::bilevel
