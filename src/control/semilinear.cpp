#include <equipoise/control/semilinear.hpp>
#include <equipoise/parallel/random.hpp>

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
  visit.option("damp_after", damp_after,
               "solves after which a random half of the changes is applied", state::at_least_one);
  coupled.describe(visit);
}

SemilinearControl::SemilinearControl(std::shared_ptr<const Semilinear> problem,
                                     const SemilinearOptions& options)
    : problem_(std::move(problem)), options_(options), solver_(*problem_->grid, options.coupled) {
  problem_->validate();
  const auto size = static_cast<std::size_t>(problem_->grid->owned().size());
  branch_.assign(size, -1);
  flips_.assign(size, 0);
  for (auto* values : {&y_, &p_, &m_}) values->assign(size, 0.0);
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
  apply_changes(next, changed);

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

/// Takes over the changed branches, all of them or, late in the run, a pseudo-random half that is
/// the same on any number of ranks and never empty.
void SemilinearControl::apply_changes(std::vector<std::int64_t>& next,
                                      const std::vector<char>& changed) {
  const parallel::Comm& comm = problem_->grid->comm();
  const std::int64_t begin = problem_->grid->owned().begin;
  const bool damped = options_.kink_set && steps_ + 1 >= options_.damp_after;
  const parallel::Draw draw(0, parallel::Purpose::coin, steps_);
  constexpr auto none = std::numeric_limits<std::int64_t>::max();
  std::int64_t pending = 0;
  std::int64_t chosen = 0;
  std::int64_t first = none;
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (changed[i] == 0) continue;
    const auto node = begin + static_cast<std::int64_t>(i);
    ++pending;
    if (!damped || draw.bits(static_cast<std::uint64_t>(node)) % 2 == 0) ++chosen;
    first = std::min(first, node);
  }
  pending_ = comm.sum(pending);
  chosen = comm.sum(chosen);
  first = comm.min(first);
  std::int64_t kinks = 0;
  for (std::size_t i = 0; i < next.size(); ++i) {
    const auto node = begin + static_cast<std::int64_t>(i);
    const bool take = changed[i] != 0 && (!damped || (chosen == 0 && node == first) ||
                                          draw.bits(static_cast<std::uint64_t>(node)) % 2 == 0);
    if (take) {
      flips_[i] = branch_[i] == 0 ? 0 : flips_[i] + 1;
      branch_[i] = next[i];
    }
    kinks += branch_[i] == 0 ? 1 : 0;
  }
  kinks_ = comm.sum(kinks);
}

solve::Report SemilinearControl::report() const {
  solve::Report report;
  report.residual = residual_;
  report.objective = cost_;
  report.fresh = pending_ >= 0;
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
