#pragma once

#include <equipoise/control/grid.hpp>
#include <equipoise/linalg/petsc.hpp>

#include <memory>
#include <string>

namespace equipoise::control {

/// Geometric multigrid for a symmetric positive definite operator on the finest grid of a
/// hierarchy: V-cycles with two Chebyshev steps, Jacobi scaled, before and after, and a direct
/// solve on the coarsest grid. One cycle is a fixed symmetric positive definite operator, fit for
/// CG and MINRES.
class Multigrid {
 public:
  /// a K + b M, rediscretised on every grid. PETSc options start with `prefix`. **Collective.**
  Multigrid(std::shared_ptr<const Hierarchy> hierarchy, double a, double b,
            const std::string& prefix);
  /// Any operator on the finest grid, with Galerkin coarse operators; `jacobi_bound` is an upper
  /// bound of the largest eigenvalue of diag(A)^-1 A. **Collective.**
  Multigrid(std::shared_ptr<const Hierarchy> hierarchy, linalg::Matrix fine, double jacobi_bound,
            const std::string& prefix);

  /// The rediscretised operator on the next coarser grid; the matrices are shared. **Collective.**
  [[nodiscard]] Multigrid coarser() const;
  [[nodiscard]] Mat matrix() const { return fine_; }
  /// Solves by CG until the true residual has dropped by `tolerance`, from x if `warm`, else from
  /// zero.
  /// **Collective.** Throws PetscError naming the reason of a failure. Returns the number of
  /// iterations.
  PetscInt solve(Vec b, Vec x, double tolerance, bool warm = false);
  /// x := the result of `count` V-cycles from zero. **Collective.**
  void cycles(Vec b, Vec x, int count);

 private:
  Multigrid() = default;
  void set_up(bool galerkin);
  std::shared_ptr<const Hierarchy> hierarchy_;
  std::string prefix_;
  double bound_ = 0.0;                     // of the eigenvalues of diag(A)^-1 A
  std::vector<linalg::Matrix> operators_;  // finest first; the finest alone with Galerkin
  Mat fine_ = nullptr;
  linalg::Solver solver_;
  linalg::Vector residual_, correction_;
};

}  // namespace equipoise::control
