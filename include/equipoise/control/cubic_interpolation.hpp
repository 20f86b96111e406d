#pragma once

#include <equipoise/control/grid.hpp>

#include <array>
#include <vector>

namespace equipoise::control {

/// Interpolation from a grid to the one with twice the cells, by cubics through four neighbouring
/// nodes in every direction, one-sided beside the boundary, where functions vanish. Unlike the
/// multilinear one it carries second derivatives over: K times the result has an error of O(h^2)
/// relative to K times the function, uniform or graded.
///
///     coarse     o-----o-----o-----o        the fine node x takes -1/16, 9/16, 9/16, -1/16
///     fine       o--o--o--x--o--o--o        on a uniform grid
class CubicInterpolation {
 public:
  /// **Collective.** Throws ConfigurationError unless `fine` has twice the cells of `coarse`, 3 or
  /// more.
  CubicInterpolation(const Grid& coarse, const Grid& fine);
  /// Cost: about 4 operations a node and direction, one exchange of coarse planes. **Collective.**
  void apply(Vec coarse, Vec fine);

 private:
  /// A node as a combination of four coarse nodes, counted with the boundary.
  struct Stencil {
    std::int64_t first = 0;
    std::array<double, 4> weight = {};
  };
  void combine(const Stencil& stencil, const double* coarse, std::int64_t first,
               std::vector<double>& layer) const;
  void expand(int directions, const double* coarse, double* fine);
  int dimension_;
  std::int64_t coarse_line_, fine_line_;
  partition::Range owned_;
  std::vector<Stencil> stencils_;            // [fine_line], of one direction
  std::vector<std::vector<double>> layers_;  // [dimension]: coarse_line^d entries
  std::unique_ptr<PlaneWindow> window_;
};

}  // namespace equipoise::control
