#pragma once

#include <equipoise/pareto/points.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// a <= b in every objective and a < b in one.
[[nodiscard]] bool dominates(std::span<const double> a, std::span<const double> b);

/// Rank of every point, 0 for the nondominated ones, 1 for those nondominated after these are
/// removed, and so on. `violation` (empty, or one number per point, 0 where feasible) makes it
/// constraint-domination: feasible before infeasible, infeasible ones by their violation (Deb et
/// al. 2002). O(n log n) for two objectives; else at most O(k n^2), by the efficient sort with
/// binary search over the fronts (Zhang, Tian, Cheng, Jin 2015, ENS-BS).
[[nodiscard]] std::vector<std::int64_t> nondominated_sort(PointView points,
                                                          std::span<const double> violation = {});

/// Indices of the nondominated points, ascending; of equal points the first is kept.
/// O(n log n) for two objectives, else O(k n f) with f points in the front.
[[nodiscard]] std::vector<std::size_t> nondominated(PointView points);

/// The points at these indices.
[[nodiscard]] PointSet select(PointView points, std::span<const std::size_t> indices);

/// Crowding distance of the points `members` among themselves (Deb et al. 2002): the sum over
/// objectives of the gap between the two neighbours, divided by the range; infinite at the ends.
[[nodiscard]] std::vector<double> crowding_distance(PointView points,
                                                    std::span<const std::size_t> members);

/// Vicinity distance of the points among themselves: the product of the squared distances to the k
/// nearest others in objectives scaled by their ranges; infinite for a least and a largest point of
/// every objective (Kukkonen, Deb, PPSN 2006). O(k n^2), memory O(n^2).
[[nodiscard]] std::vector<double> vicinity_distance(PointView points,
                                                    std::span<const std::size_t> members);

/// The `count` of the members that are left when the most crowded one goes again and again, in
/// their order; all where there are fewer. Two objectives: by crowding distance (Kukkonen, Deb, CEC
/// 2006), O(n log n + n r) for r that go. More, where the crowding distance says little about how
/// close two points are: by vicinity distance, O(k n^2 + n^2 r) at most.
[[nodiscard]] std::vector<std::size_t> thin_out(PointView points,
                                                std::span<const std::size_t> members,
                                                std::size_t count);

}  // namespace equipoise::pareto
