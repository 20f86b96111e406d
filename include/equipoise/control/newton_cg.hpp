#pragma once

#include <equipoise/control/reduced_method.hpp>
#include <equipoise/state/options.hpp>

#include <vector>

namespace equipoise::control {

struct NewtonCgOptions {
  std::int64_t gauss_newton_steps = 5;  ///< first steps without the adjoint terms of the Hessian
  double armijo = 1e-4;                 ///< sufficient decrease
  std::int64_t max_cg = 200;            ///< Hessian actions in a step
  double decrease_tolerance = 1e-11;    ///< finished when <j', d> is below this part of the cost
  void describe(state::OptionVisitor& visit);
};

/// Inexact Newton-CG for a reduced functional: CG on j'' d = -j', preconditioned by the functional,
/// until the residual is below min(1/2, sqrt(|g|/|g0|)) |g| (Eisenstat, Walker) or curvature is not
/// positive (Steihaug: the last iterate, or the preconditioned gradient at the first); then
/// backtracking by halves under the Armijo condition. The residual is |j'| in the dual norm of the
/// control space relative to the start. A direction that is not one of descent, or ten halvings
/// without decrease, is reported as a failure.
class NewtonCg : public ReducedMethod {
 public:
  NewtonCg(std::shared_ptr<ReducedFunctional> functional, Primal start,
           const NewtonCgOptions& options);
  void step() override;
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  /// CG steps of each Newton step so far.
  [[nodiscard]] const std::vector<std::int64_t>& cg_steps() const { return cg_steps_; }

 private:
  std::int64_t inner_cg(double tolerance, Curvature curvature);
  NewtonCgOptions options_;
  Primal search_, image_primal_;
  Dual residual_, image_;
  std::vector<std::int64_t> cg_steps_;
};

}  // namespace equipoise::control
