#pragma once

#include <equipoise/control/reduced.hpp>
#include <equipoise/control/revolve.hpp>
#include <equipoise/control/state_file.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::control {

/// min 1/2 |y - yd|^2 + beta/2 |u|^2 in L2(0,T; L2) subject to y_t - Lap y = u, y(0) = 0, with
/// `steps` steps of
///
///     (M + theta dt K) y_k = (M - (1 - theta) dt K) y_{k-1} + dt M u_k
///
/// and yd at the ends of the steps. theta = 1: implicit Euler, the misfit summed with weights dt.
/// theta = 1/2: Crank and Nicolson, of second order, the misfit by the trapezoidal rule.
struct Heat {
  std::shared_ptr<const Hierarchy> hierarchy;
  std::int64_t steps = 64;
  double end_time = 1.0;
  double theta = 1.0;
  double beta = 1e-2;
  std::function<double(const Point&, double)> target;  ///< yd(x, t)
  void validate() const;
  [[nodiscard]] double dt() const { return end_time / static_cast<double>(steps); }
  /// The weight of the misfit at the end of `step`.
  [[nodiscard]] double weight(std::int64_t step) const {
    return theta < 1.0 && step + 1 == steps ? 0.5 * dt() : dt();
  }
  [[nodiscard]] const Grid& grid() const { return hierarchy->finest(); }
};

/// Functions of space and time, [nodes, steps] node by node, with the inner product dt sum_k v_k^T
/// M w_k.
class SpaceTime : public Space {
 public:
  explicit SpaceTime(std::shared_ptr<const Heat> problem);
  [[nodiscard]] Primal primal() const override { return {linalg::like(layout_)}; }
  [[nodiscard]] Dual dual() const override { return {linalg::like(layout_)}; }
  void to_dual(const Primal& v, Dual& out) const override;
  void to_primal(const Dual& f, Primal& out) const override;
  [[nodiscard]] const partition::Partition& partition() const override { return partition_; }
  [[nodiscard]] const parallel::Comm& comm() const override { return problem_->grid().comm(); }
  /// Copies time slice `step` out of a function, or into it.
  void read(Vec function, std::int64_t step, Vec slice) const;
  void write(Vec slice, std::int64_t step, Vec function) const;

 private:
  std::shared_ptr<const Heat> problem_;
  partition::Partition partition_;
  linalg::Vector layout_, slice_, image_;
};

/// Where the states for the adjoint are kept: `memory` of them in memory and, if a directory is
/// given, `disk` more in an HDF5 file of each rank in it, removed in the end. Those on disk are the
/// ones read least often.
struct Snapshots {
  std::int64_t memory = 8;
  std::int64_t disk = 0;
  std::string directory = {};
};

/// The reduced functional of `Heat`. The adjoint runs backwards over states that are recomputed
/// from at most memory + disk of them (revolve): memory is bounded and made once, and the
/// derivative has the same bits for any number of snapshots, wherever they are kept.
class HeatFunctional : public ReducedFunctional {
 public:
  /// **Collective.** Throws ConfigurationError for bad numbers, InputError where the file cannot be
  /// made.
  HeatFunctional(std::shared_ptr<const Heat> problem, const Snapshots& snapshots);
  ~HeatFunctional() override;
  [[nodiscard]] const Space& space() const override { return space_; }
  double value(const Primal& u) override;
  void derivative(Dual& out) override;
  void hessian(const Primal& d, Dual& out, Curvature curvature = Curvature::full) override;
  [[nodiscard]] solve::Counters counters() const override;
  /// What the last backward sweep did.
  [[nodiscard]] const ReversalCount& last_reversal() const { return last_; }

 private:
  class Sweep;
  void forward(Vec control, std::int64_t step);  // state_ from `step` to `step` + 1
  void explicit_part(Vec v, double factor, Vec w);
  void backward(Vec control, bool with_target, Dual& out);
  void solve(Vec b, Vec x);
  void subtract_target(std::int64_t step, Vec misfit) const;

  std::shared_ptr<const Heat> problem_;
  SpaceTime space_;
  Snapshots where_;
  std::unique_ptr<StateFile> file_;
  linalg::Matrix matrix_;
  linalg::Solver direct_;                 // small grids
  std::unique_ptr<Multigrid> multigrid_;  // others
  linalg::Vector control_, state_, adjoint_, load_, slice_, stiffness_image_;
  std::vector<linalg::Vector> snapshots_;
  ReversalCount last_;
  std::int64_t state_steps_ = 0, adjoint_steps_ = 0;
};

}  // namespace equipoise::control
