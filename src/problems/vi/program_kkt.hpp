#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace equipoise::problems {

/// Largest absolute errors of a primal-dual pair of a linear or quadratic program, over lines (rows
/// or columns) met so far. A row has the multiplier y and the activity Ax, a column z = c + Qx -
/// A'y and x.
struct KktMaxima {
  double violation = 0.0;        ///< of a row or a bound
  double loose = 0.0;            ///< multiplier that no finite bound can carry
  double complementarity = 0.0;  ///< |multiplier| times distance to the bound it belongs to

  /// Adds one line; returns multiplier times its bound, the line's part of the dual objective.
  double add(double multiplier, double activity, double lower, double upper) {
    violation = std::max({violation, lower - activity, activity - upper});
    const double bound = multiplier > 0.0 ? lower : upper;
    if (std::isfinite(bound)) {
      complementarity = std::max(complementarity, std::abs(multiplier * (activity - bound)));
      return multiplier * bound;
    }
    loose = std::max(loose, std::abs(multiplier));
    return 0.0;
  }
};

/// The errors relative to the data: violation over 1 + largest finite row bound, loose multipliers
/// over 1 + max |c|, complementarity and gap over 1 + |primal objective|.
struct RelativeKkt {
  double primal = 0.0, dual = 0.0, complementarity = 0.0, gap = 0.0;
  double primal_objective = 0.0, dual_objective = 0.0;  ///< of the minimisation, with the constant
  [[nodiscard]] double largest() const {
    const double worst = std::max({primal, dual, complementarity, gap});
    // max() may drop a NaN, the sum does not.
    return std::isfinite(primal + dual + complementarity + gap) ? worst : HUGE_VAL;
  }
};

inline RelativeKkt relative_kkt(const KktMaxima& maxima, double primal, double dual,
                                double largest_bound, double largest_cost) {
  const double size = 1.0 + std::abs(primal);
  return {maxima.violation / (1.0 + largest_bound),
          maxima.loose / (1.0 + largest_cost),
          maxima.complementarity / size,
          std::abs(primal - dual) / size,
          primal,
          dual};
}

/// The point of [lower, upper] nearest to t, and 0 where a multiplier has no bound to carry it.
inline double clip(double t, double lower, double upper) {
  return std::min(std::max(t, lower), upper);
}
inline double carried(double multiplier, double lower, double upper) {
  return std::isfinite(multiplier > 0.0 ? lower : upper) ? multiplier : 0.0;
}

}  // namespace equipoise::problems
