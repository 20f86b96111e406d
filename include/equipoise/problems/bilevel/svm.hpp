#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/problems/bilevel/rows.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::problems {

struct SvmOptions {
  std::string data = "libsvm/german.numer";
  std::int64_t train = 100, validation = 400;
  std::int64_t groups = 1;  ///< hyper-parameters; 0 takes one per training row
  double start = 1.0;
  double low = -6.0, high = 2.0;
  void describe(state::OptionVisitor& visit);
};

/// The penalties of a support-vector machine, chosen by validation, with its constraints kept as
/// constraints: x in [low, high]^groups, y = (w, xi), rows (a_i, z_i) standardised by the training
/// rows, with an intercept among the features,
///
///     g = |w|^2 / 2 + sum_i exp(x_k(i)) xi_i^2 / 2,   c_i = (1 - xi_i - z_i w.a_i) / |(a_i, 1)| <=
///     0, f = mean log(1 + exp(-z w.a)) over the validation rows,   k(i) = i mod groups.
///
/// Eliminating xi leaves a squared hinge, which a semi-smooth Newton method solves to rounding: so
/// F and its gradient are known without any multiplier (`exact`), and the joint projection is the
/// same problem with weights 1. Cost of either: a few times rows * d^2 + d^3 flops.
class SupportVector {
 public:
  SupportVector(const LabelledRows& rows, const SvmOptions& options);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return groups_; }
  [[nodiscard]] std::int64_t num_blocks() const { return 1; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return features_ + train_; }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 1; }
  void grad_y_g(std::int64_t, Batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t, Batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t, Batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t, Batch, In x, In y, Out out) const;
  [[nodiscard]] double f(std::int64_t, Batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t, Batch, In x, In y) const;
  [[nodiscard]] bilevel::Bounds bounds(std::int64_t, In, In) const;
  [[nodiscard]] std::int64_t num_constraints(std::int64_t) const { return train_; }
  [[nodiscard]] std::int64_t num_inequalities(std::int64_t) const { return train_; }
  void con(std::int64_t, In x, In y, Out out) const;
  void con_jt_x(std::int64_t, In x, In y, In lambda, Out out) const;
  void con_jt_y(std::int64_t, In x, In y, In lambda, Out out) const;
  void proj_joint(Out x, Out y) const;
  void proj_x(Out x) const;
  void start(Out x) const;
  /// The lower solution at the first x.
  void start_inner(std::int64_t, Out y) const;
  bool exact(In x, Out hypergradient, double& value) const;
  /// (w, xi) that solve the lower problem at x.
  void solve(In x, Out y) const;
  void figures(std::int64_t, In x, In y, bilevel::Figures& out) const;
  [[nodiscard]] bool everywhere() const { return true; }
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  [[nodiscard]] In row(std::int64_t r) const;
  [[nodiscard]] std::size_t group(std::int64_t r) const {
    return static_cast<std::size_t>(r % groups_);
  }
  /// w of min |w - centre|^2 / 2 + sum_i weight_i max(0, 1 - offset_i - z_i w.a_i)^2 / 2, started
  /// from w; returns the last Newton step's relative length.
  double hinge(In centre, In weights, In offsets, Out w) const;
  /// Gradient in w and mean of the validation loss.
  double validate(In w, Out gradient) const;

  std::int64_t train_, validation_, features_, groups_;
  SvmOptions options_;
  std::vector<double> rows_, labels_;  ///< training rows first
};

static_assert(bilevel::Oracle<SupportVector>);

}  // namespace equipoise::problems
