#include <equipoise/bilevel/krylov.hpp>
#include <equipoise/bilevel/mfac.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <functional>

namespace equipoise::bilevel {
namespace {

using Vector = std::vector<double>;

void require_finite(double value, std::int64_t block) {
  if (!std::isfinite(value)) {
    throw NotFiniteError(
        "block {}: the Hessian-vector product is not finite; look at the data of this block",
        block);
  }
}

/// r = b - Hyy w, skipping the product for w = 0.
double residual(const BlockHessian& hessian, In b, In w, Out r) {
  if (norm(w) > 0.0) {
    hessian.apply(w, r);
    for (std::size_t k = 0; k < r.size(); ++k) r[k] = b[k] - r[k];
  } else {
    std::copy(b.begin(), b.end(), r.begin());
  }
  return norm(r);
}

/// `truncated`: a direction of negative curvature ends the iteration, and b itself is taken where
/// it is the first; otherwise it is an error.
LinearReport conjugate_gradient(const BlockHessian& hessian, In b, Out w, double tolerance,
                                std::int64_t limit, bool truncated = false,
                                const std::function<void(Out)>& inverse = {}) {
  Vector r(b.size()), z, p, hp(b.size());
  LinearReport report{0, residual(hessian, b, w, r), false};
  require_finite(report.residual, hessian.block);
  const auto precondition = [&] {
    z = r;
    if (inverse) inverse(z);
  };
  precondition();
  p = z;
  double rho = dot(r, z);
  while (report.residual > tolerance && report.iterations < limit) {
    hessian.apply(p, hp);
    const double curvature = dot(p, hp);
    require_finite(curvature, hessian.block);
    if (curvature <= 0.0 && truncated) {
      if (report.iterations == 0) std::copy(b.begin(), b.end(), w.begin());
      return report;
    }
    if (curvature <= 0.0) {
      throw InputError(
          "block {}: the lower problem is not strongly convex: a direction has curvature {:.3e}; "
          "add a "
          "regulariser to this block or start nearer to its minimum",
          hessian.block, curvature / dot(p, p));
    }
    const double step = rho / curvature;
    axpy(step, p, w);
    axpy(-step, hp, r);
    precondition();
    const double next = dot(r, z);
    for (std::size_t k = 0; k < p.size(); ++k) p[k] = z[k] + next / rho * p[k];
    rho = next;
    report.residual = norm(r);
    ++report.iterations;
  }
  report.converged = report.residual <= tolerance;
  return report;
}

/// Lanczos (symmetric = true) or Arnoldi with the small least-squares problem solved by Givens
/// rotations. MINRES and GMRES minimise the same residual over the same space; for a symmetric
/// matrix the projections on all but the last two basis vectors vanish, so MINRES skips them.
LinearReport minimal_residual(const BlockHessian& hessian, In b, Out w, double tolerance,
                              std::int64_t limit, bool symmetric) {
  const std::size_t n = b.size();
  Vector r(n);
  LinearReport report{0, residual(hessian, b, w, r), false};
  require_finite(report.residual, hessian.block);
  const auto most = static_cast<std::size_t>(
      std::min<std::int64_t>(limit, 4 * static_cast<std::int64_t>(n) + 10));
  std::vector<Vector> basis, columns;
  Vector cosines, sines, rhs = {report.residual};
  if (report.residual > 0.0) {
    for (double& entry : r) entry /= report.residual;
    basis.push_back(r);
  }
  while (report.residual > tolerance && columns.size() < most) {
    const std::size_t j = columns.size();
    Vector next(n), column(j + 2);
    hessian.apply(basis[j], next);
    const std::size_t first = symmetric && j > 0 ? j - 1 : 0;
    for (std::size_t i = first; i <= j; ++i) {
      column[i] = dot(basis[i], next);
      axpy(-column[i], basis[i], next);
    }
    column[j + 1] = norm(next);
    require_finite(column[j + 1], hessian.block);
    const double length = column[j + 1];
    for (std::size_t i = 0; i < j; ++i) {
      const double upper = cosines[i] * column[i] + sines[i] * column[i + 1];
      column[i + 1] = cosines[i] * column[i + 1] - sines[i] * column[i];
      column[i] = upper;
    }
    const double diagonal = std::hypot(column[j], column[j + 1]);
    if (diagonal == 0.0) break;
    cosines.push_back(column[j] / diagonal);
    sines.push_back(column[j + 1] / diagonal);
    column[j] = diagonal;
    rhs.push_back(-sines[j] * rhs[j]);
    rhs[j] *= cosines[j];
    columns.push_back(std::move(column));
    report.residual = std::abs(rhs[j + 1]);
    ++report.iterations;
    if (length <= 1e-300) break;
    for (double& entry : next) entry /= length;
    basis.push_back(std::move(next));
  }
  for (std::size_t j = columns.size(); j-- > 0;) {
    rhs[j] /= columns[j][j];
    for (std::size_t i = 0; i < j; ++i) rhs[i] -= columns[j][i] * rhs[j];
    axpy(rhs[j], basis[j], w);
  }
  report.converged = report.residual <= tolerance;
  return report;
}

LinearReport fixed_point(const BlockHessian& hessian, In b, Out w, double tolerance,
                         std::int64_t limit, double smoothness) {
  if (!(smoothness > 0.0)) {
    throw ConfigurationError("the fixed-point solver needs a bound on the Hessian of block {}",
                             hessian.block);
  }
  Vector r(b.size());
  LinearReport report{0, residual(hessian, b, w, r), false};
  while (report.residual > tolerance && report.iterations < limit) {
    require_finite(report.residual, hessian.block);
    axpy(1.0 / smoothness, r, w);
    report.residual = residual(hessian, b, w, r);
    ++report.iterations;
  }
  report.converged = report.residual <= tolerance;
  return report;
}

/// Hyy as a dense matrix.
Eigen::MatrixXd dense(const BlockHessian& hessian) {
  const auto n = static_cast<Eigen::Index>(hessian.y.size());
  Eigen::MatrixXd matrix(n, n);
  hessian.oracle.hess_yy_g(hessian.block, hessian.batch, hessian.x, hessian.y,
                           Out(matrix.data(), static_cast<std::size_t>(n * n)));
  require_finite(matrix.norm(), hessian.block);
  return matrix;
}

[[noreturn]] void refuse_indefinite(std::int64_t block) {
  throw InputError(
      "block {}: the lower problem is not strongly convex: its Hessian has an eigenvalue <= 0",
      block);
}

LinearReport direct(const BlockHessian& hessian, In b, Out w, double tolerance) {
  const auto n = static_cast<Eigen::Index>(b.size());
  const Eigen::MatrixXd matrix = dense(hessian);
  const Eigen::LDLT<Eigen::MatrixXd> factors(matrix);
  const Eigen::Map<const Eigen::VectorXd> right(b.data(), n);
  Eigen::Map<Eigen::VectorXd> solution(w.data(), n);
  if (!factors.isPositive()) refuse_indefinite(hessian.block);
  solution = factors.solve(right);
  const double error = (matrix * solution - right).norm();
  return {1, error, error <= tolerance};
}

/// Conjugate gradients with the kept factor, made anew where it serves no longer.
LinearReport preconditioned(const BlockHessian& hessian, In b, Out w, double tolerance, Out kept) {
  const auto n = static_cast<std::int64_t>(b.size());
  const std::int64_t few = std::max<std::int64_t>(2, n / 4);
  const auto inverse = [&](Out r) { solve_factorised(kept, r); };
  std::int64_t spent = 0;
  if (kept[kept_uses] > 0.0) {
    auto report = conjugate_gradient(hessian, b, w, tolerance, few, false, inverse);
    if (report.converged) return report;
    spent = report.iterations;
  }
  factorise(hessian, kept);
  auto report = conjugate_gradient(hessian, b, w, tolerance, few, false, inverse);
  report.iterations += spent;
  return report;
}

/// Conjugate gradients preconditioned by M-FAC: the inverse of the empirical Fisher matrix of
/// gradients over up to 32 parts of the samples, each scaled to a sample's variance; damped by its
/// mean eigenvalue. One pass of gradients more.
LinearReport fisher(const BlockHessian& hessian, In b, Out w, double tolerance,
                    std::int64_t limit) {
  auto& oracle = hessian.oracle;
  const std::int64_t n = oracle.view().num_samples(hessian.block, Level::lower);
  const auto parts = std::min<std::int64_t>(32, n);
  std::vector<Vector> gradients(static_cast<std::size_t>(parts), Vector(b.size()));
  std::vector<std::int64_t> batch;
  double trace = 0.0;
  for (std::int64_t k = 0; k < parts; ++k) {
    batch.clear();
    for (std::int64_t j = n * k / parts; j < n * (k + 1) / parts; ++j) batch.push_back(j);
    Vector& g = gradients[static_cast<std::size_t>(k)];
    oracle.grad_y_g(hessian.block, batch, hessian.x, hessian.y, g);
    for (double& entry : g) entry *= std::sqrt(static_cast<double>(batch.size()));
    trace += dot(g, g) / static_cast<double>(parts);
  }
  require_finite(trace, hessian.block);
  InverseFisher inverse(std::ssize(b), parts,
                        trace > 0.0 ? trace / static_cast<double>(b.size()) : 1.0);
  for (const auto& g : gradients) inverse.push(g);
  Vector right(b.size());
  return conjugate_gradient(hessian, b, w, tolerance, limit, false, [&](Out r) {
    std::copy(r.begin(), r.end(), right.begin());
    inverse.apply(right, r);
  });
}

}  // namespace

bool small_and_dense(const BlockHessian& hessian) {
  return std::ssize(hessian.y) <= dense_limit && hessian.oracle.view().has("hess_yy_g");
}

void factorise(const BlockHessian& hessian, Out kept) {
  const auto n = static_cast<Eigen::Index>(hessian.y.size());
  Eigen::Map<Eigen::MatrixXd> matrix(kept.data() + kept_header, n, n);
  matrix = dense(hessian);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(matrix, Eigen::EigenvaluesOnly);
  kept[kept_uses] = 1.0;
  kept[kept_smallest] = eigen.eigenvalues()(0);
  kept[kept_largest] = eigen.eigenvalues()(n - 1);
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> in_place(matrix);
  if (in_place.info() != Eigen::Success) refuse_indefinite(hessian.block);
}

void solve_factorised(In kept, Out w) {
  const auto n = static_cast<Eigen::Index>(w.size());
  const Eigen::Map<const Eigen::MatrixXd> matrix(kept.data() + kept_header, n, n);
  Eigen::Map<Eigen::VectorXd> x(w.data(), n);
  matrix.triangularView<Eigen::Lower>().solveInPlace(x);
  matrix.transpose().triangularView<Eigen::Upper>().solveInPlace(x);
}

LinearSolver linear_solver(const std::string& name) {
  if (name == "auto") return LinearSolver::automatic;
  if (name == "cg") return LinearSolver::cg;
  if (name == "minres") return LinearSolver::minres;
  if (name == "gmres") return LinearSolver::gmres;
  if (name == "neumann") return LinearSolver::neumann;
  if (name == "direct") return LinearSolver::direct;
  if (name == "mfac") return LinearSolver::mfac;
  throw ConfigurationError(
      "unknown linear solver `{}`; take auto, cg, mfac, minres, gmres, neumann or direct", name);
}

LinearReport solve_linear(LinearSolver solver, const BlockHessian& hessian, In b, Out w,
                          double tolerance, std::int64_t limit, double smoothness, Out kept) {
  if (norm(b) == 0.0) {
    std::fill(w.begin(), w.end(), 0.0);
    return {0, 0.0, true};
  }
  switch (solver) {
    case LinearSolver::automatic:
      if (!small_and_dense(hessian)) return conjugate_gradient(hessian, b, w, tolerance, limit);
      return kept.empty() ? direct(hessian, b, w, tolerance)
                          : preconditioned(hessian, b, w, tolerance, kept);
    case LinearSolver::cg:
      return conjugate_gradient(hessian, b, w, tolerance, limit);
    case LinearSolver::truncated:
      return conjugate_gradient(hessian, b, w, tolerance, limit, true);
    case LinearSolver::minres:
      return minimal_residual(hessian, b, w, tolerance, limit, true);
    case LinearSolver::gmres:
      return minimal_residual(hessian, b, w, tolerance, limit, false);
    case LinearSolver::neumann:
      return fixed_point(hessian, b, w, tolerance, limit, smoothness);
    case LinearSolver::mfac:
      return fisher(hessian, b, w, tolerance, limit);
    case LinearSolver::direct:
      return direct(hessian, b, w, tolerance);
  }
  return {};
}

Spectrum estimate_spectrum(const BlockHessian& hessian, std::int64_t steps) {
  if (small_and_dense(hessian)) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> exact(dense(hessian),
                                                               Eigen::EigenvaluesOnly);
    return {exact.eigenvalues()(0), exact.eigenvalues()(exact.eigenvalues().size() - 1)};
  }
  const std::size_t n = hessian.y.size();
  const auto most = std::min<std::size_t>(n, static_cast<std::size_t>(steps));
  const parallel::Draw draw(0, parallel::Purpose::probe, 0, hessian.block);
  std::vector<Vector> basis(1, Vector(n));
  for (std::size_t k = 0; k < n; ++k) basis[0][k] = draw.normal(k);
  const double length = norm(basis[0]);
  for (double& entry : basis[0]) entry /= length;
  Vector diagonal, off;
  for (std::size_t j = 0; j < most; ++j) {
    Vector next(n);
    hessian.apply(basis[j], next);
    diagonal.push_back(dot(basis[j], next));
    require_finite(diagonal.back(), hessian.block);
    for (int pass = 0; pass < 2; ++pass) {
      for (const auto& older : basis) axpy(-dot(older, next), older, next);
    }
    off.push_back(norm(next));
    if (off.back() <= 1e-14 * std::abs(diagonal.front()) || j + 1 == most) break;
    for (double& entry : next) entry /= off.back();
    basis.push_back(std::move(next));
  }
  const auto size = static_cast<Eigen::Index>(diagonal.size());
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen;
  eigen.computeFromTridiagonal(Eigen::Map<Eigen::VectorXd>(diagonal.data(), size),
                               Eigen::Map<Eigen::VectorXd>(off.data(), size - 1));
  const double rest = diagonal.size() == n ? 0.0 : off.back();
  const auto bound = [&](Eigen::Index k) {
    return rest * std::abs(eigen.eigenvectors()(size - 1, k));
  };
  return {eigen.eigenvalues()(0) - bound(0), eigen.eigenvalues()(size - 1) + bound(size - 1)};
}

}  // namespace equipoise::bilevel
