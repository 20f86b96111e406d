#include <equipoise/control/reduced_method.hpp>

#include <cmath>

namespace equipoise::control {

ReducedMethod::ReducedMethod(std::shared_ptr<ReducedFunctional> functional, Primal start)
    : functional_(std::move(functional)),
      control_(std::move(start)),
      trial_(space().primal()),
      direction_(space().primal()),
      derivative_(space().dual()) {}

void ReducedMethod::evaluate(bool stands_there) {
  if (!stands_there) cost_ = functional_->value(control_);
  if (!std::isfinite(cost_)) {
    trouble_ = "the cost at the start is not finite: the state equation was not solved there";
    return;
  }
  functional_->derivative(derivative_);
  norm_ = space().norm(derivative_);
  if (start_norm_ < 0.0) start_norm_ = norm_;
  current_ = true;
}

bool ReducedMethod::ready() {
  if (finished_ != 0 || !trouble_.empty()) return false;
  if (!current_) evaluate(false);
  if (trouble_.empty() && norm_ == 0.0) finished_ = 1;
  return finished_ == 0 && trouble_.empty();
}

solve::Report ReducedMethod::report() const {
  solve::Report report;
  report.objective = cost_;
  if (start_norm_ >= 0.0) {
    report.residual = start_norm_ > 0.0 ? norm_ / start_norm_ : 0.0;
    report.fresh = true;
  }
  report.finished = finished_ != 0;
  report.failed = !trouble_.empty() || !std::isfinite(norm_);
  report.message = report.failed && trouble_.empty() ? "the gradient is not finite" : trouble_;
  return report;
}

solve::Counters ReducedMethod::counters() const {
  return count_once(space().comm(), functional_->counters());
}

void ReducedMethod::visit(state::FieldVisitor& visitor, const std::string& name, Vec v) const {
  space().visit(visitor, name, v);
}

void ReducedMethod::fields(state::FieldVisitor& visitor) {
  visit(visitor, "control", control_.values);
  visitor.scalar("start_norm", start_norm_);
  visitor.scalar("cost", cost_);
  visitor.scalar("norm", norm_);
  visitor.scalar("iteration", iteration_);
  visitor.scalar("finished", finished_);
  current_ = false;  // state, adjoint and derivative follow from the control
}

void ReducedMethod::solution(state::FieldVisitor& visitor) {
  stand_at_control();
  visit(visitor, "control", control_.values);
  functional_->visit_state(visitor);
}

}  // namespace equipoise::control
