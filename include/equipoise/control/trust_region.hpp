#pragma once

#include <equipoise/control/reduced_method.hpp>
#include <equipoise/state/options.hpp>

#include <vector>

namespace equipoise::control {

struct TrustRegionOptions {
  std::int64_t gauss_newton_steps = 5;  ///< first steps without the adjoint terms of the Hessian
  std::int64_t max_cg = 200;            ///< Hessian actions in a step
  double radius = 0.0;  ///< first radius; 0 takes the norm of the preconditioned gradient
  double decrease_tolerance = 1e-11;  ///< finished when a step promises less than this part
  void describe(state::OptionVisitor& visit);
};

/// Newton-CG in a trust region: CG on j'' d = -j', preconditioned by the functional, until the
/// residual is below min(1/2, sqrt(|g|/|g0|)) |g|, or the step meets the boundary, or curvature is
/// not positive and the step goes to the boundary; distances are measured by the preconditioner. A
/// step is taken if it brings a tenth of the decrease promised; the radius shrinks below a quarter
/// and grows above three quarters of it. Negative curvature and failed state solves (infinite cost)
/// are handled, not reported. Source: Steihaug, SINUM 20 (1983); Conn, Gould, Toint, Trust-Region
/// Methods (2000), Algorithms 7.5.1 and 6.1.1.
class TrustRegion : public ReducedMethod {
 public:
  TrustRegion(std::shared_ptr<ReducedFunctional> functional, Primal start,
              const TrustRegionOptions& options);
  void step() override;
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] double radius() const { return radius_; }

 private:
  /// Fills direction_; returns the decrease that the quadratic model promises.
  double truncated_cg(double tolerance, Curvature curvature);
  double to_boundary();
  TrustRegionOptions options_;
  Primal search_, image_primal_;
  Dual residual_, image_;
  double radius_, step_norm_ = 0.0;
  // Products under the preconditioner's inverse: |d|^2, <d, s>, |s|^2.
  double dd_ = 0.0, ds_ = 0.0, ss_ = 0.0;
  std::int64_t cg_steps_ = 0, rejected_ = 0;
};

}  // namespace equipoise::control
