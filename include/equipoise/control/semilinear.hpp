#pragma once

#include <equipoise/control/coupled.hpp>
#include <equipoise/control/space.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <limits>
#include <memory>
#include <vector>

namespace equipoise::control {

/// min misfit/2 |y - yd|^2 + cost/2 |u|^2 subject to -Lap y + kappa max(0, y) = u + e, y = 0 on the
/// boundary, in finite differences. The solution operator is not differentiable where y = 0.
struct Semilinear {
  std::shared_ptr<const Grid> grid;
  double kappa = 100.0;
  double misfit = 1.0;  ///< weight of the tracking term
  double cost = 1e-2;   ///< weight of the control
  linalg::Vector target, source;
  /// Throws ConfigurationError for weights that are not positive or kappa < 0.
  void validate() const;
};

struct SemilinearOptions {
  bool kink_set = true;             ///< allow nodes at the kink; false is the plain iteration
  std::int64_t descend_after = 20;  ///< solves after which every step lowers the cost
  CoupledOptions coupled = {};
  void describe(state::OptionVisitor& visit);
};

/// Pseudo-semismooth Newton: every step solves the linear optimality system in which each node has
/// a fixed branch of max(0, y): +1 (y > 0), -1 (y < 0), or 0: held at the kink y = 0, where a local
/// minimizer sits if kappa p <= m <= 0 for the slopes m of the cost. A node that flips for the
/// second time with p < 0 goes to the kink; a kink node whose slope shows a gain is released.
/// Without the third set (`kink_set` false) discrete problems whose solution has nodes at the kink
/// make the iteration flip for ever. Where the sets have not settled after `descend_after` solves,
/// the cost as a function of the state alone (the control is explicit in it) takes over: each
/// further solve, with the branches of the best state so far, gives a direction along which a line
/// search lowers the cost, and nodes that meet an upward kink on the way stay there. On return
/// without pending changes the step was exact and the point is strongly stationary: p <= 0 and zeta
/// = m/(kappa p) in [0, 1] at every kink node. Source: Christof, Mueller, Comput. Optim. Appl.
/// (2022), doi 10.1007/s10589-022-00390-y, for the plain iteration.
class SemilinearControl : public solve::Method {
 public:
  SemilinearControl(std::shared_ptr<const Semilinear> problem, const SemilinearOptions& options);
  /// One linear solve and the update of the branches. **Collective.**
  void step() override;
  /// The residual is what keeps the point from being stationary: kappa y and kappa p at nodes on
  /// the wrong branch and the gain at kink nodes, in the L2 norm, relative to that of misfit yd;
  /// exactly 0 at the end.
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override {
    return count_once(problem_->grid->comm(), {{"coupled_solves", solver_.solves()},
                                               {"coupled_iterations", solver_.iterations()}});
  }
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;

  /// The branches +1, -1, 0 of the owned nodes, and a warm start from those of a neighbouring
  /// problem.
  [[nodiscard]] const std::vector<std::int64_t>& branches() const { return branch_; }
  void warm_start(const std::vector<std::int64_t>& branches);
  [[nodiscard]] std::int64_t pending() const {
    return pending_;
  }  ///< branches that changed in the last step
  [[nodiscard]] std::int64_t kink_nodes() const { return kinks_; }  ///< nodes held at y = 0
  [[nodiscard]] const std::vector<double>& state() const { return y_; }
  [[nodiscard]] const std::vector<double>& adjoint() const { return p_; }
  [[nodiscard]] const std::vector<double>& multiplier() const { return m_; }

 private:
  void solve();
  void update();
  void apply_changes(const std::vector<std::int64_t>& next, const std::vector<char>& changed);
  [[nodiscard]] double true_cost(const std::vector<double>& y);
  bool remember(double cost, const std::vector<double>& y);
  void descend(const std::vector<std::int64_t>& next, const std::vector<char>& changed,
               const std::vector<double>& defect);
  double line_search();
  std::shared_ptr<const Semilinear> problem_;
  SemilinearOptions options_;
  CoupledSolver solver_;
  std::vector<std::int64_t> branch_, flips_;
  std::vector<double> y_, p_, m_;
  std::vector<double> best_;  // the state of lowest cost so far
  double best_cost_ = std::numeric_limits<double>::infinity();
  double residual_ = solve::Report::unknown, cost_ = solve::Report::unknown;
  std::int64_t pending_ = -1, kinks_ = 0, steps_ = 0, descending_ = 0, stuck_ = 0;
};

}  // namespace equipoise::control
