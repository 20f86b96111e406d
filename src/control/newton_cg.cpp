#include <equipoise/control/newton_cg.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::control {

using linalg::check;

void NewtonCgOptions::describe(state::OptionVisitor& visit) {
  visit.option("gauss_newton_steps", gauss_newton_steps,
               "first steps without the adjoint terms of the Hessian", state::non_negative);
  visit.option("armijo", armijo, "sufficient decrease of the line search", {0.0, 0.5, true});
  visit.option("max_cg", max_cg, "Hessian actions in a step", state::at_least_one);
  visit.option("decrease_tolerance", decrease_tolerance,
               "finished when the predicted decrease is below this part of the cost",
               state::non_negative);
}

NewtonCg::NewtonCg(std::shared_ptr<ReducedFunctional> functional, Primal start,
                   const NewtonCgOptions& options)
    : functional_(std::move(functional)),
      options_(options),
      control_(std::move(start)),
      direction_(functional_->space().primal()),
      search_(functional_->space().primal()),
      image_primal_(functional_->space().primal()),
      trial_(functional_->space().primal()),
      derivative_(functional_->space().dual()),
      residual_dual_(functional_->space().dual()),
      image_(functional_->space().dual()) {}

/// Cost and derivative at control_, where the functional may stand already.
void NewtonCg::evaluate(bool stands_there) {
  if (!stands_there) cost_ = functional_->value(control_);
  functional_->derivative(derivative_);
  norm_ = functional_->space().norm(derivative_);
  if (start_norm_ < 0.0) start_norm_ = norm_;
  current_ = true;
}

/// direction_ := an approximate solution of j'' d = -j'. Returns the number of Hessian actions.
std::int64_t NewtonCg::inner_cg(double tolerance, Curvature curvature) {
  check(VecSet(direction_.values, 0.0));
  check(VecAXPBY(residual_dual_.values, -1.0, 0.0, derivative_.values));
  functional_->precondition(residual_dual_, image_primal_);
  check(VecCopy(image_primal_.values, search_.values));
  double squared = pairing(residual_dual_, image_primal_);
  const double target = tolerance * tolerance * squared;
  std::int64_t count = 0;
  while (count < options_.max_cg) {
    functional_->hessian(search_, image_, curvature);
    ++count;
    const double bend = pairing(image_, search_);
    if (!(bend > 0.0)) {
      if (count == 1) check(VecCopy(search_.values, direction_.values));
      break;
    }
    const double length = squared / bend;
    check(VecAXPY(direction_.values, length, search_.values));
    check(VecAXPY(residual_dual_.values, -length, image_.values));
    functional_->precondition(residual_dual_, image_primal_);
    const double next = pairing(residual_dual_, image_primal_);
    if (next <= target) break;
    check(VecAYPX(search_.values, next / squared, image_primal_.values));
    squared = next;
  }
  return count;
}

void NewtonCg::step() {
  if (finished_ != 0 || !trouble_.empty()) return;
  if (!current_) evaluate(false);
  if (norm_ == 0.0) {
    finished_ = 1;
    return;
  }
  const auto curvature =
      iteration_ < options_.gauss_newton_steps ? Curvature::gauss_newton : Curvature::full;
  const double forcing = std::min(0.5, std::sqrt(norm_ / start_norm_));
  cg_steps_.push_back(inner_cg(forcing, curvature));
  ++iteration_;
  const double slope = pairing(derivative_, direction_);
  if (!(slope < 0.0)) {
    trouble_ = fmt::format("step {}: the Newton direction is not one of descent (slope {:.3e})",
                           iteration_, slope);
    return;
  }
  double length = 1.0;
  for (int halving = 0; halving <= 10; ++halving, length *= 0.5) {
    check(VecWAXPY(trial_.values, length, direction_.values, control_.values));
    const double cost = functional_->value(trial_);
    // Near the end the decrease drowns in the rounding of the cost itself.
    if (cost <= cost_ + options_.armijo * length * slope + 1e-14 * std::abs(cost_)) {
      check(VecCopy(trial_.values, control_.values));
      if (-slope <= options_.decrease_tolerance * std::abs(cost)) finished_ = 1;
      cost_ = cost;
      evaluate(true);
      return;
    }
  }
  current_ = false;
  trouble_ =
      fmt::format("step {}: ten halvings found no decrease of the cost {:.6e} (slope {:.3e})",
                  iteration_, cost_, slope);
}

solve::Report NewtonCg::report() const {
  solve::Report report;
  report.objective = cost_;
  if (start_norm_ >= 0.0) {
    report.residual = start_norm_ > 0.0 ? norm_ / start_norm_ : 0.0;
    report.fresh = true;
  }
  report.finished = finished_ != 0;
  report.failed = !trouble_.empty() || (start_norm_ >= 0.0 && !std::isfinite(cost_));
  report.message = report.failed && trouble_.empty() ? "the cost is not finite" : trouble_;
  return report;
}

solve::Counters NewtonCg::counters() const {
  auto counters = functional_->counters();
  counters.emplace_back("cg_steps",
                        std::accumulate(cg_steps_.begin(), cg_steps_.end(), std::int64_t{0}));
  return count_once(functional_->space().comm(), std::move(counters));
}

void NewtonCg::fields(state::FieldVisitor& visit) {
  functional_->space().visit(visit, "control", control_.values);
  visit.scalar("start_norm", start_norm_);
  visit.scalar("cost", cost_);
  visit.scalar("norm", norm_);
  visit.scalar("iteration", iteration_);
  visit.scalar("finished", finished_);
  visit.replicated("cg_steps", cg_steps_);
  current_ = false;  // state, adjoint and derivative follow from the control
}

void NewtonCg::solution(state::FieldVisitor& visit) {
  stand_at_control();
  functional_->space().visit(visit, "control", control_.values);
  functional_->visit_state(visit);
}

}  // namespace equipoise::control
