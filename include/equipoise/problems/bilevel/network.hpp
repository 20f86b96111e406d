#pragma once

#include <equipoise/bilevel/auto_oracle.hpp>
#include <equipoise/problems/bilevel/class_rows.hpp>
#include <equipoise/state/options.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::problems {

struct NetworkOptions : DigitOptions {
  NetworkOptions() { train = 4000, validation = 1000, test = 2000; }
  std::int64_t hidden = 16;
  double corruption = 0.5;
  double regulariser = 0.01;
  double start = 0.0;
  void describe(state::OptionVisitor& visit);
};

/// Cleaning of training data with a network below: as `DataCleaning`, with scores W2 tanh(W1 a +
/// b1)
/// + b2 in place of W a,
///
///     g = mean_j sigma(x_j) CE(scores(a_j), label_j) + lambda |y|^2,  f = mean CE on clean rows,
///
/// y = (W1 [hidden x d], b1, W2 [10 x hidden], b2). g is not convex: methods reach a local minimum
/// near the path from the drawn start of y, and certificates say what holds there. Only gradients
/// are written; second derivatives come from dual numbers. Cost of a full pass: 4 rows * hidden *
/// (d + 10) flops.
class NetworkCleaning {
 public:
  NetworkCleaning(DigitRows rows, const NetworkOptions& options, std::uint64_t seed);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return rows_.train.rows(); }
  [[nodiscard]] std::int64_t num_blocks() const { return 1; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const {
    return options_.hidden * (rows_.train.dimension + 1 + digit_classes) + digit_classes;
  }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level level) const {
    return level == bilevel::Level::lower ? rows_.train.rows() : rows_.validation.rows();
  }
  template <class S>
  void grad_y_g(std::int64_t, Batch batch, std::span<const S> x, std::span<const S> y,
                std::span<S> out) const {
    for (std::size_t k = 0; k < y.size(); ++k) out[k] = S(2.0 * options_.regulariser) * y[k];
    std::vector<S> t(hidden());
    each(rows_.train.rows(), batch, [&](std::int64_t r, double share) {
      add_gradient<S>(rows_.train, r, S(share) * weight(x[static_cast<std::size_t>(r)]), y, t, out);
    });
  }
  template <class S>
  void grad_x_g(std::int64_t, Batch batch, std::span<const S> x, std::span<const S> y,
                std::span<S> out) const {
    for (S& entry : out) entry = S(0.0);
    std::vector<S> t(hidden());
    each(rows_.train.rows(), batch, [&](std::int64_t r, double share) {
      const S w = weight(x[static_cast<std::size_t>(r)]);
      std::array<S, classes> p;
      const S loss = forward<S>(rows_.train, r, y, t, p);
      out[static_cast<std::size_t>(r)] += S(share) * w * (S(1.0) - w) * loss;
    });
  }
  void grad_y_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t, Batch batch, In x, In y, Out out) const;
  [[nodiscard]] double f(std::int64_t, Batch batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t, Batch batch, In x, In y) const;
  [[nodiscard]] bool lower_convex() const { return false; }
  [[nodiscard]] bool everywhere() const { return true; }
  void x_support(std::int64_t, Batch lower, Batch, std::vector<std::int64_t>& out) const {
    out.assign(lower.begin(), lower.end());
  }
  void start(Out x) const;
  /// Weights drawn with variance 1 / inputs, keyed by the seed.
  void start_inner(std::int64_t, Out y) const;
  void figures(std::int64_t, In x, In y, bilevel::Figures& out) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  static constexpr auto classes = static_cast<std::size_t>(digit_classes);
  [[nodiscard]] std::size_t hidden() const { return static_cast<std::size_t>(options_.hidden); }
  static double value(double a) { return a; }
  static double value(const bilevel::Dual& a) { return a.value; }
  template <class S>
  static S weight(const S& x) {
    using std::exp;
    return S(1.0) / (S(1.0) + exp(-x));
  }
  /// Hidden units t and probabilities p of row r; returns the cross entropy of its label.
  template <class S>
  S forward(const ClassRows& rows, std::int64_t r, std::span<const S> y, std::vector<S>& t,
            std::array<S, classes>& p) const {
    using std::exp;
    using std::log;
    using std::tanh;
    const auto d = static_cast<std::size_t>(rows.dimension), n = hidden();
    const float* a = rows.row(r);
    const auto bias = y.subspan(n * d, n), second = y.subspan(n * (d + 1), classes * n),
               last = y.last(classes);
    for (std::size_t h = 0; h < n; ++h) {
      S sum = bias[h];
      for (std::size_t k = 0; k < d; ++k) sum += y[h * d + k] * S(static_cast<double>(a[k]));
      t[h] = tanh(sum);
    }
    double top = -1e300;
    for (std::size_t c = 0; c < classes; ++c) {
      p[c] = last[c];
      for (std::size_t h = 0; h < n; ++h) p[c] += second[c * n + h] * t[h];
      top = value(p[c]) > top ? value(p[c]) : top;
    }
    const S own = p[static_cast<std::size_t>(rows.labels[static_cast<std::size_t>(r)])];
    S sum = S(0.0);
    for (S& entry : p) sum += entry = exp(entry - S(top));
    for (S& entry : p) entry /= sum;
    return log(sum) + S(top) - own;
  }
  /// out += factor times the gradient of the cross entropy of row r.
  template <class S>
  void add_gradient(const ClassRows& rows, std::int64_t r, const S& factor, std::span<const S> y,
                    std::vector<S>& t, std::span<S> out) const {
    const auto d = static_cast<std::size_t>(rows.dimension), n = hidden();
    const float* a = rows.row(r);
    std::array<S, classes> p;
    forward<S>(rows, r, y, t, p);
    p[static_cast<std::size_t>(rows.labels[static_cast<std::size_t>(r)])] -= S(1.0);
    const auto second = y.subspan(n * (d + 1), classes * n);
    const auto bias_out = out.subspan(n * d, n), second_out = out.subspan(n * (d + 1), classes * n),
               last_out = out.last(classes);
    for (std::size_t c = 0; c < classes; ++c) {
      p[c] *= factor;
      last_out[c] += p[c];
      for (std::size_t h = 0; h < n; ++h) second_out[c * n + h] += p[c] * t[h];
    }
    for (std::size_t h = 0; h < n; ++h) {
      S back = S(0.0);
      for (std::size_t c = 0; c < classes; ++c) back += second[c * n + h] * p[c];
      back *= S(1.0) - t[h] * t[h];
      bias_out[h] += back;
      for (std::size_t k = 0; k < d; ++k) out[h * d + k] += back * S(static_cast<double>(a[k]));
    }
  }

  DigitRows rows_;
  std::vector<char> corrupted_;
  NetworkOptions options_;
  std::uint64_t seed_;
};

static_assert(bilevel::TemplatedGradients<NetworkCleaning>);
using DeepCleaning = bilevel::AutoOracle<NetworkCleaning>;
static_assert(bilevel::Oracle<DeepCleaning>);

}  // namespace equipoise::problems
