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

/// A change of the link flows, and what the links see of it (the same where no link yields).
struct FlowChange {
  std::span<const double> flow, seen;
};

/// Minimises the Beckmann objective over v + t D + b S, 0 <= t <= 1, |b| <= limit, by Newton's
/// method on the box; `seen` is what links see of v. Without S the full step t = 1 is taken unless
/// the objective rises steeply at its end; where there is no objective, its derivative <c, D>
/// stands for it. All vectors [links]. Communication-free, a handful of cost evaluations per link.
[[nodiscard]] PlaneStep search_plane(const LinkCost& law, std::span<const double> seen,
                                     FlowChange d, FlowChange s, PlaneSlope start, double limit);

}  // namespace equipoise::problems
