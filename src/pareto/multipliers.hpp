#pragma once

#include <optional>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// max c^T l - l^T a l / 2 over l >= 0, r^T l = 1, for a symmetric positive semidefinite `a` [k k]:
/// the multipliers of a bounded level. Tries the active sets (k is small). Nothing where no set
/// fits: the maximum is infinite, because the bounds contradict each other.
[[nodiscard]] std::optional<std::vector<double>> bounded_multipliers(std::span<const double> a,
                                                                     std::span<const double> c,
                                                                     std::span<const double> r);

}  // namespace equipoise::pareto
