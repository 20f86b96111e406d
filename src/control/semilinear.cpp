#include <equipoise/control/semilinear.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::control {

void Semilinear::validate() const {
  if (!(kappa >= 0.0)) throw ConfigurationError("kappa must not be negative, it is {}", kappa);
  if (!(misfit > 0.0 && cost > 0.0)) {
    throw ConfigurationError("the weights of misfit ({}) and control ({}) must be positive", misfit,
                             cost);
  }
}

void SemilinearOptions::describe(state::OptionVisitor& visit) {
  visit.option("kink_set", kink_set, "hold nodes at the kink; false is the plain iteration");
  visit.option("descend_after", descend_after, "solves after which every step lowers the cost",
               state::at_least_one);
  coupled.describe(visit);
}

SemilinearControl::SemilinearControl(std::shared_ptr<const Semilinear> problem,
                                     const SemilinearOptions& options)
    : problem_(std::move(problem)), options_(options), solver_(*problem_->grid, options.coupled) {
  problem_->validate();
  const auto size = static_cast<std::size_t>(problem_->grid->owned().size());
  branch_.assign(size, -1);
  flips_.assign(size, 0);
  for (auto* values : {&y_, &p_, &m_, &best_}) values->assign(size, 0.0);
}

void SemilinearControl::warm_start(const std::vector<std::int64_t>& branches) {
  if (branches.size() != branch_.size()) {
    throw ConfigurationError("a warm start of {} branches does not fit {} nodes", branches.size(),
                             branch_.size());
  }
  branch_ = branches;
  std::fill(flips_.begin(), flips_.end(), 0);
}

void SemilinearControl::solve() {
  CoupledCoefficients system(problem_->grid->owned().size());
  const linalg::ConstEntries target(problem_->target);
  const linalg::ConstEntries source(problem_->source);
  for (std::size_t i = 0; i < branch_.size(); ++i) {
    const auto node = static_cast<std::int64_t>(i);
    const double slope = branch_[i] > 0 ? problem_->kappa : 0.0;
    system.a[i] = system.c[i] = slope;
    system.b[i] = 1.0 / problem_->cost;
    system.d[i] = -problem_->misfit;
    system.r[i] = source[node];
    system.s[i] = -problem_->misfit * target[node];
    system.pinned[i] = branch_[i] == 0 ? 1 : 0;
  }
  solver_.solve(system, y_, p_, m_);
}

void SemilinearControl::step() {
  if (pending_ == 0) return;
  solve();
  update();
  ++steps_;
}

void SemilinearControl::update() {
  const parallel::Comm& comm = problem_->grid->comm();
  const double kappa = problem_->kappa;
  std::array<double, 2> largest{};  // |y|, |kappa p|
  for (std::size_t i = 0; i < y_.size(); ++i) {
    largest[0] = std::max(largest[0], std::abs(y_[i]));
    largest[1] = std::max(largest[1], std::abs(kappa * p_[i]));
  }
  comm.max(std::span<double>(largest));
  // Nodes with values of the size of the solver's error would flip for ever: ten times that is the
  // guard. The plain iteration has none.
  const double error = 10.0 * solver_.accuracy();
  const double guard = options_.kink_set ? error * largest[0] : 0.0;
  const double nodes = static_cast<double>(problem_->grid->nodes());
  const double gain_guard =
      std::max(1e-12, solver_.accuracy() > 1e-13 ? error * std::sqrt(nodes) : 0.0) *
      std::max(1.0, largest[1]);

  std::vector<std::int64_t> next = branch_;
  std::vector<char> changed(branch_.size(), 0);
  std::vector<double> defect(branch_.size(), 0.0);
  for (std::size_t i = 0; i < branch_.size(); ++i) {
    if (branch_[i] == 0) {
      const double left = std::max(m_[i], 0.0);
      const double right = std::max(kappa * p_[i] - m_[i], 0.0);
      if (std::max(left, right) > gain_guard) {
        next[i] = left >= right ? -1 : 1;
        changed[i] = 1;
        defect[i] = std::max(left, right);
      }
    } else if (branch_[i] > 0 ? y_[i] < -guard || (guard == 0.0 && y_[i] == 0.0) : y_[i] > guard) {
      changed[i] = 1;
      const bool to_kink = options_.kink_set && flips_[i] >= 1 && p_[i] < 0.0;
      next[i] = to_kink ? 0 : -branch_[i];
      defect[i] = kappa * std::hypot(y_[i], p_[i]);
    }
  }
  pending_ = comm.sum(std::count(changed.begin(), changed.end(), 1));
  if (descending_ == 0) remember(true_cost(y_), y_);
  if (pending_ > 0 && options_.kink_set && steps_ + 1 >= options_.descend_after) {
    descend(next, changed, defect);
  } else {
    apply_changes(next, changed);
  }
  kinks_ = comm.sum(std::count(branch_.begin(), branch_.end(), 0));

  linalg::Vector vector = problem_->grid->vector();
  const auto norm = [&](const auto& value) {
    {
      linalg::Entries entries(vector);
      for (std::int64_t i = 0; i < entries.size(); ++i)
        entries[i] = value(static_cast<std::size_t>(i));
    }
    return problem_->grid->norm(vector);
  };
  const linalg::ConstEntries target(problem_->target);
  const auto at = [&](std::size_t i) { return target[static_cast<std::int64_t>(i)]; };
  const double misfit = norm([&](std::size_t i) { return y_[i] - at(i); });
  const double control = norm([&](std::size_t i) { return p_[i] / problem_->cost; });
  cost_ = 0.5 * problem_->misfit * misfit * misfit + 0.5 * problem_->cost * control * control;
  const double scale = problem_->misfit * norm(at);
  residual_ = norm([&](std::size_t i) { return defect[i]; }) / (scale > 0.0 ? scale : 1.0);
}

void SemilinearControl::apply_changes(const std::vector<std::int64_t>& next,
                                      const std::vector<char>& changed) {
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (changed[i] == 0) continue;
    flips_[i] = branch_[i] == 0 ? 0 : flips_[i] + 1;
    branch_[i] = next[i];
  }
}

/// misfit/2 |y - yd|^2 + cost/2 |u|^2 with the control u = -Lap y + kappa max(0, y) - e that makes
/// y the state.
double SemilinearControl::true_cost(const std::vector<double>& y) {
  const Grid& grid = *problem_->grid;
  linalg::Vector state = grid.vector(), control = grid.vector();
  {
    linalg::Entries entries(state);
    std::copy(y.begin(), y.end(), entries.span().begin());
  }
  grid.apply(state, control, nullptr);
  grid.solve_mass(control, control);
  {
    const linalg::ConstEntries source(problem_->source), target(problem_->target);
    linalg::Entries u(control), misfit(state);
    for (std::int64_t i = 0; i < u.size(); ++i) {
      u[i] += problem_->kappa * std::max(0.0, misfit[i]) - source[i];
      misfit[i] -= target[i];
    }
  }
  return 0.5 * problem_->misfit * grid.inner(state, state) +
         0.5 * problem_->cost * grid.inner(control, control);
}

bool SemilinearControl::remember(double cost, const std::vector<double>& y) {
  if (!(cost < best_cost_)) return false;
  best_cost_ = cost;
  best_ = y;
  return true;
}

/// Late in the run the cost as a function of the state decides: with the branches of the best state
/// so far, the solution of the linear system gives a direction of descent from there.
void SemilinearControl::descend(const std::vector<std::int64_t>& next,
                                const std::vector<char>& changed,
                                const std::vector<double>& defect) {
  const auto sign = [](double y) { return std::int64_t{y > 0.0} - std::int64_t{y < 0.0}; };
  if (descending_ == 0) {
    descending_ = 1;
    std::transform(best_.begin(), best_.end(), branch_.begin(), sign);
    return;
  }
  const double length = line_search();
  // Kink nodes with a gain are released after a whole step, all of them, else the first alone.
  double largest = 0.0;
  for (std::size_t i = 0; i < branch_.size(); ++i)
    if (branch_[i] == 0 && changed[i] != 0) largest = std::max(largest, defect[i]);
  largest = problem_->grid->comm().max(largest);
  for (std::size_t i = 0; i < branch_.size(); ++i) {
    const bool gain = branch_[i] == 0 && changed[i] != 0;
    branch_[i] = sign(best_[i]);
    if (gain && (length == 1.0 || defect[i] == largest)) branch_[i] = next[i];
  }
  stuck_ = length == 0.0 && largest == 0.0 ? 1 : 0;
}

/// From the best state towards the new one, by halves, to the lowest cost. Nodes that would leave
/// their branch stay at the kink if p < 0, where the cost bends upwards; tried as well: none of
/// them, and all. Returns the length, 0 if nothing lowers the cost.
double SemilinearControl::line_search() {
  const std::vector<double> from = best_;
  std::vector<double> trial(from.size());
  double reached = 0.0;
  for (const int hold : {0, 1, 2}) {
    double last = std::numeric_limits<double>::infinity();
    for (double length = 1.0; length > 1e-3; length *= 0.5) {
      for (std::size_t i = 0; i < trial.size(); ++i) {
        trial[i] = from[i] + length * (y_[i] - from[i]);
        const bool leaves = static_cast<double>(branch_[i]) * trial[i] < 0.0;
        if (leaves && (hold == 2 || (hold == 0 && p_[i] < 0.0))) trial[i] = 0.0;
      }
      const double cost = true_cost(trial);
      if (remember(cost, trial)) reached = length;
      if (cost > last) break;  // it rises again
      last = cost;
    }
  }
  return reached;
}

solve::Report SemilinearControl::report() const {
  solve::Report report;
  report.residual = residual_;
  report.objective = cost_;
  report.fresh = pending_ >= 0;
  report.finished = stuck_ != 0;
  report.failed = pending_ >= 0 && !std::isfinite(cost_);
  if (report.failed) report.message = "the state or the adjoint is not finite";
  if (pending_ > 0) report.message = fmt::format("{} nodes still change their branch", pending_);
  return report;
}

void SemilinearControl::fields(state::FieldVisitor& visit) {
  const auto& rows = problem_->grid->partition();
  const int part = problem_->grid->comm().rank();
  visit.partitioned("branch", rows, part, 1, branch_);
  visit.partitioned("flips", rows, part, 1, flips_);
  visit.partitioned("state", rows, part, 1, y_);
  visit.partitioned("adjoint", rows, part, 1, p_);
  visit.partitioned("multiplier", rows, part, 1, m_);
  visit.partitioned("best", rows, part, 1, best_);
  visit.scalar("best_cost", best_cost_);
  visit.scalar("descending", descending_);
  visit.scalar("stuck", stuck_);
  visit.scalar("residual", residual_);
  visit.scalar("cost", cost_);
  visit.scalar("pending", pending_);
  visit.scalar("kinks", kinks_);
  visit.scalar("steps", steps_);
}

void SemilinearControl::solution(state::FieldVisitor& visit) {
  const auto& rows = problem_->grid->partition();
  const int part = problem_->grid->comm().rank();
  std::vector<double> control = p_;
  for (double& u : control) u *= -1.0 / problem_->cost;
  visit.partitioned("control", rows, part, 1, control);
  visit.partitioned("state", rows, part, 1, y_);
  visit.partitioned("adjoint", rows, part, 1, p_);
  visit.partitioned("multiplier", rows, part, 1, m_);
}

}  // namespace equipoise::control
