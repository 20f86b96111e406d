#include "contest.hpp"

#include <petsctao.h>

#include <exception>

namespace equipoise::peers {
namespace {

using linalg::check;

using Optimizer = linalg::Handle<Tao, TaoDestroy>;

struct Setting {
  std::string name, type;
  double krylov_tolerance = 0.0;  ///< 0: TAO's own
  bool metric = false;            ///< told the metric: the functional's preconditioner
};

std::vector<Setting> settings(bool bounded) {
  if (bounded) {
    return {{"TAO blmvm, default", "blmvm"},
            {"TAO bqnls, default", "bqnls"},
            {"TAO bnls, default", "bnls"},
            {"TAO bncg, default", "bncg"},
            {"TAO tron, default", "tron"},
            {"TAO tron, metric, rtol 1e-1", "tron", 1e-1, true},
            {"TAO bnls, metric, rtol 1e-1", "bnls", 1e-1, true},
            {"TAO bnls, metric, rtol 1e-3", "bnls", 1e-3, true},
            {"TAO bntr, metric, rtol 1e-1", "bntr", 1e-1, true}};
  }
  return {{"TAO lmvm, default", "lmvm"},
          {"TAO nls, default", "nls"},
          {"TAO ntr, default", "ntr"},
          {"TAO nls, metric, rtol 1e-1", "nls", 1e-1, true},
          {"TAO nls, metric, rtol 5e-9", "nls", 5e-9, true},
          {"TAO ntr, metric, rtol 1e-3", "ntr", 1e-3, true}};
}

/// What the callbacks share; an exception inside one is kept and thrown after the solve.
struct Callbacks {
  Contest* contest;
  linalg::Vector at;
  std::exception_ptr trouble;
};

template <class Work>
PetscErrorCode guarded(Callbacks& c, const Work& work) {
  try {
    work();
    return 0;
  } catch (...) {
    c.trouble = std::current_exception();
    return PETSC_ERR_USER;
  }
}

PetscErrorCode objective(Tao, Vec u, PetscReal* value, Vec gradient, void* data) {
  auto& c = *static_cast<Callbacks*>(data);
  return guarded(c, [&] {
    *value = c.contest->value(u);
    c.contest->gradient(u, gradient);
  });
}

PetscErrorCode remember(Tao, Vec u, Mat, Mat, void* data) {
  auto& c = *static_cast<Callbacks*>(data);
  return guarded(c, [&] { check(VecCopy(u, c.at)); });
}

PetscErrorCode act(Mat hessian, Vec d, Vec image) {
  void* data = nullptr;
  MatShellGetContext(hessian, &data);
  auto& c = *static_cast<Callbacks*>(data);
  return guarded(c, [&] { c.contest->hessian(c.at, d, image); });
}

PetscErrorCode riesz(PC pc, Vec f, Vec out) {
  void* data = nullptr;
  PCShellGetContext(pc, &data);
  auto& c = *static_cast<Callbacks*>(data);
  return guarded(c, [&] { c.contest->precondition(f, out); });
}

PetscErrorCode mass(Mat matrix, Vec v, Vec out) {
  void* data = nullptr;
  MatShellGetContext(matrix, &data);
  auto& c = *static_cast<Callbacks*>(data);
  return guarded(c, [&] {
    control::Primal primal = c.contest->space().primal();
    control::Dual dual = c.contest->space().dual();
    check(VecCopy(v, primal.values));
    c.contest->space().to_dual(primal, dual);
    check(VecCopy(dual.values, out));
  });
}

PetscErrorCode ends(Tao tao, void* data) {
  auto& c = *static_cast<Callbacks*>(data);
  return guarded(c, [&] {
    Vec u = nullptr;
    PetscInt iteration = 0;
    check(TaoGetSolution(tao, &u));
    check(TaoGetIterationNumber(tao, &iteration));
    check(TaoSetConvergedReason(tao, TAO_CONTINUE_ITERATING));
    if (c.contest->shows(u)) {
      check(TaoSetConvergedReason(tao, TAO_CONVERGED_USER));
    } else if (iteration >= 200) {
      check(TaoSetConvergedReason(tao, TAO_DIVERGED_MAXITS));
    }
  });
}

Score run(Contest& contest, const Setting& setting) {
  contest.begin(setting.name);
  Callbacks c{&contest, linalg::copy(contest.start().values), nullptr};
  linalg::Vector u = linalg::copy(contest.start().values), lower = linalg::like(u),
                 upper = linalg::like(u);
  PetscInt local = 0, global = 0;
  check(VecGetLocalSize(u, &local));
  check(VecGetSize(u, &global));
  MPI_Comm comm = contest.space().comm().handle();
  linalg::Matrix hessian, metric;
  for (linalg::Matrix* m : {&hessian, &metric}) {
    check(MatCreateShell(comm, local, local, global, global, &c, m->put()));
    check(MatSetOption(*m, MAT_SYMMETRIC, PETSC_TRUE));
  }
  check(MatShellSetOperation(hessian, MATOP_MULT, reinterpret_cast<void (*)()>(act)));
  check(MatShellSetOperation(metric, MATOP_MULT, reinterpret_cast<void (*)()>(mass)));
  Optimizer tao;
  check(TaoCreate(comm, tao.put()));
  check(TaoSetType(tao, setting.type.c_str()));
  check(TaoSetSolution(tao, u));
  check(TaoSetObjectiveAndGradient(tao, nullptr, objective, &c));
  check(TaoSetHessian(tao, hessian, hessian, remember, &c));
  if (contest.bounded()) {
    check(VecSet(lower, contest.lower()));
    check(VecSet(upper, contest.upper()));
    check(TaoSetVariableBounds(tao, lower, upper));
  }
  check(TaoSetTolerances(tao, 1e-30, 0.0, 0.0));
  check(TaoSetMaximumIterations(tao, 200));
  check(TaoSetMaximumFunctionEvaluations(tao, 5000));
  check(TaoSetConvergenceTest(tao, ends, &c));
  // Without it Newton's method evaluates ten trial points to guess a radius.
  const linalg::SolverOptions options(
      setting.metric
          ? std::vector<std::pair<std::string, std::string>>{{"tao_nls_init_type", "constant"},
                                                             {"tao_ntr_init_type", "constant"},
                                                             {"tao_bnk_init_type", "constant"}}
          : std::vector<std::pair<std::string, std::string>>{});
  check(TaoSetFromOptions(tao));
  check(TaoSetUp(tao));
  KSP ksp = nullptr;
  check(TaoGetKSP(tao, &ksp));
  if (setting.krylov_tolerance > 0.0 && ksp != nullptr) {
    check(KSPSetTolerances(ksp, setting.krylov_tolerance, PETSC_DEFAULT, PETSC_DEFAULT, 1000));
  }
  // The default of tron, nls and ntr needs an assembled matrix; those of the bounded Newton methods
  // rely on their own.
  if (ksp != nullptr && (!contest.bounded() || setting.type == "tron")) {
    PC pc = nullptr;
    check(KSPGetPC(ksp, &pc));
    check(PCSetType(pc, PCNONE));
  }
  // With bounds the mass matrix is lumped and the grid uniform: the metric is a multiple of 1.
  if (setting.metric && ksp != nullptr && !contest.bounded()) {
    PC pc = nullptr;
    check(KSPGetPC(ksp, &pc));
    check(PCSetType(pc, PCSHELL));
    check(PCShellSetContext(pc, &c));
    check(PCShellSetApply(pc, riesz));
  }
  const PetscErrorCode code = TaoSolve(tao);
  if (c.trouble) {
    try {
      std::rethrow_exception(c.trouble);
    } catch (const std::exception& e) {
      return contest.end(e.what());
    }
  }
  if (code != 0) return contest.end("PETSc error " + std::to_string(code));
  TaoConvergedReason reason = TAO_CONTINUE_ITERATING;
  check(TaoGetConvergedReason(tao, &reason));
  return contest.end(TaoConvergedReasons[reason]);
}

}  // namespace

void run_tao(Contest& contest, bool /*inversion*/, const Shown& show) {
  for (const auto& setting : settings(contest.bounded())) show(run(contest, setting));
}

}  // namespace equipoise::peers
