#pragma once

#include <equipoise/vi/evaluation.hpp>

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace equipoise::vi {

/// Anderson acceleration (type II) of a fixed-point map T: from the differences dZ, dR of the last
/// points and residuals r = T(z) - z it proposes T(z) - (dZ + dR) a, where a minimises
/// norm(r - dR a)^2 + 1e-10 norm(dR)_F^2 norm(a)^2. Where norm(r) exceeds twice its best (the
/// safeguard), T(z) is taken and everything earlier forgotten. Memory: 2 x memory + 2 vectors.
class Acceleration {
 public:
  Acceleration(Evaluation& f, std::int64_t memory);
  /// Takes z and T(z); overwrites `next` (T(z) on entry) by the proposal, or leaves it. Returns
  /// whether it was changed. **Collective** for a partitioned z.
  bool accelerate(std::span<const double> z, std::vector<double>& next);
  /// Forgets the past, after a restart.
  void clear();
  void fields(state::FieldVisitor& visit);

 private:
  using Vector = std::vector<double>;
  void remember(std::span<const double> z, std::span<const double> r);
  bool solve(std::span<const double> r, std::vector<double>& weights);

  Evaluation& f_;
  std::vector<Vector> points_, residuals_;  // differences, a ring
  Vector last_z_, last_r_, r_;
  std::vector<double> gram_;  // of the residual differences, [memory, memory]
  std::int64_t filled_ = 0, next_ = 0, seen_ = 0;
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace equipoise::vi
