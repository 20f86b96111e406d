#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/problems/bilevel/rows.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::problems {

struct TemperatureOptions {
  std::string data = "libsvm/a9a";
  std::int64_t train_rows = 26049;
  std::int64_t blocks = 100;
  double regulariser = 1e-5;
  double start = 0.0;
  void describe(state::OptionVisitor& visit);
};

/// Weights of training rows shared by many logistic regressions, one per temperature T_i = 1 + 10
/// (i - 1/2) / m: g_i = (1/n) sum_j sigma(x_j) log(1 + exp(-b_j w.a_j / T_i)) + lambda |w|^2 / 2,
/// f_i = mean validation loss at T_i.
///
/// x in R^n has one entry per training row (the first `train_rows` of the file), w one per feature
/// and a leading intercept; the other rows validate. Samples of a block are rows.
class TemperatureReweighting {
 public:
  TemperatureReweighting(const LabelledRows& rows, const TemperatureOptions& options);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return train_.rows(); }
  [[nodiscard]] std::int64_t num_blocks() const { return options_.blocks; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return train_.features; }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level level) const {
    return level == bilevel::Level::lower ? train_.rows() : validation_.rows();
  }
  [[nodiscard]] double temperature(std::int64_t i) const;
  void grad_y_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const;
  void jvp_xy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const;
  void jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u, Out out) const;
  void hess_yy_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void lower_pass(std::int64_t i, Batch batch, In x, In y, In v, Out gradient, Out hv,
                  Out jv) const;
  [[nodiscard]] double f(std::int64_t i, Batch batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t i, Batch batch, In x, In y) const;
  [[nodiscard]] bool everywhere() const { return true; }
  void x_support(std::int64_t, Batch lower, Batch, std::vector<std::int64_t>& out) const {
    out.assign(lower.begin(), lower.end());
  }
  void start(Out x) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  LabelledRows train_, validation_;
  TemperatureOptions options_;
};

static_assert(bilevel::Oracle<TemperatureReweighting>);

}  // namespace equipoise::problems
