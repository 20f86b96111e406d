#pragma once

#include <equipoise/bilevel/method.hpp>

#include <memory>

namespace equipoise::bilevel {

struct MaidOptions {
  double accuracy = 0.1;     ///< first eps and delta
  double step = 0.01;        ///< first trial step
  double shrink_step = 0.5;  ///< rho
  double grow_step = 10.0 / 9.0;
  double tighten = 0.5;  ///< tau
  double relax = 1.25;   ///< nu
  double slack = 1e-4;   ///< eta of the accuracy test omega <= (1 - eta) |p|
  std::string direction = "auto";
  std::int64_t memory = 10;    ///< pairs of the quasi-Newton direction; 0: none, descent along p
  std::int64_t products = 10;  ///< most conjugate gradients of a Gauss-Newton direction
  double longest = 1.0;        ///< cap on the entries of a (quasi-, Gauss-) Newton step: the
                               ///< quasi-Newton step shrinks to it, the other is clipped
  std::int64_t trials = 2000;  ///< cap on trial steps and refinements in one step
  ImplicitOptions implicit;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// MAID: adaptively inexact hypergradient descent with a line search that never mistakes
/// inexactness for decrease.
///
/// Lower solves and linear solves are as accurate as the next step needs: the a-posteriori bound
/// omega on the error of the hypergradient must stay below its norm, and a step s is accepted only
/// if F certainly falls,
///
///     high(x+) - low(x) <= -c <p, x - x+>,   c = eta^2,
///
/// with brackets of F from the lower problems' residuals. Where the decrease to be expected drowns
/// in the rounding of F
/// (<p, x - x+> below 1e-11 |F|), the test compares hypergradient norms with their bounds instead.
/// The measure is |p| + omega (with `proj_x`: |x - proj(x - p)| + omega), which bounds |grad F|.
/// The direction is p itself as published (`gradient`, or `memory` = 0); or the limited-memory BFGS
/// direction from the last pairs of points and hypergradients (`quasi-newton`); or conjugate
/// gradients on the Gauss-Newton part of the Hessian of F and the curvature of x at fixed y
/// (`gauss-newton`, Implicit::curvature); both on the coordinates that no bound holds back. `auto`
/// is `gauss-newton` where that part is all that matters: f does not depend on x itself (grad_x f =
/// 0 at the start), the oracle has jvp_yx_g, and x has more entries than any y, so that F is flat
/// but for a few directions; else `quasi-newton`. Every promise above rests on the test alone,
/// whatever the direction. Source: Salehi, Mukherjee, Roberts, Ehrhardt, An adaptively inexact
/// first-order method for bilevel optimization with application to hyperparameter learning,
/// algorithm 2.
class Maid final : public MethodBase {
 public:
  Maid(const Setup& setup, MaidOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;

  [[nodiscard]] const Hypergradient& hypergradient() const { return state_; }
  [[nodiscard]] std::span<const double> direction() const { return p_; }
  [[nodiscard]] double accuracy() const { return eps_; }

 private:
  void refine();
  bool search(std::int64_t most);
  bool search_along(std::int64_t most, bool newton);
  void aim();
  void aim_quasi_newton();
  void aim_gauss_newton();
  void hold(std::span<double> v) const;
  [[nodiscard]] bool flat_but_for_y();
  void remember();
  /// out = proj(x - length * direction); returns <p, x - out>.
  double trial(double length, In along, std::vector<double>& out) const;
  void publish();

  MaidOptions options_;
  Implicit implicit_;
  std::vector<double> p_, q_;
  Hypergradient state_;
  double eps_, delta_, step_;
  bool started_ = false, gauss_newton_ = false;
  bool newton_ = false;                ///< along_ is not p
  std::vector<char> held_;             ///< entries of x that a bound holds against -p
  std::vector<double> moves_, turns_;  ///< the last x - x and p - p, [pairs x dx]
  std::vector<double> along_, last_x_, last_p_;
  std::vector<double> next_x_, next_y_, next_q_, next_p_;
};

}  // namespace equipoise::bilevel
