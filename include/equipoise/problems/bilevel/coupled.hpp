#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>

namespace equipoise::problems {

struct CoupledOptions {
  std::int64_t size = 100;  ///< n
  double start = 10.0;
  bool scaled = true;  ///< divide the constraint by the norm of its row
  void describe(state::OptionVisitor& visit);
};

/// A lower problem with a constraint that couples x and y, solved in closed form: x in R^n, y =
/// (y1, y2) in R^2n, e ones,
///
///     f = |x - y2|^2 / 2 + |y1 - e|^2 / 2,   g = |y1|^2 / 2 - x.y1 + e.y2,   c = e.x + e.y1 + e.y2
///     = 0.
///
/// g is only convex. The optimum is x = -0.3 e, y1 = 0.7 e, y2 = -0.4 e (n any). With `scaled` the
/// row of c is divided by its norm sqrt(3 n).
class CoupledToy {
 public:
  explicit CoupledToy(const CoupledOptions& options) : options_(options) {}
  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return options_.size; }
  [[nodiscard]] std::int64_t num_blocks() const { return 1; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return 2 * options_.size; }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 1; }
  void grad_y_g(std::int64_t, Batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t, Batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t, Batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t, Batch, In x, In y, Out out) const;
  [[nodiscard]] double f(std::int64_t, Batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t, Batch, In x, In y) const;
  [[nodiscard]] std::int64_t num_constraints(std::int64_t) const { return 1; }
  void con(std::int64_t, In x, In y, Out out) const;
  void con_jt_x(std::int64_t, In x, In y, In lambda, Out out) const;
  void con_jt_y(std::int64_t, In x, In y, In lambda, Out out) const;
  void proj_joint(Out x, Out y) const;
  [[nodiscard]] bilevel::Bounds bounds(std::int64_t, In, In) const {
    bilevel::Bounds out;
    out.smoothness = 1.0;
    return out;
  }
  [[nodiscard]] bool everywhere() const { return true; }
  void start(Out x) const;
  void start_inner(std::int64_t, Out y) const;
  bool optimum(Out x) const;
  /// The lower solutions are y1 = x + e and any y2 of the right sum; the best of these is x less 3
  /// a + 1, a the mean of x, so F = |x|^2 / 2 + n (3 a + 1)^2 / 2.
  bool exact(In x, Out hypergradient, double& value) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const { return {{"constraints", "1, coupling x and y"}}; }

 private:
  [[nodiscard]] double scale() const;
  CoupledOptions options_;
};

static_assert(bilevel::Oracle<CoupledToy>);

}  // namespace equipoise::problems
