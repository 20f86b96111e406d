#pragma once

#include <equipoise/control/laplace_posterior.hpp>

#include <functional>
#include <memory>
#include <string>

namespace equipoise::control {

/// Recover m in -div(exp(m) grad u) = 1 on the unit square, u = 0 on the boundary, from noisy
/// values of u: min 1/2 |u - ud|^2 + regularization/2 |grad m|^2. Each of cells x cells squares is
/// two triangles; u is quadratic on them (P2), m linear (P1, the boundary included).
struct CoefficientOptions {
  std::int64_t cells = 64;
  double regularization = 1e-8;
  /// `gradient`: the penalty above. `bilaplacian`: regularization/2 |m - mean|^2 in the norm of a
  /// `BilaplacianPrior`; with the variance of the data error (white noise) as regularization, the
  /// cost over it is the negative logarithm of the posterior density.
  std::string prior = "gradient";
  double prior_gamma = 0.1, prior_delta = 0.5, prior_mean = 1.5;
  double noise = 0.05;  ///< standard deviation of the data error, relative to max |u|
  std::int64_t seed = 1;
};

/// The reduced functional of the inversion. One factorisation of the state matrix per coefficient
/// serves the state, the adjoint and both solves of every Hessian action. With C_v[i,a] = int e^m
/// psi_a grad v . grad phi_i the derivative is gamma K m - C_u^T p, A p = M (u - ud), and the
/// Hessian action gamma K d - D d - C_p^T w - C_u^T q with A w = -C_u d and A q = M w - C_p d.
class CoefficientFunctional : public InverseProblem {
 public:
  using Coefficient = std::function<double(const Point&)>;
  /// Makes the data from the coefficient `truth`. **Collective.** Throws ConfigurationError for bad
  /// options.
  CoefficientFunctional(const parallel::Comm& comm, const CoefficientOptions& options,
                        const Coefficient& truth);
  ~CoefficientFunctional() override;
  [[nodiscard]] const Space& space() const override;
  double value(const Primal& m) override;
  void derivative(Dual& out) override;
  void hessian(const Primal& d, Dual& out, Curvature curvature = Curvature::full) override;
  void data_hessian(const Primal& d, Dual& out, Curvature curvature) override;
  [[nodiscard]] const BilaplacianPrior& prior() const override;
  [[nodiscard]] double scale() const override { return options_.regularization; }
  /// (regularization (K + M))^-1, or the covariance of the prior over the regularization.
  void precondition(const Dual& f, Primal& out) override;
  [[nodiscard]] solve::Counters counters() const override;
  void visit_state(state::FieldVisitor& visit) override;
  /// Nodal values of a coefficient. **Collective.**
  [[nodiscard]] Primal interpolate(const Coefficient& coefficient) const;
  [[nodiscard]] double misfit() const { return misfit_; }
  [[nodiscard]] double penalty() const { return penalty_; }
  /// The state and the adjoint, on the interior of the lattice of 2 cells per direction.
  [[nodiscard]] Vec state() const;
  [[nodiscard]] Vec adjoint() const;

 private:
  struct Discretization;
  void assemble(Vec m);
  void solve(Vec b, Vec x);
  CoefficientOptions options_;
  std::unique_ptr<Discretization> discrete_;
  double misfit_ = 0.0, penalty_ = 0.0;
  bool second_ready_ = false;  // C_p and D belong to the current adjoint
  std::int64_t state_solves_ = 0, adjoint_solves_ = 0, hessian_actions_ = 0, factorisations_ = 0;
};

}  // namespace equipoise::control
