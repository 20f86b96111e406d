#pragma once

#include <equipoise/pareto/points.hpp>

namespace equipoise::pareto {

// Distances between an approximation A and a reference front Z, all O(|A| |Z| k). They throw
// ConfigurationError for an empty set or different numbers of objectives. Means are arithmetic
// means of Euclidean distances (not root mean squares).

/// Generational distance: mean over a in A of the distance to the nearest z.
[[nodiscard]] double gd(PointView approximation, PointView reference_front);
/// Inverted generational distance: mean over z in Z of the distance to the nearest a.
[[nodiscard]] double igd(PointView approximation, PointView reference_front);
/// GD with the distance |max(a - z, 0)| (Ishibuchi et al. 2015).
[[nodiscard]] double gd_plus(PointView approximation, PointView reference_front);
/// IGD with the distance |max(a - z, 0)|; weakly Pareto compliant.
[[nodiscard]] double igd_plus(PointView approximation, PointView reference_front);
/// Additive epsilon: the least e such that A shifted by -e weakly dominates every z.
[[nodiscard]] double epsilon_plus(PointView approximation, PointView reference_front);

/// The index of the knee: the point farthest below the hyperplane through the extreme points of the
/// front, objectives scaled by their ranges (Das 1999; with the sum as the distance where the
/// extremes do not span a plane).
[[nodiscard]] std::size_t knee(PointView front);
/// The index of the point preferred by weights w >= 0 around an aspiration point z: least
/// max_i w_i (f_i - z_i) + 1e-6 sum_i w_i (f_i - z_i), in scaled objectives (Wierzbicki 1980).
[[nodiscard]] std::size_t preferred(PointView front, std::span<const double> aspiration,
                                    std::span<const double> weights);

}  // namespace equipoise::pareto
