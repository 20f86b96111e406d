#include "bench.hpp"
#include "command.hpp"

#include <equipoise/pareto/dual_solver.hpp>
#include <equipoise/pareto/front_search.hpp>
#include <equipoise/problems/pareto/pde_instance.hpp>
#include <equipoise/problems/pareto/rom_solver.hpp>

#include <fmt/format.h>
#include <petsctao.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace equipoise::drivers {
namespace {

using linalg::check;
using problems::PdeFrontOptions;

/// 21 weights of the misfit: a = l s/(1 - s + l s) with l = 4 pi^4.
std::vector<double> front_weights() {
  std::vector<double> weights;
  for (int i = 0; i <= 20; ++i) {
    const double s = i == 0 ? 0.025 : i == 20 ? 0.999 : 0.05 * i;
    const double l = 4.0 * std::pow(std::numbers::pi, 4);
    weights.push_back(l * s / (1.0 - s + l * s));
  }
  return weights;
}

/// The reduced functional m/2 |y - yd|^2 + c/2 |u|^2 of the corner problem with counted V-cycles:
/// what a library for reduced problems gets to see.
class Reduced {
 public:
  Reduced(std::shared_ptr<const problems::PdeObjectives> problem, double tolerance)
      : problem_(std::move(problem)),
        tolerance_(tolerance),
        poisson_(problem_->hierarchy, 1.0, 0.0, "bench_") {
    for (auto* v : {&state_, &adjoint_, &load_, &work_}) *v = grid().vector();
  }
  void set_weight(double a) { misfit_ = a, cost_ = 1.0 - a; }
  [[nodiscard]] const control::Grid& grid() const { return problem_->grid(); }
  [[nodiscard]] std::int64_t cycles() const { return cycles_; }
  /// out = K^-1 M in
  void solve(Vec in, Vec out) {
    check(MatMult(grid().mass(), in, load_));
    double size = 0.0;
    check(VecNorm(load_, NORM_2, &size));
    if (size == 0.0) return check(VecZeroEntries(out));
    cycles_ += poisson_.solve(load_, out, tolerance_);
  }
  double value_and_derivative(Vec u, Vec derivative) {
    solve(u, state_);
    check(VecWAXPY(work_, -1.0, problem_->objectives[0].target, state_));
    const double value =
        0.5 * misfit_ * grid().inner(work_, work_) + 0.5 * cost_ * grid().inner(u, u);
    solve(work_, adjoint_);
    check(VecScale(adjoint_, misfit_));
    check(VecAXPY(adjoint_, cost_, u));
    check(MatMult(grid().mass(), adjoint_, derivative));
    return value;
  }
  /// out = j'' d, a functional.
  void hessian(Vec d, Vec out) {
    solve(d, work_);
    solve(work_, adjoint_);
    check(VecScale(adjoint_, misfit_));
    check(VecAXPY(adjoint_, cost_, d));
    check(MatMult(grid().mass(), adjoint_, out));
  }
  double dual_norm(Vec f) {
    linalg::Vector image = grid().vector();
    grid().solve_mass(f, image);
    return std::sqrt(std::max(0.0, linalg::dot(f, image)));
  }

 private:
  std::shared_ptr<const problems::PdeObjectives> problem_;
  double tolerance_, misfit_ = 1.0, cost_ = 1.0;
  control::Multigrid poisson_;
  linalg::Vector state_, adjoint_, load_, work_;
  std::int64_t cycles_ = 0;
};

PetscErrorCode tao_value(Tao, Vec u, PetscReal* f, Vec g, void* context) {
  *f = static_cast<Reduced*>(context)->value_and_derivative(u, g);
  return 0;
}
PetscErrorCode tao_hessian_product(Mat matrix, Vec d, Vec out) {
  void* context = nullptr;
  check(MatShellGetContext(matrix, &context));
  static_cast<Reduced*>(context)->hessian(d, out);
  return 0;
}
PetscErrorCode tao_hessian(Tao, Vec, Mat, Mat, void*) { return 0; }
PetscErrorCode mass_inverse(PC pc, Vec in, Vec out) {
  void* context = nullptr;
  check(PCShellGetContext(pc, &context));
  static_cast<Reduced*>(context)->grid().solve_mass(in, out);
  return 0;
}
PetscErrorCode mass_inverse_product(Mat matrix, Vec in, Vec out) {
  void* context = nullptr;
  check(MatShellGetContext(matrix, &context));
  static_cast<Reduced*>(context)->grid().solve_mass(in, out);
  return 0;
}
PetscErrorCode tao_test(Tao tao, void* context) {
  Vec g = nullptr;
  check(TaoGetGradient(tao, &g, nullptr, nullptr));
  auto* goal = static_cast<std::pair<Reduced*, double>*>(context);
  if (goal->first->dual_norm(g) <= goal->second)
    check(TaoSetConvergedReason(tao, TAO_CONVERGED_USER));
  PetscInt its = 0;
  check(TaoGetIterationNumber(tao, &its));
  if (its >= 400) check(TaoSetConvergedReason(tao, TAO_DIVERGED_MAXITS));
  return 0;
}

/// One solve by TAO from u, to |j'| <= target in the dual norm; the tuned forms: Newton with CG in
/// the inner product of the mass matrix, or a quasi-Newton method that starts from its inverse.
bool solve_by_tao(Reduced& functional, const std::string& type, Vec u, double target) {
  const auto& grid = functional.grid();
  PetscInt local = 0;
  PetscInt global = 0;
  check(VecGetLocalSize(u, &local));
  check(VecGetSize(u, &global));
  Tao tao = nullptr;
  check(TaoCreate(grid.comm().handle(), &tao));
  check(TaoSetType(tao, type.c_str()));
  check(TaoSetObjectiveAndGradient(tao, nullptr, tao_value, &functional));
  linalg::Matrix hessian;
  check(MatCreateShell(grid.comm().handle(), local, local, global, global, &functional,
                       hessian.put()));
  check(
      MatShellSetOperation(hessian, MATOP_MULT, reinterpret_cast<void (*)()>(tao_hessian_product)));
  check(MatSetOption(hessian, MAT_SYMMETRIC, PETSC_TRUE));
  linalg::Matrix inverse;
  check(MatCreateShell(grid.comm().handle(), local, local, global, global, &functional,
                       inverse.put()));
  check(MatShellSetOperation(inverse, MATOP_MULT,
                             reinterpret_cast<void (*)()>(mass_inverse_product)));
  check(MatShellSetOperation(inverse, MATOP_SOLVE,
                             reinterpret_cast<void (*)()>(mass_inverse_product)));
  check(TaoSetSolution(tao, u));
  std::pair<Reduced*, double> goal{&functional, target};
  check(TaoSetConvergenceTest(tao, tao_test, &goal));
  check(TaoSetMaximumIterations(tao, 400));
  if (type == "nls" || type == "ntr") {
    check(TaoSetHessian(tao, hessian, hessian, tao_hessian, nullptr));
    check(TaoSetUp(tao));
    KSP ksp = nullptr;
    check(TaoGetKSP(tao, &ksp));
    check(KSPSetType(ksp, KSPCG));
    check(KSPSetNormType(ksp, KSP_NORM_NATURAL));
    check(KSPSetTolerances(ksp, 1e-14, 0.9 * target, PETSC_DEFAULT, 400));
    PC pc = nullptr;
    check(KSPGetPC(ksp, &pc));
    check(PCSetType(pc, PCSHELL));
    check(PCShellSetContext(pc, &functional));
    check(PCShellSetApply(pc, mass_inverse));
  } else if (type == "lmvm") {
    check(TaoSetUp(tao));
    // H0 = M, solved exactly: the quasi-Newton update works in the inner product of the controls.
    check(TaoLMVMSetH0(tao, grid.mass()));
    KSP ksp = nullptr;
    check(TaoLMVMGetH0KSP(tao, &ksp));
    check(KSPSetType(ksp, KSPPREONLY));
    PC pc = nullptr;
    check(KSPGetPC(ksp, &pc));
    check(PCSetType(pc, PCSHELL));
    check(PCShellSetContext(pc, &functional));
    check(PCShellSetApply(pc, mass_inverse));
  }
  check(TaoSolve(tao));
  TaoConvergedReason reason = TAO_CONTINUE_ITERATING;
  check(TaoGetConvergedReason(tao, &reason));
  check(TaoDestroy(&tao));
  return reason > 0;
}

/// Cost of the points of one column, in PDE solves.
struct Column {
  std::string name;
  std::vector<double> cost, gradient;
};

void print_columns(const std::vector<Column>& columns, const std::vector<double>& weights) {
  fmt::print("{:>24} {:>8} {:>8} {:>8} {:>12}\n", "PDE solves per point", "median", "largest",
             "total", "|j'|/|j'(0)|");
  for (const auto& column : columns) {
    auto sorted = column.cost;
    std::sort(sorted.begin(), sorted.end());
    double total = 0.0;
    for (const double c : sorted) total += c;
    fmt::print("{:>24} {:>8.1f} {:>8.1f} {:>8.1f} {:>12.1e}\n", column.name,
               sorted[weights.size() / 2], sorted.back(), total,
               *std::max_element(column.gradient.begin(), column.gradient.end()));
  }
}

/// The 21 points of the corner problem to |j'| <= 1e-8 |j'(0)|, next to TAO.
void cost(const parallel::Comm& comm, std::int64_t cells) {
  PdeFrontOptions options{"corner", cells};
  const auto problem = problems::make_pde_objectives(comm, options);
  const auto weights = front_weights();
  const auto& grid = problem->grid();
  Reduced exact(problem, 1e-13);
  double unit = 0.0;
  {
    Reduced one(problem, 1e-10);
    linalg::Vector y = grid.vector();
    one.solve(problem->objectives[0].target, y);
    unit = static_cast<double>(one.cycles());
  }
  std::vector<double> scale;
  linalg::Vector u = grid.vector();
  linalg::Vector derivative = grid.vector();
  const auto gradient = [&](double a, Vec at) {
    exact.set_weight(a);
    exact.value_and_derivative(at, derivative);
    return exact.dual_norm(derivative);
  };
  for (const double a : weights) {
    check(VecZeroEntries(u));
    scale.push_back(gradient(a, u));
  }
  std::vector<Column> columns;
  for (const bool warm : {false, true}) {
    Column column{warm ? "all-at-once, warm" : "all-at-once, cold", {}, {}};
    const auto solver = problems::linear_pde_solver(problem, {4e-10, 100});
    std::vector<double> x;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!warm) x.clear();
      const auto before = solver->counters()[1].second;
      const std::vector<double> w{weights[i], 1.0 - weights[i]};
      (void)solver->solve(w, x);
      column.cost.push_back(static_cast<double>(solver->counters()[1].second - before) / unit);
      linalg::Entries entries(u);
      for (std::int64_t j = 0; j < entries.size(); ++j) entries[j] = x[static_cast<std::size_t>(j)];
    }
    // Once more, to measure the gradients without counting.
    x.clear();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!warm) x.clear();
      const std::vector<double> w{weights[i], 1.0 - weights[i]};
      (void)solver->solve(w, x);
      {
        linalg::Entries entries(u);
        for (std::int64_t j = 0; j < entries.size(); ++j)
          entries[j] = x[static_cast<std::size_t>(j)];
      }
      column.gradient.push_back(gradient(weights[i], u) / scale[i]);
    }
    columns.push_back(std::move(column));
  }
  for (const std::string type : {"nls"}) {
    for (const bool warm : {false, true}) {
      Column column{fmt::format("TAO {}, {}", type, warm ? "warm" : "cold"), {}, {}};
      Reduced functional(problem, 1e-10);
      check(VecZeroEntries(u));
      bool reached = true;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        if (!warm) check(VecZeroEntries(u));
        functional.set_weight(weights[i]);
        const auto before = functional.cycles();
        reached = solve_by_tao(functional, type, u, 0.9e-8 * scale[i]) && reached;
        column.cost.push_back(static_cast<double>(functional.cycles() - before) / unit);
        column.gradient.push_back(gradient(weights[i], u) / scale[i]);
      }
      if (!reached) column.name += " (fails)";
      columns.push_back(std::move(column));
    }
  }
  if (comm.rank() != 0) return;
  fmt::print("corner target, {} cells, q1, {} weights; one PDE solve to 1e-10 = {} V-cycles\n",
             cells, weights.size(), unit);
  print_columns(columns, weights);
}

/// Values of the non-smooth front, warm starts from a = 1 on.
void nonsmooth(const parallel::Comm& comm, std::int64_t cells) {
  PdeFrontOptions options{"opposed", cells};
  options.kappa = 10.0;
  pareto::DualSolver solver(
      problems::make_pde_solver(problems::make_pde_objectives(comm, options), 1e-12, 100));
  pareto::WarmPacket packet;
  const pareto::WarmPacket* from = nullptr;
  if (comm.rank() == 0) fmt::print("kappa 10, {} cells\n", cells);
  for (const double a : {1.0, 0.75, 0.5, 0.25, 0.0}) {
    const auto answer = solver.solve(pareto::weighted_sum({a, 1.0 - a}), from);
    if (comm.rank() == 0) {
      fmt::print("a {:4.2f}  J_1 {:.8f}  J_2 {:.8f}  {} solves  grade {}\n", a, answer.f[0],
                 answer.f[1], answer.counters.back().second, answer.grade);
    }
    packet = answer.packet;
    from = &packet;
  }
}

/// A Pascoletti-Serafini front by full solves and in the reduced space, and how sharp the bounds
/// are.
void reduced(const parallel::Comm& comm, const PdeFrontOptions& options, double spacing,
             double accuracy) {
  const auto problem = problems::make_pde_objectives(comm, options);
  const auto run = [&](std::unique_ptr<pareto::WeightedSolver> weighted, double tolerance) {
    pareto::FrontOptions front;
    front.spacing = spacing;
    auto groups = pareto::Groups::split(comm, comm.size());
    auto search = std::make_unique<pareto::FrontSearch>(
        std::move(groups),
        std::make_unique<pareto::DualSolver>(std::move(weighted),
                                             pareto::DualSolverOptions{.tolerance = tolerance}),
        front);
    while (!search->report().finished) search->step();
    return search;
  };
  const auto full = run(problems::make_pde_solver(problem, 1e-10, 100), 1e-8);
  problems::RomOptions rom;
  rom.accuracy = accuracy;
  auto solver = problems::rom_solver(problem, problems::make_pde_solver(problem, 1e-12, 100), rom);
  const problems::RomSolver& watch = *solver;
  const auto small = run(std::move(solver), 1e-6);
  const auto count = [](const pareto::FrontSearch& search, const std::string& name) {
    for (const auto& counter : search.counters()) {
      if (counter.first == name) return counter.second;
    }
    return std::int64_t{0};
  };
  const bool linear = options.kappa == 0.0;
  const std::string unit = linear ? "optimality_solve" : "coupled_solve";
  // The points of the reduced front against the full minimum at their own weights.
  auto reference = problems::make_pde_solver(problem, 1e-12, 100);
  double sharpest = INFINITY;
  double dullest = 0.0;
  double excess = 0.0;
  double bound = 0.0;
  std::int64_t certified = 0;
  for (const auto& acceptance : watch.record()) {
    if (acceptance.enriched) continue;
    ++certified;
    std::vector<double> x;
    const auto best = reference->solve(acceptance.weights, x);
    double minimum = 0.0;
    for (std::size_t i = 0; i < best.f.size(); ++i) minimum += acceptance.weights[i] * best.f[i];
    const double error = acceptance.value - minimum;
    excess = std::max(excess, error / minimum);
    bound = std::max(bound, acceptance.bound / minimum);
    if (error > 1e-10 * minimum) {
      sharpest = std::min(sharpest, acceptance.bound / error);
      dullest = std::max(dullest, acceptance.bound / error);
    }
  }
  if (comm.rank() != 0) return;
  const auto all = count(*full, unit);
  const auto few = count(*small, unit);
  fmt::print("{} cells {} kappa {}: {} points by full solves, {} in the reduced space\n",
             options.objectives, options.cells, options.kappa, full->front().size(),
             small->front().size());
  fmt::print("  {}s: full {}, reduced {} (basis of {}): 1/{:.1f}; cycles of the bound {}\n", unit,
             all, few, watch.basis_size(), static_cast<double>(all) / static_cast<double>(few),
             count(*small, "bound_cycle"));
  fmt::print(
      "  {} acceptances without a full solve, all certified: largest bound {:.2e}, largest "
      "true excess {:.2e}, effectivity {:.2f} to {:.2f}\n",
      certified, bound, excess, sharpest, dullest);
}

}  // namespace

int bench_pareto_pde(const parallel::Comm& comm, const std::vector<std::string>& words) {
  const std::string what = words.empty() ? "cost" : words[0];
  const std::int64_t cells = words.size() > 1 ? std::stoll(words[1]) : 128;
  if (what == "cost") {
    cost(comm, cells);
  } else if (what == "nonsmooth") {
    nonsmooth(comm, cells);
  } else if (what == "rom") {
    PdeFrontOptions corner{"corner", cells};
    reduced(comm, corner, words.size() > 2 ? std::stod(words[2]) : 0.05,
            words.size() > 3 ? std::stod(words[3]) : 1e-4);
  } else if (what == "rom-nonsmooth") {
    PdeFrontOptions opposed{"opposed", cells};
    opposed.kappa = 10.0;
    reduced(comm, opposed, words.size() > 2 ? std::stod(words[2]) : 0.05,
            words.size() > 3 ? std::stod(words[3]) : 1e-4);
  } else {
    throw ConfigurationError("bench pareto_pde {}: there are cost, nonsmooth, rom, rom-nonsmooth",
                             what);
  }
  return 0;
}

}  // namespace equipoise::drivers
