#pragma once

#include <equipoise/bilevel/calls.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::bilevel {

/// How a linear solve with Hyy ended.
struct LinearReport {
  std::int64_t iterations = 0;
  double residual = 0.0;  ///< norm(Hyy w - b) by recurrence
  bool converged = false;
};

/// The Hessian Hyy of one block at a point, as an operator.
struct BlockHessian {
  CountedOracle& oracle;
  std::int64_t block;
  Batch batch;
  In x, y;
  void apply(In v, Out out) const { oracle.hvp_yy_g(block, batch, x, y, v, out); }
};

/// Which solver of Hyy w = b; `automatic` is `direct` where the oracle has hess_yy_g and dy <=
/// dense_limit, else `cg`; `truncated` is `cg` that stops where the curvature is not positive.
enum class LinearSolver { automatic, cg, minres, gmres, neumann, truncated, direct, mfac };
inline constexpr std::int64_t dense_limit = 200;
LinearSolver linear_solver(const std::string& name);

/// Solves Hyy w = b to norm(Hyy w - b) <= tolerance, starting from `w`; b = 0 gives 0 without a
/// product.
///
/// `cg` throws InputError with the block's number when it meets a direction of curvature <= 0: the
/// lower problem is then not strongly convex. `minres` and `gmres` (modified Gram-Schmidt, no
/// restart, memory iterations * dy) bear indefinite Hessians. `mfac` is `cg` preconditioned with
/// the inverse of an empirical Fisher matrix (InverseFisher). `neumann` is the fixed point w <- w -
/// (Hyy w - b) / L with `smoothness` = L. `direct` factorises hess_yy_g (dy^3 / 3 flops). NaN
/// anywhere throws NotFiniteError with the block's number. Cost: one Hessian-vector product an
/// iteration.
///
/// With `kept`, `automatic` solves small dense blocks by conjugate gradients preconditioned with
/// the factor kept there, which is made anew where there is none, or where it needs more than a
/// quarter of the products that a dense Hessian counts for.
LinearReport solve_linear(LinearSolver solver, const BlockHessian& hessian, In b, Out w,
                          double tolerance, std::int64_t limit, double smoothness = 0.0,
                          Out kept = {});

/// True if `automatic` is `direct` for this Hessian.
bool small_and_dense(const BlockHessian& hessian);
/// What is kept of the Hessian of a block: a header, and the Cholesky factor [dy x dy] of Hyy at
/// the point where it was made. All zeros: nothing is kept.
enum Kept : std::size_t { kept_uses, kept_smallest, kept_largest, kept_header };
/// Fills `kept` [kept_header + dy * dy, or longer]: uses = 1, the extreme eigenvalues, and the
/// factor, for `solve_factorised`. Throws what `direct` throws. Cost: one dense Hessian, its
/// eigenvalues and dy^3 / 3 flops.
void factorise(const BlockHessian& hessian, Out kept);
/// w <- Hyy^{-1} w with the kept factor, 2 dy^2 flops.
void solve_factorised(In kept, Out w);

/// Extreme eigenvalues of Hyy: of the dense Hessian where `automatic` is direct, else by `steps`
/// Lanczos iterations with full reorthogonalisation, from a start drawn for this block. `smallest`
/// is a Ritz value less its residual, `largest` one plus its residual: estimates of bounds.
struct Spectrum {
  double smallest = 0.0, largest = 0.0;
};
Spectrum estimate_spectrum(const BlockHessian& hessian, std::int64_t steps);

}  // namespace equipoise::bilevel
