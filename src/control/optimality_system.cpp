#include <equipoise/control/optimality_system.hpp>

namespace equipoise::control {

using linalg::check;

GridOptimality::GridOptimality(std::shared_ptr<const Tracking> problem, double shift)
    : GridOptimality(problem, Multigrid(problem->hierarchy, 1.0, shift, "schur_")) {}

GridOptimality::GridOptimality(std::shared_ptr<const Tracking> problem, Multigrid block)
    : problem_(std::move(problem)), block_(std::move(block)) {
  problem_->validate();
}

void GridOptimality::loads(Vec tracked, Vec source) {
  grid().apply(problem_->target, nullptr, tracked);
  grid().apply(problem_->source, nullptr, source);
}

void GridOptimality::solve_block(Vec b, Vec x, int cycles) {
  if (cycles > 0) {
    block_.cycles(b, x, cycles);
  } else {
    block_.solve(b, x, 1e-13);
  }
}

std::unique_ptr<OptimalitySystem> GridOptimality::coarser(Vec tracked, Vec source) {
  if (problem_->hierarchy->grids.size() == 1) return nullptr;
  auto coarse = std::make_shared<Tracking>();
  coarse->hierarchy = problem_->hierarchy->coarser();
  coarse->beta = problem_->beta;
  const auto project = [&](Vec load) {
    linalg::Vector result = coarse->grid().vector();
    check(MatMultTranspose(problem_->hierarchy->interpolations.front(), load, result));
    coarse->grid().solve_mass(result, result);
    return result;
  };
  coarse->target = project(tracked);
  coarse->source = project(source);
  return std::unique_ptr<OptimalitySystem>(new GridOptimality(coarse, block_.coarser()));
}

void GridOptimality::interpolate(Vec coarse, Vec fine) {
  CubicInterpolation(*problem_->hierarchy->grids[1], grid()).apply(coarse, fine);
}

namespace {

/// K + shift M with the rows of the identity at Dirichlet nodes, where both have 1 on the diagonal.
linalg::Matrix shifted(Mat stiffness, Mat mass, double shift) {
  linalg::Matrix sum;
  check(MatDuplicate(stiffness, MAT_COPY_VALUES, sum.put()));
  check(MatAXPY(sum, shift, mass, SAME_NONZERO_PATTERN));
  return sum;
}

}  // namespace

MeshOptimality::MeshOptimality(std::shared_ptr<const MeshSpace> space, linalg::Matrix stiffness,
                               double beta, double shift, Vec target, Vec source)
    : space_(std::move(space)),
      beta_(beta),
      stiffness_(std::move(stiffness)),
      mass_(space_->elements().assemble([](const Place&) { return Form{.reaction = 1.0}; }, true)),
      block_(shifted(stiffness_, mass_, shift)),
      mass_solver_(space_->elements(), mass_),
      solver_(multigrid_cg(block_, "schur_", 1e-13)),
      tracked_(vector()),
      source_(vector()),
      residual_(vector()),
      correction_(vector()) {
  if (!(beta > 0.0))
    throw ConfigurationError("the control cost beta must be positive, not {}", beta);
  for (Vec v : {target, source}) {
    PetscInt size = 0;
    check(VecGetSize(v, &size));
    if (size != space_->elements().nodes()) {
      throw ConfigurationError("a target or source of {} values does not fit a mesh of {} nodes",
                               size, space_->elements().nodes());
    }
  }
  check(MatMult(space_->mass(), target, tracked_));
  check(MatMult(space_->mass(), source, source_));
  space_->elements().clear_dirichlet(tracked_);
  space_->elements().clear_dirichlet(source_);
  check(KSPSetUp(solver_));
}

void MeshOptimality::loads(Vec tracked, Vec source) {
  check(VecCopy(tracked_, tracked));
  check(VecCopy(source_, source));
}

void MeshOptimality::apply(Vec x, Vec k, Vec m) {
  if (k != nullptr) check(MatMult(stiffness_, x, k));
  if (m != nullptr) check(MatMult(mass_, x, m));
}

void MeshOptimality::solve_block(Vec b, Vec x, int cycles) {
  if (cycles == 0) {
    linalg::solve(solver_, b, x);
    return;
  }
  PC pc = nullptr;
  check(KSPGetPC(solver_, &pc));
  check(PCApply(pc, b, x));
  for (int cycle = 1; cycle < cycles; ++cycle) {
    check(MatMult(block_, x, residual_));
    check(VecAYPX(residual_, -1.0, b));
    check(PCApply(pc, residual_, correction_));
    check(VecAXPY(x, 1.0, correction_));
  }
}

}  // namespace equipoise::control
