#include <equipoise/control/multigrid.hpp>

#include <utility>

namespace equipoise::control {

using linalg::check;

Multigrid::Multigrid(std::shared_ptr<const Hierarchy> hierarchy, double a, double b,
                     const std::string& prefix)
    : hierarchy_(std::move(hierarchy)), prefix_(prefix) {
  for (const auto& grid : hierarchy_->grids) {
    operators_.push_back(grid->assemble(a, b));
    bound_ = std::max(bound_, grid->jacobi_bound(a, b));
  }
  set_up(false);
}

Multigrid::Multigrid(std::shared_ptr<const Hierarchy> hierarchy, linalg::Matrix fine,
                     double jacobi_bound, const std::string& prefix)
    : hierarchy_(std::move(hierarchy)), prefix_(prefix), bound_(jacobi_bound) {
  operators_.push_back(std::move(fine));
  set_up(true);
}

Multigrid Multigrid::coarser() const {
  Multigrid result;
  result.hierarchy_ = hierarchy_->coarser();
  result.prefix_ = prefix_;
  result.bound_ = bound_;
  for (std::size_t l = 1; l < operators_.size(); ++l) {
    result.operators_.push_back(linalg::share(operators_[l]));
  }
  result.set_up(false);
  return result;
}

void Multigrid::set_up(bool galerkin) {
  fine_ = operators_.front();
  const auto levels = static_cast<PetscInt>(hierarchy_->grids.size());
  check(KSPCreate(hierarchy_->finest().comm().handle(), solver_.put()));
  check(KSPSetOptionsPrefix(solver_, prefix_.c_str()));
  check(KSPSetOperators(solver_, fine_, fine_));
  check(KSPSetType(solver_, KSPCG));
  check(KSPSetNormType(solver_, KSP_NORM_UNPRECONDITIONED));
  check(KSPSetTolerances(solver_, 1e-12, 1e-300, PETSC_DEFAULT, 200));
  PC pc = nullptr;
  check(KSPGetPC(solver_, &pc));
  check(PCSetType(pc, PCMG));
  check(PCMGSetLevels(pc, levels, nullptr));
  check(PCMGSetGalerkin(pc, galerkin ? PC_MG_GALERKIN_BOTH : PC_MG_GALERKIN_NONE));
  for (PetscInt level = 0; level < levels; ++level) {
    const auto index =
        static_cast<std::size_t>(levels - 1 - level);  // PETSc counts from the coarsest
    KSP smoother = nullptr;
    PC smoother_pc = nullptr;
    if (level > 0) {
      check(PCMGSetInterpolation(pc, level, hierarchy_->interpolations[index]));
      check(PCMGGetSmoother(pc, level, &smoother));
      check(KSPSetType(smoother, KSPCHEBYSHEV));
      check(KSPChebyshevSetEigenvalues(smoother, bound_, bound_ / 5.0));
      check(KSPSetNormType(smoother, KSP_NORM_NONE));
      check(KSPSetTolerances(smoother, PETSC_DEFAULT, PETSC_DEFAULT, PETSC_DEFAULT, 2));
      check(KSPGetPC(smoother, &smoother_pc));
      check(PCSetType(smoother_pc, PCJACOBI));
    } else {
      check(PCMGGetCoarseSolve(pc, &smoother));
      check(KSPSetType(smoother, KSPPREONLY));
      check(KSPGetPC(smoother, &smoother_pc));
      // Every rank solves a small coarsest problem for itself: one gather instead of a distributed
      // solve.
      const bool small = hierarchy_->grids.back()->nodes() <= 4096;
      check(PCSetType(smoother_pc, small ? PCREDUNDANT : PCLU));
      if (!small) check(PCFactorSetMatSolverType(smoother_pc, MATSOLVERMUMPS));
    }
    if (!galerkin) check(KSPSetOperators(smoother, operators_[index], operators_[index]));
  }
  check(KSPSetFromOptions(solver_));
  check(KSPSetUp(solver_));
  residual_ = hierarchy_->finest().vector();
  correction_ = hierarchy_->finest().vector();
}

PetscInt Multigrid::solve(Vec b, Vec x, double tolerance, bool warm) {
  check(KSPSetInitialGuessNonzero(solver_, warm ? PETSC_TRUE : PETSC_FALSE));
  check(KSPSetTolerances(solver_, tolerance, PETSC_DEFAULT, PETSC_DEFAULT, PETSC_DEFAULT));
  return linalg::solve(solver_, b, x);
}

void Multigrid::cycles(Vec b, Vec x, int count) {
  PC pc = nullptr;
  check(KSPGetPC(solver_, &pc));
  check(PCApply(pc, b, x));
  for (int cycle = 1; cycle < count; ++cycle) {
    check(MatMult(fine_, x, residual_));
    check(VecAYPX(residual_, -1.0, b));
    check(PCApply(pc, residual_, correction_));
    check(VecAXPY(x, 1.0, correction_));
  }
}

}  // namespace equipoise::control
