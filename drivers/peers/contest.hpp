#pragma once

#include <equipoise/control/reduced.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::peers {

/// What a solver needed until the referee was satisfied.
struct Score {
  std::string solver;
  bool reached = false;
  std::int64_t state = 0, adjoint = 0, hessian = 0;
  double seconds = 0.0;  ///< the referee's own work not included
  std::string note;      ///< why it ended, if it never got there
  [[nodiscard]] std::int64_t pde_solves() const { return state + adjoint + 2 * hessian; }
};

/// One reduced functional, shared by all packages in turn, and a referee: a second instance of it
/// that measures the projected gradient, in the dual norm of the control space relative to the
/// start, at every iterate a package shows. The first iterate at or below `target` ends the clock
/// and the count of solves.
class Contest {
 public:
  using Factory = std::function<std::shared_ptr<control::ReducedFunctional>()>;
  Contest(Factory make, const std::function<control::Primal(control::ReducedFunctional&)>& start,
          double lower, double upper, double target = 1e-8);

  /// Starts the clock; the functional is made afresh at its first use, so that every solver pays
  /// for the set-up of what it uses.
  void begin(const std::string& solver);
  /// Shows an iterate. True once the target is reached. **Collective**, two PDE solves that do not
  /// count.
  bool shows(Vec iterate);
  /// Ends the clock where no iterate got there.
  Score end(const std::string& note);

  [[nodiscard]] bool bounded() const { return lower_ > -1e300 || upper_ < 1e300; }
  [[nodiscard]] double lower() const { return lower_; }
  [[nodiscard]] double upper() const { return upper_; }
  [[nodiscard]] const control::Primal& start() const { return start_; }
  [[nodiscard]] const std::shared_ptr<control::ReducedFunctional>& functional() {
    if (!functional_) functional_ = make_();
    return functional_;
  }
  [[nodiscard]] const control::Space& space() const { return referee_->space(); }

  /// The three calls of every package: solves are made again only if the point has changed.
  double value(Vec u);
  void gradient(Vec u, Vec derivative);
  void hessian(Vec u, Vec direction, Vec image);
  /// The preconditioner of the functional, told to packages that can use one.
  void precondition(Vec dual, Vec primal);

  /// Counts and clock of methods of ours that run without `functional()`.
  void count(std::int64_t state, std::int64_t adjoint, std::int64_t hessian);

 private:
  void stand_at(Vec u);
  double projected_gradient(Vec iterate);
  Factory make_;
  std::shared_ptr<control::ReducedFunctional> functional_, referee_;
  double lower_, upper_, target_, start_norm_ = 0.0;
  control::Primal start_, point_, work_, referee_point_;
  control::Dual dual_, referee_dual_;
  bool standing_ = false, differentiated_ = false;
  double value_ = 0.0, clock_ = 0.0, paused_ = 0.0;
  Score score_;
};

/// The solvers of PETSc TAO and of Trilinos ROL on a contest; each score is shown when it stands.
using Shown = std::function<void(const Score&)>;
void run_tao(Contest& contest, bool inversion, const Shown& show);
void run_rol(Contest& contest, bool inversion, const Shown& show);

}  // namespace equipoise::peers
