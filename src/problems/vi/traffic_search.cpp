#include "traffic_search.hpp"

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

/// Gradient and Hessian of the objective in (t, b).
struct Quadratic {
  double g0, g1, h00 = 0.0, h01 = 0.0, h11 = 0.0;
  [[nodiscard]] double change(double x, double y) const {
    return g0 * x + g1 * y + 0.5 * (h00 * x * x + 2.0 * h01 * x * y + h11 * y * y);
  }
  [[nodiscard]] double slope(double x, double y) const { return g0 * x + g1 * y; }
};

class Plane {
 public:
  Plane(const LinkCost& law, std::span<const double> v, FlowChange d, FlowChange s,
        PlaneSlope start)
      : law_(law), v_(v), d_(d), s_(s), start_(start) {}

  [[nodiscard]] Quadratic at(PlaneStep at) const {
    Quadratic q{start_.d, start_.s};
    for (std::size_t a = 0; a < v_.size(); ++a) {
      const double d = d_.flow[a];
      const double s = s_.flow.empty() ? 0.0 : s_.flow[a];
      if (d == 0.0 && s == 0.0) continue;
      const double d_seen = d_.seen[a];
      const double s_seen = s_.flow.empty() ? 0.0 : s_.seen[a];
      double cost = 0.0, slope = 0.0;
      const double change = at.t * d_seen + at.b * s_seen;
      law_.evaluate(a, v_[a] + change, cost, slope);
      const double rise = law_.rise(a, v_[a], change);
      q.g0 += rise * d;
      q.g1 += rise * s;
      q.h00 += slope * d_seen * d;
      q.h01 += slope * d_seen * s;
      q.h11 += slope * s_seen * s;
    }
    return q;
  }

 private:
  const LinkCost& law_;
  std::span<const double> v_;
  FlowChange d_, s_;
  PlaneSlope start_;
};

/// The minimum of the model over the box: inside, or on one of its lines.
PlaneStep minimum(const Quadratic& q, PlaneStep at, double limit) {
  PlaneStep best = at;
  double least = 0.0;
  const auto consider = [&](double t, double b) {
    t = std::clamp(t, 0.0, 1.0);
    b = std::clamp(b, -limit, limit);
    const double change = q.change(t - at.t, b - at.b);
    if (change < least) {
      least = change;
      best = {t, b};
    }
  };
  const double determinant = q.h00 * q.h11 - q.h01 * q.h01;
  if (determinant > 1e-12 * q.h00 * q.h11) {
    const double t = at.t + (q.g1 * q.h01 - q.g0 * q.h11) / determinant;
    const double b = at.b + (q.g0 * q.h01 - q.g1 * q.h00) / determinant;
    if (t >= 0.0 && t <= 1.0 && std::abs(b) <= limit) consider(t, b);
  }
  for (const double t : {0.0, 1.0}) {
    if (q.h11 > 0.0) consider(t, at.b - (q.g1 + q.h01 * (t - at.t)) / q.h11);
  }
  for (const double b : {0.0, -limit, limit}) {
    if (q.h00 > 0.0) {
      consider(at.t - (q.g0 + q.h01 * (b - at.b)) / q.h00, b);
    } else {
      consider(q.g0 < 0.0 ? 1.0 : 0.0, b);
    }
  }
  return best;
}

}  // namespace

PlaneStep search_plane(const LinkCost& law, std::span<const double> seen, FlowChange d,
                       FlowChange s, PlaneSlope start, double limit) {
  constexpr int largest_steps = 8, largest_halvings = 20;
  const Plane plane(law, seen, d, s, start);
  PlaneStep here{0.0, 0.0};
  Quadratic q = plane.at(here);
  const bool line = s.flow.empty();
  if (line && plane.at({1.0, 0.0}).g0 <= 0.5 * std::abs(q.g0)) return {1.0, 0.0};
  for (int k = 0; k < largest_steps; ++k) {
    const PlaneStep goal = minimum(q, here, line ? 0.0 : limit);
    const double x = goal.t - here.t;
    const double y = goal.b - here.b;
    if (x == 0.0 && y == 0.0) break;
    const double slope = q.slope(x, y);
    double part = 1.0;
    Quadratic next = q;
    for (int halving = 0; halving < largest_halvings; ++halving, part *= 0.5) {
      next = plane.at({here.t + part * x, here.b + part * y});
      if (next.slope(x, y) <= 0.5 * std::abs(slope)) break;
    }
    here = {here.t + part * x, here.b + part * y};
    q = next;
    if (part == 1.0 && std::abs(q.slope(x, y)) <= 0.01 * std::abs(slope)) break;
  }
  return here;
}

}  // namespace equipoise::problems
