#include <equipoise/control/mesh_space.hpp>

#include <cmath>

namespace equipoise::control {

using linalg::check;

MassSolver::MassSolver(const FiniteElements& elements, Mat mass, double tolerance) : mass_(mass) {
  std::tie(lower_, upper_) = elements.mass_bounds();
  const double root = std::sqrt(upper_ / lower_);
  steps_ = static_cast<int>(
      std::ceil(std::log(tolerance / 2.0) / std::log((root - 1.0) / (root + 1.0))));
  inverse_diagonal_ = elements.vector();
  check(MatGetDiagonal(mass, inverse_diagonal_));
  check(VecReciprocal(inverse_diagonal_));
  residual_ = elements.vector();
  direction_ = elements.vector();
}

void MassSolver::solve(Vec b, Vec x) const {
  // Saad, Iterative Methods, Algorithm 12.1.
  const double theta = 0.5 * (upper_ + lower_), delta = 0.5 * (upper_ - lower_);
  double rho = delta / theta;
  check(VecPointwiseMult(direction_, inverse_diagonal_, b));
  check(VecScale(direction_, 1.0 / theta));
  check(VecCopy(direction_, x));
  for (int k = 1; k < steps_; ++k) {
    check(MatMult(mass_, x, residual_));
    check(VecAYPX(residual_, -1.0, b));
    check(VecPointwiseMult(residual_, inverse_diagonal_, residual_));
    const double next = 1.0 / (2.0 * theta / delta - rho);
    check(VecAXPBY(direction_, 2.0 * next / delta, next * rho, residual_));
    check(VecAXPY(x, 1.0, direction_));
    rho = next;
  }
}

linalg::Solver multigrid_cg(Mat matrix, const std::string& prefix, double tolerance) {
  MPI_Comm comm = MPI_COMM_NULL;
  check(PetscObjectGetComm(reinterpret_cast<PetscObject>(matrix), &comm));
  linalg::Solver solver;
  check(KSPCreate(comm, solver.put()));
  check(KSPSetOptionsPrefix(solver, prefix.c_str()));
  check(KSPSetOperators(solver, matrix, matrix));
  check(KSPSetType(solver, KSPCG));
  check(KSPSetNormType(solver, KSP_NORM_UNPRECONDITIONED));
  check(KSPSetTolerances(solver, tolerance, 1e-300, PETSC_DEFAULT, 500));
  PC pc = nullptr;
  check(KSPGetPC(solver, &pc));
  check(PCSetType(pc, PCHYPRE));
  check(PCHYPRESetType(pc, "boomeramg"));
  check(KSPSetFromOptions(solver));
  return solver;
}

namespace {

linalg::Matrix form(const FiniteElements& elements, double diffusion, double reaction) {
  return elements.assemble(
      [=](const Place&) { return Form{.diffusion = diffusion, .reaction = reaction}; }, false);
}

}  // namespace

MeshSpace::MeshSpace(std::shared_ptr<const FiniteElements> elements, Riesz riesz)
    : elements_(std::move(elements)),
      riesz_(riesz),
      mass_(form(*elements_, 0.0, 1.0)),
      mass_solver_(*elements_, mass_) {
  if (riesz == Riesz::h1) {
    h1_ = form(*elements_, 1.0, 1.0);
    h1_solver_ = multigrid_cg(h1_, "riesz_", 1e-12);
  }
}

void MeshSpace::to_dual(const Primal& v, Dual& out) const {
  switch (riesz_) {
    case Riesz::mass:
      return check(MatMult(mass_, v.values, out.values));
    case Riesz::h1:
      return check(MatMult(h1_, v.values, out.values));
    case Riesz::identity:
      return check(VecCopy(v.values, out.values));
  }
}

void MeshSpace::to_primal(const Dual& f, Primal& out) const {
  switch (riesz_) {
    case Riesz::mass:
      return mass_solver_.solve(f.values, out.values);
    case Riesz::h1:
      linalg::solve(h1_solver_, f.values, out.values);
      return;
    case Riesz::identity:
      return check(VecCopy(f.values, out.values));
  }
}

}  // namespace equipoise::control
