#include "pde_fields.hpp"

#include <equipoise/control/semilinear.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace equipoise::problems {
namespace {

using linalg::check;

class SemilinearPde final : public PdeFieldSolver {
 public:
  SemilinearPde(std::shared_ptr<const PdeObjectives> problem, std::int64_t max_solves)
      : PdeFieldSolver(std::move(problem), {"control", "state", "adjoint", ".branch"}),
        max_solves_(max_solves),
        derivative_(grid()) {}

  [[nodiscard]] solve::Counters counters() const override {
    return {{"coupled_solve", solves_ + derivative_.solves()}};
  }
  pareto::WeightedAnswer solve(std::span<const double> weights, std::vector<double>& x) override;
  [[nodiscard]] std::vector<double> sensitivity() override;

 private:
  std::int64_t max_solves_;
  control::CoupledSolver derivative_;
  std::vector<double> weights_, u_, y_;
  std::vector<std::int64_t> branch_;
  double misfit_ = 0.0, cost_ = 0.0;
  std::int64_t solves_ = 0;
};

pareto::WeightedAnswer SemilinearPde::solve(std::span<const double> weights,
                                            std::vector<double>& x) {
  weights_.assign(weights.begin(), weights.end());
  auto model = std::make_shared<control::Semilinear>();
  // The grid lives as long as the problem: no ownership is passed on.
  model->grid = std::shared_ptr<const control::Grid>(problem_, &grid());
  model->kappa = problem_->kappa;
  auto sum = problem_->weighted(weights);
  misfit_ = model->misfit = sum.misfit;
  cost_ = model->cost = sum.cost;
  model->target = std::move(sum.target);
  model->source = grid().vector();
  // Without nodes at the kink the plain iteration ends in a few steps from nothing; the three sets
  // hold such nodes, and do best from the branches of a neighbour.
  std::unique_ptr<control::SemilinearControl> attempt;
  std::int64_t steps = 0;
  for (const bool kink_set : {!x.empty(), x.empty()}) {
    control::SemilinearOptions options;
    options.kink_set = kink_set;
    attempt = std::make_unique<control::SemilinearControl>(model, options);
    if (!x.empty()) {
      std::vector<std::int64_t> branches(local());
      for (std::size_t i = 0; i < local(); ++i)
        branches[i] = static_cast<std::int64_t>(std::llround(x[3 * local() + i]));
      attempt->warm_start(branches);
    }
    const std::int64_t limit = kink_set ? max_solves_ : std::min<std::int64_t>(15, max_solves_);
    for (steps = 0; attempt->pending() != 0 && steps < limit; ++steps) attempt->step();
    solves_ += steps;
    if (attempt->pending() == 0) break;
  }
  const control::SemilinearControl& method = *attempt;
  y_ = method.state();
  branch_ = method.branches();
  u_ = method.adjoint();
  for (double& u : u_) u *= -1.0 / cost_;
  linalg::Vector state = grid().vector();
  linalg::Vector control = grid().vector();
  load(y_, 0, state);
  load(u_, 0, control);
  pareto::WeightedAnswer answer;
  answer.f = problem_->values(state, control);
  const auto report = method.report();
  answer.residual = report.residual;
  // Without pending changes the three-set iteration ends strongly stationary.
  answer.grade = method.pending() == 0 ? 2 : 0;
  if (report.failed) {
    answer.status = pareto::ScalarStatus::not_finite;
    answer.message = report.message;
  } else if (method.pending() != 0) {
    answer.status = pareto::ScalarStatus::iteration_limit;
    answer.message =
        fmt::format("{} nodes still change their branch after {} solves", method.pending(), steps);
  }
  x.clear();
  x = u_;
  x.insert(x.end(), y_.begin(), y_.end());
  x.insert(x.end(), method.adjoint().begin(), method.adjoint().end());
  for (const std::int64_t b : branch_) x.push_back(static_cast<double>(b));
  return answer;
}

/// With the branches fixed the problem is quadratic in the state on the nodes off the kink: u = (A
/// + kappa chi) y, gradient g_i = misfit_i (y - d_i) + (A + kappa chi) cost_i u, and H^-1 g from
/// one coupled system.
std::vector<double> SemilinearPde::sensitivity() {
  const std::size_t k = objectives();
  control::CoupledCoefficients system(static_cast<std::int64_t>(local()));
  for (std::size_t i = 0; i < local(); ++i) {
    system.a[i] = system.c[i] = branch_[i] > 0 ? problem_->kappa : 0.0;
    system.b[i] = 1.0 / cost_;
    system.d[i] = -misfit_;
    system.pinned[i] = branch_[i] == 0 ? 1 : 0;
  }
  linalg::Vector control = grid().vector();
  linalg::Vector image = grid().vector();
  load(u_, 0, control);
  grid().apply(control, image, nullptr);
  grid().solve_mass(image, image);
  std::vector<std::vector<double>> gradient;
  {
    const linalg::ConstEntries au(image);
    for (const auto& objective : problem_->objectives) {
      const linalg::ConstEntries target(objective.target);
      auto& g = gradient.emplace_back(local());
      for (std::size_t i = 0; i < local(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        g[i] = objective.misfit * (y_[i] - target[at]) +
               objective.cost * (au[at] + system.a[i] * u_[i]);
      }
    }
  }
  const auto last = static_cast<std::size_t>(std::max_element(weights_.begin(), weights_.end()) -
                                             weights_.begin());
  std::vector<double> s(k * k, 0.0);
  std::vector<double> y;
  std::vector<double> p;
  std::vector<double> m;
  for (std::size_t j = 0; j < k; ++j) {
    if (j == last) continue;
    for (std::size_t i = 0; i < local(); ++i) system.s[i] = -gradient[j][i];
    derivative_.solve(system, y, p, m);
    load(y, 0, control);
    for (std::size_t i = 0; i < k; ++i) {
      load(gradient[i], 0, image);
      s[i * k + j] = -grid().inner(image, control);
      s[i * k + last] -= weights_[j] * s[i * k + j] / weights_[last];
    }
  }
  return s;
}

}  // namespace

std::unique_ptr<pareto::WeightedSolver> semilinear_pde_solver(
    std::shared_ptr<const PdeObjectives> problem, std::int64_t max_solves) {
  return std::make_unique<SemilinearPde>(std::move(problem), max_solves);
}

}  // namespace equipoise::problems
