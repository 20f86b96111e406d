// MAID: the bound, certain decrease, convergence to rounding, and its refusals.
#include <equipoise/bilevel/descent.hpp>
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>
#include <equipoise/problems/bilevel/temperature.hpp>

#include <Eigen/Dense>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>

namespace {

using namespace equipoise;
using problems::MultiBlockQuadratic;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

partition::Range owned(std::int64_t blocks) {
  return bilevel::Blocks::layout(blocks, 64, world().size()).owned(world().rank());
}

double error_of(const MultiBlockQuadratic& problem, const bilevel::Maid& maid) {
  std::vector<double> exact(maid.outer().size());
  double value = 0.0;
  problem.exact(maid.outer(), exact, value);
  bilevel::axpy(-1.0, maid.direction(), exact);
  return bilevel::norm(exact);
}

TEST(Maid, ReachesRoundingOnTheQuadraticAndNeverBreaksItsBound) {
  const MultiBlockQuadratic problem({50, 10, 5}, owned(50));
  bilevel::Maid maid({world(), bilevel::OracleView(problem)}, {});
  double last = std::numeric_limits<double>::infinity();
  int steps = 0;
  while (steps < 2000 && !(maid.report().residual <= 1e-10)) {
    maid.step();
    ++steps;
    EXPECT_LE(error_of(problem, maid), maid.hypergradient().bound + 1e-15);
    std::vector<double> p(10);
    double value = 0.0;
    problem.exact(maid.outer(), p, value);
    EXPECT_LE(value, last + 1e-13);  // sums of 50 terms of size 3
    last = value;
    if (maid.report().finished) break;
  }
  EXPECT_LE(maid.report().residual, 1e-10) << steps << " steps";
  std::vector<double> best(10);
  problem.optimum(best);
  bilevel::axpy(-1.0, maid.outer(), best);
  EXPECT_LE(bilevel::norm(best), 1e-9);
  EXPECT_TRUE(maid.hypergradient().certified);
}

/// A quadratic whose block 3 is not convex.
struct Saddle : MultiBlockQuadratic {
  using MultiBlockQuadratic::MultiBlockQuadratic;
  void hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const {
    MultiBlockQuadratic::hvp_yy_g(i, batch, x, y, v, out);
    if (i == 3) {
      for (double& entry : out) entry = -entry;
    }
  }
};

TEST(Maid, NamesTheBlockThatIsNotConvex) {
  const Saddle problem({8, 3, 2}, owned(8));
  bilevel::MaidOptions options;
  options.implicit.linear = "cg";
  bilevel::Maid maid({world(), bilevel::OracleView(problem)}, options);
  try {
    maid.step();
    ADD_FAILURE() << "negative curvature went unseen";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::input);
    EXPECT_NE(std::string(error.what()).find("block 3: the lower problem is not strongly convex"),
              std::string::npos)
        << error.what();
  }
}

struct Nan : MultiBlockQuadratic {
  using MultiBlockQuadratic::MultiBlockQuadratic;
  void grad_y_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
    MultiBlockQuadratic::grad_y_g(i, batch, x, y, out);
    if (i == 5) out[0] = std::nan("");
  }
};

TEST(Maid, NamesTheBlockWithNan) {
  const Nan problem({8, 3, 2}, owned(8));
  bilevel::Maid maid({world(), bilevel::OracleView(problem)}, {});
  try {
    maid.step();
    ADD_FAILURE() << "NaN went unseen";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::diverged);
    EXPECT_NE(std::string(error.what()).find("block 5"), std::string::npos) << error.what();
  }
}

/// First-order calls only.
struct FirstOrder {
  std::int64_t dim_outer() const { return 1; }
  std::int64_t num_blocks() const { return 1; }
  std::int64_t dim_inner(std::int64_t) const { return 1; }
  std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 1; }
  void grad_y_g(std::int64_t, bilevel::Batch, bilevel::In x, bilevel::In y, bilevel::Out o) const {
    o[0] = y[0] - x[0];
  }
  void grad_y_f(std::int64_t, bilevel::Batch, bilevel::In, bilevel::In y, bilevel::Out o) const {
    o[0] = y[0];
  }
  void grad_x_f(std::int64_t, bilevel::Batch, bilevel::In x, bilevel::In, bilevel::Out o) const {
    o[0] = x[0];
  }
};

TEST(Maid, NamesTheCallThatAnOracleLacks) {
  const FirstOrder problem;
  try {
    bilevel::Maid maid({world(), bilevel::OracleView(problem)}, {});
    ADD_FAILURE() << "a first-order oracle was accepted";
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find("`hvp_yy_g`"), std::string::npos) << error.what();
  }
}

/// The well-conditioned quadratic: h = |A2 y + A3 x - b2|^2, f = |A1 y - b1|^2, n = 1000
/// rows, 10 columns.
struct LeastSquares {
  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  using Map = Eigen::Map<const Eigen::VectorXd>;
  Eigen::MatrixXd a11, a22, a23;
  Eigen::VectorXd a1b, a2b;
  double b1b1 = 0.0;
  bilevel::Bounds constants;

  LeastSquares() {
    const Eigen::Index n = 1000, m = 10;
    const auto draw = [&](std::int64_t stream, Eigen::Index rows, Eigen::Index columns) {
      const parallel::Draw numbers(4, parallel::Purpose::problem, stream);
      Eigen::MatrixXd out(rows, columns);
      for (Eigen::Index k = 0; k < out.size(); ++k)
        out.data()[k] = numbers.normal(static_cast<std::uint64_t>(k));
      return out;
    };
    Eigen::MatrixXd a1 = draw(1, n, m) / std::sqrt(n), a2 = draw(2, n, m) / std::sqrt(n);
    Eigen::MatrixXd a3 = a2 + 0.5 * draw(3, n, m) / std::sqrt(n);
    a1 += a2;
    const Eigen::VectorXd x = draw(4, m, 1), y = draw(5, m, 1);
    const Eigen::VectorXd b1 = a1 * y + 0.01 * draw(6, n, 1),
                          b2 = a2 * y + a3 * x + 0.01 * draw(7, n, 1);
    a11 = 2.0 * a1.transpose() * a1;
    a22 = 2.0 * a2.transpose() * a2;
    a23 = 2.0 * a2.transpose() * a3;
    a1b = 2.0 * a1.transpose() * b1;
    a2b = 2.0 * a2.transpose() * b2;
    b1b1 = b1.squaredNorm();
    const Eigen::VectorXd e = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(a22).eigenvalues();
    constants.strong_convexity = e(0) * (1.0 - 1e-12);
    constants.smoothness = e(m - 1);
    constants.cross = Eigen::JacobiSVD<Eigen::MatrixXd>(a23).singularValues()(0);
    constants.upper_smoothness =
        Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(a11).eigenvalues()(m - 1);
    constants.certified = true;
  }
  static void put(const Eigen::VectorXd& v, Out out) {
    Eigen::Map<Eigen::VectorXd>(out.data(), v.size()) = v;
  }
  static Map view(In v) { return {v.data(), static_cast<Eigen::Index>(v.size())}; }
  std::int64_t dim_outer() const { return 10; }
  std::int64_t num_blocks() const { return 1; }
  std::int64_t dim_inner(std::int64_t) const { return 10; }
  std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 1; }
  void grad_y_g(std::int64_t, Batch, In x, In y, Out o) const {
    put(a22 * view(y) + a23 * view(x) - a2b, o);
  }
  void grad_y_f(std::int64_t, Batch, In, In y, Out o) const { put(a11 * view(y) - a1b, o); }
  void grad_x_f(std::int64_t, Batch, In, In, Out o) const { std::fill(o.begin(), o.end(), 0.0); }
  void hvp_yy_g(std::int64_t, Batch, In, In, In v, Out o) const { put(a22 * view(v), o); }
  void jvp_xy_g(std::int64_t, Batch, In, In, In v, Out o) const {
    put(a23.transpose() * view(v), o);
  }
  double f(std::int64_t, Batch, In, In y) const {
    return 0.5 * view(y).dot(a11 * view(y)) - a1b.dot(view(y)) + b1b1;
  }
  bilevel::Bounds bounds(std::int64_t, In, In) const { return constants; }
  void start(Out x) const { std::fill(x.begin(), x.end(), 1.0); }
  Eigen::VectorXd lower(In x) const { return a22.ldlt().solve(a2b - a23 * view(x)); }
  double value(In x) const {
    const Eigen::VectorXd y = lower(x);
    return f(0, {}, x, In(y.data(), 10));
  }
  Eigen::VectorXd slope(In x) const {
    return -a23.transpose() * a22.ldlt().solve(a11 * lower(x) - a1b);
  }
  double best() const {
    // y ranges over everything (a23 is invertible): the minimum is that of f alone.
    const Eigen::VectorXd y = a11.ldlt().solve(a1b);
    return f(0, {}, {}, In(y.data(), 10));
  }
};

TEST(Maid, LeastSquaresFromCoarseAndFineAccuraciesWithinSixtySteps) {
  const LeastSquares problem;
  const std::vector<double> ones(10, 1.0);
  const double first = problem.value(ones) - problem.best();
  for (const std::int64_t memory : {0, 10}) {
    for (const double accuracy : {1e-1, 1e-3, 1e-5}) {
      for (const double step : {1.0, 0.01}) {
        bilevel::MaidOptions options;
        options.memory = memory;
        options.accuracy = accuracy;
        options.step = step;
        bilevel::Maid maid({world(), bilevel::OracleView(problem)}, options);
        double last = first;
        int steps = 0;
        while (steps < 60 && last > 1e-8 * first) {
          maid.step();
          ++steps;
          const double gap = problem.value(maid.outer()) - problem.best();
          EXPECT_LE(gap, last + 1e-11);
          last = gap;
          const Eigen::VectorXd error =
              LeastSquares::view(maid.direction()) - problem.slope(maid.outer());
          EXPECT_LE(error.norm(), maid.hypergradient().bound + 1e-12);
        }
        EXPECT_LE(last, 1e-8 * first) << memory << " " << accuracy << " " << step;
      }
    }
  }
}

TEST(Maid, SameBitsOnAnyNumberOfRanks) {
  const MultiBlockQuadratic whole({50, 10, 5}, {0, 50}), part({50, 10, 5}, owned(50));
  bilevel::Maid alone({parallel::Comm(), bilevel::OracleView(whole)}, {});
  bilevel::Maid shared({world(), bilevel::OracleView(part)}, {});
  for (int k = 0; k < 20; ++k) {
    alone.step();
    shared.step();
  }
  EXPECT_EQ(alone.outer(), shared.outer());
  EXPECT_EQ(alone.report().residual, shared.report().residual);
}

/// Hyy and Hxy of the quadratic are constant: nothing of its Hessian is left out, with a factor of
/// Hyy or without.
TEST(GaussNewton, IsTheHessianOfTheQuadratic) {
  const MultiBlockQuadratic problem({50, 10, 5}, owned(50));
  const bilevel::OracleView view(problem);
  bilevel::Blocks blocks(world(), view, 64);
  bilevel::CountedOracle oracle(view);
  bilevel::Exchange exchange(blocks, 10, {});
  std::vector<double> x(10, 0.3), v(10), moved(10), p(10), there(10), product(10);
  for (std::size_t k = 0; k < 10; ++k) {
    v[k] = std::sin(1.0 + static_cast<double>(k));
    moved[k] = x[k] + v[k];
  }
  double value = 0.0;
  problem.exact(x, p, value);
  problem.exact(moved, there, value);
  for (const std::string linear : {"auto", "cg"}) {
    bilevel::ImplicitOptions options;
    options.linear = linear;
    bilevel::Implicit implicit(blocks, oracle, exchange, options);
    auto y = blocks.zeros(), q = blocks.zeros();
    implicit.gradient(x, y, q, 1e-12, 1e-12, product);
    implicit.linearise(x, y, q);
    implicit.curvature(v, product);
    for (std::size_t k = 0; k < 10; ++k) EXPECT_NEAR(product[k], there[k] - p[k], 1e-6) << k;
  }
}

TEST(GaussNewton, SameBitsOnAnyNumberOfRanks) {
  bilevel::MaidOptions options;
  options.direction = "gauss-newton";
  const MultiBlockQuadratic whole({50, 10, 5}, {0, 50}), part({50, 10, 5}, owned(50));
  bilevel::Maid alone({parallel::Comm(), bilevel::OracleView(whole)}, options);
  bilevel::Maid shared({world(), bilevel::OracleView(part)}, options);
  for (int k = 0; k < 8; ++k) {
    alone.step();
    shared.step();
  }
  EXPECT_EQ(alone.outer(), shared.outer());
  EXPECT_EQ(alone.report().residual, shared.report().residual);
}

/// 800 weights, 61 lower variables, F from the weights through these alone: Gauss-Newton steps gain
/// more from the first.
TEST(GaussNewton, IsTheDefaultWhereWeightsOutnumberLowerVariables) {
  const char* const folder = std::getenv("EQUIPOISE_DATA");
  const auto file = std::filesystem::path(folder ? folder : "../shared/data") / "libsvm/splice.txt";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no splice data; set EQUIPOISE_DATA";
  problems::TemperatureOptions shape;
  shape.data = file.string();
  shape.train_rows = 800;
  shape.blocks = 4;
  shape.regulariser = 0.05;
  const problems::TemperatureReweighting problem(problems::read_rows(shape.data, true), shape);
  const auto after = [&](const std::string& direction, int steps) {
    bilevel::MaidOptions options;
    options.direction = direction;
    bilevel::Maid maid({world(), bilevel::OracleView(problem)}, options);
    for (int k = 0; k < steps; ++k) maid.step();
    return maid.report().objective;
  };
  EXPECT_LE(after("auto", 5), after("quasi-newton", 5) - 5e-3);
  EXPECT_EQ(after("auto", 2), after("gauss-newton", 2));
}

TEST(GaussNewton, NamesTheCallThatAnOracleLacks) {
  const LeastSquares problem;
  bilevel::MaidOptions options;
  options.direction = "gauss-newton";
  try {
    bilevel::Maid maid({world(), bilevel::OracleView(problem)}, options);
    ADD_FAILURE() << "an oracle without jvp_yx_g was accepted";
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find("`jvp_yx_g`"), std::string::npos) << error.what();
  }
}

TEST(ImplicitDescent, ConvergesAlsoThroughCodecs) {
  const MultiBlockQuadratic problem({50, 10, 5}, owned(50));
  for (const std::string codec : {"identity", "permk", "topk:3"}) {
    bilevel::DescentOptions options;
    options.step = codec == "identity" ? 0.8 : 0.05;
    options.accuracy = 1e-12;
    options.exchange.codec = codec;
    options.exchange.error_feedback = codec == "topk:3";
    bilevel::ImplicitDescent method({world(), bilevel::OracleView(problem)}, options);
    std::vector<double> p(10);
    double first = 0.0, last = 0.0, best = 0.0;
    problem.exact(method.outer(), p, first);
    const int steps = codec == "identity" ? 150 : 600;
    for (int k = 0; k < steps; ++k) method.step();
    problem.exact(method.outer(), p, last);
    std::vector<double> solution(10);
    problem.optimum(solution);
    problem.exact(solution, p, best);
    EXPECT_LE(last - best, 0.05 * (first - best)) << codec;
  }
}

}  // namespace
