#include <equipoise/control/reduced_cg.hpp>

#include <cmath>

namespace equipoise::control {

using linalg::check;

ReducedCg::ReducedCg(std::shared_ptr<ReducedFunctional> functional)
    : functional_(std::move(functional)),
      control_(functional_->space().primal()),
      direction_(functional_->space().primal()),
      gradient_(functional_->space().primal()),
      derivative_(functional_->space().dual()),
      start_derivative_(functional_->space().dual()),
      image_(functional_->space().dual()) {}

void ReducedCg::start() {
  start_cost_ = functional_->value(control_);
  functional_->derivative(derivative_);
  check(VecCopy(derivative_.values, start_derivative_.values));
  functional_->space().to_primal(derivative_, gradient_);
  squared_ = start_squared_ = pairing(derivative_, gradient_);
  cost_ = start_cost_;
  iteration_ = 0;
  check(VecAXPBY(direction_.values, -1.0, 0.0, gradient_.values));
}

void ReducedCg::step() {
  if (iteration_ < 0) start();
  if (squared_ == 0.0) return;
  functional_->hessian(direction_, image_);
  const double curvature = pairing(image_, direction_);
  if (!(curvature > 0.0)) {
    trouble_ = fmt::format("the reduced Hessian has curvature {:.3e} along a direction", curvature);
    return;
  }
  const double length = squared_ / curvature;
  check(VecAXPY(control_.values, length, direction_.values));
  check(VecAXPY(derivative_.values, length, image_.values));
  functional_->space().to_primal(derivative_, gradient_);
  const double squared = pairing(derivative_, gradient_);
  check(VecAXPBY(direction_.values, -1.0, squared / squared_, gradient_.values));
  squared_ = squared;
  // j(u) = j(0) + <j'(0), u> + 1/2 <j'' u, u> and j'(u) = j'(0) + j'' u.
  cost_ =
      start_cost_ + 0.5 * (pairing(start_derivative_, control_) + pairing(derivative_, control_));
  ++iteration_;
}

solve::Report ReducedCg::report() const {
  solve::Report report;
  report.objective = cost_;
  if (iteration_ >= 0) {
    report.residual = start_squared_ > 0.0 ? std::sqrt(squared_ / start_squared_) : 0.0;
    report.fresh = true;
  }
  report.failed = !trouble_.empty() || !std::isfinite(squared_);
  report.message = trouble_.empty() && report.failed ? "the gradient is not finite" : trouble_;
  return report;
}

void ReducedCg::fields(state::FieldVisitor& visit) {
  const Space& space = functional_->space();
  space.visit(visit, "control", control_.values);
  space.visit(visit, "direction", direction_.values);
  space.visit(visit, "derivative", derivative_.values);
  space.visit(visit, "start_derivative", start_derivative_.values);
  visit.scalar("squared", squared_);
  visit.scalar("start_squared", start_squared_);
  visit.scalar("start_cost", start_cost_);
  visit.scalar("cost", cost_);
  visit.scalar("iteration", iteration_);
}

void ReducedCg::solution(state::FieldVisitor& visit) {
  functional_->value(control_);
  functional_->derivative(image_);
  functional_->space().visit(visit, "control", control_.values);
  functional_->visit_state(visit);
}

}  // namespace equipoise::control
