#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/problems/bilevel/class_rows.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::problems {

struct CleaningOptions : DigitOptions {
  double corruption = 0.5;
  double regulariser = 0.2;
  double start = -2.0;
  void describe(state::OptionVisitor& visit);
};

/// Cleaning of training data whose labels are partly redrawn at random: a weight sigma(x_j) per
/// training row, one block, softmax regression below: g = mean_j sigma(x_j) CE(W a_j, label_j) +
/// lambda |W|^2, f = mean CE on clean validation rows.
///
/// Features are pixels, averaged over pool x pool squares and standardised by the training rows. A
/// corrupted row has its label redrawn uniformly out of ten, so a tenth of these stay right. Cost
/// of a full pass: 40 rows * features flops.
class DataCleaning {
 public:
  static constexpr std::int64_t classes = digit_classes;
  DataCleaning(ClassRows train, ClassRows validation, ClassRows test,
               const CleaningOptions& options, std::uint64_t seed);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return train_.rows(); }
  [[nodiscard]] std::int64_t num_blocks() const { return 1; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return classes * train_.dimension; }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level level) const {
    return level == bilevel::Level::lower ? train_.rows() : validation_.rows();
  }
  void grad_y_g(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  void hvp_yy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const;
  void jvp_xy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const;
  void jvp_yx_g(std::int64_t, Batch batch, In x, In y, In u, Out out) const;
  void lower_pass(std::int64_t, Batch batch, In x, In y, In v, Out gradient, Out hv, Out jv) const;
  [[nodiscard]] double f(std::int64_t, Batch batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t, Batch batch, In x, In y) const;
  void x_support(std::int64_t, Batch lower, Batch, std::vector<std::int64_t>& out) const {
    out.assign(lower.begin(), lower.end());
  }
  void start(Out x) const;
  /// Area under the curve of sigma(x) against the true corruption, and the test error of W in
  /// percent.
  void figures(std::int64_t, In x, In y, bilevel::Figures& out) const;
  [[nodiscard]] double area_under_curve(In x) const {
    return problems::area_under_curve(x, corrupted_);
  }
  [[nodiscard]] double test_error(In y) const;
  /// Every rank reads the whole data.
  [[nodiscard]] bool everywhere() const { return true; }
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  ClassRows train_, validation_, test_;
  std::vector<char> corrupted_;  ///< label differs from the true one
  CleaningOptions options_;
};

static_assert(bilevel::Oracle<DataCleaning>);

/// Reads the digits that the options name and corrupts labels with `seed`. On this process alone.
[[nodiscard]] DataCleaning read_cleaning(const CleaningOptions& options, std::uint64_t seed);

}  // namespace equipoise::problems
