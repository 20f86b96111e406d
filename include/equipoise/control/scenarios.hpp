#pragma once

#include <equipoise/control/reduced.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::control {

/// Ranks in two levels: `groups` of equal size, each with a whole mesh over its ranks, and columns
/// of the ranks that hold the same part of it. 6 ranks in 3 groups:
///
///     group 0: ranks 0 1     column 0: ranks 0 2 4
///     group 1: ranks 2 3     column 1: ranks 1 3 5
///     group 2: ranks 4 5
struct TwoLevels {
  parallel::Comm world, mesh, column;
  int groups = 1;
  /// **Collective.** The largest number of groups that divides the ranks and is at most `most`.
  TwoLevels(const parallel::Comm& world, std::int64_t most);
  [[nodiscard]] int group() const { return world.rank() / mesh.size(); }
};

/// min risk(1/2 |y_m - yd|^2) + beta/2 |u|^2 subject to -div(a_m grad y_m) = u: one control for
/// scenarios m = 0..M-1 of equal probability.
struct Scenarios {
  std::shared_ptr<const TwoLevels> levels;
  std::shared_ptr<const Hierarchy> hierarchy;                     ///< on the ranks of the group
  std::vector<std::function<double(const Point&)>> coefficients;  ///< a_m > 0
  double beta = 1e-4;
  linalg::Vector target;
  /// 0: the mean. Else the conditional value at risk: the mean of the worst part 1 - tail of the
  /// scenarios, min_t t + E max(misfit - t, 0)/(1 - tail), with max smoothed over the width
  /// `smoothing` times 1/2 |yd|^2.
  double tail = 0.0;
  double smoothing = 1e-2;
  void validate() const;
  [[nodiscard]] const Grid& grid() const { return hierarchy->finest(); }
};

/// K with a coefficient taken at the middle of the cells. **Collective.**
[[nodiscard]] linalg::Matrix assemble_diffusion(const Grid& grid,
                                                const std::function<double(const Point&)>& a);

/// The reduced functional of `Scenarios`. Groups take scenarios in contiguous ranges; controls and
/// derivatives are equal on all groups. With the mean it is quadratic; with a tail, convex and
/// smooth, and the Hessian holds the derivative of t. Memory per scenario of a group: a matrix with
/// its coarse ones, and three vectors. Sources: Kouri, Surowiec, SIOPT 26 (2016); Rockafellar,
/// Uryasev, J. Risk 2 (2000).
class ScenarioFunctional : public ReducedFunctional {
 public:
  /// **Collective** over all ranks.
  explicit ScenarioFunctional(std::shared_ptr<const Scenarios> problem, double tolerance = 1e-12);
  ~ScenarioFunctional() override;
  [[nodiscard]] const Space& space() const override;
  double value(const Primal& u) override;
  void derivative(Dual& out) override;
  void hessian(const Primal& d, Dual& out, Curvature curvature = Curvature::full) override;
  [[nodiscard]] solve::Counters counters() const override;
  /// The misfit of every scenario at the control of the last `value`, [M], and its weight in the
  /// derivative of the risk.
  [[nodiscard]] const std::vector<double>& misfits() const { return misfits_; }
  [[nodiscard]] const std::vector<double>& weights() const { return weights_; }

 private:
  class ReplicatedSpace;
  struct One;  // a scenario of this group
  double risk();
  void sum_over_groups(Vec v) const;
  std::shared_ptr<const Scenarios> problem_;
  std::unique_ptr<ReplicatedSpace> space_;
  double tolerance_, width_;
  std::int64_t first_;
  std::vector<std::unique_ptr<One>> own_;
  std::vector<double> misfits_, weights_, bends_;
  linalg::Vector control_, load_, work_;
  std::int64_t state_solves_ = 0, adjoint_solves_ = 0, hessian_actions_ = 0;
};

}  // namespace equipoise::control
