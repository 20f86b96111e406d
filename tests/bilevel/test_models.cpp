// Methods that need no second derivatives (self-tuning models, proximal value function), and second
// derivatives by dual numbers.
#include <equipoise/bilevel/auto_oracle.hpp>
#include <equipoise/bilevel/check.hpp>
#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/federated.hpp>
#include <equipoise/bilevel/lvhba.hpp>
#include <equipoise/bilevel/stn.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace {

using namespace equipoise;
using bilevel::In;
using bilevel::Out;
using problems::MultiBlockQuadratic;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

MultiBlockQuadratic quadratic(std::int64_t m, std::int64_t dx, std::int64_t dy) {
  return {{m, dx, dy, 64, 0.0, 1.0},
          bilevel::Blocks::layout(m, 64, world().size()).owned(world().rank())};
}

double slope(const MultiBlockQuadratic& problem, const std::vector<double>& x) {
  std::vector<double> p(x.size());
  double value = 0.0;
  problem.exact(x, p, value);
  return bilevel::norm(p);
}

double gap(const MultiBlockQuadratic& problem, const std::vector<double>& x) {
  std::vector<double> best(x.size());
  problem.optimum(best);
  bilevel::axpy(-1.0, x, best);
  return bilevel::norm(best);
}

// The affine model contains the lower solutions of quadratics, so the method ends at the optimum.
TEST(SelfTuning, EndsAtTheOptimumWhereTheModelIsExact) {
  const auto problem = quadratic(50, 10, 5);
  bilevel::StnOptions options;
  options.evaluate_every = 0;
  bilevel::SelfTuning method({world(), bilevel::OracleView(problem)}, options);
  for (int k = 0; k < 1500; ++k) method.step();
  EXPECT_FALSE(method.report().failed) << method.report().message;
  EXPECT_LE(slope(problem, method.outer()), 1e-8);
  // The model gives the lower solutions: grad_y g vanishes there.
  const auto& y = method.inner();
  for (auto i = method.blocks().owned().begin; i < method.blocks().owned().end; ++i) {
    std::vector<double> g(5);
    problem.grad_y_g(i, {}, method.outer(), method.blocks().of(y, i), g);
    EXPECT_LE(bilevel::norm(g), 1e-7);
  }
}

// With averages in every iteration the federated variant is STORM in three streams; with more local
// steps and no noise it still ends at the optimum when clients agree there only.
TEST(Federated, IsStormWithOneLocalStepAndConvergesWithMore) {
  const MultiBlockQuadratic problem(
      {20, 6, 3, 64, 0.3, 1.0},
      bilevel::Blocks::layout(20, 5, world().size()).owned(world().rank()));
  const bilevel::OracleView view(problem);
  bilevel::DriverOptions storm;
  storm.lower = storm.linear = storm.outer = "storm";
  storm.batch = 8;
  storm.lower_step = 0.3;
  storm.outer_step = 0.1;
  storm.evaluate_every = 0;
  bilevel::Driver driver({world(), view, 5, 3}, storm);
  bilevel::FederatedOptions options;
  options.local = 1;
  options.batch = 8;
  options.lower_step = 0.3;
  options.outer_step = 0.1;
  options.evaluate_every = 0;
  bilevel::Federated federated({world(), view, 5, 3}, options);
  for (int k = 0; k < 60; ++k) {
    driver.step();
    federated.step();
  }
  for (std::size_t k = 0; k < 6; ++k) EXPECT_NEAR(driver.outer()[k], federated.outer()[k], 1e-12);
  // Five local steps: a fifth of the rounds, and the drift of clients is of the order of the step.
  const MultiBlockQuadratic quiet(
      {20, 6, 3, 64, 0.0, 1.0},
      bilevel::Blocks::layout(20, 5, world().size()).owned(world().rank()));
  double last = 1.0;
  for (const double step : {0.2, 0.1}) {
    options.local = 5;
    options.batch = 0;
    options.outer_step = step;
    bilevel::Federated local({world(), bilevel::OracleView(quiet), 5, 3}, options);
    for (int k = 0; k < 3000; ++k) local.step();
    EXPECT_EQ(local.traffic().rounds, 600);
    const double error = gap(quiet, local.outer());
    EXPECT_LE(error, 0.6 * last);
    last = error;
  }
  EXPECT_LE(last, 0.05);
}

/// Weighted least squares of one unknown per block whose weights x_j belong to samples: a batch
/// touches its own entries of x only.
struct Touching {
  static constexpr std::int64_t samples = 400;
  bool tells = true;
  static double a(std::int64_t i, std::int64_t j) {
    return std::sin(0.7 * static_cast<double>(j) + 1.9 * static_cast<double>(i));
  }
  std::int64_t dim_outer() const { return samples; }
  std::int64_t num_blocks() const { return 6; }
  std::int64_t dim_inner(std::int64_t) const { return 1; }
  std::int64_t num_samples(std::int64_t, bilevel::Level) const { return samples; }
  template <class Work>
  static void each(bilevel::Batch batch, Work work) {
    const auto n = batch.empty() ? samples : std::ssize(batch);
    for (std::int64_t k = 0; k < n; ++k)
      work(batch.empty() ? k : batch[static_cast<std::size_t>(k)], 1.0 / static_cast<double>(n));
  }
  static double weight(In x, std::int64_t j) {
    return 1.0 + std::exp(x[static_cast<std::size_t>(j)]);
  }
  void grad_y_g(std::int64_t i, bilevel::Batch b, In x, In y, Out out) const {
    out[0] = 0.0;
    each(b, [&](std::int64_t j, double s) { out[0] += s * weight(x, j) * (y[0] - a(i, j)); });
  }
  void grad_y_f(std::int64_t, bilevel::Batch, In, In y, Out out) const { out[0] = y[0] - 0.2; }
  void grad_x_f(std::int64_t, bilevel::Batch, In, In, Out out) const {
    std::fill(out.begin(), out.end(), 0.0);
  }
  void hvp_yy_g(std::int64_t, bilevel::Batch b, In x, In, In v, Out out) const {
    out[0] = 0.0;
    each(b, [&](std::int64_t j, double s) { out[0] += s * weight(x, j) * v[0]; });
  }
  void jvp_xy_g(std::int64_t i, bilevel::Batch b, In x, In y, In v, Out out) const {
    std::fill(out.begin(), out.end(), 0.0);
    each(b, [&](std::int64_t j, double s) {
      out[static_cast<std::size_t>(j)] += s * (weight(x, j) - 1.0) * (y[0] - a(i, j)) * v[0];
    });
  }
};
/// The same, saying so.
struct Telling : Touching {
  void x_support(std::int64_t, bilevel::Batch lower, bilevel::Batch,
                 std::vector<std::int64_t>& out) const {
    out.assign(lower.begin(), lower.end());
  }
};

// Pairs in place of dense vectors: the same iterates to rounding, the same bits on any ranks, and
// 12 bytes a touched entry.
TEST(SparseMean, SendsPairsWhereTheSupportIsSmall) {
  const Touching silent;
  const Telling telling;
  bilevel::DriverOptions options;
  options.lower = options.linear = "sgd";
  options.outer = "storm";
  options.batch = 5;
  options.blocks = 3;
  options.lower_step = 0.3;
  options.outer_step = 5.0;
  options.evaluate_every = 0;
  bilevel::Driver dense({world(), bilevel::OracleView(silent), 64, 3}, options);
  bilevel::Driver sparse({world(), bilevel::OracleView(telling), 64, 3}, options);
  bilevel::Driver alone({parallel::Comm(), bilevel::OracleView(telling), 64, 3}, options);
  for (int k = 0; k < 40; ++k) {
    dense.step();
    sparse.step();
    alone.step();
  }
  EXPECT_EQ(sparse.outer(), alone.outer());
  double moved = 0.0;
  for (std::size_t k = 0; k < sparse.outer().size(); ++k) {
    EXPECT_NEAR(sparse.outer()[k], dense.outer()[k], 1e-13);
    moved = std::max(moved, std::abs(sparse.outer()[k]));
  }
  EXPECT_GT(moved, 1e-3);
  // At most 5 samples and entry 0 from each of 3 blocks, one block a class: 6 pairs a message.
  EXPECT_LE(sparse.traffic().uplink_per_agent, 40 * 6 * 12);
  EXPECT_GE(dense.traffic().uplink_per_agent, 40 * 400 * 8);
  if (world().size() == 1) {
    EXPECT_EQ(sparse.traffic().sent, 0);
  }
  EXPECT_EQ(sparse.traffic().rounds, 40);
}

/// Ridge regression with one log penalty: g = |A w - b|^2 / 2n + exp(x) |w|^2 / 2, and a response
/// model w = (1 + phi_1 x + phi_2 x^2 ...) of its own: w_k = phi_k0 + phi_k1 x + phi_k2 x^2.
struct Ridge {
  static constexpr std::int64_t n = 12, d = 4, powers = 4;
  static double a(std::int64_t row, std::int64_t k) {
    return std::sin(1.7 * static_cast<double>(row) + 2.3 * static_cast<double>(k * k) + 0.4);
  }
  static double b(std::int64_t row) {
    return a(row, 0) - 0.5 * a(row, 2) + 0.3 * std::cos(5.1 * static_cast<double>(row));
  }
  std::int64_t dim_outer() const { return 1; }
  std::int64_t num_blocks() const { return 1; }
  std::int64_t dim_inner(std::int64_t) const { return d; }
  std::int64_t num_samples(std::int64_t, bilevel::Level) const { return n; }
  static void least_squares(std::int64_t first, In w, Out out) {
    for (std::int64_t row = first; row < first + n; ++row) {
      double r = -b(row);
      for (std::size_t k = 0; k < d; ++k) r += a(row, static_cast<std::int64_t>(k)) * w[k];
      for (std::size_t k = 0; k < d; ++k)
        out[k] += r * a(row, static_cast<std::int64_t>(k)) / static_cast<double>(n);
    }
  }
  void grad_y_g(std::int64_t, bilevel::Batch, In x, In y, Out out) const {
    for (std::size_t k = 0; k < d; ++k) out[k] = std::exp(x[0]) * y[k];
    least_squares(0, y, out);
  }
  void grad_y_f(std::int64_t, bilevel::Batch, In, In y, Out out) const {
    std::fill(out.begin(), out.end(), 0.0);
    least_squares(n, y, out);
  }
  void grad_x_f(std::int64_t, bilevel::Batch, In, In, Out out) const { out[0] = 0.0; }
  void start(Out x) const { x[0] = -1.0; }
  std::int64_t dim_response(std::int64_t) const { return d * powers; }
  void response(std::int64_t, In phi, In x, Out y) const {
    for (std::size_t k = 0; k < d; ++k) {
      y[k] = 0.0;
      for (std::size_t p = powers; p-- > 0;) y[k] = y[k] * (x[0] + 1.0) + phi[k * powers + p];
    }
  }
  void response_phi(std::int64_t, In, In x, In u, Out out) const {
    for (std::size_t k = 0; k < d; ++k) {
      double power = 1.0;
      for (std::size_t p = 0; p < powers; ++p, power *= x[0] + 1.0)
        out[k * powers + p] = u[k] * power;
    }
  }
  void response_x(std::int64_t, In phi, In x, In u, Out out) const {
    out[0] = 0.0;
    for (std::size_t k = 0; k < d; ++k) {
      double power = 1.0;
      for (std::size_t p = 1; p < powers; ++p, power *= x[0] + 1.0)
        out[0] += static_cast<double>(p) * u[k] * phi[k * powers + p] * power;
    }
  }
  void start_response(std::int64_t, In, Out phi) const { std::fill(phi.begin(), phi.end(), 0.0); }
  /// The lower solution at x, by 4000 gradient steps.
  std::vector<double> solution(double x) const {
    std::vector<double> y(d), g(d);
    for (int k = 0; k < 4000; ++k) {
      grad_y_g(0, {}, std::vector<double>{x}, y, g);
      bilevel::axpy(-0.5, g, y);
    }
    return y;
  }
  double value(double x) const {
    const auto y = solution(x);
    double sum = 0.0;
    for (std::int64_t row = n; row < 2 * n; ++row) {
      double r = -b(row);
      for (std::size_t k = 0; k < d; ++k) r += a(row, static_cast<std::int64_t>(k)) * y[k];
      sum += 0.5 * r * r / static_cast<double>(n);
    }
    return sum;
  }
};
static_assert(bilevel::Oracle<Ridge>);

// Bar: |w_phi(x) - w*(x)| <= 2e-2 |w*(x)| near x, with the oracle's own model and
// the affine one.
TEST(SelfTuning, TracksRidgeRegressionNearThePenalty) {
  const Ridge ridge;
  bilevel::StnOptions options;
  options.evaluate_every = 0;
  options.outer_step = 20.0;
  options.width_step = 0.0;
  options.width = 0.1;
  bilevel::SelfTuning method({world(), bilevel::OracleView(ridge)}, options);
  EXPECT_EQ(method.notes()[0].second, "the problem's own");
  const double first = ridge.value(-1.0);
  for (int k = 0; k < 3000; ++k) method.step();
  const double x = method.outer()[0];
  // Near the minimum of the true value function (a scan in steps of 0.1).
  double best = first;
  for (double at = -6.0; at < -1.0; at += 0.1) best = std::min(best, ridge.value(at));
  EXPECT_LE(ridge.value(x) - best, 1e-2 * (first - best)) << x;
  if (!method.blocks().owned().contains(0)) return;
  const auto exact = ridge.solution(x);
  auto y = method.inner();
  bilevel::axpy(-1.0, exact, y);
  EXPECT_LE(bilevel::norm(y), 2e-2 * bilevel::norm(exact)) << x;
}

// Without constraints the limit is biased by O(1 / c): twice the penalty, half the distance.
TEST(ProximalValue, BiasHalvesWhenThePenaltyDoubles) {
  const MultiBlockQuadratic problem({4, 3, 2, 64, 0.0, 1.0}, {0, 4});
  std::vector<double> errors;
  for (const double c : {10.0, 20.0, 40.0}) {
    bilevel::LvhbaOptions options;
    options.evaluate_every = 0;
    options.penalty = c;
    options.growth = 0.0;
    bilevel::Lvhba method({parallel::Comm(), bilevel::OracleView(problem)}, options);
    for (int k = 0; k < 60000; ++k) method.step();
    EXPECT_FALSE(method.report().failed);
    errors.push_back(gap(problem, method.outer()));
  }
  EXPECT_LE(errors[2], 0.02);
  EXPECT_NEAR(errors[0] / errors[1], 2.0, 0.15) << errors[0] << " " << errors[1];
  EXPECT_NEAR(errors[1] / errors[2], 2.0, 0.1) << errors[1] << " " << errors[2];
}

/// Templated gradients of g = sum_k log(1 + exp(x_k y_k)) + exp(x_0) sqrt(1 + |y|^2) + |y|^2 / 2,
/// and the second derivatives by hand in `Written`.
struct Templated {
  std::int64_t dim_outer() const { return 3; }
  std::int64_t num_blocks() const { return 1; }
  std::int64_t dim_inner(std::int64_t) const { return 3; }
  std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 1; }
  template <class S>
  void grad_y_g(std::int64_t, bilevel::Batch, std::span<const S> x, std::span<const S> y,
                std::span<S> out) const {
    using std::exp;
    using std::sqrt;
    S square = S(1.0);
    for (const S& entry : y) square += entry * entry;
    const S pull = exp(x[0]) / sqrt(square);
    for (std::size_t k = 0; k < 3; ++k)
      out[k] = x[k] / (S(1.0) + exp(-(x[k] * y[k]))) + pull * y[k] + y[k];
  }
  template <class S>
  void grad_x_g(std::int64_t, bilevel::Batch, std::span<const S> x, std::span<const S> y,
                std::span<S> out) const {
    using std::exp;
    using std::sqrt;
    S square = S(1.0);
    for (const S& entry : y) square += entry * entry;
    for (std::size_t k = 0; k < 3; ++k) out[k] = y[k] / (S(1.0) + exp(-(x[k] * y[k])));
    out[0] += exp(x[0]) * sqrt(square);
  }
  double g(std::int64_t, bilevel::Batch, In x, In y) const {
    double square = 1.0, sum = 0.0;
    for (std::size_t k = 0; k < 3; ++k) {
      square += y[k] * y[k];
      sum += std::log1p(std::exp(x[k] * y[k])) + 0.5 * y[k] * y[k];
    }
    return sum + std::exp(x[0]) * std::sqrt(square);
  }
  void grad_y_f(std::int64_t, bilevel::Batch, In, In y, Out out) const {
    for (std::size_t k = 0; k < 3; ++k) out[k] = y[k] - 1.0;
  }
  void grad_x_f(std::int64_t, bilevel::Batch, In x, In, Out out) const {
    for (std::size_t k = 0; k < 3; ++k) out[k] = 0.1 * x[k];
  }
};
static_assert(bilevel::TemplatedGradients<Templated>);
static_assert(bilevel::Oracle<bilevel::AutoOracle<Templated>>);

TEST(AutoOracle, KeepsEveryPromise) {
  const bilevel::AutoOracle<Templated> oracle;
  const bilevel::OracleView view(oracle);
  for (const std::string_view call : {"hvp_yy_g", "jvp_xy_g", "jvp_yx_g", "lower_pass"})
    EXPECT_TRUE(view.has(call)) << call;
  const std::vector<double> x = {0.3, -0.7, 1.1}, y = {0.9, 0.2, -1.4};
  const auto checks = bilevel::check_oracle(view, 0, x, y);
  EXPECT_GE(checks.size(), 16U);
  for (const auto& check : checks) EXPECT_TRUE(check.passed()) << check.name << " " << check.error;
  // One entry by hand: d2 g / dy_1 dy_2 = -exp(x_0) y_1 y_2 / (1 + |y|^2)^1.5.
  std::vector<double> hv(3);
  oracle.hvp_yy_g(0, {}, x, y, std::vector<double>{0.0, 1.0, 0.0}, hv);
  const double square = 1.0 + 0.81 + 0.04 + 1.96;
  EXPECT_NEAR(hv[2], -std::exp(0.3) * 0.2 * -1.4 / std::pow(square, 1.5), 1e-14);
}

TEST(Dual, ElementaryFunctionsHaveTheirDerivatives) {
  using bilevel::Dual;
  const double a = 0.83, h = 1e-6;
  const auto check = [&](auto function) {
    const double slope = (function(Dual(a + h)).value - function(Dual(a - h)).value) / (2.0 * h);
    const Dual d = function(Dual(a, 1.0));
    EXPECT_NEAR(d.slope, slope, 1e-8);
  };
  check([](Dual t) { return exp(t); });
  check([](Dual t) { return log(t); });
  check([](Dual t) { return log1p(t); });
  check([](Dual t) { return sqrt(t); });
  check([](Dual t) { return tanh(t); });
  check([](Dual t) { return sin(t); });
  check([](Dual t) { return cos(t); });
  check([](Dual t) { return t * t / (t + 2.0) - t; });
}

}  // namespace
