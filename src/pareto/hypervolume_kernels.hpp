#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace equipoise::pareto::detail {

/// Points in rows of fixed width.
class Rows {
 public:
  explicit Rows(std::size_t width = 0) : width_(width) {}
  [[nodiscard]] std::size_t size() const { return width_ == 0 ? 0 : data_.size() / width_; }
  [[nodiscard]] std::size_t width() const { return width_; }
  [[nodiscard]] const double* operator[](std::size_t i) const { return data_.data() + i * width_; }
  [[nodiscard]] double* row(std::size_t i) { return data_.data() + i * width_; }
  void push(std::span<const double> point) {
    data_.insert(data_.end(), point.begin(), point.end());
  }
  void resize(std::size_t count) { data_.resize(count * width_); }
  void reshape(std::size_t width) {
    width_ = width;
    data_.clear();
  }
  /// Ascending in coordinate j, ties by the other coordinates: an order that belongs to the set.
  void sort_by(std::size_t j);

 private:
  std::size_t width_;
  std::vector<double> data_;
};

/// A set of integers below n: 64-way tree of bits, neighbours in O(log_64 n).
class BitTree {
 public:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  void reset(std::size_t n);
  void insert(std::size_t i);
  void erase(std::size_t i);
  /// Largest member below i, smallest member above i, or `none`.
  [[nodiscard]] std::size_t before(std::size_t i) const;
  [[nodiscard]] std::size_t after(std::size_t i) const;

 private:
  std::vector<std::vector<std::uint64_t>> levels_;
  std::size_t depth_ = 0;
};

/// A value and the index it came from.
using Keyed = std::pair<double, std::size_t>;
/// Sorts by value, ties by index if they came in that order: by digits of the bits, O(n).
void sort_keys(std::vector<Keyed>& keys, std::vector<Keyed>& scratch);

/// Hypervolumes of up to four objectives below one reference point, with memory that is reused from
/// call to call. All rows are better than the reference.
class Workspace {
 public:
  explicit Workspace(std::span<const double> reference)
      : reference_(reference.begin(), reference.end()) {}

  double volume(Rows rows);
  /// What row i adds to all other rows.
  double exclusive(const Rows& rows, std::size_t i);
  /// The same for every row, three objectives.
  std::vector<double> contributions_3d(const Rows& rows);

 private:
  struct Cover {
    double volume = 0.0;
    bool dominated = false;
  };
  double volume_2d(Rows& rows) const;
  double volume_3d(Rows& rows);
  double volume_4d(Rows& rows);
  /// What a point adds to the points of (x_, y_, z_), which ascend in z; sweeps upwards in z with a
  /// staircase.
  Cover added_3d(double px, double py, double pz);
  /// Adds a stair inside the open cross-section and takes what it covers from area_; its index, or
  /// `none` where it was covered already.
  std::size_t add_stair(double x, double y, double right, double upper);
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  /// Puts the point among them and removes those it dominates.
  void insert_3d(double px, double py, double pz);

  std::vector<double> reference_;
  BitTree stairs_;
  std::vector<double> x_, y_, z_;
  std::vector<Keyed> order_, order_scratch_;
  std::vector<std::size_t> rank_;
  std::vector<double> stair_x_, stair_y_;
  double area_ = 0.0;  ///< of the cross-section that is still open
};

/// Exclusive areas in two objectives, in the order of the rows.
std::vector<double> contributions_2d(const Rows& rows, std::span<const double> reference);

}  // namespace equipoise::pareto::detail
