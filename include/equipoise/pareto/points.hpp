#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// A view of n points with k objectives each, stored row by row; all objectives are minimized.
struct PointView {
  std::span<const double> values;  ///< [n k]
  std::size_t objectives = 0;      ///< k

  [[nodiscard]] std::size_t size() const {
    return objectives == 0 ? 0 : values.size() / objectives;
  }
  [[nodiscard]] std::span<const double> operator[](std::size_t i) const {
    return values.subspan(i * objectives, objectives);
  }
};

/// Points that are owned.
struct PointSet {
  std::vector<double> values;  ///< [n k]
  std::size_t objectives = 0;  ///< k

  [[nodiscard]] std::size_t size() const {
    return objectives == 0 ? 0 : values.size() / objectives;
  }
  [[nodiscard]] std::span<const double> operator[](std::size_t i) const {
    return std::span<const double>(values).subspan(i * objectives, objectives);
  }
  void push(std::span<const double> point) {
    values.insert(values.end(), point.begin(), point.end());
  }
  operator PointView() const {
    return {values, objectives};
  }  // NOLINT(google-explicit-constructor)
};

/// Smallest and largest value per objective, [k] each.
struct Range {
  std::vector<double> ideal;
  std::vector<double> nadir;
};
/// Ideal point (componentwise minimum) and componentwise maximum of a non-empty set. For the
/// nondominated points of a front the maximum is the nadir point. O(n k).
[[nodiscard]] Range range_of(PointView points);

/// The points mapped to (f - ideal) / (nadir - ideal); a degenerate objective (nadir <= ideal) is
/// only shifted. O(n k).
[[nodiscard]] PointSet normalized(PointView points, const Range& range);

}  // namespace equipoise::pareto
