#pragma once

#include <equipoise/control/optimality_system.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <memory>
#include <string>
#include <vector>

namespace equipoise::control {

/// Options of `AllAtOnce`.
struct AllAtOnceOptions {
  std::string preconditioner = "pearson-wathen";
  std::int64_t cycles = 1;  ///< V-cycles per Poisson-like block; 0 solves the blocks to 1e-13
  bool eliminate_control = false;  ///< keep state and adjoint only, u = -p/beta
  bool nested = true;              ///< start from the solution on coarser grids; false: from zero
  void describe(state::OptionVisitor& visit);
  /// Of M in the blocks K + shift M of the preconditioner.
  [[nodiscard]] double shift(double beta) const;
};

/// Preconditioned MINRES on the optimality system of a tracking problem, state, control and
/// multiplier at once:
///
///     [M 0 K; 0 beta M -M; K -M 0] (y, u, q) = (M yd, 0, M f),   q = -p,
///
/// or, with the control eliminated, [M K; K -M/beta] (y, q) = (M yd, M f). One step is one
/// iteration. The residual is that of the system in the norm of the inverse preconditioner (a dual
/// norm, hence an error norm), relative to the one at zero; the Euclidean one says nothing on
/// fine meshes.
///
/// The first step begins with nested iteration: the problem with target and source projected onto
/// the next coarser grid is solved in the same way to a fraction of its discretisation error, and
/// its state and multiplier are interpolated by cubics and the multiplier is corrected by two
/// applications of a block of the preconditioner, as that norm measures its second derivatives;
/// u = q/beta. Cost: about a third of the iterations that it saves.
///
/// Preconditioners, block diagonal with M, beta M and S: `pearson-wathen` has
/// S = (K + M/sqrt(beta)) M^-1 (K + M/sqrt(beta)), robust in h and beta (Pearson, Wathen, NLA 19,
/// 2012); `rees-dollar-wathen` has S = K M^-1 K, robust in h alone (Rees, Dollar, Wathen, SISC 32,
/// 2010). Mass blocks are exact, Poisson-like blocks a fixed number of V-cycles. Residuals of the
/// control lie in the range of M: they are kept as M^-1 r, so that their block costs one product
/// with M in place of a solve. Memory: 27 vectors of a nodal function (19 with the control
/// eliminated), and the multigrid.
class AllAtOnce : public solve::Method {
 public:
  AllAtOnce(std::unique_ptr<OptimalitySystem> system, const AllAtOnceOptions& options);
  /// For a problem on a structured grid; the multigrid is set up here. **Collective.**
  AllAtOnce(std::shared_ptr<const Tracking> problem, const AllAtOnceOptions& options);
  void step() override;
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;
  /// State, control and adjoint of the current iterate. **Collective.**
  struct Point {
    linalg::Vector state, control, adjoint;
  };
  [[nodiscard]] Point point() const;

 private:
  using Blocks = std::vector<linalg::Vector>;  // (y, q) or (y, u, q)
  [[nodiscard]] Blocks blocks() const;
  void start();
  void start_at_zero();
  bool start_from_coarser();
  void sharpen_multiplier();
  void solve_for_a_start();
  void apply(const Blocks& x, Blocks& out);
  void precondition(const Blocks& r, Blocks& z);
  void schur_inverse(Vec r, Vec z);
  [[nodiscard]] static double dot(const Blocks& a, const Blocks& b, Vec mass_image);

  std::unique_ptr<OptimalitySystem> system_;
  AllAtOnceOptions options_;
  Blocks x_, v_, v_old_, z_, z_next_, w_, w_old_, image_;
  linalg::Vector mass_control_;  // M z of the control
  linalg::Vector work_, stiffness_image_;
  // Lanczos and Givens scalars of the last two iterations, and the running residual.
  double gamma_ = 0.0, gamma_old_ = 1.0, c_ = 1.0, c_old_ = 1.0, s_ = 0.0, s_old_ = 0.0;
  double residual_ = 0.0, start_residual_ = 0.0;
  std::int64_t iteration_ = -1, cycles_ = 0, coarse_cycles_ = 0, mass_solves_ = 0;
};

}  // namespace equipoise::control
