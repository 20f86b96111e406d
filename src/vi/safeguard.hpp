#pragma once

#include <equipoise/state/fields.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace equipoise::vi {

/// Adapts a step where the residual is known exactly: half of it, from the best point, when the
/// residual exceeds twice the best; a fifth more after ten falls in a row, up to a cap that shrinks
/// with every failure.
struct Safeguard {
  enum class Verdict { keep, best, back };

  double tolerated = 2.0;
  double step = 0.0;
  double cap = 0.0;
  double best_residual = 0.0;
  double last_residual = 0.0;
  std::int64_t falls = 0;

  void begin(double first_step, double residual, double growth = 4.0) {
    step = first_step;
    cap = growth * first_step;
    best_residual = last_residual = residual;
    falls = 0;
  }
  /// What to do at a point with this residual; `step` is already what it should be. `best`: keep
  /// the point as the one to go back to; `back`: go there.
  [[nodiscard]] Verdict judge(double residual) {
    if (!(residual <= tolerated * best_residual)) {
      step *= 0.5;
      cap = std::max(0.8 * cap, step);
      falls = 0;
      return Verdict::back;
    }
    falls = residual < last_residual ? falls + 1 : 0;
    last_residual = residual;
    if (falls >= 10) {
      step = std::max(step, std::min(1.2 * step, cap));
      falls = 0;
    }
    if (!(residual < best_residual)) return Verdict::keep;
    best_residual = residual;
    return Verdict::best;
  }
  void fields(state::FieldVisitor& visit) {
    visit.scalar("step", step);
    visit.scalar("step_cap", cap);
    visit.scalar("falls", falls);
    visit.scalar("best_residual", best_residual);
    visit.scalar("last_residual", last_residual);
  }
};

}  // namespace equipoise::vi
