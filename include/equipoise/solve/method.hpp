#pragma once

#include <equipoise/parallel/traffic.hpp>
#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::solve {

/// Where a method stands, equal on every rank.
struct Report {
  static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  double residual =
      unknown;  ///< the measure that the tolerance is compared with; unknown until first evaluated
  double objective = unknown;  ///< where the problem has one
  bool fresh =
      false;  ///< the residual was evaluated in the last step (methods that evaluate rarely)
  bool failed = false;        ///< a value left the finite numbers; `message` says which
  bool finished = false;      ///< nothing left to do (a front is complete, no step descends)
  bool budget_spent = false;  ///< finished as meant: the calls or steps it was given are used up
  std::string message;
};

/// Calls of the problem's functions so far, by kind ("operator", "prox", "hessian_vector", ...).
using Counters = std::vector<std::pair<std::string, std::int64_t>>;

/// An iterative method: a step and a list of fields. It never opens a file, prints, or reads a
/// clock.
///
/// `fields` names all the state that the next step depends on, so that a method made afresh and
/// filled from a checkpoint continues bit by bit. `solution` names what belongs to /solution of the
/// run file.
class Method : public state::Stateful {
 public:
  /// One iteration. **Collective.** Throws what `parallel::agree` throws when a user's function
  /// fails.
  virtual void step() = 0;
  [[nodiscard]] virtual Report report() const = 0;
  /// Bytes moved on behalf of this method by this rank.
  [[nodiscard]] virtual parallel::Traffic traffic() const { return {}; }
  [[nodiscard]] virtual Counters counters() const { return {}; }
  virtual void solution(state::FieldVisitor& visit) = 0;
  /// Choices made at the start ("step 0.031 from L = 9.99"), for the log and the run file.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> notes() const {
    return {};
  }
};

}  // namespace equipoise::solve
