#pragma once

#include <equipoise/control/coupled.hpp>
#include <equipoise/control/space.hpp>
#include <equipoise/control/tracking.hpp>
#include <equipoise/solve/method.hpp>

#include <limits>
#include <memory>
#include <vector>

namespace equipoise::control {

/// Bounds and an l1 cost for the control of a `Tracking` problem: lower <= u <= upper, plus
/// sparsity |u|_1.
struct ControlLimits {
  double lower = -std::numeric_limits<double>::infinity();
  double upper = std::numeric_limits<double>::infinity();
  double sparsity = 0.0;
  /// Throws ConfigurationError for crossed bounds, bounds without 0 beside a sparsity cost, or a
  /// negative one.
  void validate() const;
  /// The control that minimizes beta/2 u^2 + sparsity |u| + p u within the bounds.
  [[nodiscard]] double control(double beta, double p) const;
  /// beta/2 u^2 + sparsity |u|
  [[nodiscard]] double cost(double beta, double u) const;
};

/// Primal-dual active set method for control bounds and l1 costs, a semismooth Newton method: given
/// the adjoint p, every node is at a bound, at zero, or free with u = -(p +- sparsity)/beta; one
/// linear optimality system gives the next p; it ends when the sets repeat, with the exact discrete
/// solution. Sources: Hintermueller, Ito, Kunisch, SIOPT 13 (2002); Stadler, Comput. Optim. Appl.
/// 44 (2009) for l1.
///
/// Alone it can cycle. But it is Newton's method for the dual functional, in W the lumped mass,
///
///     Phi(p) = 1/2 |W^-1 K p + yd|_W^2 - (f, p)_W - sum_i w_i min_u (beta/2 u^2 + sparsity |u| + p
///     u)
///
/// which is strictly convex and piecewise quadratic: with steps shortened to the minimizer along
/// the step wherever the full one does not decrease Phi enough, it ends after finitely many steps
/// from any start, for all bounds and costs.
class ActiveSet : public solve::Method {
 public:
  /// The grid must have the element `fd`. **Collective.**
  ActiveSet(std::shared_ptr<const Tracking> problem, const ControlLimits& limits);
  /// One linear solve and the update of the sets; nothing once they repeat. **Collective.**
  void step() override;
  /// The residual is |u - control(p)| in L2, relative to |u|: exactly 0 when the sets repeat.
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override {
    return count_once(problem_->grid().comm(),
                      {{"coupled_solves", solver_.solves()}, {"shortened_steps", damped_}});
  }
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;
  [[nodiscard]] bool done() const { return changes_ == 0; }
  [[nodiscard]] const std::vector<double>& state() const { return y_; }
  [[nodiscard]] const std::vector<double>& adjoint() const { return p_; }
  [[nodiscard]] const std::vector<double>& control() const { return u_; }

 private:
  [[nodiscard]] std::int64_t set_of(double p, std::int64_t old, double guard) const;
  [[nodiscard]] double control_on(std::int64_t set, double p) const;
  void solve_on_sets(std::vector<double>& y, std::vector<double>& p);
  [[nodiscard]] double step_length(const std::vector<double>& y,
                                   const std::vector<double>& p) const;
  std::shared_ptr<const Tracking> problem_;
  ControlLimits limits_;
  CoupledSolver solver_;
  std::vector<std::int64_t>
      set_;  // -2 lower bound, -1 and 1 free with that sign of u, 0 zero, 2 upper bound
  std::vector<double> y_, p_, u_, multiplier_;
  double residual_ = solve::Report::unknown, cost_ = solve::Report::unknown;
  std::int64_t changes_ = -1, damped_ = 0;
};

}  // namespace equipoise::control
