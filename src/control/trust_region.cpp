#include <equipoise/control/trust_region.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

void TrustRegionOptions::describe(state::OptionVisitor& visit) {
  visit.option("gauss_newton_steps", gauss_newton_steps,
               "first steps without the adjoint terms of the Hessian", state::non_negative);
  visit.option("max_cg", max_cg, "Hessian actions in a step", state::at_least_one);
  visit.option("radius", radius, "first radius; 0 for the norm of the preconditioned gradient",
               state::non_negative);
  visit.option("decrease_tolerance", decrease_tolerance,
               "finished when the predicted decrease is below this part of the cost",
               state::non_negative);
}

TrustRegion::TrustRegion(std::shared_ptr<ReducedFunctional> functional, Primal start,
                         const TrustRegionOptions& options)
    : ReducedMethod(std::move(functional), std::move(start)),
      options_(options),
      search_(space().primal()),
      image_primal_(space().primal()),
      residual_(space().dual()),
      image_(space().dual()),
      radius_(options.radius) {}

/// Extends the step along the search direction to the boundary of the region; returns how far.
double TrustRegion::to_boundary() {
  const double root = std::sqrt(std::max(0.0, ds_ * ds_ + ss_ * (radius_ * radius_ - dd_)));
  const double length = (root - ds_) / ss_;
  check(VecAXPY(direction_.values, length, search_.values));
  step_norm_ = radius_;
  return length;
}

double TrustRegion::truncated_cg(double tolerance, Curvature curvature) {
  check(VecSet(direction_.values, 0.0));
  check(VecAXPBY(residual_.values, -1.0, 0.0, derivative_.values));
  functional_->precondition(residual_, image_primal_);
  check(VecCopy(image_primal_.values, search_.values));
  double squared = pairing(residual_, image_primal_);
  if (radius_ == 0.0) radius_ = std::sqrt(squared);
  const double target = tolerance * tolerance * squared;
  dd_ = ds_ = 0.0;
  ss_ = squared;
  double promise = 0.0;
  for (std::int64_t count = 0; count < options_.max_cg; ++count) {
    functional_->hessian(search_, image_, curvature);
    ++cg_steps_;
    const double bend = pairing(image_, search_);
    const double slope = pairing(residual_, search_);  // minus that of the model
    const double length = bend > 0.0 ? squared / bend : 0.0;
    const double reach = dd_ + length * (2.0 * ds_ + length * ss_);
    if (!(bend > 0.0) || reach >= radius_ * radius_) {
      const double t = to_boundary();
      return promise + t * slope - 0.5 * t * t * bend;
    }
    check(VecAXPY(direction_.values, length, search_.values));
    promise += length * slope - 0.5 * length * length * bend;
    dd_ = reach;
    check(VecAXPY(residual_.values, -length, image_.values));
    functional_->precondition(residual_, image_primal_);
    const double next = pairing(residual_, image_primal_);
    step_norm_ = std::sqrt(dd_);
    if (next <= target) break;
    const double ratio = next / squared;
    check(VecAYPX(search_.values, ratio, image_primal_.values));
    // <d, s> and |s|^2 of the new search direction, by orthogonality of the residuals.
    ds_ = ratio * (ds_ + length * ss_);
    ss_ = next + ratio * ratio * ss_;
    squared = next;
  }
  return promise;
}

void TrustRegion::step() {
  if (!ready()) return;
  const auto curvature =
      iteration_ < options_.gauss_newton_steps ? Curvature::gauss_newton : Curvature::full;
  const double promise = truncated_cg(std::min(0.5, std::sqrt(norm_ / start_norm_)), curvature);
  ++iteration_;
  check(VecWAXPY(trial_.values, 1.0, direction_.values, control_.values));
  const double cost = functional_->value(trial_);
  const double noise = 1e-14 * std::abs(cost_);
  const double length = step_norm_;
  // Near the end both decreases drown in the rounding of the cost itself.
  const bool level =
      length < radius_ && std::abs(cost - cost_) <= noise && promise <= 100.0 * noise;
  const double ratio = level ? 1.0 : (cost_ - cost) / promise;
  if (!(ratio >= 0.25)) {
    radius_ = 0.25 * length;
  } else if (ratio > 0.75 && length >= 0.99 * radius_) {
    radius_ *= 2.5;
  }
  if (ratio >= 0.1) {
    check(VecCopy(trial_.values, control_.values));
    if (promise <= options_.decrease_tolerance * std::abs(cost)) finished_ = 1;
    cost_ = cost;
    evaluate(true);
    return;
  }
  ++rejected_;
  current_ = false;
  if (promise <= noise || radius_ == 0.0) {
    trouble_ = fmt::format("step {}: the region has shrunk to {:.3e} without a decrease of {:.6e}",
                           iteration_, radius_, cost_);
  }
}

solve::Counters TrustRegion::counters() const {
  auto counters = functional_->counters();
  counters.emplace_back("cg_steps", cg_steps_);
  counters.emplace_back("rejected_steps", rejected_);
  return count_once(space().comm(), std::move(counters));
}

void TrustRegion::fields(state::FieldVisitor& visitor) {
  ReducedMethod::fields(visitor);
  visitor.scalar("radius", radius_);
  visitor.scalar("cg_steps", cg_steps_);
  visitor.scalar("rejected", rejected_);
}

}  // namespace equipoise::control
