#pragma once

#include <equipoise/control/reduced.hpp>
#include <equipoise/linalg/petsc.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::control {

/// A state equation c(y, u) = 0 between a state and a control, what a user gives to add one: its
/// residual, its two Jacobians, and for second-order methods the second derivatives. Derivatives
/// are taken at the pair of the last `linearise`. All members are **Collective**.
class Equation {
 public:
  virtual ~Equation() = default;
  [[nodiscard]] virtual const Space& states() const = 0;
  [[nodiscard]] virtual const Space& controls() const = 0;
  /// out = c(y, u).
  virtual void residual(Vec y, Vec u, Vec out) = 0;
  /// Returns c_y(y, u), which lives until the next call.
  virtual Mat linearise(Vec y, Vec u) = 0;
  /// out = c_u d, and out = c_u^T p.
  virtual void control_jacobian(Vec d, Vec out) = 0;
  virtual void control_adjoint(Vec p, Vec out) = 0;
  /// True if c is affine in (y, u): one factorisation, no second derivatives.
  [[nodiscard]] virtual bool linear() const { return false; }
  /// True if c_y is symmetric: solved by CG, without a second matrix for the adjoint.
  [[nodiscard]] virtual bool symmetric() const { return false; }
  /// out_y = (p c)_yy dy + (p c)_yu du and out_u = (p c)_uy dy + (p c)_uu du, for <p, c>. Zero for
  /// an affine equation; without it a nonlinear one has Gauss-Newton Hessians only.
  virtual void second(Vec /*p*/, Vec /*dy*/, Vec /*du*/, Vec out_y, Vec out_u);
};

/// A cost f(y, u). Derivatives are taken at the pair of the last `value`. All members are
/// **Collective**.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual double value(Vec y, Vec u) = 0;
  /// out_y = f_y and out_u = f_u.
  virtual void gradient(Vec out_y, Vec out_u) = 0;
  /// out_y = f_yy dy + f_yu du and out_u = f_uy dy + f_uu du, or a positive semidefinite
  /// approximation of them for `gauss_newton`.
  virtual void hessian(Vec dy, Vec du, Vec out_y, Vec out_u, Curvature curvature) = 0;
};

/// How linear systems with c_y are solved: `direct` factorises (MUMPS, or on every rank up to 10^4
/// rows); `multigrid` is CG (symmetric) or FGMRES with one cycle of hypre's BoomerAMG, to
/// `tolerance` on the true residual; `automatic` takes multigrid for symmetric systems of more than
/// 2 10^4 rows. PETSc options start with `state_` (and `adjoint_` for a transposed system).
struct LinearSolves {
  std::string kind = "auto";
  double tolerance = 1e-13;
};

/// Solves with a matrix and its transpose, factorised or set up once for every matrix.
class StateSolver {
 public:
  StateSolver(const LinearSolves& options, bool symmetric);
  /// The matrix of the next solves, and whether its values have changed. **Collective.**
  void set(Mat matrix, std::int64_t rows);
  void solve(Vec b, Vec x);
  void solve_transposed(Vec b, Vec x);
  [[nodiscard]] std::int64_t set_ups() const { return set_ups_; }

 private:
  [[nodiscard]] linalg::Solver make(Mat matrix, const std::string& prefix) const;
  LinearSolves options_;
  bool symmetric_, direct_ = true;
  Mat matrix_ = nullptr;
  linalg::Matrix transposed_;
  linalg::Solver solver_, adjoint_solver_;
  std::int64_t set_ups_ = 0;
};

/// The reduced functional j(u) = f(S(u), u) of any equation and cost. The state comes from Newton's
/// method, damped by halves on the residual and started at 0 (one solve for an affine equation), to
/// 1e-12 relative; a state that is not found makes the cost infinite, which a line search answers
/// with a shorter step. The adjoint solves c_y^T p = f_y; j' = f_u - c_u^T p; a Hessian action is
/// one solve with c_y and one with its transpose, by the set-up of the state.
class EquationFunctional : public ReducedFunctional {
 public:
  EquationFunctional(std::shared_ptr<Equation> equation, std::shared_ptr<Objective> objective,
                     const LinearSolves& solves = {});
  [[nodiscard]] const Space& space() const override { return equation_->controls(); }
  double value(const Primal& u) override;
  void derivative(Dual& out) override;
  void hessian(const Primal& d, Dual& out, Curvature curvature = Curvature::full) override;
  [[nodiscard]] solve::Counters counters() const override;
  void visit_state(state::FieldVisitor& visit) override;
  [[nodiscard]] Vec state() const { return state_.values; }
  [[nodiscard]] Vec adjoint() const { return adjoint_.values; }
  [[nodiscard]] Equation& equation() { return *equation_; }
  [[nodiscard]] Objective& objective() { return *objective_; }
  /// out = S'(u) d and out = S'(u)^T w at the control of the last `value`. **Collective.**
  void tangent(Vec d, Vec out);
  void tangent_adjoint(Vec w, Vec out);

 private:
  bool solve_state();
  std::shared_ptr<Equation> equation_;
  std::shared_ptr<Objective> objective_;
  StateSolver solver_;
  Primal control_, state_, trial_, change_;
  Primal adjoint_, second_adjoint_;
  Dual residual_, state_dual_, state_image_;
  Dual control_dual_;
  bool matrix_ready_ = false;
  std::int64_t state_solves_ = 0, newton_steps_ = 0, adjoint_solves_ = 0, hessian_actions_ = 0;
};

/// What `check_equation` found: each figure with the bound it must keep.
struct EquationCheck {
  struct Item {
    std::string property;
    double figure = 0.0;
    bool holds = false;
  };
  std::vector<Item> items;
  [[nodiscard]] bool holds() const;
};

/// Tests an equation and a cost at the control u along the controls d and e: orders of the
/// Taylor remainders of the residual in y and in u (2) and of the reduced cost (1, 2, 3), adjoint
/// consistency of c_u and of S' (1e-10), symmetry of the Hessian (1e-9). **Collective**, about
/// twenty state solves.
[[nodiscard]] EquationCheck check_equation(EquationFunctional& functional, const Primal& u,
                                           const Primal& d, const Primal& e);

}  // namespace equipoise::control
