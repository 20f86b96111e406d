#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/solve/method.hpp>

#include <array>
#include <cstddef>

namespace equipoise::bilevel {

/// An oracle whose calls are counted by kind. One call on one sample counts 1; every sample of a
/// full pass counts.
class CountedOracle {
 public:
  enum Kind : std::size_t {
    lower_gradient,
    upper_gradient,
    hessian_vector,
    cross_vector,
    value,
    kinds
  };
  using Counts = std::array<std::int64_t, kinds>;

  explicit CountedOracle(OracleView oracle)
      : view_(oracle), table_(&oracle.table()), self_(oracle.self()) {}

  [[nodiscard]] const OracleView& view() const { return view_; }
  [[nodiscard]] const Counts& counts() const { return counts_; }
  void clear() { counts_ = {}; }
  static solve::Counters named(const Counts& counts);

  void grad_y_g(std::int64_t i, Batch b, In x, In y, Out out) {
    count(lower_gradient, i, b, Level::lower);
    table_->grad_y_g(self_, i, b, x, y, out);
  }
  void grad_x_g(std::int64_t i, Batch b, In x, In y, Out out) {
    count(lower_gradient, i, b, Level::lower);
    table_->grad_x_g(self_, i, b, x, y, out);
  }
  void grad_y_f(std::int64_t i, Batch b, In x, In y, Out out) {
    count(upper_gradient, i, b, Level::upper);
    table_->grad_y_f(self_, i, b, x, y, out);
  }
  void grad_x_f(std::int64_t i, Batch b, In x, In y, Out out) {
    count(upper_gradient, i, b, Level::upper);
    table_->grad_x_f(self_, i, b, x, y, out);
  }
  void hvp_yy_g(std::int64_t i, Batch b, In x, In y, In v, Out out) {
    count(hessian_vector, i, b, Level::lower);
    table_->hvp_yy_g(self_, i, b, x, y, v, out);
  }
  void jvp_xy_g(std::int64_t i, Batch b, In x, In y, In v, Out out) {
    count(cross_vector, i, b, Level::lower);
    table_->jvp_xy_g(self_, i, b, x, y, v, out);
  }
  void jvp_yx_g(std::int64_t i, Batch b, In x, In y, In u, Out out) {
    count(cross_vector, i, b, Level::lower);
    table_->jvp_yx_g(self_, i, b, x, y, u, out);
  }
  /// dy Hessian-vector products in one.
  void hess_yy_g(std::int64_t i, Batch b, In x, In y, Out out) {
    count(hessian_vector, i, b, Level::lower, view_.dim_inner(i));
    table_->hess_yy_g(self_, i, b, x, y, out);
  }
  double f(std::int64_t i, Batch b, In x, In y) {
    count(value, i, b, Level::upper);
    return table_->f(self_, i, b, x, y);
  }
  double g(std::int64_t i, Batch b, In x, In y) {
    count(value, i, b, Level::lower);
    return table_->g(self_, i, b, x, y);
  }
  /// grad_y g, Hyy v and Hxy v; one pass over the data where the oracle has it.
  void lower_pass(std::int64_t i, Batch b, In x, In y, In v, Out gradient, Out hv, Out jv);

 private:
  void count(Kind kind, std::int64_t i, Batch b, Level level, std::int64_t times = 1) {
    counts_[kind] +=
        times * (b.empty() ? view_.num_samples(i, level) : static_cast<std::int64_t>(b.size()));
  }

  OracleView view_;
  const OracleView::Table* table_;
  const void* self_;
  Counts counts_{};
};

}  // namespace equipoise::bilevel
