#pragma once

#include <equipoise/control/reduced.hpp>

namespace equipoise::control {

/// Observed orders of the Taylor remainders of a reduced functional, and the asymmetry of its
/// Hessian.
struct DerivativeCheck {
  double value_order = 0.0;     ///< of |j(u+td) - j(u)|: 1
  double gradient_order = 0.0;  ///< of the remainder with the first derivative: 2
  double hessian_order =
      0.0;  ///< of the remainder with the second: 3; infinity for a quadratic functional
  double asymmetry = 0.0;  ///< |<j'' d, e> - <j'' e, d>| relative to their size
};

/// Orders are the smallest over t = 1e-2 2^-k, k = 0..6, as long as remainders stay above 1e-11
/// |j(u)|.
/// **Collective**, about ten state solves, one adjoint solve and two Hessian actions.
[[nodiscard]] DerivativeCheck check_derivatives(ReducedFunctional& functional, const Primal& u,
                                                const Primal& d, const Primal& e);

}  // namespace equipoise::control
