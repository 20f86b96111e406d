#pragma once

#include "program_newton.hpp"

#include <Eigen/SparseCholesky>
#include <Eigen/SparseCore>

#include <cstdint>
#include <vector>

namespace equipoise::problems {

/// The program with a slack s = Ax per inequality row: min c'v + v'Qv/2, G v = b, l <= v <= u, v =
/// (x, s). Fixed columns stay where they are and leave G.
struct StandardProgram {
  using Sparse = Eigen::SparseMatrix<double>;
  using Vector = Eigen::VectorXd;
  using Index = Eigen::Index;

  explicit StandardProgram(const LocalProgram& p);

  Index n, m, size;  ///< columns, rows, columns and slacks
  Sparse equality, quadratic;
  Vector cost, lower, upper, rhs;
  std::vector<Index> slack;  ///< of each row, -1 for an equation
  std::vector<char> fixed;   ///< [size]
};

/// [ Q + D, G'; G, 0 ] with +- regularization on the diagonal: quasidefinite, so that L D L' exists
/// for every ordering (Vanderbei 1995). Solutions are refined against the matrix without it.
class AugmentedSystem {
 public:
  using Sparse = StandardProgram::Sparse;
  using Vector = StandardProgram::Vector;
  using Index = StandardProgram::Index;

  explicit AugmentedSystem(const StandardProgram& s);
  /// For the diagonal D; false where no regularization gave finite factors.
  bool factorize(const Vector& diagonal);
  /// Replaces `rhs` by the solution.
  void solve(Vector& rhs);
  [[nodiscard]] std::int64_t factorizations() const { return factorizations_; }

  /// The lower triangle; the diagonal comes first in every column.
  [[nodiscard]] static Sparse pattern(const StandardProgram& s);

 private:
  double& pivot(Index j) { return matrix_.valuePtr()[matrix_.outerIndexPtr()[j]]; }
  double residual(const Vector& rhs, const Vector& x);

  const StandardProgram& s_;
  Sparse matrix_;
  Vector curvature_, diagonal_, residual_;
  Eigen::SimplicialLDLT<Sparse, Eigen::Lower> factor_;
  std::int64_t factorizations_ = 0;
};

}  // namespace equipoise::problems
