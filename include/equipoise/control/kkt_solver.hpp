#pragma once

#include <equipoise/control/kkt.hpp>

#include <memory>
#include <string>

namespace equipoise::control {

/// Improves a solution of A z = b, A the matrix of a `Kkt`, until |A z - b| <= target.
class KktSolver {
 public:
  virtual ~KktSolver() = default;
  /// `r` is A z - b on entry and on return. Ends early after `limit` inner steps, or where rounding
  /// keeps the residual up. **Collective.**
  virtual void improve(Kkt& kkt, Vec b, Vec z, Vec r, double target, std::int64_t limit) = 0;
  /// Products with A so far (a sketch of k columns counts k + 1), and inner steps.
  [[nodiscard]] std::int64_t products() const { return products_; }
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  /// The steps so far are part of the state: random streams go on where they were.
  void set(std::int64_t products, std::int64_t steps) { products_ = products, steps_ = steps; }

 protected:
  std::int64_t products_ = 0, steps_ = 0;
};

/// MINRES, or GMRES, preconditioned by the metric of the system, with iterative refinement.
[[nodiscard]] std::unique_ptr<KktSolver> krylov_kkt_solver(bool minres);

/// Randomised projection (sketch and project, Gower and Richtarik, SIMAX 36, 2015):
///
///     z -= P^-1 A S (S^T A P^-1 A S)^+ S^T (A z - b)
///
/// with S of `block` columns, Gaussian or (Kaczmarz) columns of the identity, and P the identity or
/// the metric of the system; Gaussian sketches have the covariance P^-1.
/// Every number is drawn from (seed, inner step, column, logical row): the stream is the same on
/// any number of ranks, and each rank draws what it needs. A step exchanges block (block + 1)
/// numbers.
[[nodiscard]] std::unique_ptr<KktSolver> sketched_kkt_solver(bool gaussian, bool metric,
                                                             std::int64_t block, std::int64_t seed);

}  // namespace equipoise::control
