#pragma once

#include <equipoise/problems/vi/traffic_network.hpp>

#include <span>

namespace equipoise::problems {

struct PlaneStep {
  double t = 1.0, b = 0.0;
};

/// Derivatives of the objective at v along D and S.
struct PlaneSlope {
  double d = 0.0, s = 0.0;
};

/// Minimises the Beckmann objective over v + t D + b S, 0 <= t <= 1, |b| <= limit, by Newton's
/// method on the box. Without S the full step t = 1 is taken unless the objective rises steeply at
/// its end. All vectors [links]. Communication-free, a handful of cost evaluations per link.
[[nodiscard]] PlaneStep search_plane(const LinkCost& law, std::span<const double> v,
                                     std::span<const double> d, std::span<const double> s,
                                     PlaneSlope start, double limit);

}  // namespace equipoise::problems
