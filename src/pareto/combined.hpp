#pragma once

#include <equipoise/pareto/problem.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// The combinations A f of the objectives of another problem, as objectives.
struct Combined {
  ProblemView base;
  std::span<const double> rows;  ///< [m k]

  [[nodiscard]] std::size_t given() const { return base.objectives(); }
  [[nodiscard]] std::int64_t dimension() const {
    return static_cast<std::int64_t>(base.dimension());
  }
  [[nodiscard]] std::int64_t objectives() const {
    return static_cast<std::int64_t>(rows.size() / given());
  }
  [[nodiscard]] double lower(std::int64_t i) const {
    return base.lower(static_cast<std::size_t>(i));
  }
  [[nodiscard]] double upper(std::int64_t i) const {
    return base.upper(static_cast<std::size_t>(i));
  }
  /// out = A in, `width` numbers per objective.
  void combine(std::span<const double> in, std::size_t width, std::span<double> out) const {
    std::fill(out.begin(), out.end(), 0.0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t to = i / given() * width;
      const std::size_t from = i % given() * width;
      for (std::size_t j = 0; j < width; ++j) out[to + j] += rows[i] * in[from + j];
    }
  }
  [[nodiscard]] std::vector<double> weights(std::span<const double> multipliers) const {
    std::vector<double> w(given(), 0.0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      w[i % given()] += rows[i] * multipliers[i / given()];
    }
    return w;
  }
  void evaluate(std::span<const double> x, std::span<double> f) const {
    std::vector<double> values(given());
    base.evaluate(x, values, {});
    combine(values, 1, f);
  }
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const {
    std::vector<double> values(given());
    std::vector<double> all(given() * base.dimension());
    base.gradients(x, values, all);
    combine(values, 1, f);
    combine(all, base.dimension(), g);
  }
  [[nodiscard]] double inner(std::span<const double> a, std::span<const double> b) const {
    return base.inner(a, b);
  }
  void start(std::span<double> x) const { base.start(x); }
};
/// The same where the problem has Hessian products.
struct CombinedTwice : Combined {
  void hessian_product(std::span<const double> w, std::span<const double> x,
                       std::span<const double> v, std::span<double> out) const {
    base.hessian_product(weights(w), x, v, out);
  }
};

}  // namespace equipoise::pareto
