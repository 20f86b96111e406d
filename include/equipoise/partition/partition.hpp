#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::partition {

/// A half-open range of global indices.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
  [[nodiscard]] bool contains(std::int64_t i) const { return begin <= i && i < end; }
  friend bool operator==(const Range&, const Range&) = default;
};

/// Who owns what: items 0..size()-1 cut into `parts()` contiguous ranges, some perhaps empty.
///
/// Ten items over four parts, `uniform(10, 4)`: part 0 owns 0 1 2, part 1 owns 3 4 5, part 2 owns 6
/// 7, part 3 owns 8 9; `owner(6)` is 2. A pure value: no communicator inside, equal on every rank.
class Partition {
 public:
  Partition() = default;
  /// Parts whose sizes differ by at most one, larger ones first. Throws for negative `items` or
  /// `parts` < 1.
  static Partition uniform(std::int64_t items, int parts);
  /// Contiguous parts of nearly equal cost: part p ends where the prefix sum passes (p+1)/parts of
  /// the total. Costs must be finite and not negative.
  static Partition by_cost(std::span<const double> costs, int parts);
  /// From the parts+1 ascending offsets, the first of them 0.
  static Partition from_offsets(std::vector<std::int64_t> offsets);

  [[nodiscard]] std::int64_t size() const { return offsets_.back(); }
  [[nodiscard]] int parts() const { return static_cast<int>(offsets_.size()) - 1; }
  [[nodiscard]] Range range(int part) const {
    return {offsets_[static_cast<std::size_t>(part)], offsets_[static_cast<std::size_t>(part) + 1]};
  }
  /// The part that owns item i, in O(log parts).
  [[nodiscard]] int owner(std::int64_t i) const;
  [[nodiscard]] std::span<const std::int64_t> offsets() const { return offsets_; }
  friend bool operator==(const Partition&, const Partition&) = default;

 private:
  explicit Partition(std::vector<std::int64_t> offsets) : offsets_(std::move(offsets)) {}
  std::vector<std::int64_t> offsets_ = {0, 0};
};

/// Coordinates cut into logical chunks, and chunks given to ranks.
///
/// The chunks belong to the problem or the configuration, never to the rank count, so sums taken
/// chunk by chunk give the same bits on any number of ranks. Chunks {0 1 2}{3 4}{5 6 7} over two
/// ranks: rank 0 owns coordinates 0..4, rank 1 owns 5..7.
class Layout {
 public:
  Layout() = default;
  /// `chunks` cuts the coordinates, `owners` gives chunk numbers to ranks (its size is
  /// chunks.parts()).
  Layout(Partition chunks, Partition owners);
  /// `dimension` coordinates in `chunk_count` uniform chunks, dealt uniformly to `ranks`.
  static Layout uniform(std::int64_t dimension, int chunk_count, int ranks);

  [[nodiscard]] std::int64_t dimension() const { return chunks_.size(); }
  [[nodiscard]] const Partition& chunks() const { return chunks_; }
  [[nodiscard]] const Partition& owners() const { return owners_; }
  /// The coordinates as owned by ranks.
  [[nodiscard]] const Partition& coordinates() const { return coordinates_; }
  [[nodiscard]] Range owned(int rank) const { return coordinates_.range(rank); }

 private:
  Partition chunks_;
  Partition owners_;
  Partition coordinates_;
};

/// The default number of chunks of a vector: clamp(ceil(d / 64), 1, 4096).
[[nodiscard]] int default_chunks(std::int64_t dimension);

}  // namespace equipoise::partition
