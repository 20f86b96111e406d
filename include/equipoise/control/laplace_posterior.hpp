#pragma once

#include <equipoise/control/newton_cg.hpp>
#include <equipoise/control/prior.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace equipoise::control {

/// An inverse problem whose cost is scale * (negative logarithm of the posterior density): a data
/// term, and scale/2 (m - mean)^T R (m - mean) with R the precision of a prior.
class InverseProblem : public ReducedFunctional {
 public:
  /// out = Hessian of the data term times d. **Collective**, two linear solves.
  virtual void data_hessian(const Primal& d, Dual& out, Curvature curvature) = 0;
  /// Throws ConfigurationError if the problem was set up without one.
  [[nodiscard]] virtual const BilaplacianPrior& prior() const = 0;
  [[nodiscard]] virtual double scale() const = 0;
};

struct LaplacePosteriorOptions {
  double newton_tolerance = 1e-8;  ///< relative gradient at which the most probable point counts
  double truncation = 1e-5;        ///< eigenvalues below are left out
  std::int64_t block = 32;         ///< random directions at a time
  std::int64_t max_rank = 1000;    ///< most directions
  std::int64_t samples = 0;        ///< drawn from the posterior and stored
  std::int64_t seed = 0;           ///< of directions and samples
  bool gauss_newton = false;       ///< drop the adjoint terms of the data Hessian
  NewtonCgOptions newton;
  void describe(state::OptionVisitor& visit);
};

/// The Gaussian approximation of a posterior at its most probable point m, which Newton-CG finds.
/// With H the Hessian of the data term over the scale and H v = lambda R v its eigenpairs, v^T R v
/// = 1, the covariance is (H + R)^-1 = R^-1 - sum lambda/(1+lambda) v v^T. The pairs come from a
/// randomised double pass, in blocks until the eigenvalues have dropped below the truncation:
/// Y = R^-1 H Omega made R-orthonormal, then the eigenpairs of Y^T H Y. Cost: two Hessian actions a
/// direction, one solve with the prior's operator a node for the exact prior variance. Memory: two
/// vectors a direction. A step is a Newton step, then one block. Sources: Saibaba, Lee, Kitanidis,
/// NLA 23 (2016); Bui-Thanh, Ghattas, Martin, Stadler, SISC 35 (2013).
class LaplacePosterior : public solve::Method {
 public:
  LaplacePosterior(std::shared_ptr<InverseProblem> problem, Primal start,
                   const LaplacePosteriorOptions& options);
  void step() override;
  /// The residual is that of Newton-CG once the eigenpairs are there; unknown before.
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  /// The most probable point as `control`, `prior_variance`, `posterior_variance`, and samples.
  /// **Collective.**
  void solution(state::FieldVisitor& visit) override;

  [[nodiscard]] const Primal& control() const { return newton_.control(); }
  /// By decreasing size, those above the truncation.
  [[nodiscard]] const std::vector<double>& eigenvalues() const { return eigenvalues_; }
  [[nodiscard]] bool done() const { return done_ != 0; }
  /// The diagonal of R^-1 and of (H + R)^-1. **Collective.**
  [[nodiscard]] linalg::Vector prior_variance() const;
  [[nodiscard]] linalg::Vector posterior_variance() const;
  /// A draw from the approximation: m + (I - V S V^T R) s, s from the prior and
  /// S = 1 - 1/sqrt(1 + lambda). **Collective.**
  [[nodiscard]] linalg::Vector sample(std::int64_t number) const;

 private:
  void add_block();
  void diagonalise();
  std::shared_ptr<InverseProblem> problem_;
  LaplacePosteriorOptions options_;
  NewtonCg newton_;
  std::vector<linalg::Vector> basis_, images_, vectors_;  // Q, H Q, V
  std::vector<double> eigenvalues_;
  mutable linalg::Vector prior_variance_;
  std::int64_t done_ = 0, directions_ = 0;
};

}  // namespace equipoise::control
