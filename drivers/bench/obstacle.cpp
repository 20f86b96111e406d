#include "bench.hpp"
#include "timing.hpp"

#include <equipoise/linalg/petsc.hpp>
#include <equipoise/problems/vi/obstacle.hpp>
#include <equipoise/state/field_map.hpp>

#include <fmt/format.h>
#include <petscsnes.h>

#include <cmath>
#include <vector>

namespace equipoise::drivers {
namespace {

using linalg::check;
using problems::Obstacle;
using Vector = std::vector<double>;

struct ObstacleBench {
  std::vector<double> sizes = {129, 257, 513};
  double tolerance = 1e-10;
  void describe(state::OptionVisitor& visit) {
    visit.option("sizes", sizes, "grid points a side, 2^k + 1", state::positive);
    visit.option("tolerance", tolerance, "of both, on the residual relative to the start",
                 state::positive);
  }
};

PetscErrorCode residual(SNES, Vec x, Vec out, void* context) {
  const auto& problem = *static_cast<const Obstacle*>(context);
  const linalg::ConstEntries from(x);
  const linalg::Entries to(out);
  problem.apply_partitioned({0, problem.layout().dimension()}, from.span(), {}, to.span());
  return 0;
}

PetscErrorCode constant_jacobian(SNES, Vec, Mat, Mat, void*) { return 0; }

linalg::Matrix stencil(const Obstacle& problem, std::int64_t m) {
  linalg::Matrix a;
  const auto size = static_cast<PetscInt>(m * m);
  check(MatCreateSeqAIJ(PETSC_COMM_SELF, size, size, 5, nullptr, a.put()));
  const double scale = 1.0 / (problem.width() * problem.width());
  const auto line = static_cast<PetscInt>(m);
  for (PetscInt k = 0; k < size; ++k) {
    const auto set = [&](PetscInt j, double v) {
      check(MatSetValue(a, k, j, v * scale, INSERT_VALUES));
    };
    set(k, 4.0);
    if (k % line > 0) set(k - 1, -1.0);
    if (k % line + 1 < line) set(k + 1, -1.0);
    if (k >= line) set(k - line, -1.0);
    if (k + line < size) set(k + line, -1.0);
  }
  check(MatAssemblyBegin(a, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(a, MAT_FINAL_ASSEMBLY));
  return a;
}

/// PETSc's reduced-space active set method from `x` on one grid, in this process.
void by_snes(std::int64_t n, Vector& x, const char* preconditioner, double tolerance) {
  const Obstacle problem(n);
  linalg::Matrix a = stencil(problem, n - 2);
  const auto size = static_cast<PetscInt>(x.size());
  linalg::Vector at, low, high, out;
  for (linalg::Vector* v : {&at, &low, &high, &out})
    check(VecCreateSeq(PETSC_COMM_SELF, size, v->put()));
  {
    const linalg::Entries bound(low);
    for (double& v : bound.span()) v = -HUGE_VAL;
    problem.prox(1.0, {0, size}, bound.span());
    const linalg::Entries start(at);
    for (std::size_t k = 0; k < x.size(); ++k) start.span()[k] = x[k];
    problem.prox(1.0, {0, size}, start.span());
  }
  check(VecSet(high, PETSC_INFINITY));
  linalg::Handle<SNES, SNESDestroy> snes;
  check(SNESCreate(PETSC_COMM_SELF, snes.put()));
  check(SNESSetType(snes, SNESVINEWTONRSLS));
  check(SNESSetFunction(snes, out, residual, const_cast<Obstacle*>(&problem)));
  check(SNESSetJacobian(snes, a, a, constant_jacobian, nullptr));
  check(SNESVISetVariableBounds(snes, low, high));
  check(SNESSetTolerances(snes, tolerance, tolerance, 0.0, 200, 10000));
  KSP solver = nullptr;
  PC inner = nullptr;
  check(SNESGetKSP(snes, &solver));
  check(KSPSetType(solver, std::string(preconditioner) == PCLU ? KSPPREONLY : KSPCG));
  check(KSPSetTolerances(solver, 1e-6, 0.0, 1e10, 200));
  check(KSPGetPC(solver, &inner));
  check(PCSetType(inner, preconditioner));
  check(SNESSolve(snes, nullptr, at));
  const linalg::ConstEntries found(at);
  x.assign(found.span().begin(), found.span().end());
}

/// Bilinear, from the grid of half as many cells; boundary values by the exact solution.
Vector interpolated(std::int64_t n, const Vector& coarse) {
  const std::int64_t half = (n - 1) / 2 + 1, m = n - 2;
  const double h = 4.0 / static_cast<double>(half - 1);
  const auto value = [&](std::int64_t i, std::int64_t j) {
    if (i > 0 && j > 0 && i < half - 1 && j < half - 1)
      return coarse[static_cast<std::size_t>((i - 1) * (half - 2) + j - 1)];
    return Obstacle::exact(
        std::hypot(-2.0 + h * static_cast<double>(i), -2.0 + h * static_cast<double>(j)));
  };
  Vector fine(static_cast<std::size_t>(m * m));
  for (std::int64_t i = 1; i <= m; ++i) {
    for (std::int64_t j = 1; j <= m; ++j) {
      const std::int64_t a = i / 2, b = (i + 1) / 2, c = j / 2, d = (j + 1) / 2;
      fine[static_cast<std::size_t>((i - 1) * m + j - 1)] =
          0.25 * ((value(a, c) + value(b, c)) + (value(a, d) + value(b, d)));
    }
  }
  return fine;
}

Vector nested_snes(std::int64_t n, const char* preconditioner, double tolerance) {
  std::vector<std::int64_t> sides = {n};
  while (sides.back() % 2 == 1 && sides.back() > 17) sides.push_back((sides.back() - 1) / 2 + 1);
  Vector x(static_cast<std::size_t>((sides.back() - 2) * (sides.back() - 2)));
  for (std::size_t k = sides.size(); k-- > 0;) {
    if (k + 1 < sides.size()) x = interpolated(sides[k], x);
    by_snes(sides[k], x, preconditioner, tolerance);
  }
  return x;
}

struct Ours {
  double seconds = 0.0;
  std::int64_t steps = 0;
  Vector z;  ///< owned
};

Ours ours(const parallel::Comm& comm, std::int64_t n, double tolerance) {
  state::Config config;
  config.set("problem.n", fmt::format("{}", n));
  const auto instance = problems::obstacle_problem().make(comm, config);
  Ours result;
  std::unique_ptr<solve::Method> method;
  result.seconds = timed(comm, [&] {
    method = instance->make_method(instance->methods().front(), config);
    while (!(method->report().residual <= tolerance) && result.steps < 10000) {
      method->step();
      ++result.steps;
    }
  });
  struct Stored : state::Stateful {
    solve::Method* method = nullptr;
    void fields(state::FieldVisitor& visit) override { method->solution(visit); }
  } stored;
  stored.method = method.get();
  state::FieldMap map;
  stored.fields(map);
  const auto z = map.doubles("z");
  result.z.assign(z.begin(), z.end());
  return result;
}

}  // namespace

/// The obstacle problem next to nested iterations of PETSc's SNESVINEWTONRSLS, one process each.
int bench_obstacle(const parallel::Comm& comm, const Words& words) {
  ObstacleBench options;
  read_options(comm, words, options);
  linalg::start_petsc(comm);
  if (comm.rank() == 0)
    fmt::print("{:>6} {:>6} {:>10} {:>14} {:>14} {:>12}\n", "n", "steps", "ours", "SNESVI, LU",
               "SNESVI, ILU", "difference");
  for (const double size : options.sizes) {
    const auto n = static_cast<std::int64_t>(size);
    const Ours mine = ours(comm, n, options.tolerance);
    Vector theirs;
    const double lu = timed(comm, [&] { theirs = nested_snes(n, PCLU, options.tolerance); });
    const double ilu = timed(comm, [&] { (void)nested_snes(n, PCILU, options.tolerance); });
    double worst = 0.0;
    const auto owned = Obstacle(n, comm.size(), comm.rank()).layout().owned(comm.rank());
    for (std::size_t k = 0; k < mine.z.size(); ++k)
      worst =
          std::max(worst, std::abs(mine.z[k] - theirs[static_cast<std::size_t>(owned.begin) + k]));
    worst = comm.max(worst);
    if (comm.rank() == 0) {
      fmt::print("{:>6} {:>6} {:>8.3f} s {:>12.3f} s {:>12.3f} s {:>12.2e}\n", n, mine.steps,
                 mine.seconds, lu, ilu, worst);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace equipoise::drivers
