#include "entries_private.hpp"
#include "reduced_methods.hpp"

#include <equipoise/control/all_at_once.hpp>
#include <equipoise/control/reduced_cg.hpp>
#include <equipoise/problems/control/nodal.hpp>

#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

using control::Point;
using linalg::check;

struct PoissonOptions {
  std::int64_t dimension = 2;
  std::int64_t cells = 64;
  std::string element = "q1";
  double grading = 0.0;
  double beta = 1e-4;
  std::string target = "corner";
  void describe(state::OptionVisitor& visit) {
    visit.option("dimension", dimension, "dimension of the unit box", {1.0, 3.0});
    visit.option("cells", cells, "cells per direction", {2.0, 1e6});
    visit.choice("element", element, {"q1", "fd"}, "multilinear elements or finite differences");
    visit.option("grading", grading, "cells shrink by this fraction towards the boundary",
                 {-0.99, 0.99});
    visit.option("beta", beta, "cost of the control", state::positive);
    visit.choice(
        "target", target, {"corner", "sines"},
        "(2x-1)^2(2y-1)^2 on [0,1/2]^2, or the product of sin(pi x_i) with its exact solution");
  }
};

struct ReducedOptions {
  std::string riesz = "mass";
  double inner_tolerance = 1e-13;
  void describe(state::OptionVisitor& visit) {
    visit.choice("riesz", riesz, {"mass", "h1", "identity"}, "inner product of the control space");
    visit.option("inner_tolerance", inner_tolerance,
                 "relative residual of state and adjoint solves, below stop.tolerance/100",
                 {0.0, 1e-2, true});
  }
};

double corner(const Point& x, int dimension) {
  double value = 1.0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d) {
    if (x[d] > 0.5) return 0.0;
    value *= std::pow(2.0 * x[d] - 1.0, 2);
  }
  return value;
}

double sines(const Point& x, int dimension) {
  double value = 1.0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d) {
    value *= std::sin(std::numbers::pi * x[d]);
  }
  return value;
}

class PoissonControl : public solve::Instance {
 public:
  PoissonControl(const parallel::Comm& comm, state::Config& config) {
    config.read("problem", options_);
    const control::GridShape shape{
        .dimension = static_cast<int>(options_.dimension),
        .cells = options_.cells,
        .element = options_.element == "q1" ? control::Element::q1 : control::Element::fd,
        .grading = options_.grading};
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
    problem_ = std::make_shared<control::Tracking>();
    problem_->hierarchy = std::make_shared<control::Hierarchy>(comm, shape);
    problem_->beta = options_.beta;
    const int dim = shape.dimension;
    problem_->target = problem_->grid().interpolate([&](const Point& x) {
      return options_.target == "corner" ? corner(x, dim) : sines(x, dim);
    });
    problem_->source = problem_->grid().vector();
    all_at_once_ = config.text("method.name", methods().front()) == "all-at-once";
  }

  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format(
        "poisson-control dimension={} cells={} element={} grading={} beta={} target={}",
        options_.dimension, options_.cells, options_.element, options_.grading, options_.beta,
        options_.target);
  }

  [[nodiscard]] solve::Facts facts() const override {
    return {{"unknowns of state and of control", std::to_string(problem_->grid().nodes())},
            {"dimension", std::to_string(options_.dimension)},
            {"multigrid levels", std::to_string(problem_->hierarchy->grids.size())}};
  }

  [[nodiscard]] std::vector<std::string> methods() const override {
    return {"all-at-once", "reduced-cg", "newton-cg", "trust-region", "lbfgs"};
  }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    std::unique_ptr<solve::Method> method;
    if (name == "all-at-once") {
      control::AllAtOnceOptions options;
      config.read("method", options);
      method = std::make_unique<control::AllAtOnce>(problem_, options);
    } else if (name == "reduced-cg") {
      ReducedOptions options;
      config.read("method", options);
      const auto riesz = options.riesz == "mass" ? control::Riesz::mass
                         : options.riesz == "h1" ? control::Riesz::h1
                                                 : control::Riesz::identity;
      method = std::make_unique<control::ReducedCg>(
          std::make_shared<control::TrackingFunctional>(problem_, riesz, options.inner_tolerance));
    } else {
      auto functional = std::make_shared<control::TrackingFunctional>(problem_);
      method = make_reduced_method("poisson-control", name, functional,
                                   functional->space().primal(), true, config);
    }
    all_at_once_ = name == "all-at-once";
    petsc_->reject_unused();
    return method;
  }

  std::unique_ptr<state::Stateful> solution_storage() override {
    return std::make_unique<NodalSolution>(problem_->grid(), names());
  }

  solve::Certificate certify(state::Stateful& solution) override;

  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override {
    return {NodalSolution(problem_->grid(), names(), solution).export_csv(directory)};
  }
  std::vector<std::string> export_xdmf(state::Stateful& solution,
                                       const std::string& directory) override {
    const auto& grid = problem_->grid();
    const NodalSolution functions(grid, names(), solution);
    return formats::write_xdmf(grid.comm(), directory, xdmf_piece(grid, functions));
  }

 private:
  static std::vector<std::string> names() { return {"control", "state", "adjoint"}; }
  PoissonOptions options_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
  std::shared_ptr<control::Tracking> problem_;
  bool all_at_once_ = true;
};

/// Residuals r1 = M (y - yd) - K p, r2 = beta M u + M p, r3 = K y - M u of the stored triple, by
/// the products from the directions of the grid. The measure of all-at-once methods is their norm
/// under diag(M, beta M, (K + M/sqrt(beta)) M^-1 (K + M/sqrt(beta)))^-1 relative to that of the
/// zero triple; that of reduced methods is the gradient r2 in the dual L2 norm relative to the one
/// at u = 0.
solve::Certificate PoissonControl::certify(state::Stateful& solution) {
  const control::Grid& grid = problem_->grid();
  const NodalSolution stored(grid, names(), solution);
  const auto u = stored.vector("control");
  const auto y = stored.vector("state");
  const auto p = stored.vector("adjoint");
  auto r1 = grid.vector(), r2 = grid.vector(), r3 = grid.vector();
  auto ky = grid.vector(), kp = grid.vector(), work = grid.vector(), load = grid.vector();
  grid.apply(y, ky, nullptr);
  grid.apply(p, kp, nullptr);
  check(VecWAXPY(work, -1.0, problem_->target, y));
  grid.apply(work, nullptr, r1);
  check(VecAXPY(r1, -1.0, kp));
  check(VecWAXPY(work, problem_->beta, u, p));
  grid.apply(work, nullptr, r2);
  check(VecWAXPY(work, 1.0, problem_->source, u));
  grid.apply(work, nullptr, r3);
  check(VecAYPX(r3, -1.0, ky));
  grid.apply(problem_->target, nullptr, load);

  const auto dual = [&](Vec r) {
    grid.solve_mass(r, work);
    return linalg::dot(r, work);
  };
  control::Multigrid block(problem_->hierarchy, 1.0, 1.0 / std::sqrt(problem_->beta),
                           "certificate_");
  control::Multigrid poisson(problem_->hierarchy, 1.0, 0.0, "certificate_");
  block.solve(r3, work, 1e-10);
  const double state = grid.inner(work, work);
  const double start = dual(load);
  const double kkt = std::sqrt((dual(r1) + dual(r2) / problem_->beta + state) / start);
  // The gradient at u = 0 and f = 0 is -M K^-1 M yd; M (adjoint there).
  poisson.solve(load, work, 1e-10);
  const double start_squared = grid.inner(work, work);
  const double gradient = std::sqrt(dual(r2) / start_squared);
  const double cost = problem_->cost(y, u);
  return {{{"cost", cost},
           {"kkt_residual_relative", kkt},
           {"state_residual_dual_norm", std::sqrt(state)},
           {"adjoint_residual_dual_norm", std::sqrt(dual(r1))},
           {"gradient_dual_norm_relative", gradient}},
          all_at_once_ ? kkt : gradient};
}

}  // namespace

solve::ProblemEntry poisson_control_entry() {
  return {
      "control", "poisson-control",
      "track a target under -Lap y = u with L2 cost of the control, in 1, 2 or 3 dimensions",
      [](state::OptionVisitor& visit) { PoissonOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<PoissonControl>(comm, config);
      }};
}

std::vector<solve::MethodEntry> poisson_control_methods() {
  return {{"control", "all-at-once",
           "preconditioned MINRES on the optimality system, robust in the mesh and in beta",
           [](state::OptionVisitor& visit) { control::AllAtOnceOptions{}.describe(visit); }},
          {"control", "reduced-cg",
           "conjugate gradients on the reduced Hessian in the inner product of the control space",
           [](state::OptionVisitor& visit) { ReducedOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
