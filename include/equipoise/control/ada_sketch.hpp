#pragma once

#include <equipoise/control/equality.hpp>
#include <equipoise/control/kkt_solver.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <memory>
#include <string>
#include <vector>

namespace equipoise::control {

struct AdaSketchOptions {
  std::string inner = "minres";    ///< minres, gmres, sketch (Gaussian) or kaczmarz
  std::string rule = "relaxed";    ///< published, relaxed or fixed
  double inner_tolerance = 1e-10;  ///< relative residual of the rule `fixed`
  std::int64_t block = 64;         ///< columns of a sketch
  bool metric = true;              ///< sketches under diag(D, G D^-1 G^T) instead of the identity
  double eta1 = 1.0, eta2 = 0.1, delta = 0.1, theta = 1.0, armijo = 0.1, nu = 1.5, xi = 0.1;
  std::int64_t inner_limit = 100000;  ///< inner steps for one system
  std::int64_t seed = 1;
  void describe(state::OptionVisitor& visit);
};

/// Newton on the optimality conditions of an equality-constrained problem, with inexact solves by
/// random sketches or Krylov methods, made global by the exact augmented Lagrangian
///
///     L_eta(x, lambda) = L + eta1/2 |c|^2 + eta2/2 |grad_x L|^2
///
/// (AdaSketch-Newton; Hong, Na, Mahoney, Kolar, ICML 2023). One step solves A z = -(grad_x L, c)
/// with A = [B G^T; G 0] until the accuracy rule holds, makes sure that z descends on L_eta, else
/// changes eta1, eta2 and delta, and backtracks by halves. B is the Hessian of L, shifted where its
/// reduced part is not positive (found by Lanczos steps in the null space of G).
///
/// Rules for |A z - b| <= target:
/// - `published`: theta delta |b| / (|A|_F Psi), Psi = 20 max(|B|_F^2, 1)/(min(xi_G, 1) min(xi,
/// 1)),
///   delta at most (1/2 - armijo) eta2 / ((1 + eta1 + eta2) Ups^2 Psi^2) but at least 1e-6; not
///   below 1e-15 |b|, where rounding ends what any solver can do;
/// - `relaxed`: theta_k delta |b| / (|A| |A^-1|) with norms from Lanczos steps and Brezzi's bound,
///   theta_k = theta min(1, sqrt(|b_k|/|b_0|)) -> 0, and delta smaller only after a z that does not
///   descend: superlinear at the end, cheap before;
/// - `fixed`: inner_tolerance |b|.
class AdaSketch : public solve::Method {
 public:
  AdaSketch(std::shared_ptr<EqualityProblem> problem, const AdaSketchOptions& options);
  void step() override;
  /// The residual is |(grad_x L, c)| relative to the start.
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;
  [[nodiscard]] Vec point() const { return x_; }
  [[nodiscard]] Vec multiplier() const { return lambda_; }
  [[nodiscard]] double kkt_norm() const { return norm_; }
  /// Relative accuracy asked of the last inner solve, before descent tests.
  [[nodiscard]] double accuracy() const { return accuracy_; }

 private:
  struct System;  // B, G, the KKT matrix and its constants at the current point
  void evaluate();
  [[nodiscard]] double merit(Vec x, Vec lambda);
  [[nodiscard]] double slope(System& system, Vec z);
  [[nodiscard]] double target(const System& system);
  bool make_direction(System& system, Vec z);
  bool backtrack(System& system, Vec z, double slope);
  std::shared_ptr<EqualityProblem> problem_;
  AdaSketchOptions options_;
  std::unique_ptr<KktSolver> solver_;
  linalg::Vector x_, lambda_, gradient_, constraint_, trial_x_, trial_lambda_, work_x_, work_c_;
  double eta1_, eta2_, delta_, accuracy_ = 0.0;
  double value_ = solve::Report::unknown, norm_ = -1.0, start_norm_ = -1.0;
  std::int64_t iteration_ = 0, shifts_ = 0, descents_failed_ = 0, halvings_ = 0;
  bool current_ = false;
  std::string trouble_;
};

}  // namespace equipoise::control
