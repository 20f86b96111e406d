#pragma once

#include <equipoise/pareto/field_solver.hpp>

#include <memory>

namespace equipoise::pareto {

struct DualSolverOptions {
  /// Largest distance from the optimality conditions in the values, in the scale of the direction.
  double tolerance = 1e-11;
  /// The same where a Newton step gains nothing: short directions are differences of long values.
  double rounding = 1e-8;
  /// The same where steps gain nothing, for weighted sums solved inexactly.
  double uncertainty = 0.0;
  std::int64_t max_iterations = 40;
};

/// Every scalarisation through weighted sums alone.
///
/// A scalarisation is min phi(A f(u)) with a convex phi, so that its multipliers mu maximize the
/// concave
///
///     D(mu) = min_u l^T f(u) - z^T mu - rho(mu),   l = A^T mu,   grad D = A f - z - grad rho,
///
/// a problem in k variables: rho = 0 on {mu >= 0, r^T mu = 1} for the bounded level, and
/// rho = sum_i r_i^2 mu_i^2 / 2 on {mu >= 0} for the Euclidean reference point. One evaluation is
/// one weighted sum, warm-started from the last; its sensitivity (k - 1 linear solves) is the
/// Hessian of D, and Newton steps under an Armijo condition need about three to five evaluations.
/// Finds the points that minimize some weighted sum: all of a convex front; where a front is not
/// convex the point it looks for does not exist, and the answer says so.
class DualSolver final : public FieldSolver {
 public:
  explicit DualSolver(std::unique_ptr<WeightedSolver> solver, DualSolverOptions options = {});
  [[nodiscard]] std::size_t objectives() const override { return solver_->objectives(); }
  [[nodiscard]] std::string fingerprint() const override { return solver_->fingerprint(); }
  [[nodiscard]] const partition::Partition& rows() const override { return solver_->rows(); }
  [[nodiscard]] std::vector<std::string> fields() const override { return solver_->fields(); }
  [[nodiscard]] std::vector<std::string> counters() const override;
  ScalarAnswer solve(const Scalarisation& scalarisation, const WarmPacket* warm) override;
  [[nodiscard]] WeightedSolver& weighted() { return *solver_; }

 private:
  std::unique_ptr<WeightedSolver> solver_;
  DualSolverOptions options_;
};

}  // namespace equipoise::pareto
