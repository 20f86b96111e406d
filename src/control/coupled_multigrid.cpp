#include <equipoise/control/coupled.hpp>

namespace equipoise::control {

using linalg::check;

void CoupledOptions::describe(state::OptionVisitor& visit) {
  visit.choice("solver", solver, {"direct", "iterative"},
               "of the coupled systems: a factorisation, or GMRES with multigrid");
  visit.option("solver_tolerance", tolerance, "true relative residual of the iterative solver",
               {1e-14, 1e-6});
}

namespace {

constexpr double stiff = 1e8;

/// P (x) I of two unknowns a node. Where `pinned` (may be null), the row of the state is scaled.
linalg::Matrix for_pairs(Mat p, const std::vector<char>* pinned, linalg::Matrix reuse = {}) {
  PetscInt rows = 0, columns = 0, first = 0, end = 0;
  check(MatGetLocalSize(p, &rows, &columns));
  check(MatGetOwnershipRange(p, &first, &end));
  if (reuse.get() == nullptr) {
    MPI_Comm comm = MPI_COMM_NULL;
    check(PetscObjectGetComm(reinterpret_cast<PetscObject>(p), &comm));
    reuse = paired_matrix(comm, 2 * rows, 2 * columns, 8);
  }
  for (PetscInt row = first; row < end; ++row) {
    PetscInt count = 0;
    const PetscInt* at = nullptr;
    const PetscScalar* values = nullptr;
    check(MatGetRow(p, row, &count, &at, &values));
    const bool held = pinned != nullptr && (*pinned)[static_cast<std::size_t>(row - first)] != 0;
    for (PetscInt k = 0; k < count; ++k) {
      check(MatSetValue(reuse, 2 * row, 2 * at[k], held ? -stiff * values[k] : values[k],
                        INSERT_VALUES));
      check(MatSetValue(reuse, 2 * row + 1, 2 * at[k] + 1, values[k], INSERT_VALUES));
    }
    check(MatRestoreRow(p, row, &count, &at, &values));
  }
  check(MatAssemblyBegin(reuse, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(reuse, MAT_FINAL_ASSEMBLY));
  return reuse;
}

linalg::Matrix transposed(Mat matrix) {
  linalg::Matrix result;
  check(MatTranspose(matrix, MAT_INITIAL_MATRIX, result.put()));
  return result;
}

}  // namespace

CoupledMultigrid::CoupledMultigrid(const Grid& finest, Mat matrix, const CoupledOptions& options)
    : hierarchy_(std::make_unique<Hierarchy>(finest.comm(), finest.shape())) {
  check(KSPCreate(finest.comm().handle(), solver_.put()));
  check(KSPSetOptionsPrefix(solver_, "coupled_"));
  check(KSPSetOperators(solver_, matrix, matrix));
  check(KSPSetType(solver_, KSPFGMRES));
  check(KSPGMRESSetRestart(solver_, 80));
  check(KSPSetTolerances(solver_, options.tolerance, 1e-300, PETSC_DEFAULT, 400));
  PC pc = nullptr;
  check(KSPGetPC(solver_, &pc));
  check(PCSetType(pc, PCMG));
  const auto levels = static_cast<PetscInt>(hierarchy_->grids.size());
  check(PCMGSetLevels(pc, levels, nullptr));
  check(PCMGSetGalerkin(pc, PC_MG_GALERKIN_BOTH));
  for (PetscInt level = 0; level < levels; ++level) {
    KSP smoother = nullptr;
    PC smoother_pc = nullptr;
    if (level > 0) {  // PETSc counts from the coarsest
      const auto index = static_cast<std::size_t>(levels - 1 - level);
      interpolations_.push_back(for_pairs(hierarchy_->interpolations[index], nullptr));
      restrictions_.push_back(transposed(interpolations_.back()));
      check(PCMGSetInterpolation(pc, level, interpolations_.back()));
      check(PCMGSetRestriction(pc, level, restrictions_.back()));
      check(PCMGGetSmoother(pc, level, &smoother));
      check(KSPSetType(smoother, KSPGMRES));
      check(KSPSetNormType(smoother, KSP_NORM_NONE));
      check(KSPSetTolerances(smoother, PETSC_DEFAULT, PETSC_DEFAULT, PETSC_DEFAULT, 3));
      check(KSPGetPC(smoother, &smoother_pc));
      check(PCSetType(smoother_pc, PCPBJACOBI));
    } else {
      check(PCMGGetCoarseSolve(pc, &smoother));
      check(KSPSetType(smoother, KSPPREONLY));
      check(KSPGetPC(smoother, &smoother_pc));
      check(PCSetType(smoother_pc, PCREDUNDANT));
      KSP inner = nullptr;
      check(PCRedundantGetKSP(smoother_pc, &inner));
      check(KSPSetType(inner, KSPPREONLY));
      check(KSPGetPC(inner, &smoother_pc));
      check(PCSetType(smoother_pc, PCLU));
      check(PCFactorSetMatSolverType(smoother_pc, MATSOLVERUMFPACK));  // it pivots
    }
  }
  check(KSPSetFromOptions(solver_));
}

void CoupledMultigrid::update(const std::vector<char>& pinned) {
  if (interpolations_.empty()) return;
  // Only the finest grid knows of pinned nodes; it is the last one made.
  interpolations_.back() =
      for_pairs(hierarchy_->interpolations.front(), &pinned, std::move(interpolations_.back()));
}

}  // namespace equipoise::control
