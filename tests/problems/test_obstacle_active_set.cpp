#include "copy_fields.hpp"

#include <equipoise/linalg/petsc.hpp>
#include <equipoise/problems/vi/obstacle.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/config.hpp>
#include <equipoise/state/field_map.hpp>

#include <gtest/gtest.h>
#include <petscsnes.h>

#include <cmath>
#include <string>
#include <vector>

namespace equipoise::problems {
namespace {

using parallel::Comm;
using Vector = std::vector<double>;

struct Solved {
  solve::Summary summary;
  Vector z;  ///< owned
};

class Stored : public state::Stateful {
 public:
  explicit Stored(solve::Method& m) : method_(m) {}
  void fields(state::FieldVisitor& visit) override { method_.solution(visit); }

 private:
  solve::Method& method_;
};

Solved multigrid(const Comm& comm, std::int64_t n, double tolerance = 1e-12) {
  state::Config config;
  config.set("problem.n", std::to_string(n));
  const auto instance = obstacle_problem().make(comm, config);
  EXPECT_EQ(instance->methods().front(), "nested-active-set");
  const auto method = instance->make_method("nested-active-set", config);
  solve::StopOptions stop;
  stop.tolerance = tolerance;
  stop.max_iterations = 200;
  Solved solved;
  solved.summary = solve::run(comm, *method, stop, {}, {}, {true, {}});
  Stored stored(*method);
  EXPECT_LE(instance->certify(stored).measure, 10.0 * tolerance);
  state::FieldMap map;
  stored.fields(map);
  const auto z = map.doubles("z");
  solved.z.assign(z.begin(), z.end());
  return solved;
}

PetscErrorCode function(SNES, Vec x, Vec out, void* context) {
  const auto& problem = *static_cast<const Obstacle*>(context);
  const linalg::ConstEntries from(x);
  const linalg::Entries to(out);
  problem.apply_partitioned({0, problem.layout().dimension()}, from.span(), {}, to.span());
  return 0;
}

PetscErrorCode constant_jacobian(SNES, Vec, Mat, Mat, void*) { return 0; }

/// PETSc's reduced-space active set method with a direct solver, each rank for itself.
Vector by_snes(std::int64_t n) {
  const Obstacle problem(n);
  const std::int64_t m = n - 2;
  const auto size = static_cast<PetscInt>(m * m);
  linalg::Vector x, low, high, out;
  for (linalg::Vector* v : {&x, &low, &high, &out})
    linalg::check(VecCreateSeq(PETSC_COMM_SELF, size, v->put()));
  linalg::Matrix a;
  linalg::check(MatCreateSeqAIJ(PETSC_COMM_SELF, size, size, 5, nullptr, a.put()));
  const double scale = 1.0 / (problem.width() * problem.width());
  for (PetscInt k = 0; k < size; ++k) {
    const auto set = [&](PetscInt j, double v) {
      linalg::check(MatSetValue(a, k, j, v * scale, INSERT_VALUES));
    };
    set(k, 4.0);
    if (k % m > 0) set(k - 1, -1.0);
    if (k % m + 1 < m) set(k + 1, -1.0);
    if (k >= m) set(k - static_cast<PetscInt>(m), -1.0);
    if (k + m < size) set(k + static_cast<PetscInt>(m), -1.0);
  }
  linalg::check(MatAssemblyBegin(a, MAT_FINAL_ASSEMBLY));
  linalg::check(MatAssemblyEnd(a, MAT_FINAL_ASSEMBLY));
  {
    const linalg::Entries bound(low);
    for (double& v : bound.span()) v = -HUGE_VAL;
    problem.prox(1.0, {0, size}, bound.span());
  }
  linalg::check(VecSet(high, PETSC_INFINITY));
  linalg::check(VecCopy(low, x));
  linalg::Handle<SNES, SNESDestroy> snes;
  linalg::check(SNESCreate(PETSC_COMM_SELF, snes.put()));
  linalg::check(SNESSetType(snes, SNESVINEWTONRSLS));
  linalg::check(SNESSetFunction(snes, out, function, const_cast<Obstacle*>(&problem)));
  linalg::check(SNESSetJacobian(snes, a, a, constant_jacobian, nullptr));
  linalg::check(SNESVISetVariableBounds(snes, low, high));
  linalg::check(SNESSetTolerances(snes, 1e-10, 1e-14, 0.0, 200, 10000));
  KSP solver = nullptr;
  PC preconditioner = nullptr;
  linalg::check(SNESGetKSP(snes, &solver));
  linalg::check(KSPSetType(solver, KSPPREONLY));
  linalg::check(KSPGetPC(solver, &preconditioner));
  linalg::check(PCSetType(preconditioner, PCLU));
  linalg::check(SNESSolve(snes, nullptr, x));
  SNESConvergedReason reason = SNES_CONVERGED_ITERATING;
  linalg::check(SNESGetConvergedReason(snes, &reason));
  EXPECT_GT(reason, 0);
  const linalg::ConstEntries found(x);
  return {found.span().begin(), found.span().end()};
}

TEST(ObstacleActiveSet, AgreesWithPetscsActiveSetMethod) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  linalg::start_petsc(comm);
  for (const std::int64_t n : {33, 49}) {
    const Solved ours = multigrid(comm, n);
    EXPECT_EQ(ours.summary.stop, solve::Stop::converged) << n;
    const Vector theirs = by_snes(n);
    const auto owned = Obstacle(n, comm.size(), comm.rank()).layout().owned(comm.rank());
    double worst = 0.0;
    for (std::int64_t i = owned.begin; i < owned.end; ++i) {
      worst = std::max(worst, std::abs(ours.z[static_cast<std::size_t>(i - owned.begin)] -
                                       theirs[static_cast<std::size_t>(i)]));
    }
    EXPECT_LE(worst, 1e-8) << n;
  }
}

TEST(ObstacleActiveSet, CyclesDoNotGrowWithTheGridNorBitsWithTheRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  for (const std::int64_t n : {5, 17, 65}) {
    const Solved together = multigrid(comm, n, 1e-10);
    EXPECT_EQ(together.summary.stop, solve::Stop::converged) << n;
    EXPECT_LE(together.summary.iterations, 30) << n;
    const Solved alone = multigrid(Comm(), n, 1e-10);
    const auto owned = Obstacle(n, comm.size(), comm.rank()).layout().owned(comm.rank());
    EXPECT_EQ(together.z, Vector(alone.z.begin() + owned.begin, alone.z.begin() + owned.end)) << n;
  }
}

TEST(ObstacleActiveSet, AResumedMethodContinuesBitByBit) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  state::Config config;
  config.set("problem.n", "65");
  const auto instance = obstacle_problem().make(comm, config);
  for (const int done : {0, 1, 3}) {
    const auto through = instance->make_method("nested-active-set", config);
    const auto second = instance->make_method("nested-active-set", config);
    for (int k = 0; k < done; ++k) through->step();
    SCOPED_TRACE(done);
    expect_same_continuation(*through, *second, 2);
  }
}

TEST(ObstacleActiveSet, GridsThatCannotBeHalvedAreRefused) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  state::Config config;
  config.set("problem.n", "100");
  const auto instance = obstacle_problem().make(comm, config);
  EXPECT_EQ(instance->methods().front(), "accelerated-gradient");
  EXPECT_THROW((void)instance->make_method("nested-active-set", config), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::problems
