#include <equipoise/control/tracking.hpp>

namespace equipoise::control {

using linalg::check;

void Tracking::validate() const {
  if (!(beta > 0.0))
    throw ConfigurationError("the control cost beta must be positive, not {}", beta);
  for (Vec v : {target.get(), source.get()}) {
    PetscInt size = 0;
    check(VecGetSize(v, &size));
    if (size != grid().nodes()) {
      throw ConfigurationError(
          "a target or source of {} values does not fit a grid of {} interior nodes", size,
          grid().nodes());
    }
  }
}

double Tracking::cost(Vec state, Vec control) const {
  linalg::Vector misfit = linalg::copy(state);
  check(VecAXPY(misfit, -1.0, target));
  return 0.5 * grid().inner(misfit, misfit) + 0.5 * beta * grid().inner(control, control);
}

TrackingFunctional::TrackingFunctional(std::shared_ptr<const Tracking> problem, Riesz riesz,
                                       double tolerance)
    : problem_(std::move(problem)),
      space_(problem_->hierarchy, riesz),
      tolerance_(tolerance),
      poisson_(problem_->hierarchy, 1.0, 0.0, "state_"),
      control_(problem_->grid().vector()),
      state_(problem_->grid().vector()),
      adjoint_(problem_->grid().vector()),
      load_(problem_->grid().vector()),
      work_(problem_->grid().vector()) {
  problem_->validate();
}

double TrackingFunctional::value(const Primal& u) {
  check(VecCopy(u.values, control_));
  check(VecWAXPY(work_, 1.0, problem_->source, control_));
  check(MatMult(problem_->grid().mass(), work_, load_));
  poisson_.solve(load_, state_, tolerance_);
  ++state_solves_;
  return problem_->cost(state_, control_);
}

void TrackingFunctional::derivative(Dual& out) {
  check(VecWAXPY(work_, -1.0, problem_->target, state_));
  check(MatMult(problem_->grid().mass(), work_, load_));
  poisson_.solve(load_, adjoint_, tolerance_);
  ++adjoint_solves_;
  check(VecWAXPY(work_, problem_->beta, control_, adjoint_));
  check(MatMult(problem_->grid().mass(), work_, out.values));
}

void TrackingFunctional::hessian(const Primal& d, Dual& out, Curvature) {
  check(MatMult(problem_->grid().mass(), d.values, load_));
  poisson_.solve(load_, work_, tolerance_);
  check(MatMult(problem_->grid().mass(), work_, load_));
  poisson_.solve(load_, work_, tolerance_);
  check(VecAXPY(work_, problem_->beta, d.values));
  check(MatMult(problem_->grid().mass(), work_, out.values));
  ++hessian_actions_;
}

solve::Counters TrackingFunctional::counters() const {
  return {{"state_solves", state_solves_},
          {"adjoint_solves", adjoint_solves_},
          {"hessian_actions", hessian_actions_}};
}

void TrackingFunctional::visit_state(state::FieldVisitor& visit) {
  const int part = space_.comm().rank();
  visit_vector(visit, "state", space_.partition(), part, state_);
  visit_vector(visit, "adjoint", space_.partition(), part, adjoint_);
}

}  // namespace equipoise::control
