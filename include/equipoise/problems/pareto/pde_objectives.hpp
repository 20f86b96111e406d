#pragma once

#include <equipoise/control/multigrid.hpp>
#include <equipoise/pareto/field_solver.hpp>

#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

/// misfit/2 |y - target|^2 + cost/2 |u|^2.
struct PdeObjective {
  double misfit = 1.0;
  linalg::Vector target;  ///< at the nodes
  double cost = 0.0;
};

/// Objectives of one control u under -Lap y + kappa max(0, y) = u, y = 0 on the boundary: K y +
/// kappa M max(0, y) = M u on the finest grid. With kappa > 0 the element must be `fd`.
struct PdeObjectives {
  std::shared_ptr<const control::Hierarchy> hierarchy;
  double kappa = 0.0;
  std::vector<PdeObjective> objectives;
  std::string fingerprint;

  [[nodiscard]] const control::Grid& grid() const { return hierarchy->finest(); }
  /// All objectives of a pair, [k]. **Collective.**
  [[nodiscard]] std::vector<double> values(Vec state, Vec control) const;

  /// misfit, cost and target of a weighted sum, which is one such objective. Weights of zero become
  /// tiny ones where a solver needs a misfit or a cost.
  struct Sum {
    double misfit = 0.0, cost = 0.0;
    linalg::Vector target;
  };
  [[nodiscard]] Sum weighted(std::span<const double> weights) const;
};

struct LinearPdeOptions {
  /// Of the optimality system, in the norm of its preconditioned residual relative to that of zero.
  double tolerance = 1e-12;
  std::int64_t max_iterations = 200;
};

/// Weighted sums with kappa = 0, state and adjoint at once. With q = p / sqrt(misfit cost) and
/// sigma = sqrt(misfit / cost) the optimality system is
///
///     [K, -sigma M; sigma M, K] (q, y) = (-sigma M target, 0),   u = -sigma q,
///
/// and GMRES needs about ten steps at any sigma and mesh size with the preconditioner [K, -sigma M;
/// sigma M, K + 2 sigma M], which two solves with K + sigma M apply; its eigenvalues lie in [1/2,
/// 1] (Axelsson, Farouq, Neytcheva, Numer. Algorithms 73, 2016). One V-cycle stands for each solve.
/// Memory: about 2 (iterations + 8) vectors.
[[nodiscard]] std::unique_ptr<pareto::WeightedSolver> linear_pde_solver(
    std::shared_ptr<const PdeObjectives> problem, const LinearPdeOptions& options = {});

/// Weighted sums with kappa > 0 by `control::SemilinearControl`: from a neighbour's branches the
/// three-set iteration, from nothing the plain one, and the other where that does not end. An end
/// without pending branches is strongly stationary (grade 2); branches travel with the packet.
[[nodiscard]] std::unique_ptr<pareto::WeightedSolver> semilinear_pde_solver(
    std::shared_ptr<const PdeObjectives> problem, std::int64_t max_solves = 80);

}  // namespace equipoise::problems
