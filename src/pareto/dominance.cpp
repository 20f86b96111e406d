#include <equipoise/pareto/dominance.hpp>

#include <algorithm>
#include <limits>
#include <numeric>

namespace equipoise::pareto {
namespace {

std::vector<std::size_t> lexicographic_order(PointView points) {
  std::vector<std::size_t> order(points.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const auto p = points[a];
    const auto q = points[b];
    const auto [x, y] = std::mismatch(p.begin(), p.end(), q.begin());
    return x == p.end() ? a < b : *x < *y;
  });
  return order;
}

bool weakly_dominates(std::span<const double> a, std::span<const double> b) {
  return std::equal(a.begin(), a.end(), b.begin(), [](double x, double y) { return x <= y; });
}

/// Ranks of points in lexicographic order: with two objectives a front is full for a point exactly
/// if its last member is.
std::vector<std::int64_t> sort_two(PointView points, std::span<const std::size_t> order) {
  std::vector<std::int64_t> rank(points.size());
  std::vector<std::size_t> last;
  for (const std::size_t i : order) {
    const auto front = std::partition_point(last.begin(), last.end(), [&](std::size_t member) {
      return dominates(points[member], points[i]);
    });
    rank[i] = front - last.begin();
    if (front == last.end()) {
      last.push_back(i);
    } else {
      // Equal points share a front; the lower second objective stays in charge.
      if (points[i][1] < points[*front][1]) *front = i;
    }
  }
  return rank;
}

std::vector<std::int64_t> sort_many(PointView points, std::span<const std::size_t> order) {
  std::vector<std::int64_t> rank(points.size());
  std::vector<std::vector<std::size_t>> fronts;
  for (const std::size_t i : order) {
    const auto blocked = [&](const std::vector<std::size_t>& front) {
      // Members added last are the closest in the order and the likeliest to dominate.
      return std::any_of(front.rbegin(), front.rend(),
                         [&](std::size_t member) { return dominates(points[member], points[i]); });
    };
    const auto front = std::partition_point(fronts.begin(), fronts.end(), blocked);
    rank[i] = front - fronts.begin();
    if (front == fronts.end()) {
      fronts.push_back({i});
    } else {
      front->push_back(i);
    }
  }
  return rank;
}

std::vector<std::int64_t> sort_feasible(PointView points) {
  const auto order = lexicographic_order(points);
  return points.objectives == 2 ? sort_two(points, order) : sort_many(points, order);
}

}  // namespace

bool dominates(std::span<const double> a, std::span<const double> b) {
  bool better = false;
  for (std::size_t j = 0; j < a.size(); ++j) {
    if (a[j] > b[j]) return false;
    better = better || a[j] < b[j];
  }
  return better;
}

std::vector<std::int64_t> nondominated_sort(PointView points, std::span<const double> violation) {
  const auto infeasible = [&](std::size_t i) { return !violation.empty() && violation[i] > 0.0; };
  std::vector<std::size_t> good;
  std::vector<std::size_t> bad;
  for (std::size_t i = 0; i < points.size(); ++i) (infeasible(i) ? bad : good).push_back(i);
  if (bad.empty()) return sort_feasible(points);
  std::vector<std::int64_t> rank(points.size());
  const auto good_rank = sort_feasible(select(points, good));
  std::int64_t next = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    rank[good[i]] = good_rank[i];
    next = std::max(next, good_rank[i] + 1);
  }
  std::stable_sort(bad.begin(), bad.end(),
                   [&](std::size_t a, std::size_t b) { return violation[a] < violation[b]; });
  for (std::size_t i = 0; i < bad.size(); ++i) {
    if (i > 0 && violation[bad[i]] > violation[bad[i - 1]]) ++next;
    rank[bad[i]] = next;
  }
  return rank;
}

std::vector<std::size_t> nondominated(PointView points) {
  const auto order = lexicographic_order(points);
  std::vector<std::size_t> kept;
  if (points.objectives == 2) {
    double best = std::numeric_limits<double>::infinity();
    for (const std::size_t i : order) {
      if (!kept.empty() && points[i][1] >= best) continue;
      best = points[i][1];
      kept.push_back(i);
    }
  } else {
    for (const std::size_t i : order) {
      const bool dominated = std::any_of(kept.rbegin(), kept.rend(), [&](std::size_t member) {
        return weakly_dominates(points[member], points[i]);
      });
      if (!dominated) kept.push_back(i);
    }
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

PointSet select(PointView points, std::span<const std::size_t> indices) {
  PointSet result{{}, points.objectives};
  result.values.reserve(indices.size() * points.objectives);
  for (const std::size_t i : indices) result.push(points[i]);
  return result;
}

}  // namespace equipoise::pareto
