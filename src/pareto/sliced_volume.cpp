#include "sliced_volume.hpp"

#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>

namespace equipoise::pareto::detail {
namespace {

// Vectors of ranks: few numbers of few bits make all the difference to the speed.
template <class Integer, int bytes>
struct Vectors {
  using Rank = Integer;
  using Point __attribute__((vector_size(bytes))) = Integer;
  using Words __attribute__((vector_size(bytes))) = std::uint64_t;
};
using Short8 = Vectors<std::int16_t, 16>;
using Short16 = Vectors<std::int16_t, 32>;
using Short32 = Vectors<std::int16_t, 64>;
using Long16 = Vectors<std::int32_t, 64>;

template <class Vector>
class Slicer final : public SlicedVolume {
  using Rank = typename Vector::Rank;
  using Point = typename Vector::Point;
  using Words = typename Vector::Words;
  static constexpr std::size_t lanes = sizeof(Point) / sizeof(Rank);

 public:
  Slicer(const Rows& rows, std::span<const double> reference)
      : objectives_(reference.size()),
        stride_(rows.size() + 1),
        gaps_(objectives_ * stride_, 1.0),
        points_(rows.size(), Point{}),
        levels_(objectives_),
        scratch_(rows.size()) {
    std::iota(lane_.begin(), lane_.end(), std::size_t{0});
    for (std::size_t j = 0; j < objectives_; ++j) rank(rows, j, reference[j]);
    for (Level& level : levels_) {
      level.limited.resize(rows.size());
      level.active.resize(rows.size());
    }
    stair_x_.resize(rows.size() + 1);
    stair_y_.resize(rows.size() + 1);
  }

  std::vector<double> terms(std::size_t first, std::size_t stride) override {
    std::vector<double> result;
    std::copy(points_.begin(), points_.end(), scratch_.begin());
    if (points_.empty()) return result;
    sweep(scratch_, objectives_, 0, [&](const auto& term) {
      result.push_back(result.size() % stride == first ? term() : 0.0);
    });
    return result;
  }

  double exclusive(std::size_t i) override {
    const Point p = points_[i];
    std::size_t count = 0;
    for (std::size_t other = 0; other < points_.size(); ++other) {
      if (other == i) continue;
      const Point corner = join(p, points_[other]);
      if (equal(corner, p)) return 0.0;
      keep(scratch_.data(), count, corner);
    }
    return std::max(0.0, box(p) - volume({scratch_.data(), count}, objectives_, 0));
  }

 private:
  struct Level {
    std::vector<Point> limited, active;
  };

  /// Ranks of coordinate j, and what each leaves to the reference. The last rank, which no point
  /// has, leaves 1: a coordinate that has been dealt with.
  void rank(const Rows& rows, std::size_t j, double reference) {
    std::vector<Keyed> order(rows.size());
    std::vector<Keyed> spare;
    for (std::size_t i = 0; i < rows.size(); ++i) order[i] = {rows[i][j], i};
    sort_keys(order, spare);
    std::size_t at = 0;
    for (std::size_t s = 0; s < order.size(); ++s) {
      if (s > 0 && order[s].first > order[s - 1].first) ++at;
      gaps_[j * stride_ + at] = reference - order[s].first;
      points_[order[s].second][j] = static_cast<Rank>(at);
    }
  }

  static Point join(const Point& a, const Point& b) { return a > b ? a : b; }
  static bool equal(const Point& a, const Point& b) {
    const Words differ = reinterpret_cast<Words>(a ^ b);
    std::uint64_t any = 0;
    for (std::size_t w = 0; w < sizeof(Words) / 8; ++w) any |= differ[w];
    return any == 0;
  }

  [[nodiscard]] double gap(std::size_t j, Rank rank) const {
    return gaps_[j * stride_ + static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] double box(const Point& p) const {
    double product = gap(0, p[0]);
    for (std::size_t j = 1; j < objectives_; ++j) product *= gap(j, p[j]);
    return product;
  }

  /// Puts `corner` among the first `count` of `kept` unless one of these dominates it, and removes
  /// those it dominates.
  static void keep(Point* kept, std::size_t& count, const Point& corner) {
    std::size_t i = 0;
    for (; i < count; ++i) {
      const Point both = join(kept[i], corner);
      if (equal(both, corner)) {
        // Who dominated one is likely to dominate the next.
        std::swap(kept[i], kept[i / 2]);
        return;
      }
      if (equal(both, kept[i])) break;
    }
    std::size_t to = i;
    for (; i < count; ++i) {
      if (!equal(join(kept[i], corner), kept[i])) kept[to++] = kept[i];
    }
    kept[to++] = corner;
    count = to;
  }

  /// Volume in the coordinates of the first k of lane_; the others have been dealt with.
  double volume(std::span<Point> rows, std::size_t k, std::size_t level) {
    if (rows.size() <= 4) return by_inclusion(rows);
    if (k == 3) return sweep_3d(rows);
    double sum = 0.0;
    sweep(rows, k, level, [&](const auto& term) { sum += term(); });
    return sum;
  }

  [[nodiscard]] double by_inclusion(std::span<const Point> rows) const {
    if (rows.empty()) return 0.0;
    const Point& p = rows.back();
    if (rows.size() == 1) return box(p);
    const auto rest = rows.first(rows.size() - 1);
    std::array<Point, 3> limited;
    for (std::size_t i = 0; i < rest.size(); ++i) limited[i] = join(rest[i], p);
    return by_inclusion(rest) + (box(p) - by_inclusion({limited.data(), rest.size()}));
  }

  /// Moves the coordinate in which most rows share the least value to the end of the first k of
  /// lane_; how many rows share it.
  std::size_t choose_last(std::span<const Point> rows, std::size_t k) {
    Point least = rows[0];
    for (const Point& p : rows) least = p < least ? p : least;
    Point ties{};
    for (const Point& p : rows) ties -= p == least;
    std::size_t best = k - 1;
    for (std::size_t a = 0; a < k; ++a) {
      if (ties[lane_[a]] > ties[lane_[best]]) best = a;
    }
    std::swap(lane_[best], lane_[k - 1]);
    return static_cast<std::size_t>(ties[lane_[k - 1]]);
  }

  /// Slices the rows, passing each term of the volume as a function to `take`.
  template <class Take>
  void sweep(std::span<Point> rows, std::size_t k, std::size_t level, const Take& take) {
    const auto lanes_before = lane_;
    const std::size_t tied = choose_last(rows, k);
    const std::size_t last = lane_[k - 1];
    std::sort(rows.begin(), rows.end(),
              [last](const Point& a, const Point& b) { return a[last] < b[last]; });
    Point* limited = levels_[level].limited.data();
    Point* active = levels_[level].active.data();
    const auto done = static_cast<Rank>(stride_ - 1);
    std::size_t predecessors = 0;
    for (; predecessors < tied; ++predecessors) {
      active[predecessors] = rows[predecessors];
      active[predecessors][last] = done;
    }
    take([&] {
      std::copy_n(active, tied, limited);
      return gap(last, rows[0][last]) * volume({limited, tied}, k - 1, level + 1);
    });
    for (const Point& row : rows.subspan(tied)) {
      Point p = row;
      p[last] = done;
      std::size_t count = 0;
      if (!limit(p, active, predecessors, limited, count)) continue;
      take([&] {
        return gap(last, row[last]) * (box(p) - volume({limited, count}, k - 1, level + 1));
      });
      // The newest first: it is near those that come next.
      std::copy_backward(active, active + predecessors, active + predecessors + 1);
      active[0] = p;
      ++predecessors;
    }
    lane_ = lanes_before;
  }

  /// The nondominated of the active points limited to the box of p; active points that p dominates
  /// go. False where p is dominated itself.
  static bool limit(const Point& p, Point* active, std::size_t& predecessors, Point* limited,
                    std::size_t& count) {
    std::size_t to = 0;
    for (std::size_t a = 0; a < predecessors; ++a) {
      const Point q = active[a];
      const Point corner = join(p, q);
      if (equal(corner, p)) {
        predecessors = static_cast<std::size_t>(
            std::copy(active + a, active + predecessors, active + to) - active);
        return false;
      }
      if (!equal(corner, q)) active[to++] = q;
      keep(limited, count, corner);
    }
    predecessors = to;
    return true;
  }

  /// Sweep in the third coordinate over a staircase, in gaps: x falls along it, y rises.
  double sweep_3d(std::span<Point> rows) {
    const auto [first, second, third] = std::array{lane_[0], lane_[1], lane_[2]};
    for (std::size_t i = 1; i < rows.size(); ++i) {
      const Point p = rows[i];
      std::size_t at = i;
      for (; at > 0 && rows[at - 1][third] > p[third]; --at) rows[at] = rows[at - 1];
      rows[at] = p;
    }
    std::size_t stairs = 0;
    double area = 0.0;
    double sum = 0.0;
    for (std::size_t s = 0; s < rows.size(); ++s) {
      area += widen(stairs, gap(first, rows[s][first]), gap(second, rows[s][second]));
      const double next = s + 1 < rows.size() ? gap(third, rows[s + 1][third]) : 0.0;
      sum += area * (gap(third, rows[s][third]) - next);
    }
    return sum;
  }

  /// Adds the rectangle [0, x] x [0, y] to the staircase; by how much its area grows.
  double widen(std::size_t& stairs, double x, double y) {
    std::size_t at = 0;
    while (at < stairs && stair_x_[at] >= x) ++at;
    double low = at > 0 ? stair_y_[at - 1] : 0.0;
    if (low >= y) return 0.0;
    double added = 0.0;
    double right = x;
    std::size_t end = at;
    for (; end < stairs && stair_y_[end] <= y; ++end) {
      added += (right - stair_x_[end]) * (y - low);
      low = stair_y_[end];
      right = stair_x_[end];
    }
    added += (right - (end < stairs ? stair_x_[end] : 0.0)) * (y - low);
    for (auto* stair : {&stair_x_, &stair_y_}) {
      double* const s = stair->data();
      if (end == at) {
        std::copy_backward(s + at, s + stairs, s + stairs + 1);
      } else {
        std::copy(s + end, s + stairs, s + at + 1);
      }
    }
    stairs = stairs + 1 - (end - at);
    stair_x_[at] = x;
    stair_y_[at] = y;
    return added;
  }

  std::size_t objectives_;
  std::size_t stride_;
  std::vector<double> gaps_;  ///< [objectives, stride]
  std::vector<Point> points_;
  std::array<std::size_t, lanes> lane_;
  std::vector<Level> levels_;  ///< memory of one depth of the recursion each
  std::vector<Point> scratch_;
  std::vector<double> stair_x_, stair_y_;
};

}  // namespace

std::unique_ptr<SlicedVolume> sliced_volume(const Rows& rows, std::span<const double> reference) {
  const std::size_t k = reference.size();
  const bool few = rows.size() < std::numeric_limits<std::int16_t>::max();
  if (few && k <= 8) return std::make_unique<Slicer<Short8>>(rows, reference);
  if (few && k <= 16) return std::make_unique<Slicer<Short16>>(rows, reference);
  if (few && k <= 32) return std::make_unique<Slicer<Short32>>(rows, reference);
  if (k <= 16) return std::make_unique<Slicer<Long16>>(rows, reference);
  throw ConfigurationError(
      "hypervolume: {} points with {} objectives, the exact algorithm takes 16, or 32 for less "
      "than "
      "32767 points; estimate_hypervolume takes any number",
      rows.size(), k);
}

}  // namespace equipoise::pareto::detail
