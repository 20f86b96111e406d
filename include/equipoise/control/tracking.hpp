#pragma once

#include <equipoise/control/multigrid.hpp>
#include <equipoise/control/reduced.hpp>

#include <memory>

namespace equipoise::control {

/// min 1/2 |y - yd|^2 + beta/2 |u|^2 subject to K y = M (u + f): tracking under the Poisson
/// equation, L2 norms by the mass matrix of the grid.
struct Tracking {
  std::shared_ptr<const Hierarchy> hierarchy;
  double beta = 1e-2;
  linalg::Vector target;  ///< yd at the nodes
  linalg::Vector source;  ///< f at the nodes
  /// Throws ConfigurationError for beta <= 0 or a target or source of the wrong size.
  /// **Collective.**
  void validate() const;
  [[nodiscard]] const Grid& grid() const { return hierarchy->finest(); }
  /// The cost of a pair. **Collective.**
  [[nodiscard]] double cost(Vec state, Vec control) const;
};

/// The reduced functional of `Tracking`; quadratic, so its Hessian does not depend on the control.
class TrackingFunctional : public ReducedFunctional {
 public:
  /// `tolerance` is that of the state and adjoint solves, on the true residual. **Collective.**
  TrackingFunctional(std::shared_ptr<const Tracking> problem, Riesz riesz = Riesz::mass,
                     double tolerance = 1e-13);
  [[nodiscard]] const Space& space() const override { return space_; }
  double value(const Primal& u) override;
  void derivative(Dual& out) override;
  void hessian(const Primal& d, Dual& out, Curvature curvature = Curvature::full) override;
  [[nodiscard]] solve::Counters counters() const override;
  void visit_state(state::FieldVisitor& visit) override;
  [[nodiscard]] Vec state() const { return state_; }
  [[nodiscard]] Vec adjoint() const { return adjoint_; }

 private:
  std::shared_ptr<const Tracking> problem_;
  GridSpace space_;
  double tolerance_;
  Multigrid poisson_;
  linalg::Vector control_, state_, adjoint_, load_, work_;
  std::int64_t state_solves_ = 0, adjoint_solves_ = 0, hessian_actions_ = 0;
};

}  // namespace equipoise::control
