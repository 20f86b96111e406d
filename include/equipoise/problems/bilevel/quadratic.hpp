#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::problems {

struct QuadraticOptions {
  std::int64_t blocks = 50;
  std::int64_t outer = 10;
  std::int64_t inner = 5;
  std::int64_t samples = 64;
  double noise = 0.0;
  double start = 1.0;
  void describe(state::OptionVisitor& visit);
};

/// Many quadratic lower problems with everything in closed form:
/// g_i = y.A_i y / 2 - y.(C_i x + b_i), f_i = |y - t_i|^2 / 2 + rho |x|^2 / 2, rho = 0.1,
///
/// with A_i = Q D Q (a reflection Q, eigenvalues D equally spaced in [0.5, 2]) and smooth
/// trigonometric C, b, t. Sample j of n multiplies A and C by 1 + s sqrt2 cos(2 pi j / n) and adds
/// s sqrt2 sin(2 pi (j + k) / n) to b_k and t_k: no change on average, strongly convex sample by
/// sample for s < 0.7. Memory: dy (dy + dx + 2) doubles per owned block; other blocks are generated
/// when asked for.
class MultiBlockQuadratic {
 public:
  static constexpr double rho = 0.1;
  /// Stores the blocks of `owned`.
  MultiBlockQuadratic(const QuadraticOptions& options, partition::Range owned);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return options_.outer; }
  [[nodiscard]] std::int64_t num_blocks() const { return options_.blocks; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return options_.inner; }
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level) const {
    return options_.samples;
  }
  void grad_y_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const;
  void jvp_xy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const;
  void jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u, Out out) const;
  void hess_yy_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  [[nodiscard]] double f(std::int64_t i, Batch batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t i, Batch batch, In x, In y) const;
  [[nodiscard]] bilevel::Bounds bounds(std::int64_t i, In x, In y) const;
  void start(Out x) const;
  /// grad F and F at x, over all blocks: O(m dy (dx + dy)) flops.
  bool exact(In x, Out hypergradient, double& value) const;
  /// The minimiser of F.
  bool optimum(Out x) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  struct Block {
    std::vector<double> u, c, b, t;  ///< reflection vector [dy], C by rows [dy x dx], [dy], [dy]
    double norm = 0.0, cross = 0.0;  ///< u.u, Frobenius norm of C
  };
  struct Noise {
    double factor = 1.0, cosine = 0.0, sine = 0.0;
  };
  [[nodiscard]] Block make(std::int64_t i) const;
  [[nodiscard]] const Block& block(std::int64_t i) const;
  [[nodiscard]] Noise noise(Batch batch) const;
  [[nodiscard]] double shift(const Noise& noise, std::size_t k) const;
  [[nodiscard]] double eigenvalue(std::size_t k) const;
  void multiply(const Block& block, double power, In v, Out out) const;
  void accumulate(const Block& block, In x, Out hypergradient, double& value) const;

  QuadraticOptions options_;
  partition::Range owned_;
  std::vector<Block> blocks_;
  std::vector<std::pair<double, double>> waves_;  ///< cosine and sine of every sample's angle
};

static_assert(bilevel::Oracle<MultiBlockQuadratic>);

}  // namespace equipoise::problems
