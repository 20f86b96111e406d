#pragma once

#include <equipoise/control/grid.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::control {

/// One linear optimality system in the nodal values of state y and adjoint p, with W the lumped
/// mass matrix:
///
///     K y + W (a y + b p) = W r,      K p + W (c p + d y) = W s,
///
/// where a, b, c, d, r, s are nodal functions. At a node marked `pinned` y is 0 and the unknown in
/// its place is the multiplier m of K p + W m = W s.
struct CoupledCoefficients {
  explicit CoupledCoefficients(std::int64_t owned);
  std::vector<double> a, b, c, d, r, s;  ///< [owned nodes]
  std::vector<char> pinned;              ///< [owned nodes], 0 or 1
};

/// Solves `CoupledCoefficients` by a sparse factorisation over all ranks (MUMPS; PETSc options
/// `coupled_*`). Throws PetscError when the matrix is singular. Cost: one factorisation of 2 N
/// unknowns.
class CoupledSolver {
 public:
  /// `grid` must have the element `fd` and outlive the solver.
  explicit CoupledSolver(const Grid& grid);
  /// Fills the owned values of y, p and m (0 off the pinned nodes). **Collective.**
  void solve(const CoupledCoefficients& coefficients, std::vector<double>& y,
             std::vector<double>& p, std::vector<double>& m);
  [[nodiscard]] std::int64_t solves() const { return solves_; }

 private:
  const Grid* grid_;
  linalg::Matrix matrix_;
  linalg::Solver solver_;
  linalg::Vector right_side_, unknowns_;
  std::int64_t solves_ = 0;
};

}  // namespace equipoise::control
