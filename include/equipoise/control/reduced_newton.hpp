#pragma once

#include <equipoise/control/active_set.hpp>
#include <equipoise/control/tracking.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <memory>
#include <string>

namespace equipoise::control {

struct ReducedNewtonOptions {
  double inner_tolerance = 1e-13;  ///< of state and adjoint solves, on the true residual
  std::int64_t memory = 300;       ///< Hessian actions kept; then it starts afresh
  void describe(state::OptionVisitor& visit);
};

/// Minimizes the reduced functional of `Tracking` under `ControlLimits` by Newton steps on a model
/// that keeps every Hessian action. The Hessian is beta plus the compact S*S, of which a few
/// directions matter: from the pairs (d, S*S d) made so far, d orthonormal, the model is
///
///     H = beta + Z Z^T,    Z Z^T = Y (D^T Y)^+ Y^T    (Nystroem: exact on the span of D),
///
/// and the model problem with bounds and l1 cost is solved by semismooth Newton for the few
/// unknowns eta of the dual, in which the control is control(p + Z eta). One step is one Hessian
/// action, two linear solves, on the step itself, and an exact line search on the segment: the cost
/// decreases always. All products are those of L2 (lumped mass). The residual is |u - control(p)|
/// relative to |u|. Memory: two vectors a step. Source for the dual: Becker, Fadili, Ochs, SIOPT 29
/// (2019).
class ReducedNewton : public solve::Method {
 public:
  /// The grid must have the element `fd`. **Collective.**
  ReducedNewton(std::shared_ptr<const Tracking> problem, const ControlLimits& limits,
                const ReducedNewtonOptions& options);
  ~ReducedNewton() override;
  void step() override;
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override {
    return count_once(problem_->grid().comm(), functional_.counters());
  }
  void fields(state::FieldVisitor& visit) override;
  /// The control, and with one state and one adjoint solve what belongs to it. **Collective.**
  void solution(state::FieldVisitor& visit) override;
  /// The control at present, copied into a vector that this object owns.
  [[nodiscard]] Vec control();

 private:
  struct Model;  // the local entries and the pairs, in dense matrices
  void start();
  void measure();
  std::shared_ptr<const Tracking> problem_;
  ControlLimits limits_;
  ReducedNewtonOptions options_;
  TrackingFunctional functional_;
  std::unique_ptr<Model> model_;
  std::int64_t iteration_ = -1;
  double residual_ = solve::Report::unknown, cost_ = solve::Report::unknown;
  Primal control_, step_;
  Dual derivative_;
  std::string trouble_;
};

}  // namespace equipoise::control
