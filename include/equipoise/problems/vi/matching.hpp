#pragma once

#include <equipoise/linalg/sets.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/state/options.hpp>
#include <equipoise/vi/problem.hpp>

#include <Eigen/Dense>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

struct MatchingOptions {
  std::int64_t points = 50;
  std::int64_t components = 5;
  std::int64_t agents = 20;
  double heterogeneity = 0.3;
  double beta = 0.1;
  std::int64_t seed = 0;
  void describe(state::OptionVisitor& visit);
};

/// A generator against a critic, in the Wasserstein distance on a line of n equidistant points.
///
/// The generator mixes K given distributions with weights theta in the simplex; the critic is a
/// function with slopes at most 1 in magnitude. With the cumulated distributions H (n-1 x K) and
/// the data's cumulated distribution Q, the critic's slopes u and the spacing s,
///
///     min_theta max_{|u| <= 1}  s u'(H theta - Q) - (beta/2) s norm(u)^2,
///
/// whose inner maximum is W1(mixture, data) for beta = 0. In the scaled v = sqrt(s) u the operator
/// is F = (sqrt(s) H'v, beta v - sqrt(s) (H theta - Q)), on the simplex times a box. Every agent
/// has its own H_m (components seen through `heterogeneity` of multiplicative noise) and its own
/// Q_m = H_m theta* + e_m with sum_m e_m = 0, so the solution is theta = theta*, v = 0, known
/// exactly. Memory: (n-1) K doubles per hosted agent and for the mean.
class MatchingGame {
 public:
  /// Throws ConfigurationError for more components than slopes (n - 1).
  MatchingGame(const MatchingOptions& options, partition::Range hosted);

  [[nodiscard]] std::int64_t dimension() const { return components_ + slopes_; }
  [[nodiscard]] std::int64_t agents() const { return agents_; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const;
  /// F_1: agent 0's operator, which every rank holds.
  void surrogate(std::span<const double> z, std::span<double> out) const;
  void prox(double, std::span<double> z) const { set_.project(z); }
  /// Equal weights and no slope.
  void start(std::span<double> z) const;
  bool solution(std::span<double> z) const;
  [[nodiscard]] vi::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const { return fingerprint_; }
  /// W1 between the mean mixture at z and the mean data, and the sum of the weights.
  [[nodiscard]] vi::Facts check(std::span<const double> z) const;

 private:
  struct Agent {
    Eigen::MatrixXd mixture;  ///< sqrt(s) H, [n-1 x K]
    Eigen::VectorXd data;     ///< sqrt(s) Q, [n-1]
  };
  void apply_with(const Agent& agent, std::span<const double> z, std::span<double> out) const;

  std::int64_t components_, slopes_, agents_;
  double spacing_, beta_;
  partition::Range hosted_;
  std::vector<Agent> agent_;  ///< of the hosted agents
  Agent first_, mean_;
  std::vector<double> weights_;  ///< theta*
  linalg::Product set_;
  double heterogeneity_;
  std::string fingerprint_;
};

static_assert(vi::AgentProblem<MatchingGame>);

solve::ProblemEntry matching_problem();

}  // namespace equipoise::problems
