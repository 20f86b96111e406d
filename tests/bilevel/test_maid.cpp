// MAID: the bound, certain decrease, convergence to rounding, and its refusals.
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

}  // namespace
