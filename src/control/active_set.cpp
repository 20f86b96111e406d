#include <equipoise/control/active_set.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

void ControlLimits::validate() const {
  if (!(lower < upper)) {
    throw ConfigurationError("the bounds of the control are crossed: lower {} and upper {}", lower,
                             upper);
  }
  if (!(sparsity >= 0.0))
    throw ConfigurationError("the l1 cost must not be negative, it is {}", sparsity);
  if (sparsity > 0.0 && !(lower <= 0.0 && upper >= 0.0)) {
    throw ConfigurationError("bounds [{}, {}] beside an l1 cost must allow the zero control", lower,
                             upper);
  }
}

double ControlLimits::control(double beta, double p) const {
  const double shrunk = std::copysign(std::max(std::abs(p) - sparsity, 0.0), -p);
  return std::clamp(shrunk / beta, lower, upper);
}

ActiveSet::ActiveSet(std::shared_ptr<const Tracking> problem, const ControlLimits& limits)
    : problem_(std::move(problem)), limits_(limits), solver_(problem_->grid()) {
  problem_->validate();
  limits_.validate();
  const auto size = static_cast<std::size_t>(problem_->grid().owned().size());
  set_.assign(size, limits_.sparsity > 0.0 ? 0 : 1);
  for (auto* values : {&y_, &p_, &u_, &multiplier_}) values->assign(size, 0.0);
}

std::int64_t ActiveSet::set_of(double p) const {
  const double free =
      std::copysign(std::max(std::abs(p) - limits_.sparsity, 0.0), -p) / problem_->beta;
  if (free > limits_.upper) return 2;
  if (free < limits_.lower) return -2;
  if (limits_.sparsity == 0.0) return 1;
  return std::abs(p) <= limits_.sparsity ? 0 : free > 0.0 ? 1 : -1;
}

void ActiveSet::step() {
  if (changes_ == 0) return;
  CoupledCoefficients system(problem_->grid().owned().size());
  std::vector<double> offset(set_.size());  // u = offset - b p
  {
    const linalg::ConstEntries target(problem_->target);
    const linalg::ConstEntries source(problem_->source);
    for (std::size_t i = 0; i < set_.size(); ++i) {
      const auto node = static_cast<std::int64_t>(i);
      const auto sign = static_cast<double>(set_[i]);
      const bool free = std::abs(sign) == 1.0;
      system.b[i] = free ? 1.0 / problem_->beta : 0.0;
      offset[i] = free         ? -sign * limits_.sparsity / problem_->beta
                  : sign > 0.0 ? limits_.upper
                  : sign < 0.0 ? limits_.lower
                               : 0.0;
      system.r[i] = source[node] + offset[i];
      system.d[i] = -1.0;
      system.s[i] = -target[node];
    }
  }
  solver_.solve(system, y_, p_, multiplier_);

  linalg::Vector defect = problem_->grid().vector();
  linalg::Vector control = problem_->grid().vector();
  linalg::Vector state = problem_->grid().vector();
  std::int64_t changes = 0;
  double l1 = 0.0;
  {
    linalg::Entries gap(defect), u(control), y(state);
    const linalg::ConstEntries weight(problem_->grid().lumped_mass());
    for (std::size_t i = 0; i < set_.size(); ++i) {
      const auto node = static_cast<std::int64_t>(i);
      u_[i] = offset[i] - system.b[i] * p_[i];
      const std::int64_t next = set_of(p_[i]);
      // Equal sets mean an exact step; what is left of the gap is the rounding of the free control.
      gap[node] = next == set_[i] ? 0.0 : u_[i] - limits_.control(problem_->beta, p_[i]);
      changes += next != set_[i] ? 1 : 0;
      set_[i] = next;
      u[node] = u_[i];
      y[node] = y_[i];
      l1 += weight[node] * std::abs(u_[i]);
    }
  }
  changes_ = problem_->grid().comm().sum(changes);
  const double size = problem_->grid().norm(control);
  residual_ = changes_ == 0 ? 0.0 : problem_->grid().norm(defect) / (size > 0.0 ? size : 1.0);
  MPI_Allreduce(MPI_IN_PLACE, &l1, 1, MPI_DOUBLE, MPI_SUM, problem_->grid().comm().handle());
  cost_ = problem_->cost(state, control) + limits_.sparsity * l1;
}

solve::Report ActiveSet::report() const {
  solve::Report report;
  report.residual = residual_;
  report.objective = cost_;
  report.fresh = changes_ >= 0;
  report.failed = changes_ >= 0 && !std::isfinite(cost_);
  if (report.failed) report.message = "the state or the control is not finite";
  if (changes_ > 0) report.message = fmt::format("{} nodes changed their set", changes_);
  return report;
}

void ActiveSet::fields(state::FieldVisitor& visit) {
  const auto& rows = problem_->grid().partition();
  const int part = problem_->grid().comm().rank();
  visit.partitioned("set", rows, part, 1, set_);
  visit.partitioned("state", rows, part, 1, y_);
  visit.partitioned("adjoint", rows, part, 1, p_);
  visit.partitioned("control", rows, part, 1, u_);
  visit.scalar("residual", residual_);
  visit.scalar("cost", cost_);
  visit.scalar("changes", changes_);
}

void ActiveSet::solution(state::FieldVisitor& visit) {
  const auto& rows = problem_->grid().partition();
  const int part = problem_->grid().comm().rank();
  visit.partitioned("control", rows, part, 1, u_);
  visit.partitioned("state", rows, part, 1, y_);
  visit.partitioned("adjoint", rows, part, 1, p_);
}

}  // namespace equipoise::control
