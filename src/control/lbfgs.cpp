#include <equipoise/control/lbfgs.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::control {

using linalg::check;

void LbfgsOptions::describe(state::OptionVisitor& visit) {
  visit.option("memory", memory, "pairs of differences kept", {1.0, 1000.0});
  visit.option("armijo", armijo, "sufficient decrease of the line search", {0.0, 0.5, true});
  visit.option("wolfe", wolfe, "part of the slope that may remain after a step", {0.5, 0.999});
}

Lbfgs::Lbfgs(std::shared_ptr<ReducedFunctional> functional, Primal start,
             const LbfgsOptions& options)
    : ReducedMethod(std::move(functional), std::move(start)),
      options_(options),
      curvatures_(static_cast<std::size_t>(options.memory), 0.0),
      factors_(static_cast<std::size_t>(options.memory), 0.0),
      scratch_(space().primal()),
      trial_derivative_(space().dual()),
      working_(space().dual()) {
  for (std::int64_t k = 0; k < options.memory; ++k) {
    moves_.push_back(space().primal());
    changes_.push_back(space().dual());
  }
}

/// direction_ := -H j' by the two loops over the pairs.
void Lbfgs::find_direction() {
  const auto slot = [&](std::int64_t back) {
    return static_cast<std::size_t>((next_ - back + options_.memory) % options_.memory);
  };
  check(VecCopy(derivative_.values, working_.values));
  for (std::int64_t back = 1; back <= stored_; ++back) {
    const auto k = slot(back);
    factors_[k] = pairing(working_, moves_[k]) / curvatures_[k];
    check(VecAXPY(working_.values, -factors_[k], changes_[k].values));
  }
  space().to_primal(working_, direction_);
  if (stored_ > 0) {
    const auto k = slot(1);
    space().to_primal(changes_[k], scratch_);
    check(VecScale(direction_.values, curvatures_[k] / pairing(changes_[k], scratch_)));
  }
  for (std::int64_t back = stored_; back >= 1; --back) {
    const auto k = slot(back);
    const double other = pairing(changes_[k], direction_) / curvatures_[k];
    check(VecAXPY(direction_.values, factors_[k] - other, moves_[k].values));
  }
  check(VecScale(direction_.values, -1.0));
}

/// Moves to trial_ with its cost and derivative; false if thirty trials found no Wolfe point.
bool Lbfgs::line_search(double slope) {
  double below = 0.0, above = std::numeric_limits<double>::infinity(), length = 1.0;
  const double start = cost_;
  const double noise = 1e-14 * std::abs(start);  // of the cost itself
  for (int trial = 0; trial < 30; ++trial) {
    check(VecWAXPY(trial_.values, length, direction_.values, control_.values));
    const double cost = functional_->value(trial_);
    double secant = 0.5;  // next length over this one
    if (!(cost <= start + options_.armijo * length * slope + noise)) {
      above = length;
      // The parabola through the start, its slope and this cost.
      if (std::isfinite(cost)) secant = -0.5 * slope * length / (cost - start - slope * length);
    } else {
      functional_->derivative(trial_derivative_);
      const double remaining = pairing(trial_derivative_, direction_);
      if (remaining >= options_.wolfe * slope) {
        cost_ = cost;
        return true;
      }
      below = length;
      secant = slope / (slope - remaining);
      if (!(secant > 1.0)) secant = 1000.0;
    }
    const double wanted = secant * length;
    length = std::isinf(above)
                 ? std::clamp(wanted, 2.0 * below, 1000.0 * below)
                 : std::clamp(wanted, below + 0.1 * (above - below), above - 0.1 * (above - below));
  }
  return false;
}

void Lbfgs::step() {
  if (!ready()) return;
  find_direction();
  double slope = pairing(derivative_, direction_);
  if (!(slope < 0.0)) {  // only rounding can do this: start again from the gradient
    stored_ = 0;
    find_direction();
    slope = pairing(derivative_, direction_);
  }
  ++iteration_;
  if (!line_search(slope)) {
    current_ = false;
    if (stored_ == 0) {
      trouble_ =
          fmt::format("step {}: no step along the gradient lowers the cost {:.6e} (slope {:.3e})",
                      iteration_, cost_, slope);
    }
    stored_ = 0;  // try once more along the gradient
    return;
  }
  const auto k = static_cast<std::size_t>(next_);
  check(VecWAXPY(moves_[k].values, -1.0, control_.values, trial_.values));
  check(VecWAXPY(changes_[k].values, -1.0, derivative_.values, trial_derivative_.values));
  curvatures_[k] = pairing(changes_[k], moves_[k]);
  if (curvatures_[k] > 0.0) {
    next_ = (next_ + 1) % options_.memory;
    stored_ = std::min(stored_ + 1, options_.memory);
  }
  check(VecCopy(trial_.values, control_.values));
  check(VecCopy(trial_derivative_.values, derivative_.values));
  norm_ = space().norm(derivative_);
}

void Lbfgs::fields(state::FieldVisitor& visitor) {
  ReducedMethod::fields(visitor);
  visitor.scalar("stored", stored_);
  visitor.scalar("next", next_);
  visitor.replicated("curvatures", curvatures_);
  for (std::size_t k = 0; k < moves_.size(); ++k) {
    visit(visitor, fmt::format("moves/{}", k), moves_[k].values);
    visit(visitor, fmt::format("changes/{}", k), changes_[k].values);
  }
}

}  // namespace equipoise::control
