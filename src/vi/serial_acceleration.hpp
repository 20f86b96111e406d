#pragma once

#include <equipoise/vi/anderson.hpp>
#include <equipoise/vi/evaluation.hpp>

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace equipoise::vi {

/// Anderson acceleration of a fixed-point map T with a safeguard: where norm(T(z) - z) exceeds
/// twice its best, T(z) is taken and everything earlier forgotten. Memory: 2 x memory + 3 vectors.
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
  Evaluation& f_;
  Anderson anderson_;
  std::vector<double> r_;
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace equipoise::vi
