#pragma once

#include <equipoise/control/space.hpp>
#include <equipoise/solve/method.hpp>

namespace equipoise::control {

enum class Curvature { full, gauss_newton };

/// The reduced functional j(u) = f(S(u), u) of a control u, S the solution operator of a state
/// equation.
///
/// Derivatives are taken at the control of the last call of `value`. Adjoints follow one
/// convention: L(y, u, p) = f(y, u) - <p, c(y, u)> with c(y, u) = K y - M u for the Poisson
/// equation, so K p = M (y - yd) and j'(u) = beta M u + M p.
class ReducedFunctional {
 public:
  virtual ~ReducedFunctional() = default;
  [[nodiscard]] virtual const Space& space() const = 0;
  /// j(u). **Collective**, one state solve.
  virtual double value(const Primal& u) = 0;
  /// out = j'(u). **Collective**, one adjoint solve.
  virtual void derivative(Dual& out) = 0;
  /// out = j''(u) d, or its Gauss-Newton part, which drops every term that holds the adjoint.
  /// **Collective**, two linear solves.
  virtual void hessian(const Primal& d, Dual& out, Curvature curvature = Curvature::full) = 0;
  /// out = an approximation of j''^-1 f for Krylov methods: the inverse Riesz map unless
  /// overridden. Symmetric, positive definite, fixed. **Collective.**
  virtual void precondition(const Dual& f, Primal& out) { space().to_primal(f, out); }
  /// State, adjoint and Hessian solves so far.
  [[nodiscard]] virtual solve::Counters counters() const = 0;
  /// Names the state and the adjoint at the control of the last `value`, for /solution.
  /// **Collective.**
  virtual void visit_state(state::FieldVisitor& /*visit*/) {}
};

}  // namespace equipoise::control
