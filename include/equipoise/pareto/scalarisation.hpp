#pragma once

#include <equipoise/pareto/problem.hpp>
#include <equipoise/solve/method.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::pareto {

/// A problem with one objective whose solutions are Pareto points.
struct Scalarisation {
  enum class Kind {
    weighted_sum,   ///< min sum_i w_i f_i
    bounded_level,  ///< min t subject to f_i - z_i <= t r_i, r >= 0 (Pascoletti and Serafini 1984)
    euclidean_reference  ///< min sum_i ((f_i - z_i) / r_i)^2 / 2, z below the front
  };
  Kind kind = Kind::weighted_sum;
  std::vector<double> weights;    ///< [k] w
  std::vector<double> reference;  ///< [m] z
  std::vector<double> direction;  ///< [m] r; in a bounded level r_i = 0 makes f_i <= z_i a plain
                                  ///< bound; empty in a Euclidean reference: ones
  /// [m k] by rows: a bounded level of the combinations A f instead of f itself; empty: f itself.
  std::vector<double> combinations;
};
[[nodiscard]] Scalarisation weighted_sum(std::vector<double> weights);
[[nodiscard]] Scalarisation pascoletti_serafini(std::vector<double> reference,
                                                std::vector<double> direction);
/// min max_i w_i (f_i - z_i): the bounded level with r_i = 1 / w_i.
[[nodiscard]] Scalarisation chebyshev(std::vector<double> ideal, std::span<const double> weights);
/// min f_l subject to f_i <= bounds_i for i != l: the bounded level with r = e_l (bounds_l is the
/// zero of t).
[[nodiscard]] Scalarisation epsilon_constraint(std::size_t l, std::vector<double> bounds);
/// `scale` divides the distances; empty: ones.
[[nodiscard]] Scalarisation euclidean_reference(std::vector<double> reference,
                                                std::vector<double> scale = {});
/// Normalized normal constraint (Messac, Ismail-Yahaya and Mattson 2003): min f_l subject to
/// (f / width - point / width)^T (e_i - e_l) <= 0 for i != l, `point` on the plane of the anchors.
[[nodiscard]] Scalarisation normal_constraint(std::size_t l, const std::vector<double>& point,
                                              std::span<const double> width);
/// Throws ConfigurationError where the parts of a scalarisation do not fit k objectives.
void require_fit(const Scalarisation& scalarisation, std::size_t k);

/// What one solution hands to the next: meant for the solver that made it.
struct WarmPacket {
  std::vector<double> x;            ///< point, in the numbering of the problem
  std::vector<double> multipliers;  ///< [k]
};

enum class ScalarStatus : int {
  converged = 0,
  iteration_limit = 1,
  infeasible = 2,
  not_finite = 3
};

/// One point of a front.
struct ScalarAnswer {
  ScalarStatus status = ScalarStatus::converged;
  std::vector<double> f;        ///< [k]
  std::vector<double> weights;  ///< [k] multipliers, scaled to sum 1
  double residual =
      0.0;  ///< |sum_i w_i grad f_i| over the largest |grad f_i|, in the problem's norm
  std::int64_t grade = 0;  ///< 0 critical (smooth), 1 C-stationary, 2 strongly stationary
  WarmPacket packet;
  solve::Counters counters;
  std::string message;  ///< why it did not converge
};

/// Anything that solves scalarisations, from a dense Newton method to a PDE solver on a group of
/// ranks. `warm` may be null. Non-convergence is a status, not an exception.
template <class S>
concept ScalarSolver = requires(S& solver, const Scalarisation& problem, const WarmPacket* warm) {
  { solver.solve(problem, warm) } -> std::same_as<ScalarAnswer>;
};

struct SmoothSolverOptions {
  double tolerance = 1e-8;  ///< of the residual
  std::int64_t max_iterations = 200;
};

/// Sequential quadratic programming for smooth problems with few variables (dense algebra, O(n^3) a
/// step): exact Hessians where the problem has them, else damped BFGS. The k multipliers come from
/// a k x k dual problem, one solve with the Hessian per objective. Bounds by an active set. Without
/// communication.
class SmoothSolver {
 public:
  explicit SmoothSolver(ProblemView problem, SmoothSolverOptions options = {});
  [[nodiscard]] ScalarAnswer solve(const Scalarisation& scalarisation, const WarmPacket* warm);

 private:
  ProblemView problem_;
  SmoothSolverOptions options_;
};
static_assert(ScalarSolver<SmoothSolver>);

}  // namespace equipoise::pareto
