#include <equipoise/control/derivative_check.hpp>
#include <equipoise/control/equation.hpp>
#include <equipoise/control/mesh_space.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::control {

using linalg::check;

void Equation::second(Vec, Vec, Vec, Vec out_y, Vec out_u) {
  check(VecSet(out_y, 0.0));
  check(VecSet(out_u, 0.0));
}

StateSolver::StateSolver(const LinearSolves& options, bool symmetric)
    : options_(options), symmetric_(symmetric) {}

linalg::Solver StateSolver::make(Mat matrix, const std::string& prefix) const {
  if (direct_) return linalg::direct_solver(matrix, prefix);
  linalg::Solver solver = multigrid_cg(matrix, prefix, options_.tolerance);
  if (!symmetric_) check(KSPSetType(solver, KSPFGMRES));
  return solver;
}

void StateSolver::set(Mat matrix, std::int64_t rows) {
  ++set_ups_;
  const bool fresh = matrix_ != matrix;
  if (fresh) {
    direct_ =
        options_.kind == "direct" || (options_.kind == "auto" && (rows <= 20000 || !symmetric_));
    solver_ = make(matrix, "state_");
    matrix_ = matrix;
  } else {
    check(KSPSetOperators(solver_, matrix, matrix));
  }
  if (symmetric_ || direct_) return;
  Mat transposed = transposed_;
  check(MatTranspose(matrix, fresh ? MAT_INITIAL_MATRIX : MAT_REUSE_MATRIX,
                     fresh ? transposed_.put() : &transposed));
  if (fresh) {
    adjoint_solver_ = make(transposed_, "adjoint_");
  } else {
    check(KSPSetOperators(adjoint_solver_, transposed_, transposed_));
  }
}

void StateSolver::solve(Vec b, Vec x) { linalg::solve(solver_, b, x); }

void StateSolver::solve_transposed(Vec b, Vec x) {
  if (symmetric_) {
    linalg::solve(solver_, b, x);
  } else if (direct_) {
    linalg::solve_transposed(solver_, b, x);
  } else {
    linalg::solve(adjoint_solver_, b, x);
  }
}

EquationFunctional::EquationFunctional(std::shared_ptr<Equation> equation,
                                       std::shared_ptr<Objective> objective,
                                       const LinearSolves& solves)
    : equation_(std::move(equation)),
      objective_(std::move(objective)),
      solver_(solves, equation_->symmetric()),
      control_(equation_->controls().primal()),
      state_(equation_->states().primal()),
      trial_(equation_->states().primal()),
      change_(equation_->states().primal()),
      adjoint_(equation_->states().primal()),
      second_adjoint_(equation_->states().primal()),
      residual_(equation_->states().dual()),
      state_dual_(equation_->states().dual()),
      state_image_(equation_->states().dual()),
      control_dual_(equation_->controls().dual()) {
  // The solvers exist from here on: they have read their options.
  solver_.set(equation_->linearise(state_.values, control_.values),
              equation_->states().partition().size());
  matrix_ready_ = equation_->linear();
}

/// Newton's method for c(y, u) = 0 at the stored control; false if it does not arrive.
bool EquationFunctional::solve_state() {
  const bool linear = equation_->linear();
  const std::int64_t rows = equation_->states().partition().size();
  const auto norm = [&](const Primal& y) {
    equation_->residual(y.values, control_.values, residual_.values);
    double size = 0.0;
    check(VecNorm(residual_.values, NORM_2, &size));
    return size;
  };
  check(VecSet(state_.values, 0.0));
  double size = norm(state_);
  const double start = size;
  if (!std::isfinite(start)) return false;
  for (int step = 0; step < 60; ++step) {
    if (!matrix_ready_) solver_.set(equation_->linearise(state_.values, control_.values), rows);
    if (start == 0.0) return true;
    solver_.solve(residual_.values, change_.values);
    ++newton_steps_;
    double length = 1.0, next = size;
    for (int halving = 0; halving <= 20; ++halving, length *= 0.5) {
      check(VecWAXPY(trial_.values, -length, change_.values, state_.values));
      next = norm(trial_);
      if (next < size || linear) break;
    }
    if (linear) {
      check(VecCopy(trial_.values, state_.values));
      return std::isfinite(next);
    }
    // A residual that no longer falls is at the level of rounding, or Newton is stuck.
    if (!(next < size)) return size <= 1e-9 * start;
    check(VecCopy(trial_.values, state_.values));
    size = next;
    if (size <= 1e-14 * start) break;
  }
  if (size > 1e-9 * start) return false;
  solver_.set(equation_->linearise(state_.values, control_.values), rows);
  return true;
}

double EquationFunctional::value(const Primal& u) {
  check(VecCopy(u.values, control_.values));
  ++state_solves_;
  if (!solve_state()) return std::numeric_limits<double>::infinity();
  return objective_->value(state_.values, control_.values);
}

void EquationFunctional::derivative(Dual& out) {
  objective_->gradient(state_dual_.values, out.values);
  solver_.solve_transposed(state_dual_.values, adjoint_.values);
  ++adjoint_solves_;
  equation_->control_adjoint(adjoint_.values, control_dual_.values);
  check(VecAXPY(out.values, -1.0, control_dual_.values));
}

void EquationFunctional::tangent(Vec d, Vec out) {
  equation_->control_jacobian(d, state_image_.values);
  check(VecScale(state_image_.values, -1.0));
  solver_.solve(state_image_.values, out);
}

void EquationFunctional::tangent_adjoint(Vec w, Vec out) {
  solver_.solve_transposed(w, second_adjoint_.values);
  equation_->control_adjoint(second_adjoint_.values, out);
  check(VecScale(out, -1.0));
}

void EquationFunctional::hessian(const Primal& d, Dual& out, Curvature curvature) {
  tangent(d.values, change_.values);
  objective_->hessian(change_.values, d.values, state_dual_.values, out.values, curvature);
  if (curvature == Curvature::full && !equation_->linear()) {
    equation_->second(adjoint_.values, change_.values, d.values, state_image_.values,
                      control_dual_.values);
    check(VecAXPY(state_dual_.values, -1.0, state_image_.values));
    check(VecAXPY(out.values, -1.0, control_dual_.values));
  }
  tangent_adjoint(state_dual_.values, control_dual_.values);
  check(VecAXPY(out.values, 1.0, control_dual_.values));
  ++hessian_actions_;
}

solve::Counters EquationFunctional::counters() const {
  return {{"state_solves", state_solves_},
          {"newton_steps_of_the_state", newton_steps_},
          {"adjoint_solves", adjoint_solves_},
          {"hessian_actions", hessian_actions_},
          {"solver_set_ups", solver_.set_ups()}};
}

void EquationFunctional::visit_state(state::FieldVisitor& visit) {
  const auto& rows = equation_->states().partition();
  const int part = equation_->states().comm().rank();
  visit_vector(visit, "state", rows, part, state_.values);
  visit_vector(visit, "adjoint", rows, part, adjoint_.values);
}

bool EquationCheck::holds() const {
  return std::all_of(items.begin(), items.end(), [](const Item& item) { return item.holds; });
}

namespace {

/// Pseudo-random coefficients of size 1 that depend on the global index alone.
void scramble(const Space& space, std::int64_t seed, Vec v) {
  const parallel::Draw draw(static_cast<std::uint64_t>(seed), parallel::Purpose::probe, 0);
  linalg::Entries values(v);
  const auto begin = space.partition().range(space.comm().rank()).begin;
  for (std::int64_t i = 0; i < values.size(); ++i)
    values[i] = draw.uniform(static_cast<std::uint64_t>(begin + i)) - 0.5;
}

/// The smallest observed order of |r(t)|, t = 1e-2 2^-k; infinity where it stays at rounding.
template <class Remainder>
double observed_order(double scale, Remainder&& remainder) {
  double order = std::numeric_limits<double>::infinity(), previous = 0.0, t = 1e-2;
  for (int level = 0; level <= 6; ++level, t *= 0.5) {
    const double size = remainder(t);
    if (!(size > 1e-12 * scale)) break;
    if (level > 0) order = std::min(order, std::log2(previous / size));
    previous = size;
  }
  return order;
}

}  // namespace

EquationCheck check_equation(EquationFunctional& functional, const Primal& u, const Primal& d,
                             const Primal& e) {
  Equation& equation = functional.equation();
  const Space& states = equation.states();
  const Space& controls = equation.controls();
  EquationCheck found;
  const auto add = [&](const std::string& property, double figure, bool holds) {
    found.items.push_back({property, figure, holds});
  };
  Primal moved_u = controls.primal();
  Primal w = states.primal(), dy = states.primal(), y = states.primal(), moved_y = states.primal();
  Dual base = states.dual(), image = states.dual(), trial = states.dual(), dual = controls.dual();
  scramble(states, 3, w.values);
  scramble(states, 4, dy.values);
  const double cost = functional.value(u);
  add("cost at the start", cost, std::isfinite(cost));
  if (!std::isfinite(cost)) return found;
  check(VecCopy(functional.state(), y.values));
  const auto norm = [](Vec v) {
    double size = 0.0;
    check(VecNorm(v, NORM_2, &size));
    return size;
  };

  // Remainders of the residual along dy and along d.
  equation.residual(y.values, u.values, base.values);
  const Mat jacobian = equation.linearise(y.values, u.values);
  check(MatMult(jacobian, dy.values, image.values));
  const auto along_state = observed_order(norm(image.values), [&](double t) {
    check(VecWAXPY(moved_y.values, t, dy.values, y.values));
    equation.residual(moved_y.values, u.values, trial.values);
    check(VecAXPY(trial.values, -1.0, base.values));
    check(VecAXPY(trial.values, -t, image.values));
    return norm(trial.values);
  });
  add("order of the residual's remainder in the state (2)", along_state, along_state > 1.9);
  equation.control_jacobian(d.values, image.values);
  const auto along_control = observed_order(norm(image.values), [&](double t) {
    check(VecWAXPY(moved_u.values, t, d.values, u.values));
    equation.residual(y.values, moved_u.values, trial.values);
    check(VecAXPY(trial.values, -1.0, base.values));
    check(VecAXPY(trial.values, -t, image.values));
    return norm(trial.values);
  });
  add("order of the residual's remainder in the control (2)", along_control, along_control > 1.9);

  const auto gap = [](double a, double b) {
    return std::abs(a - b) / std::max({std::abs(a), std::abs(b), 1e-300});
  };
  equation.control_adjoint(w.values, dual.values);
  const double control_gap = gap(linalg::dot(image.values, w.values), pairing(dual, d));
  add("adjoint consistency of c_u", control_gap, control_gap <= 1e-10);
  functional.value(u);
  functional.tangent(d.values, moved_y.values);
  functional.tangent_adjoint(w.values, dual.values);
  const double state_gap = gap(linalg::dot(moved_y.values, w.values), pairing(dual, d));
  add("adjoint consistency of S'", state_gap, state_gap <= 1e-10);

  const DerivativeCheck taylor = check_derivatives(functional, u, d, e);
  add("order of the cost's change (1)", taylor.value_order, taylor.value_order > 0.9);
  add("order of its remainder with j' (2)", taylor.gradient_order, taylor.gradient_order > 1.9);
  add("order of its remainder with j'' (3)", taylor.hessian_order, taylor.hessian_order > 2.9);
  add("asymmetry of the Hessian", taylor.asymmetry, taylor.asymmetry <= 1e-9);
  return found;
}

}  // namespace equipoise::control
