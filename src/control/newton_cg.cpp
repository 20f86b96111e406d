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
    : ReducedMethod(std::move(functional), std::move(start)),
      options_(options),
      search_(space().primal()),
      image_primal_(space().primal()),
      residual_(space().dual()),
      image_(space().dual()) {}

/// direction_ := an approximate solution of j'' d = -j'. Returns the number of Hessian actions.
std::int64_t NewtonCg::inner_cg(double tolerance, Curvature curvature) {
  check(VecSet(direction_.values, 0.0));
  check(VecAXPBY(residual_.values, -1.0, 0.0, derivative_.values));
  functional_->precondition(residual_, image_primal_);
  check(VecCopy(image_primal_.values, search_.values));
  double squared = pairing(residual_, image_primal_);
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
    check(VecAXPY(residual_.values, -length, image_.values));
    functional_->precondition(residual_, image_primal_);
    const double next = pairing(residual_, image_primal_);
    if (next <= target) break;
    check(VecAYPX(search_.values, next / squared, image_primal_.values));
    squared = next;
  }
  return count;
}

void NewtonCg::step() {
  if (!ready()) return;
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

solve::Counters NewtonCg::counters() const {
  auto counters = functional_->counters();
  counters.emplace_back("cg_steps",
                        std::accumulate(cg_steps_.begin(), cg_steps_.end(), std::int64_t{0}));
  return count_once(space().comm(), std::move(counters));
}

void NewtonCg::fields(state::FieldVisitor& visitor) {
  ReducedMethod::fields(visitor);
  visitor.replicated("cg_steps", cg_steps_);
}

}  // namespace equipoise::control
