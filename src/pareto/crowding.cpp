#include <equipoise/pareto/dominance.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace equipoise::pareto {
namespace {

/// The members in the order of each objective, as lists from which members can be taken.
class Crowd {
 public:
  Crowd(PointView points, std::span<const std::size_t> members)
      : points_(points),
        members_(members),
        before_(points.objectives * members.size(), none),
        after_(before_),
        width_(points.objectives) {
    std::vector<std::size_t> order(members.size());
    for (std::size_t j = 0; j < points.objectives && !members.empty(); ++j) {
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::pair(value(a, j), a) < std::pair(value(b, j), b);
      });
      width_[j] = value(order.back(), j) - value(order.front(), j);
      for (std::size_t s = 1; s < order.size(); ++s) {
        before_[at(order[s], j)] = order[s - 1];
        after_[at(order[s - 1], j)] = order[s];
      }
    }
  }

  [[nodiscard]] double distance(std::size_t i) const {
    double sum = 0.0;
    for (std::size_t j = 0; j < points_.objectives; ++j) {
      const std::size_t left = before_[at(i, j)];
      const std::size_t right = after_[at(i, j)];
      if (left == none || right == none) return std::numeric_limits<double>::infinity();
      if (width_[j] > 0.0) sum += (value(right, j) - value(left, j)) / width_[j];
    }
    return sum;
  }

  /// Takes member i away and computes the distances of its neighbours anew.
  void remove(std::size_t i, std::span<double> distances) {
    for (std::size_t j = 0; j < points_.objectives; ++j) {
      const std::size_t left = before_[at(i, j)];
      const std::size_t right = after_[at(i, j)];
      if (left != none) after_[at(left, j)] = right;
      if (right != none) before_[at(right, j)] = left;
    }
    for (std::size_t j = 0; j < points_.objectives; ++j) {
      for (const std::size_t neighbour : {before_[at(i, j)], after_[at(i, j)]}) {
        if (neighbour != none) distances[neighbour] = distance(neighbour);
      }
    }
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  [[nodiscard]] std::size_t at(std::size_t i, std::size_t j) const {
    return j * members_.size() + i;
  }
  [[nodiscard]] double value(std::size_t i, std::size_t j) const { return points_[members_[i]][j]; }

  PointView points_;
  std::span<const std::size_t> members_;
  std::vector<std::size_t> before_, after_;  ///< [objectives, members]
  std::vector<double> width_;
};

/// The members with their nearest neighbours in scaled objectives: from three objectives on, points
/// that are neighbours in one objective may be far apart in the others.
class Vicinity {
 public:
  Vicinity(PointView points, std::span<const std::size_t> members)
      : count_(members.size()),
        near_(std::min(points.objectives, count_ > 0 ? count_ - 1 : 0)),
        end_(count_, false),
        alive_(count_, true),
        square_(count_ * count_, 0.0),
        neighbours_(count_ * near_) {
    for (std::size_t j = 0; j < points.objectives && count_ > 0; ++j) {
      const auto value = [&](std::size_t i) { return points[members[i]][j]; };
      std::size_t low = 0;
      std::size_t high = 0;
      for (std::size_t i = 1; i < count_; ++i) {
        if (value(i) < value(low)) low = i;
        if (value(i) > value(high)) high = i;
      }
      end_[low] = end_[high] = true;
      const double width = value(high) - value(low);
      if (!(width > 0.0)) continue;
      for (std::size_t a = 0; a < count_; ++a) {
        for (std::size_t b = 0; b < a; ++b) {
          const double d = (value(a) - value(b)) / width;
          square_[a * count_ + b] += d * d;
          square_[b * count_ + a] += d * d;
        }
      }
    }
    for (std::size_t i = 0; i < count_; ++i) find(i);
  }

  [[nodiscard]] double distance(std::size_t i) const {
    if (end_[i]) return std::numeric_limits<double>::infinity();
    double product = 1.0;
    for (std::size_t s = 0; s < near_; ++s)
      product *= square_[i * count_ + neighbours_[i * near_ + s]];
    return product;
  }

  void remove(std::size_t i, std::span<double> distances) {
    alive_[i] = false;
    for (std::size_t other = 0; other < count_; ++other) {
      if (!alive_[other]) continue;
      const auto list = std::span(neighbours_).subspan(other * near_, near_);
      if (std::find(list.begin(), list.end(), i) == list.end()) continue;
      find(other);
      distances[other] = distance(other);
    }
  }

 private:
  /// The nearest that are left; the member itself stands in where there are fewer.
  void find(std::size_t i) {
    const auto list = std::span(neighbours_).subspan(i * near_, near_);
    std::size_t found = 0;
    for (std::size_t other = 0; other < count_; ++other) {
      if (other == i || !alive_[other]) continue;
      const double* row = square_.data() + i * count_;
      if (found == near_ && row[other] >= row[list[found - 1]]) continue;
      std::size_t at = found < near_ ? found++ : found - 1;
      for (; at > 0 && row[other] < row[list[at - 1]]; --at) list[at] = list[at - 1];
      list[at] = other;
    }
    std::fill(list.begin() + static_cast<std::ptrdiff_t>(found), list.end(), i);
  }

  std::size_t count_, near_;
  std::vector<bool> end_, alive_;
  std::vector<double> square_;           ///< [members, members] squared distances
  std::vector<std::size_t> neighbours_;  ///< [members, near], nearest first
};

template <class Crowding>
std::vector<double> distances(const Crowding& crowding, std::size_t members) {
  std::vector<double> result(members);
  for (std::size_t i = 0; i < members; ++i) result[i] = crowding.distance(i);
  return result;
}

template <class Crowding>
std::vector<std::size_t> thin_out(Crowding crowding, std::span<const std::size_t> members,
                                  std::size_t count) {
  auto distance = distances(crowding, members.size());
  std::vector<std::size_t> left(members.size());
  std::iota(left.begin(), left.end(), std::size_t{0});
  while (left.size() > count) {
    const auto least =
        std::min_element(left.begin(), left.end(),
                         [&](std::size_t a, std::size_t b) { return distance[a] < distance[b]; });
    crowding.remove(*least, distance);
    left.erase(least);
  }
  for (std::size_t& i : left) i = members[i];
  return left;
}

}  // namespace

std::vector<double> crowding_distance(PointView points, std::span<const std::size_t> members) {
  return distances(Crowd(points, members), members.size());
}

std::vector<double> vicinity_distance(PointView points, std::span<const std::size_t> members) {
  return distances(Vicinity(points, members), members.size());
}

std::vector<std::size_t> thin_out(PointView points, std::span<const std::size_t> members,
                                  std::size_t count) {
  if (members.size() <= count) return {members.begin(), members.end()};
  return points.objectives == 2 ? thin_out(Crowd(points, members), members, count)
                                : thin_out(Vicinity(points, members), members, count);
}

}  // namespace equipoise::pareto
