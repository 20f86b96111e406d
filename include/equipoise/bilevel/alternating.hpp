#pragma once

#include <equipoise/bilevel/method.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::bilevel {

struct AlternatingOptions {
  std::int64_t inner = 10;   ///< steps on y, then on v, before x moves
  std::int64_t period = 1;   ///< y moves every `period` iterations only
  std::int64_t batch = 0;    ///< B; 0 takes every sample
  double lower_step = 0.0;   ///< 0 for 1 / L
  double linear_step = 0.0;  ///< 0 for the step of y
  double outer_step =
      0.0;            ///< 0 for 0.4 times the step of y; the length of a step where `normalised`
  double beta = 1.0;  ///< moving average of the hypergradient
  bool normalised = false;   ///< x moves by exactly `outer_step`
  bool from_zero = false;    ///< v starts at 0 in every iteration (a Neumann series)
  std::int64_t warm_up = 0;  ///< steps on y before the first iteration
  std::int64_t evaluate_every = 100;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// Methods that move y, then v, then x: AmIGO (T steps each, warm started), stocBiO (v by a Neumann
/// series of T terms from 0), and BO-REP for unbounded smoothness (y moves every `period`
/// iterations, x by a normalised moving average).
///
/// BO-REP ends at its step length, the others at their noise. Memory: v per block. Needs hvp_yy_g
/// and jvp_xy_g. Sources: Arbel, Mairal (ICLR 2022); Ji, Yang, Liang (ICML 2021); Hao, Gong, Liu
/// (ICLR 2024), algorithm 1.
class Alternating final : public MethodBase {
 public:
  Alternating(const Setup& setup, AlternatingOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;

 private:
  void descend(std::int64_t i, std::int64_t steps);
  void solve(std::int64_t i);

  AlternatingOptions options_;
  double tau_ = 0.0, tau_v_ = 0.0, eta_ = 0.0;
  std::vector<double> v_, average_;
  std::vector<std::int64_t> lower_, upper_;
  std::vector<double> a_, b_, h_, j_, next_;
};

struct BomeOptions {
  std::int64_t inner = 10;  ///< T gradient steps to approximate y*
  double barrier = 0.5;     ///< eta: phi = eta |grad q|^2
  double step = 0.0;        ///< of y; 0 for 0.2 / L
  double outer_step = 0.0;  ///< of x; 0 for the step of y
  double inner_step = 0.0;  ///< 0 for 1 / L
  std::int64_t evaluate_every = 100;
  void describe(state::OptionVisitor& visit);
};

/// BOME: dynamic-barrier descent on (x, y) with the value function q = g(x, y) - g(x, y^), y^ by T
/// gradient steps: D = grad f + max((eta |grad q|^2 - <grad f, grad q>) / |grad q|^2, 0) grad q
/// over all blocks together, products and norms in the metric in which the steps of x and y are
/// equal. First order; needs grad_x_g. So <D, grad q> >= eta |grad q|^2 in every iteration. Source:
/// Liu, Ye, Wright, Stone, Liu, BOME! Bilevel optimization made easy (NeurIPS 2022), algorithm 1.
class Bome final : public MethodBase {
 public:
  Bome(const Setup& setup, BomeOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  /// <D, grad q> - eta |grad q|^2 of the last step, not negative but for rounding.
  [[nodiscard]] double margin() const { return margin_; }

 private:
  BomeOptions options_;
  double inner_step_ = 0.0, step_ = 0.0, outer_step_ = 0.0, margin_ = 0.0;
  std::vector<double> slope_, fall_;  ///< grad_y f and grad_y q of the owned blocks
  std::vector<double> slope_x_, fall_x_, part_, there_, low_, gradient_;
};

/// The largest Lipschitz constant of grad_y g over all blocks at the present point: stated by the
/// oracle, or from differences of gradients. **Collective.**
double largest_smoothness(const Blocks& blocks, OracleView oracle, In x,
                          const std::vector<double>& y);

}  // namespace equipoise::bilevel
