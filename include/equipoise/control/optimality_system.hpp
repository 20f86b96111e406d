#pragma once

#include <equipoise/control/cubic_interpolation.hpp>
#include <equipoise/control/mesh_space.hpp>
#include <equipoise/control/tracking.hpp>

#include <memory>

namespace equipoise::control {

/// The optimality system of a tracking problem as `AllAtOnce` sees it: the symmetric positive
/// definite matrices K of the state equation and M of L2, the cost beta of the control, the loads,
/// and a preconditioner of K + shift M. All members are **Collective**.
class OptimalitySystem {
 public:
  virtual ~OptimalitySystem() = default;
  [[nodiscard]] virtual const parallel::Comm& comm() const = 0;
  [[nodiscard]] virtual const partition::Partition& partition() const = 0;
  [[nodiscard]] virtual linalg::Vector vector() const = 0;
  [[nodiscard]] virtual double beta() const = 0;
  /// tracked = M yd and source = M f.
  virtual void loads(Vec tracked, Vec source) = 0;
  /// k = K x and m = M x, either of which may be null.
  virtual void apply(Vec x, Vec k, Vec m) = 0;
  /// x = M^-1 b.
  virtual void solve_mass(Vec b, Vec x) = 0;
  /// x = (K + shift M)^-1 b by `cycles` multigrid cycles from zero, a fixed symmetric positive
  /// definite map, or to 1e-13 for 0 cycles.
  virtual void solve_block(Vec b, Vec x, int cycles) = 0;
  /// The system with these loads on the next coarser grid, null where there is none.
  [[nodiscard]] virtual std::unique_ptr<OptimalitySystem> coarser(Vec /*tracked*/, Vec /*source*/) {
    return nullptr;
  }
  /// Interpolates a function of the coarser system, second derivatives included.
  virtual void interpolate(Vec /*coarse*/, Vec /*fine*/) {}
};

/// `Tracking` on a structured grid.
class GridOptimality : public OptimalitySystem {
 public:
  GridOptimality(std::shared_ptr<const Tracking> problem, double shift);
  [[nodiscard]] const parallel::Comm& comm() const override { return grid().comm(); }
  [[nodiscard]] const partition::Partition& partition() const override {
    return grid().partition();
  }
  [[nodiscard]] linalg::Vector vector() const override { return grid().vector(); }
  [[nodiscard]] double beta() const override { return problem_->beta; }
  void loads(Vec tracked, Vec source) override;
  void apply(Vec x, Vec k, Vec m) override { grid().apply(x, k, m); }
  void solve_mass(Vec b, Vec x) override { grid().solve_mass(b, x); }
  void solve_block(Vec b, Vec x, int cycles) override;
  /// Target and source are projected in L2; the matrices of the multigrid are shared.
  [[nodiscard]] std::unique_ptr<OptimalitySystem> coarser(Vec tracked, Vec source) override;
  void interpolate(Vec coarse, Vec fine) override;

 private:
  GridOptimality(std::shared_ptr<const Tracking> problem, Multigrid block);
  [[nodiscard]] const Grid& grid() const { return problem_->grid(); }
  std::shared_ptr<const Tracking> problem_;
  Multigrid block_;
};

/// A problem on a mesh: a symmetric linear equation K y = M (u + f) with y = 0 on part of the
/// boundary, where multiplier and control vanish too, and |y - yd|^2 over the whole domain. The
/// blocks of the preconditioner are cycles of BoomerAMG (PETSc options `schur_*`).
class MeshOptimality : public OptimalitySystem {
 public:
  /// `stiffness` is K with the rows and columns of the identity at Dirichlet nodes.
  /// Throws ConfigurationError for beta <= 0 or a target or source of the wrong size.
  MeshOptimality(std::shared_ptr<const MeshSpace> space, linalg::Matrix stiffness, double beta,
                 double shift, Vec target, Vec source);
  [[nodiscard]] const parallel::Comm& comm() const override { return space_->comm(); }
  [[nodiscard]] const partition::Partition& partition() const override {
    return space_->partition();
  }
  [[nodiscard]] linalg::Vector vector() const override { return space_->elements().vector(); }
  [[nodiscard]] double beta() const override { return beta_; }
  void loads(Vec tracked, Vec source) override;
  void apply(Vec x, Vec k, Vec m) override;
  void solve_mass(Vec b, Vec x) override { mass_solver_.solve(b, x); }
  void solve_block(Vec b, Vec x, int cycles) override;

 private:
  std::shared_ptr<const MeshSpace> space_;
  double beta_;
  linalg::Matrix stiffness_, mass_, block_;
  MassSolver mass_solver_;
  linalg::Solver solver_;
  linalg::Vector tracked_, source_, residual_, correction_;
};

}  // namespace equipoise::control
