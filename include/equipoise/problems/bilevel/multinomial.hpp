#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/problems/bilevel/class_rows.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>

namespace equipoise::problems {

struct MultinomialOptions : DigitOptions {
  MultinomialOptions() {
    train = 5000, validation = 2000, test = 2000;
    border = 2;
  }
  double start = -3.0;
  double low = -12.0, high = 6.0;
  void describe(state::OptionVisitor& visit);
};

/// One regularisation weight for each feature of each class of a multinomial logistic regression,
/// chosen by validation: g = mean CE(W a_j, label_j) + sum exp(x) W^2 / 2 over the training rows,
/// f = mean CE over the validation rows, x in [low, high]^(10 d), one block, digits of 12 x 12
/// pixels by default. All constants of the a-posteriori bound are proved: mu = min exp(x), and of
/// the cross entropy, a log-sum-exp of scores: second derivatives <= |a|^2 / 2, third <= |a|^3 /
/// sqrt 2 (central moments of a variable whose range is at most sqrt 2 |u|). A full pass costs 40
/// rows * features flops.
class MultinomialSelection {
 public:
  MultinomialSelection(DigitRows rows, const MultinomialOptions& options);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return digit_classes * rows_.train.dimension; }
  [[nodiscard]] std::int64_t num_blocks() const { return 1; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return dim_outer(); }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level level) const {
    return level == bilevel::Level::lower ? rows_.train.rows() : rows_.validation.rows();
  }
  void grad_y_g(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  void hvp_yy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const;
  void jvp_xy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const;
  void jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u, Out out) const {
    jvp_xy_g(i, batch, x, y, u, out);
  }
  void lower_pass(std::int64_t i, Batch batch, In x, In y, In v, Out gradient, Out hv,
                  Out jv) const;
  [[nodiscard]] double f(std::int64_t, Batch batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t, Batch batch, In x, In y) const;
  [[nodiscard]] bilevel::Bounds bounds(std::int64_t, In x, In y) const;
  [[nodiscard]] bool everywhere() const { return true; }
  void proj_x(Out x) const;
  void start(Out x) const;
  void figures(std::int64_t, In x, In y, bilevel::Figures& out) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  DigitRows rows_;
  MultinomialOptions options_;
  double train_square_, train_cube_, validation_square_;  ///< means of |a|^2 and |a|^3
};

static_assert(bilevel::Oracle<MultinomialSelection>);

}  // namespace equipoise::problems
