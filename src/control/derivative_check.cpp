#include <equipoise/control/derivative_check.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace equipoise::control {

using linalg::check;

DerivativeCheck check_derivatives(ReducedFunctional& functional, const Primal& u, const Primal& d,
                                  const Primal& e) {
  const Space& space = functional.space();
  Dual first = space.dual(), along_d = space.dual(), along_e = space.dual();
  const double base = functional.value(u);
  functional.derivative(first);
  functional.hessian(d, along_d);
  functional.hessian(e, along_e);
  const double slope = pairing(first, d);
  const double curvature = pairing(along_d, d);
  const double de = pairing(along_d, e), ed = pairing(along_e, d);

  DerivativeCheck result;
  result.asymmetry = std::abs(de - ed) / std::max({std::abs(de), std::abs(ed), 1e-300});
  constexpr double none = std::numeric_limits<double>::infinity();
  std::array<double, 3> order = {none, none, none}, previous{};
  Primal moved = space.primal();
  double t = 1e-2;
  for (int level = 0; level <= 6; ++level, t *= 0.5) {
    check(VecWAXPY(moved.values, t, d.values, u.values));
    const double change = functional.value(moved) - base;
    const std::array<double, 3> remainder = {
        std::abs(change), std::abs(change - t * slope),
        std::abs(change - t * slope - 0.5 * t * t * curvature)};
    for (std::size_t i = 0; i < 3; ++i) {
      const bool sound = remainder[i] > 1e-11 * std::abs(base);
      if (level > 0 && sound && previous[i] > 0.0) {
        order[i] = std::min(order[i], std::log2(previous[i] / remainder[i]));
      }
      previous[i] = sound ? remainder[i] : 0.0;
    }
  }
  result.value_order = order[0];
  result.gradient_order = order[1];
  result.hessian_order = order[2];
  functional.value(u);
  return result;
}

}  // namespace equipoise::control
