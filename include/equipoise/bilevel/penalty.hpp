#pragma once

#include <equipoise/bilevel/estimator.hpp>
#include <equipoise/bilevel/method.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::bilevel {

struct PenaltyOptions {
  std::int64_t inner = 10;  ///< T: lower steps an iteration
  std::int64_t batch = 0;   ///< B; 0 takes every sample
  double penalty = 1.0;     ///< lambda at the start
  double growth = 0.0;      ///< lambda grows like (k + 1)^growth; 1/7 in theory
  double lower_step = 0.0;  ///< gamma of z; 0 for 1 / L; y takes step / (L_f / L + lambda)
  double outer_step = 0.0;  ///< 0 for 0.4 times the step of z
  bool storm = false;       ///< STORM estimates of the three directions (F3SA)
  double beta = 0.1;        ///< of STORM
  std::int64_t evaluate_every = 100;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// Fully first-order penalty method (F2SA; with `storm` F3SA; with every sample and many inner
/// steps F2BA):
///
///     T times: z <- z - gamma grad_y g(x, z);  y <- y - a (grad_y f(x, y) + lambda grad_y g(x,
///     y)), x <- x - eta mean_i [grad_x f(x, y) + lambda (grad_x g(x, y) - grad_x g(x, z))],
///
/// with a = gamma / (lambda + L_f / L), so a lambda L <= 1 always. The limit is biased by O(1 /
/// lambda). STORM applies to the outer direction, its values taken at two points on the same
/// samples. Memory: 2 dy a block (and 2 dy for STORM's previous point). Needs grad_x_g. Sources:
/// Kwon, Kwon, Wright, Nowak, A fully first-order method for stochastic bilevel optimization (ICML
/// 2023), algorithms 1 and 2; Chen, Ma, Zhang, Near-optimal nonconvex-strongly-convex bilevel
/// optimization (F2BA).
class PenaltyMethod final : public MethodBase {
 public:
  PenaltyMethod(const Setup& setup, PenaltyOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] const std::vector<double>& inner() override { return z_; }
  [[nodiscard]] double penalty(std::int64_t k) const;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;

 private:
  void descend(std::int64_t i);
  void direction(std::int64_t i, double lambda, In x, In y, In z, std::vector<double>& out);

  PenaltyOptions options_;
  double gamma_ = 0.0, eta_ = 0.0, ratio_ = 0.0;
  std::vector<double> z_, old_y_, old_z_, old_x_, estimate_;
  std::vector<std::int64_t> lower_, upper_;
  std::vector<double> a_, b_, h_, g_, h_old_, next_;
};

struct DifferenceOptions {
  std::int64_t order = 2;   ///< p in 1, 2, 3, 4, 8
  double spacing = 0.02;    ///< s = 1 / lambda
  double outer_step = 0.0;  ///< 0 for 0.2 / L
  double accuracy = 1e-12;  ///< gradient norm of the node solves
  std::int64_t evaluate_every = 1;
  ExchangeOptions exchange;
  void describe(state::OptionVisitor& visit);
};

/// p-point differences of the penalty path (F2SA-p, deterministic): with y_j = argmin g + j s f,
///
///     grad F ~ (1/s) sum_j c_j [grad_x g(x, y_j) + j s grad_x f(x, y_j)],   error O(s^p).
///
/// Lower problems are solved by accelerated gradients with restarts (first order only), from the
/// last nodes. Throws ConfigurationError where a node's objective g + j s f, j < 0, is not convex
/// (|j| s L_f >= mu, from the oracle's bounds). Memory: p + 1 nodes of dy a block.
///
/// Where there are fewer classes of blocks than ranks and every rank knows all blocks, rank r joins
/// the owner r mod classes: the nodes of a block are solved by the ranks of its team at the same
/// time, with the same bits. Sent within a team, a block: p (dy + dx) numbers there and back.
class DifferenceMethod final : public MethodBase {
 public:
  DifferenceMethod(const Setup& setup, DifferenceOptions options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;
  /// The difference hypergradient at x, by the nodes kept. **Collective.**
  void hypergradient(In x, Out out);

 private:
  struct Node {
    double at, coefficient;
  };
  static std::vector<Node> nodes(std::int64_t order);
  void solve(std::int64_t i, double weight, In x, Out y);
  void visit_node(std::int64_t i, std::size_t j, In x, Out y, Out share);
  void gather_nodes(std::size_t width);

  DifferenceOptions options_;
  std::vector<Node> nodes_;
  std::vector<std::vector<double>> points_;
  double eta_ = 0.0;
  parallel::Comm team_;  ///< the owner of the blocks is its rank 0
  partition::Range team_blocks_;
  partition::Partition shares_;                        ///< nodes over the team
  std::vector<double> smoothness_, upper_smoothness_;  ///< of the team's blocks
  std::vector<double> rows_, part_, next_;
};

}  // namespace equipoise::bilevel
