#pragma once

#include <equipoise/linalg/sets.hpp>
#include <equipoise/problems/vi/row_agents.hpp>
#include <equipoise/state/options.hpp>
#include <equipoise/vi/problem.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

struct RobustRegressionOptions {
  std::string data;
  double lambda = 0.1;
  double beta = 1.0;
  double radius = 0.0;
  std::string scale = "auto";
  void describe(state::OptionVisitor& visit);
};

/// Robust linear regression, min over x and max over a common disturbance y of the features:
///
///     (1/2N) sum_i (x'(a_i + y) - b_i)^2 + (lambda/2) norm(x)^2 - (beta/2) norm(y)^2,   z = (x, y)
///     in R^{2p}.
///
/// Concave in y while norm(x)^2 <= beta, which `check` reports. One operator costs
/// two passes over the rows.
class RobustRegression : public RowAgents {
 public:
  RobustRegression(partition::DistributedDataset data, partition::SparseRows surrogate,
                   const RobustRegressionOptions& options, std::string fingerprint);

  [[nodiscard]] std::int64_t dimension() const { return 2 * data_.features; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const;
  /// F_1 from the rows of agent 0, which every rank holds.
  void surrogate(std::span<const double> z, std::span<double> out) const;
  void apply_batch(std::int64_t agent, std::span<const double> z,
                   std::span<const std::int64_t> batch, std::span<double> out) const;
  [[nodiscard]] vi::Facts facts() const;
  /// norm(x)^2 and whether the problem is concave in y there.
  [[nodiscard]] vi::Facts check(std::span<const double> z) const;

 private:
  template <class Rows>
  void apply_rows(const partition::SparseRows& shard, const Rows& rows, std::int64_t count,
                  std::span<const double> z, std::span<double> out) const;

  partition::SparseRows surrogate_;
  double lambda_;
  double beta_;
};

static_assert(vi::AgentProblem<RobustRegression>);

/// The same with x in the l1 ball of a radius: sparse x, and with a radius of at most sqrt(beta) a
/// problem that is concave in y everywhere.
class BallRegression : public RobustRegression {
 public:
  /// Throws ConfigurationError for a radius that is not positive.
  BallRegression(RobustRegression problem, double radius);
  void prox(double, std::span<double> z) const {
    ball_.project(z.first(static_cast<std::size_t>(dimension() / 2)));
  }
  /// Also norm1(x), and how many of its entries are 0.
  [[nodiscard]] vi::Facts check(std::span<const double> z) const;

 private:
  linalg::Ball1 ball_;
};

static_assert(vi::AgentProblem<BallRegression>);

solve::ProblemEntry robust_regression_problem();

}  // namespace equipoise::problems
