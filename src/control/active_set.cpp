#include <equipoise/control/active_set.hpp>

#include <algorithm>
#include <array>
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

double ControlLimits::cost(double beta, double u) const {
  return 0.5 * beta * u * u + sparsity * std::abs(u);
}

ActiveSet::ActiveSet(std::shared_ptr<const Tracking> problem, const ControlLimits& limits)
    : problem_(std::move(problem)), limits_(limits), solver_(problem_->grid()) {
  problem_->validate();
  limits_.validate();
  const auto size = static_cast<std::size_t>(problem_->grid().owned().size());
  set_.assign(size, limits_.sparsity > 0.0 ? 0 : 1);
  for (auto* values : {&p_, &u_, &multiplier_}) values->assign(size, 0.0);
  const linalg::ConstEntries target(problem_->target);
  y_.assign(target.span().begin(), target.span().end());  // K p = M (y - yd) with p = 0
}

/// The set of a node with adjoint p: the old one as long as its formula gives the control of p up
/// to `guard`, so that ties between sets do not flip for ever.
std::int64_t ActiveSet::set_of(double p, std::int64_t old, double guard) const {
  if (std::abs(control_on(old, p) - limits_.control(problem_->beta, p)) <= guard) return old;
  const double free =
      std::copysign(std::max(std::abs(p) - limits_.sparsity, 0.0), -p) / problem_->beta;
  if (free > limits_.upper) return 2;
  if (free < limits_.lower) return -2;
  if (limits_.sparsity == 0.0) return 1;
  return std::abs(p) <= limits_.sparsity ? 0 : free > 0.0 ? 1 : -1;
}

double ActiveSet::control_on(std::int64_t set, double p) const {
  switch (set) {
    case -2:
      return limits_.lower;
    case 2:
      return limits_.upper;
    case 0:
      return 0.0;
    default:
      return -(p + static_cast<double>(set) * limits_.sparsity) / problem_->beta;
  }
}

void ActiveSet::solve_on_sets(std::vector<double>& y, std::vector<double>& p) {
  CoupledCoefficients system(problem_->grid().owned().size());
  const linalg::ConstEntries target(problem_->target);
  const linalg::ConstEntries source(problem_->source);
  for (std::size_t i = 0; i < set_.size(); ++i) {
    const auto node = static_cast<std::int64_t>(i);
    system.b[i] = std::abs(set_[i]) == 1 ? 1.0 / problem_->beta : 0.0;  // u = control_on(0) - b p
    system.r[i] = source[node] + control_on(set_[i], 0.0);
    system.d[i] = -1.0;
    system.s[i] = -target[node];
  }
  solver_.solve(system, y, p, multiplier_);
}

/// The length of the step towards (y, p), at most 1: 1 if the dual functional then decreases
/// enough, else the minimizer along the step, by bisection of its increasing slope.
double ActiveSet::step_length(const std::vector<double>& y, const std::vector<double>& p) const {
  const linalg::ConstEntries source(problem_->source);
  const linalg::ConstEntries weight(problem_->grid().lumped_mass());
  const double beta = problem_->beta;
  // Slope and decrease at t; the dual of one node's cost is -min_u (cost(u) + p u).
  const auto at = [&](double t) {
    std::array<double, 2> sums{};
    for (std::size_t i = 0; i < p.size(); ++i) {
      const auto node = static_cast<std::int64_t>(i);
      const double dy = y[i] - y_[i], dp = p[i] - p_[i], moved = p_[i] + t * dp;
      const double before = limits_.control(beta, p_[i]), after = limits_.control(beta, moved);
      sums[0] += weight[node] * (dy * (y_[i] + t * dy) - dp * (after + source[node]));
      sums[1] += weight[node] * (t * (dy * (y_[i] + 0.5 * t * dy) - dp * source[node]) -
                                 (limits_.cost(beta, after) - limits_.cost(beta, before) +
                                  moved * after - p_[i] * before));
    }
    MPI_Allreduce(MPI_IN_PLACE, sums.data(), 2, MPI_DOUBLE, MPI_SUM,
                  problem_->grid().comm().handle());
    return sums;
  };
  const double slope = at(0.0)[0];
  const auto [end_slope, decrease] = at(1.0);
  if (end_slope <= 1e-10 * std::abs(slope) || decrease <= 1e-4 * slope) return 1.0;
  double low = 0.0, high = 1.0;
  for (int halving = 0; halving < 60 && high - low > 1e-12 * high; ++halving) {
    const double middle = 0.5 * (low + high);
    (at(middle)[0] > 0.0 ? high : low) = middle;
  }
  return low > 0.0 ? low : high;
}

void ActiveSet::step() {
  if (changes_ == 0) return;
  const bool first = changes_ < 0;
  const Grid& grid = problem_->grid();
  std::vector<double> y, p;
  solve_on_sets(y, p);

  double largest = 0.0;
  for (const double value : p) largest = std::max(largest, std::abs(value));
  const double guard = 1e-13 * grid.comm().max(largest) / problem_->beta;
  linalg::Vector defect = grid.vector();
  std::int64_t changes = 0;
  {
    linalg::Entries gap(defect);
    for (std::size_t i = 0; i < set_.size(); ++i) {
      const bool stays = set_of(p[i], set_[i], guard) == set_[i];
      // Equal sets mean an exact step; what is left of the gap is the rounding of the free control.
      gap[static_cast<std::int64_t>(i)] =
          stays ? 0.0 : control_on(set_[i], p[i]) - limits_.control(problem_->beta, p[i]);
      changes += stays ? 0 : 1;
    }
  }
  changes_ = grid.comm().sum(changes);
  const double length = changes_ == 0 || first ? 1.0 : step_length(y, p);
  damped_ += length < 1.0 ? 1 : 0;

  linalg::Vector control = grid.vector(), state = grid.vector();
  double l1 = 0.0;
  {
    linalg::Entries u(control), ye(state);
    const linalg::ConstEntries weight(grid.lumped_mass());
    for (std::size_t i = 0; i < set_.size(); ++i) {
      const auto node = static_cast<std::int64_t>(i);
      y_[i] = length < 1.0 ? y_[i] + length * (y[i] - y_[i]) : y[i];
      p_[i] = length < 1.0 ? p_[i] + length * (p[i] - p_[i]) : p[i];
      u_[i] = changes_ == 0 ? control_on(set_[i], p_[i]) : limits_.control(problem_->beta, p_[i]);
      set_[i] = set_of(p_[i], set_[i], guard);
      u[node] = u_[i];
      ye[node] = y_[i];
      l1 += weight[node] * std::abs(u_[i]);
    }
  }
  const double size = grid.norm(control);
  residual_ = changes_ == 0 ? 0.0 : grid.norm(defect) / (size > 0.0 ? size : 1.0);
  MPI_Allreduce(MPI_IN_PLACE, &l1, 1, MPI_DOUBLE, MPI_SUM, grid.comm().handle());
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
  visit.scalar("damped", damped_);
}

void ActiveSet::solution(state::FieldVisitor& visit) {
  const auto& rows = problem_->grid().partition();
  const int part = problem_->grid().comm().rank();
  visit.partitioned("control", rows, part, 1, u_);
  visit.partitioned("state", rows, part, 1, y_);
  visit.partitioned("adjoint", rows, part, 1, p_);
}

}  // namespace equipoise::control
