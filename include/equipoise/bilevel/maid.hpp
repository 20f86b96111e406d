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
  std::int64_t memory =
      10;                ///< pairs of the quasi-Newton direction; 0 descends along p as published
  double longest = 1.0;  ///< cap on the largest entry of a quasi-Newton step
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
/// The direction is p itself as published (`memory` = 0), or the limited-memory BFGS direction from
/// the last pairs of points and hypergradients, on the coordinates that no bound holds back; every
/// promise above rests on the test alone, whatever the direction. Source: Salehi, Mukherjee,
/// Roberts, Ehrhardt, An adaptively inexact first-order method for bilevel optimization with
/// application to hyperparameter learning, algorithm 2.
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
  bool refine();
  bool search(std::int64_t most);
  bool search_along(std::int64_t most, bool newton);
  void aim();
  void remember();
  /// out = proj(x - length * direction); returns <p, x - out>.
  double trial(double length, In along, std::vector<double>& out) const;
  void publish();

  MaidOptions options_;
  Implicit implicit_;
  std::vector<double> p_, q_;
  Hypergradient state_;
  double eps_, delta_, step_;
  bool started_ = false;
  std::vector<double> moves_, turns_;  ///< the last x - x and p - p, [pairs x dx]
  std::vector<double> along_, last_x_, last_p_;
  std::vector<double> next_x_, next_y_, next_q_, next_p_;
};

}  // namespace equipoise::bilevel
