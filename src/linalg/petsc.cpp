#include <equipoise/linalg/petsc.hpp>

#include <fmt/format.h>

namespace equipoise::linalg {
namespace {

std::string& last_message() {
  static std::string text;
  return text;
}

/// Keeps the first message of an error as it travels up through PETSc, and prints nothing.
PetscErrorCode keep_message(MPI_Comm, int, const char* function, const char*, PetscErrorCode code,
                            PetscErrorType type, const char* message, void*) {
  if (type == PETSC_ERROR_INITIAL) {
    last_message() = fmt::format("{}: {}", function, message == nullptr ? "" : message);
  }
  return code;
}

}  // namespace

void start_petsc(const parallel::Comm& comm) {
  PetscBool running = PETSC_FALSE;
  PetscInitialized(&running);
  if (running == PETSC_FALSE) {
    PETSC_COMM_WORLD = comm.handle();
    PetscOptionsSetValue(nullptr, "-no_signal_handler", "true");
    PetscOptionsSetValue(nullptr, "-skip_petscrc", "true");
    check(PetscInitializeNoArguments());
    check(PetscPushErrorHandler(keep_message, nullptr));
  }
  // PETSc shares one duplicate per communicator and frees it with its last object; a reference held
  // for good keeps that collective call out of destructors.
  static MPI_Comm held = MPI_COMM_NULL;
  if (held != comm.handle()) {
    MPI_Comm inner = MPI_COMM_NULL;
    PetscMPIInt tag = 0;
    check(PetscCommDuplicate(comm.handle(), &inner, &tag));
    held = comm.handle();
  }
}

void check(PetscErrorCode code, std::source_location where) {
  if (code == 0) return;
  const char* text = nullptr;
  PetscErrorMessage(code, &text, nullptr);
  throw PetscError(Exit::defect, fmt::format("PETSc error {} ({}) in {} at line {}: {}", code,
                                             text == nullptr ? "unknown" : text,
                                             where.function_name(), where.line(), last_message()));
}

Entries::Entries(Vec vector) : vector_(vector) {
  check(VecGetLocalSize(vector, &size_));
  check(VecGetArray(vector, &data_));
}
Entries::~Entries() { VecRestoreArray(vector_, &data_); }

ConstEntries::ConstEntries(Vec vector) : vector_(vector) {
  check(VecGetLocalSize(vector, &size_));
  check(VecGetArrayRead(vector, &data_));
}
ConstEntries::~ConstEntries() { VecRestoreArrayRead(vector_, &data_); }

Vector like(Vec vector) {
  Vector result;
  check(VecDuplicate(vector, result.put()));
  check(VecSet(result, 0.0));
  return result;
}

Vector copy(Vec vector) {
  Vector result;
  check(VecDuplicate(vector, result.put()));
  check(VecCopy(vector, result));
  return result;
}

Matrix share(Mat matrix) {
  check(PetscObjectReference(reinterpret_cast<PetscObject>(matrix)));
  return Matrix(matrix);
}

double dot(Vec a, Vec b) {
  double value = 0.0;
  check(VecDot(a, b, &value));
  return value;
}

namespace {

/// The number of iterations of a solve that ended, if it converged.
PetscInt accept(KSP solver) {
  KSPConvergedReason reason = KSP_CONVERGED_ITERATING;
  check(KSPGetConvergedReason(solver, &reason));
  PetscInt iterations = 0;
  check(KSPGetIterationNumber(solver, &iterations));
  if (reason > 0) return iterations;
  double residual = 0.0;
  double tolerance = 0.0;
  const char* prefix = nullptr;
  KSPGetResidualNorm(solver, &residual);
  KSPGetTolerances(solver, &tolerance, nullptr, nullptr, nullptr);
  KSPGetOptionsPrefix(solver, &prefix);
  throw PetscError(
      reason == KSP_DIVERGED_NANORINF ? Exit::diverged : Exit::limit,
      fmt::format("linear solver `{}` ended with {} after {} iterations (residual norm {:.3e}, "
                  "relative tolerance {:.1e}); loosen the tolerance or change petsc.{}* options",
                  prefix == nullptr ? "" : prefix, KSPConvergedReasons[reason], iterations,
                  residual, tolerance, prefix == nullptr ? "" : prefix));
}

}  // namespace

PetscInt solve(KSP solver, Vec right_side, Vec solution) {
  check(KSPSolve(solver, right_side, solution));
  return accept(solver);
}

PetscInt solve_transposed(KSP solver, Vec right_side, Vec solution) {
  check(KSPSolveTranspose(solver, right_side, solution));
  return accept(solver);
}

Solver direct_solver(Mat matrix, const std::string& prefix) {
  MPI_Comm comm = MPI_COMM_NULL;
  check(PetscObjectGetComm(reinterpret_cast<PetscObject>(matrix), &comm));
  Solver result;
  check(KSPCreate(comm, result.put()));
  check(KSPSetOptionsPrefix(result, prefix.c_str()));
  check(KSPSetOperators(result, matrix, matrix));
  check(KSPSetType(result, KSPPREONLY));
  PC pc = nullptr;
  check(KSPGetPC(result, &pc));
  PetscInt rows = 0;
  check(MatGetSize(matrix, &rows, nullptr));
  if (rows <=
      10000) {  // below that one gather is cheaper than the messages of a distributed factorisation
    check(PCSetType(pc, PCREDUNDANT));
    KSP inner = nullptr;
    check(PCRedundantGetKSP(pc, &inner));
    check(KSPSetType(inner, KSPPREONLY));
    check(KSPGetPC(inner, &pc));
  }
  check(PCSetType(pc, PCLU));
  check(PCFactorSetMatSolverType(pc, rows <= 10000 ? MATSOLVERUMFPACK : MATSOLVERMUMPS));
  check(KSPSetFromOptions(result));
  return result;
}

SolverOptions::SolverOptions(const std::vector<std::pair<std::string, std::string>>& options)
    : options_(options) {
  for (const auto& [key, value] : options_) {
    check(PetscOptionsSetValue(nullptr, ("-" + key).c_str(), value.c_str()));
  }
}

void SolverOptions::reject_unused() const {
  std::string unused;
  for (const auto& [key, value] : options_) {
    PetscBool used = PETSC_FALSE;
    check(PetscOptionsUsed(nullptr, key.c_str(), &used));
    if (used == PETSC_FALSE) unused += fmt::format("{}petsc.{}", unused.empty() ? "" : ", ", key);
  }
  if (!unused.empty()) {
    throw ConfigurationError(
        "no solver reads {}; the prefixes are state_, schur_, coupled_ (as in "
        "petsc.state_ksp_rtol)",
        unused);
  }
}

}  // namespace equipoise::linalg
