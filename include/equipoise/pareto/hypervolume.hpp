#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/points.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// Exact hypervolume: the volume that is dominated by the points and dominates the reference.
///
/// Points that are not strictly better than the reference in every objective add nothing, equal
/// points count once, no points give 0. Two objectives: sort, O(n log n). Three: sweep with an
/// ordered set of bits, O(n log n). Four: sweep over three-dimensional exclusive volumes, O(n^2)
/// for staircases of bounded length. Up to 32: the recursion over exclusive volumes of WFG (While,
/// Bradstreet, Barone 2012) in the sliced form, each level one objective less, down to three.
/// The points are sorted first, so the result does not depend on their order beyond rounding.
/// Throws ConfigurationError where sizes disagree, a coordinate is NaN, or there are more than 32
/// objectives.
[[nodiscard]] double hypervolume(PointView points, std::span<const double> reference);

/// The same, its terms shared out over the ranks; the same bits on any number of ranks.
/// Points and reference are equal on every rank. **Collective**, one allreduce of n numbers for
/// five objectives and more; no communication below.
[[nodiscard]] double hypervolume(const parallel::Comm& comm, PointView points,
                                 std::span<const double> reference);

/// What each point alone adds: hypervolume of all minus hypervolume without it; 0 for dominated and
/// repeated points. [n]. O(n log n) for two objectives, O(n^2) for three, n hypervolumes of a
/// reduced set (the points limited to the region of the one) for more.
[[nodiscard]] std::vector<double> hypervolume_contributions(PointView points,
                                                            std::span<const double> reference);

/// What the point `index` alone adds.
[[nodiscard]] double exclusive_hypervolume(PointView points, std::span<const double> reference,
                                           std::size_t index);

/// An estimate with its standard error.
struct Estimate {
  double value = 0.0;
  double standard_error = 0.0;
};
/// Monte Carlo hypervolume between the ideal point of the set and the reference, for more than
/// about ten objectives. Counter-based draws: the same bits wherever it runs. O(samples n k).
[[nodiscard]] Estimate estimate_hypervolume(PointView points, std::span<const double> reference,
                                            std::int64_t samples, std::uint64_t seed);

}  // namespace equipoise::pareto
