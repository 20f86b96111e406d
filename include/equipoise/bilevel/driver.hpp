#pragma once

#include <equipoise/bilevel/estimator.hpp>
#include <equipoise/bilevel/method.hpp>
#include <equipoise/bilevel/sampler.hpp>
#include <equipoise/bilevel/step_policy.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::bilevel {

struct DriverOptions {
  std::string lower = "sgd", linear = "sgd", outer = "sgd";  ///< estimators of the three streams
  std::string sampler = "global";
  std::int64_t blocks = 0;                                       ///< I; 0 takes all
  std::int64_t batch = 0;                                        ///< B; 0 takes min(64, samples)
  double lower_step = 0.0, linear_step = 0.0, outer_step = 0.0;  ///< 0 chooses
  std::int64_t warm_up = 0;     ///< iterations of y and v alone before x moves
  double decay = 0.0;           ///< all steps are multiplied by (t + 1)^-decay
  double outer_decay = 0.0;     ///< the step of x by this too
  double fade = 0.0;            ///< alpha and beta are multiplied by (t + 1)^-fade
  std::string policy = "auto";  ///< how x moves along z; see `StepPolicy`
  std::int64_t window = 0;      ///< of auto and resilient; 0 takes a pass over all samples
  double longest = 1.0;         ///< most an entry of x moves in a window
  double most = 4.0;            ///< largest factor of the resilient policy
  EstimatorConstants constants;
  double radius = 1e300;       ///< bound on |v|
  bool move_all = false;       ///< unsampled blocks move on along their old estimates (lazily)
  std::int64_t period = 0;     ///< SARAH; 0 takes ceil(N / (2 B))
  double coin = 0.0;           ///< PAGE; 0 takes B / N
  std::int64_t stage = 0;      ///< first stage length of the restarted version; 0 for none
  bool track_hessian = false;  ///< BSVRB version 1: estimate Hyy instead of v
  double hessian_low = 1e-3,
         hessian_high = 1e3;  ///< eigenvalues of the tracked Hessian are clipped to these
  double table_limit = 2e9;   ///< bytes of SAGA tables a rank may hold
  std::int64_t evaluate_every = 100;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// The one stochastic driver: three streams, each with an estimator of its own,
///
///     h_y = grad_y g_i(B),  h_v = Hyy v_i (B) - grad_y f_i(B~),  h_x = mean_i [grad_x f_i(B~) -
///     Hxy v_i (B)], y_i <- y_i - tau s_i,   v_i <- v_i - tau_v u_i (|v_i| <= radius),   x <-
///     proj(x - eta z),
///
/// all at the old point, for I of m blocks and B samples each. SGD in all three is SOBA; a moving
/// average for x MA-SOBA; SAGA SABA; SARAH SRBA; PAGE SPABA; MSVR for y and v with STORM for x
/// BSVRB version 2, with `track_hessian` version 1; stages of halved constants and doubled length
/// make RE-BSVRB.
///
/// `move_all`: every block moves in every iteration; the moves of blocks that were not sampled wait
/// until their next visit (s_i and u_i are constant meanwhile), so an iteration costs O(I). Memory:
/// 4 dy + 1 per owned block, 6 dy per block of an iteration (v1: and 2 dy^2 per block; SAGA: tables
/// of (2 dy + dx) and (dy + dx) per minibatch). Sources: Dagreou et al. 2022 (SOBA, SABA), 2024
/// (SRBA); Chu et al. 2024 (SPABA); Hu, Qiu, Guo, Zhang, Yang, ICML 2023 (BSVRB, MSVR for bilevel
/// problems).
class Driver final : public MethodBase {
 public:
  Driver(const Setup& setup, DriverOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] const std::vector<double>& inner() override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;
  [[nodiscard]] const std::vector<double>& estimate() const { return z_; }

 private:
  /// Raw values of the three streams of one block at one point.
  struct Raw {
    std::vector<double> lower, linear, outer, scratch;
  };
  /// A block's part of this iteration, between its evaluation and its update.
  struct Visit {
    std::int64_t block = 0, moves = 0;
    bool first = false;
    Blend lower, linear;
    std::vector<double> y, v;  ///< its present point
    std::vector<double> h_lower, h_linear, old_lower, old_linear;
  };
  [[nodiscard]] double smoothness();
  void follow_smoothness();
  [[nodiscard]] double factor(std::int64_t t) const;
  [[nodiscard]] EstimatorConstants constants() const;
  [[nodiscard]] std::string policy() const;
  [[nodiscard]] std::int64_t window() const;
  [[nodiscard]] bool full(std::int64_t t) const;
  void position(std::int64_t i, std::int64_t moves, Out y, Out v) const;
  void choose_batches(std::int64_t i, bool everything);
  void evaluate_at(std::int64_t i, In x, In y, In v, Raw& raw);
  void evaluate_tables(std::int64_t i, In x, In y, In v, Raw& raw);
  void visit_block(Visit& visit, double weight, bool everything);
  void settle(const Visit& visit, bool everything);
  void hessian_direction(std::int64_t i, In x, In y, const std::vector<double>& hessian, Raw& raw);
  void track(std::int64_t i, In y, In y_old, const Blend& blend);
  [[nodiscard]] Out hessian_of(std::vector<double>& data, std::int64_t i) const;
  void build_tables(std::int64_t i, In x, In y, In v);

  DriverOptions options_;
  Estimator kinds_[3];
  BlockSampler sampler_;
  double tau_ = 0.0, tau_v_ = 0.0, eta_ = 0.0;
  double safe_ = 0.0;           ///< most that tau_ times the smoothness may grow to
  std::vector<double> seen_x_;  ///< x where the smoothness was last looked at
  std::vector<double> v_, s_, u_, z_, old_x_;
  StepPolicy policy_;
  std::vector<double> hessian_, old_hessian_;  ///< tracked Hessians, dy^2 per owned block
  std::vector<std::int64_t> visited_;          ///< last visit of each owned block, or -1
  std::vector<std::vector<double>> tables_;    ///< SAGA tables and means of each owned block
  std::vector<double> materialised_;
  // scratch
  SampledBlocks sample_;
  std::vector<std::int64_t> lower_batch_, upper_batch_, support_;
  std::int64_t lower_slot_ = 0, upper_slot_ = 0;
  Raw now_, before_;
  std::vector<Visit> visits_;  ///< the first `visiting_` are of this iteration
  std::size_t visiting_ = 0;
  std::vector<double> yo_, vo_, mixed_, next_, entries_;
};

}  // namespace equipoise::bilevel
