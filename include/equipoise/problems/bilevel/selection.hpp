#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/problems/bilevel/rows.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::problems {

struct SelectionOptions {
  std::string train = "libsvm/ijcnn1.trn.bz2";
  std::string validation = "libsvm/ijcnn1.tst.bz2";
  double start = -5.0;
  double low = -25.0, high = 10.0;
  void describe(state::OptionVisitor& visit);
};

/// One regularisation weight per feature of a logistic regression, chosen by validation. One block:
/// g = mean log(1 + exp(-b z.a)) + sum_j exp(x_j) z_j^2 / 2 over the training rows, f = mean loss
/// over the validation rows, x in [low, high]^d. Cost of a full pass: 2 nonzeros flops, three
/// products in one pass by `lower_pass`.
class RegularisationSelection {
 public:
  RegularisationSelection(LabelledRows train, LabelledRows validation,
                          const SelectionOptions& options);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return features_; }
  [[nodiscard]] std::int64_t num_blocks() const { return 1; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return features_; }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level level) const {
    return level == bilevel::Level::lower ? train_.rows() : validation_.rows();
  }
  void grad_y_g(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  void hvp_yy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const;
  void hess_yy_g(std::int64_t, Batch batch, In x, In y, Out out) const;
  void jvp_xy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const;
  void jvp_yx_g(std::int64_t, Batch batch, In x, In y, In u, Out out) const;
  void lower_pass(std::int64_t, Batch batch, In x, In y, In v, Out gradient, Out hv, Out jv) const;
  [[nodiscard]] double f(std::int64_t, Batch batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t, Batch batch, In x, In y) const;
  /// All constants but mu and L, which vary too much with x to be bounded usefully.
  [[nodiscard]] bilevel::Bounds bounds(std::int64_t, In x, In y) const;
  [[nodiscard]] bool everywhere() const { return true; }
  void proj_x(Out x) const;
  void start(Out x) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  LabelledRows train_, validation_;
  SelectionOptions options_;
  std::int64_t features_;
  double train_cube_, validation_square_;
};

static_assert(bilevel::Oracle<RegularisationSelection>);

}  // namespace equipoise::problems
