#pragma once

#include <equipoise/state/fields.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace equipoise::vi {

/// Adapts a step where the residual is known exactly: half of it, from the best point, when the
/// residual exceeds twice the best or has not been best for `patience` looks (which doubles each
/// time, so that slow progress is not mistaken for a stall for ever); a fifth more after ten falls
/// in a row, up to a cap that shrinks with every failure.
struct Safeguard {
  enum class Verdict { keep, best, back };

  double tolerated = 2.0;
  double step = 0.0;
  double cap = 0.0;
  double best_residual = 0.0;
  double last_residual = 0.0;
  std::int64_t falls = 0;
  std::int64_t since_best = 0;
  std::int64_t patience = 200;

  void begin(double first_step, double residual, double growth = 4.0) {
    step = first_step;
    cap = growth * first_step;
    best_residual = last_residual = residual;
    falls = since_best = 0;
  }
  /// What to do at a point with this residual; `step` is already what it should be. `best`: keep
  /// the point as the one to go back to; `back`: go there.
  [[nodiscard]] Verdict judge(double residual) {
    const bool stalled = ++since_best > patience && !(residual < best_residual);
    if (stalled) patience *= 2;
    if (stalled || !(residual <= tolerated * best_residual)) {
      since_best = stalled ? 0 : since_best;
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
    since_best = 0;
    return Verdict::best;
  }
  void fields(state::FieldVisitor& visit) {
    visit.scalar("step", step);
    visit.scalar("step_cap", cap);
    visit.scalar("falls", falls);
    visit.scalar("since_best", since_best);
    visit.scalar("patience", patience);
    visit.scalar("best_residual", best_residual);
    visit.scalar("last_residual", last_residual);
  }
};

}  // namespace equipoise::vi
