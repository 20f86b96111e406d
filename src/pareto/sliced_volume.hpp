#pragma once

#include "hypervolume_kernels.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace equipoise::pareto::detail {

/// Exact hypervolume by slicing one objective after the other: points enter by ascending last
/// coordinate, each adds (r_k - p_k) times its exclusive volume over its predecessors in the other
/// coordinates, which is its box less the volume of the predecessors limited to that box (WFG:
/// While, Bradstreet, Barone 2012; sliced: eq. 6 there). Beyond that paper:
/// - coordinates are ranks, a point is one short vector of integers;
/// - each level slices the coordinate in which most points share the least value (limiting makes
///   many equal): these need no exclusive volumes, they are one set of one coordinate less;
/// - predecessors that a newcomer dominates in the other coordinates are never limited again.
class SlicedVolume {
 public:
  virtual ~SlicedVolume() = default;
  SlicedVolume() = default;
  SlicedVolume(const SlicedVolume&) = delete;
  SlicedVolume& operator=(const SlicedVolume&) = delete;

  /// Terms first, first + stride, ... of the outermost slicing, 0 in place of the others: the sum
  /// of all terms, in order, is the volume. At most [n] of them.
  virtual std::vector<double> terms(std::size_t first, std::size_t stride) = 0;
  /// What row i alone adds.
  virtual double exclusive(std::size_t i) = 0;
};

/// Of rows that are strictly better than the reference, at least four objectives. Throws
/// ConfigurationError beyond 32.
std::unique_ptr<SlicedVolume> sliced_volume(const Rows& rows, std::span<const double> reference);

}  // namespace equipoise::pareto::detail
