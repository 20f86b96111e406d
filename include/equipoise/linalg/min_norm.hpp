#pragma once

#include <span>
#include <vector>

namespace equipoise::linalg {

/// The point of least norm in a convex hull, sum_i weights_i v_i.
struct MinNormPoint {
  std::vector<double> weights;  ///< not negative, summing to 1
  double norm_squared = 0.0;    ///< of the point
  int iterations = 0;           ///< points that entered the active set
  /// How far from optimal: max_i (|p|^2 - <p, v_i>)+, relative to the largest |v_i|^2; at most
  /// about 1e-12.
  double violation = 0.0;
};

/// The point of least norm in the convex hull of k vectors, from their Gram matrix <v_i, v_j>
/// ([k x k], symmetric, by rows). Wolfe's method: finite, O(k^3) a step, meant for k up to
/// about 50. Vectors may be equal, dependent or zero. The bits depend on the Gram matrix alone.
/// Throws a ConfigurationError for k = 0 or a span that is not square, a NotFiniteError for entries
/// that are not finite. Source: P. Wolfe, Finding the nearest point in a polytope, Mathematical
/// Programming 11 (1976).
[[nodiscard]] MinNormPoint min_norm_point(std::span<const double> gram);

}  // namespace equipoise::linalg
