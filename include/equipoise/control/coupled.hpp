#pragma once

#include <equipoise/control/grid.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <memory>
#include <string>
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

struct CoupledOptions {
  std::string solver = "direct";
  double tolerance = 1e-10;  ///< of the iterative solver, on the true relative residual
  void describe(state::OptionVisitor& visit);
};

/// An empty matrix of two unknowns a node, `width` entries a row.
[[nodiscard]] linalg::Matrix paired_matrix(MPI_Comm comm, PetscInt rows, PetscInt columns,
                                           PetscInt width);

/// Multigrid for coupled systems on the grids below the finest: Galerkin products, smoothing by
/// three GMRES steps on the 2 x 2 blocks of the nodes, a factorisation on the coarsest grid. At a
/// pinned node the coarse grids see y = -m/`stiff` in place of the multiplier m, so y stays near 0
/// there.
class CoupledMultigrid {
 public:
  CoupledMultigrid(const Grid& finest, Mat matrix, const CoupledOptions& options);
  /// Takes over the pinned nodes; the matrix has new values. **Collective.**
  void update(const std::vector<char>& pinned);
  [[nodiscard]] KSP solver() const { return solver_; }

 private:
  std::unique_ptr<Hierarchy> hierarchy_;
  std::vector<linalg::Matrix> restrictions_, interpolations_;  // [level], finest first
  linalg::Solver solver_;
};

/// Solves `CoupledCoefficients` (PETSc options `coupled_*`): `direct` by a sparse factorisation
/// over all ranks (MUMPS), `iterative` by flexible GMRES with `CoupledMultigrid`. Throws PetscError
/// when the matrix is singular or the iteration fails. Cost: one factorisation of 2 N unknowns, or
/// some 10 to 60 cycles.
class CoupledSolver {
 public:
  /// `grid` must have the element `fd` and outlive the solver. **Collective.**
  explicit CoupledSolver(const Grid& grid, const CoupledOptions& options = {});
  /// Fills the owned values of y, p and m (0 off the pinned nodes). **Collective.**
  void solve(const CoupledCoefficients& coefficients, std::vector<double>& y,
             std::vector<double>& p, std::vector<double>& m);
  [[nodiscard]] std::int64_t solves() const { return solves_; }
  [[nodiscard]] std::int64_t iterations() const { return iterations_; }
  /// How far y may be off, relative to the largest one; the multiplier sqrt(N) times as far.
  [[nodiscard]] double accuracy() const { return multigrid_ ? options_.tolerance : 1e-14; }

 private:
  const Grid* grid_;
  CoupledOptions options_;
  linalg::Matrix matrix_;
  linalg::Solver solver_;
  std::unique_ptr<CoupledMultigrid> multigrid_;
  linalg::Vector right_side_, unknowns_;
  std::int64_t solves_ = 0, iterations_ = 0;
};

}  // namespace equipoise::control
