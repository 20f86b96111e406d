#pragma once

#include <cstdint>

namespace equipoise::control {

/// A time-stepping scheme whose steps are revisited in reverse order, with a working state and
/// numbered snapshots of it. Step k leads from state k to state k + 1.
class ReversibleSteps {
 public:
  virtual ~ReversibleSteps() = default;
  /// Moves the working state from `from` to `to`, one step at a time.
  virtual void advance(std::int64_t from, std::int64_t to) = 0;
  /// Copies the working state into a snapshot, or back.
  virtual void save(std::int64_t snapshot) = 0;
  virtual void load(std::int64_t snapshot) = 0;
  /// With the working state at `step`: takes that step once more, and its adjoint.
  virtual void adjoint(std::int64_t step) = 0;
};

/// What a reversal did.
struct ReversalCount {
  std::int64_t advances = 0;  ///< steps taken by `advance`
  std::int64_t live = 0;      ///< most snapshots held at one time, the initial state included
};

/// Calls `adjoint` for steps - 1, ..., 0 with at most `snapshots` snapshots, the initial one
/// included, and as few advances as possible: reversal_advances(steps, snapshots). The working
/// state must be the initial one. Throws ConfigurationError for fewer than one snapshot or a
/// negative number of steps. Source: Griewank, Walther, Algorithm 799: revolve, ACM TOMS 26 (2000).
ReversalCount reverse(std::int64_t steps, std::int64_t snapshots, ReversibleSteps& scheme);

/// t(l, s) = r l - C(s + r, s + 1) with r the smallest number such that C(s + r, s) >= l.
[[nodiscard]] std::int64_t reversal_advances(std::int64_t steps, std::int64_t snapshots);

}  // namespace equipoise::control
