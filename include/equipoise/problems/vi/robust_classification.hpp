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

struct RobustClassificationOptions {
  std::string data;
  std::int64_t groups = 20;
  double lambda = 1.0;
  double regularisation = 0.1;
  std::string scale = "auto";
  void describe(state::OptionVisitor& visit);
};

/// Distributionally robust logistic regression, min over x and max over the weights p of G groups
/// of rows:
///
///     sum_g p_g l_g(x) + (reg/2) norm(x)^2 - (lambda/2) (1/G) norm(G p - 1)^2,   p in the simplex,
///     l_g = mean over the group of log(1 + exp(-b_i a_i'x))
///
/// Groups are the N rows cut uniformly in the order of the file; G = N weighs every row. The vector
/// is z = (x, q) with q = sqrt(G) p, which makes the penalty (lambda/2) norm(q - 1/sqrt(G))^2, so
/// that both blocks are scaled alike; the set is R^p x {q >= 0, sum q = sqrt(G)}. One operator
/// costs two passes over the rows.
class RobustClassification : public RowAgents {
 public:
  /// The labels of `data` are -1 and 1. Throws ConfigurationError for more groups than rows.
  RobustClassification(partition::DistributedDataset data,
                       const RobustClassificationOptions& options, std::string fingerprint);

  [[nodiscard]] std::int64_t dimension() const { return data_.features + groups_.parts(); }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const;
  void prox(double, std::span<double> z) const { set_.project(z); }
  /// x = 0 and equal weights.
  void start(std::span<double> z) const;
  void apply_batch(std::int64_t agent, std::span<const double> z,
                   std::span<const std::int64_t> batch, std::span<double> out) const;
  [[nodiscard]] vi::Facts facts() const;
  /// The sum and the largest of the group weights p, and G_effective = 1 / sum p^2.
  [[nodiscard]] vi::Facts check(std::span<const double> z) const;

 private:
  template <class Rows>
  void apply_rows(const partition::SparseRows& shard, const Rows& rows, std::int64_t count,
                  std::span<const double> z, std::span<double> out) const;

  partition::Partition groups_;  ///< rows over groups
  double lambda_, regularisation_;
  linalg::Product set_;
};

static_assert(vi::AgentProblem<RobustClassification>);

/// Makes labels of two values -1 (the smaller) and 1. Throws InputError for any other number of
/// values. **Collective.**
void make_labels_binary(const parallel::Comm& comm, partition::DistributedDataset& data,
                        const std::string& source);

solve::ProblemEntry robust_classification_problem();

}  // namespace equipoise::problems
