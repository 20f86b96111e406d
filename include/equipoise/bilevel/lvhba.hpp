#pragma once

#include <equipoise/bilevel/method.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::bilevel {

struct LvhbaOptions {
  double proximal = 5.0;       ///< gamma_1: weight 1 / (2 gamma_1) of |theta - y|^2
  double dual = 2.0;           ///< gamma_2: weight 1 / (2 gamma_2) of |lambda - z|^2
  double step = 0.3;           ///< alpha of (x, y), over max(1, L)
  double centre_step = 0.5;    ///< beta of z
  double saddle_step = 0.5;    ///< eta of (theta, lambda), over max(1, L)
  double penalty = 3.0;        ///< c_0
  double growth = 0.49;        ///< c_k = c_0 (k + 1)^growth
  double box = 1000.0;         ///< bound on multipliers
  std::int64_t warm_up = 200;  ///< steps of (theta, lambda, z) alone before the first iteration
  std::int64_t evaluate_every = 100;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// Single-loop, Hessian-free method for lower problems with coupled constraints c(x, y) = 0 or <=
/// 0: it follows the proximal Lagrangian value function of the lower problem by one step of descent
/// and ascent on (theta, lambda), one projected step on (x, y) jointly, and one step of the
/// multiplier's centre z. Without constraints it is the same method on the Moreau envelope of the
/// lower problem, for any number of blocks.
///
/// The oracle's rows of constraints must be scaled to norms of about 1: the saddle step is stable
/// only for eta < 2 k / (k^2 + |J|^2), k = min(1 / gamma_1, 1 / gamma_2); the constructor refuses a
/// larger one, naming the norm. Steps are divided by max(1, L), L the smoothness of g in y. The
/// limit is biased by O(1 / c_k). With constraints: one block, needs con and proj_joint. Needs
/// grad_x_g; no second derivatives. Source: Yao, Yu, Zeng, Zhang, Constrained bi-level
/// optimization: proximal Lagrangian value function approach and Hessian-free algorithm (ICLR
/// 2024), algorithm 1.
class Lvhba final : public MethodBase {
 public:
  Lvhba(const Setup& setup, LvhbaOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] const std::vector<double>& multipliers() const { return lambda_; }
  [[nodiscard]] const std::vector<double>& centre() const { return z_; }

 private:
  void refuse_unstable() const;
  void chase(std::int64_t i);
  void move_centre();
  void follow(std::int64_t i, double c);
  void lift(std::int64_t i, double c);
  void project();

  LvhbaOptions options_;
  bool constrained_;
  double scale_ = 1.0;  ///< 1 / max(1, L)
  std::int64_t inequalities_ = 0;
  std::vector<double> theta_, lambda_, z_;
  std::vector<double> dx_, dy_, slope_, part_x_, part_y_, con_;
  bool owner_;
};

}  // namespace equipoise::bilevel
