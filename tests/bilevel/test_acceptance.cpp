// Acceptance of the family as a whole: long runs at default settings, first-order hypergradients,
// communication counts, step policies.
#include "field_memory.hpp"

#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/lvhba.hpp>
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/penalty.hpp>
#include <equipoise/bilevel/step_policy.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace {

using namespace equipoise;
using bilevel::Driver;
using bilevel::DriverOptions;
using bilevel::StepPolicy;
using problems::MultiBlockQuadratic;
using problems::QuadraticOptions;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

MultiBlockQuadratic shared(const QuadraticOptions& q) {
  return {q, bilevel::Blocks::layout(q.blocks, 64, world().size()).owned(world().rank())};
}

DriverOptions streams(const std::string& y, const std::string& v, const std::string& x) {
  DriverOptions options;
  options.lower = y;
  options.linear = v;
  options.outer = x;
  options.evaluate_every = 0;
  return options;
}

// Half of the blocks, noisy samples, automatic steps: 20,000 iterations stay well below the start,
// |grad F| = 1.372. Rows are dealt to the ranks.
TEST(Acceptance, DefaultStepsDoNotDivergeWhenBlocksAreSampled) {
  struct Preset {
    const char *y, *v, *x;
    double decay;
  };
  int row = 0;
  for (const auto& preset :
       {Preset{"sgd", "sgd", "sgd", 0.5}, Preset{"saga", "saga", "saga", 0.0},
        Preset{"page", "page", "page", 0.0}, Preset{"storm", "storm", "storm", 0.0},
        Preset{"msvr", "msvr", "storm", 0.0}, Preset{"sarah", "sarah", "sarah", 0.0}}) {
    if (row++ % world().size() != world().rank()) continue;
    auto options = streams(preset.y, preset.v, preset.x);
    options.decay = preset.decay;
    options.blocks = 10;
    options.batch = 8;
    options.move_all = std::string(preset.y) == "msvr";
    const MultiBlockQuadratic problem({20, 6, 4, 64, 0.3, 1.0}, {0, 20});
    Driver driver({parallel::Comm(), bilevel::OracleView(problem), 64, 3}, options);
    std::vector<double> p(6);
    double value = 0.0;
    problem.exact(driver.outer(), p, value);
    const double start = bilevel::norm(p);
    for (int k = 0; k < 20000; ++k) driver.step();
    EXPECT_FALSE(driver.report().failed) << driver.report().message;
    problem.exact(driver.outer(), p, value);
    EXPECT_LE(bilevel::norm(p), 0.2 * start) << preset.y;
  }
}

// B2 of docs/bilevel-studies.md: eight-point differences of first-order solves, 1e-8 relative.
TEST(Acceptance, EightPointDifferencesGiveTheHypergradient) {
  const auto problem = shared({50, 10, 5});
  bilevel::DifferenceOptions options;
  options.order = 8;
  options.spacing = 0.02;
  options.accuracy = 1e-14;
  bilevel::DifferenceMethod method({world(), bilevel::OracleView(problem)}, options);
  std::vector<double> x(10), p(10), exact(10);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = std::cos(static_cast<double>(k));
  method.hypergradient(x, p);
  double value = 0.0;
  problem.exact(x, exact, value);
  bilevel::axpy(-1.0, exact, p);
  EXPECT_LE(bilevel::norm(p), 1e-8 * bilevel::norm(exact));
}

// B17 of docs/bilevel-studies.md: bytes of an iteration do not depend on I, B or m; TopK of all
// entries is no compression, to the bit.
TEST(Acceptance, BytesDependOnTheOuterDimensionAlone) {
  std::vector<std::int64_t> sent;
  for (const auto& [blocks, sampled, batch] :
       {std::array<std::int64_t, 3>{64, 64, 8}, {64, 5, 8}, {64, 64, 32}, {256, 64, 8}}) {
    const auto problem = shared({blocks, 10, 5, 64, 0.3, 1.0});
    auto options = streams("msvr", "msvr", "storm");
    options.move_all = true;
    options.blocks = sampled;
    options.batch = batch;
    Driver driver({world(), bilevel::OracleView(problem), 64, 3}, options);
    driver.step();
    const auto before = driver.traffic().sent;
    for (int k = 0; k < 5; ++k) driver.step();
    sent.push_back(driver.traffic().sent - before);
  }
  for (const auto bytes : sent) EXPECT_EQ(bytes, sent[0]);
}

TEST(Acceptance, TopKOfEveryEntryIsTheSameBits) {
  std::vector<std::vector<double>> ends;
  for (const std::string codec : {"identity", "topk:10"}) {
    const auto problem = shared({50, 10, 5, 64, 0.3, 1.0});
    auto options = streams("msvr", "msvr", "storm");
    options.move_all = true;
    options.blocks = 20;
    options.batch = 8;
    options.outer_step = 0.01;
    options.exchange.codec = codec;
    Driver driver({world(), bilevel::OracleView(problem), 64, 3}, options);
    for (int k = 0; k < 50; ++k) driver.step();
    ends.push_back(driver.outer());
  }
  EXPECT_EQ(ends[0], ends[1]);
}

// B19 of docs/bilevel-studies.md: one inner variable.
TEST(Acceptance, OneInnerVariableWorks) {
  const auto problem = shared({6, 3, 1});
  bilevel::Maid maid({world(), bilevel::OracleView(problem)}, {});
  for (int k = 0; k < 100 && !(maid.report().residual <= 1e-9); ++k) maid.step();
  EXPECT_LE(maid.report().residual, 1e-9) << maid.report().message;
}

TEST(StepPolicy, MovesAsItsFormulasSay) {
  const std::vector<double> z = {3.0, -4.0, 0.0};
  std::vector<double> x(3, 1.0);
  StepPolicy("plain", 3, 1, 1.0, 10.0).move(0, 0.1, z, x);
  EXPECT_EQ(x, (std::vector<double>{1.0 - 0.1 * 3.0, 1.0 + 0.1 * 4.0, 1.0}));
  x.assign(3, 1.0);
  StepPolicy("normalised", 3, 1, 1.0, 10.0).move(0, 0.1, z, x);
  EXPECT_NEAR(x[0], 1.0 - 0.06, 1e-15);
  EXPECT_NEAR(x[1], 1.0 + 0.08, 1e-15);
  // The first adaptive step is eta along the signs, and no step is longer.
  x.assign(3, 1.0);
  StepPolicy adaptive("adaptive", 3, 1, 1.0, 10.0);
  adaptive.move(0, 0.1, z, x);
  EXPECT_NEAR(x[0], 0.9, 1e-14);
  EXPECT_NEAR(x[1], 1.1, 1e-14);
  EXPECT_EQ(x[2], 1.0);
  adaptive.move(1, 0.1, std::vector<double>{1e6, 0.0, 0.0}, x);
  EXPECT_NEAR(x[0], 0.8, 1e-14);
  EXPECT_THROW(StepPolicy("newton", 3, 1, 1.0, 10.0), ConfigurationError);
}

// F = exp(x_1) + x_2^2 / 2: flat along x_1, where factors must grow; x_2 must settle.
TEST(StepPolicy, ResilientStepsGrowWhereTheFunctionIsFlat) {
  const auto run = [](const std::string& name) {
    StepPolicy policy(name, 2, 10, 1.0, 100.0);
    std::vector<double> x = {0.0, 1.0}, z(2);
    for (int t = 0; t < 2000; ++t) {
      z = {std::exp(x[0]), x[1]};
      policy.move(t, 0.1, z, x);
    }
    return x;
  };
  const auto plain = run("plain"), resilient = run("resilient");
  EXPECT_NEAR(plain[0], -std::log(201.0), 0.05);  // dx/dt = -0.1 exp(x)
  EXPECT_LE(resilient[0], plain[0] - 3.0);        // a factor near 100
  EXPECT_LE(std::abs(resilient[1]), 1e-6);
}

// The path does not depend on the scale of F, x waits for the first window, and where the given
// step moves x well the factors are 1.
TEST(StepPolicy, AutomaticStepsFindTheScaleOfTheFunction) {
  const auto run = [](const std::string& name, double scale, double eta, int steps) {
    StepPolicy policy(name, 2, 20, 1.0, 4.0);
    std::vector<double> x = {0.0, 1.5}, z(2);
    for (int t = 0; t < steps; ++t) {
      for (std::size_t k = 0; k < 2; ++k) z[k] = scale * (x[k] - 1.0);
      policy.move(t, eta, z, x);
      if (name == "auto" && t < 20) {
        EXPECT_EQ(x, (std::vector<double>{0.0, 1.5}));
      }
    }
    return x;
  };
  const auto small = run("auto", 1e-4, 0.01, 400), tiny = run("auto", 1e-8, 0.01, 400);
  for (std::size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(small[k], 1.0, 1e-2);
    EXPECT_NEAR(tiny[k], small[k], 1e-9);
  }
  EXPECT_GE(std::abs(run("plain", 1e-4, 0.01, 400)[0] - 1.0), 0.99);
  EXPECT_NEAR(run("auto", 1e-20, 0.01, 400)[0], 0.0, 1e-4);  // a slope of rounding moves nothing
  EXPECT_EQ(run("auto", 1.0, 0.1, 39), run("plain", 1.0, 0.1, 19));
}

/// One block, one x, one y, four equal samples.
struct OneByOne {
  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  std::int64_t dim_outer() const { return 1; }
  std::int64_t num_blocks() const { return 1; }
  std::int64_t dim_inner(std::int64_t) const { return 1; }
  std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 4; }
};

/// g = (y - x)^2 / 2, f = 1e-5 (y - 1)^2 / 2: F = f(x), whose scale the lower problem does not
/// tell.
struct Faint : OneByOne {
  void grad_y_g(std::int64_t, Batch, In x, In y, Out o) const { o[0] = y[0] - x[0]; }
  void grad_y_f(std::int64_t, Batch, In, In y, Out o) const { o[0] = 1e-5 * (y[0] - 1.0); }
  void grad_x_f(std::int64_t, Batch, In, In, Out o) const { o[0] = 0.0; }
  void hvp_yy_g(std::int64_t, Batch, In, In, In v, Out o) const { o[0] = v[0]; }
  void jvp_xy_g(std::int64_t, Batch, In, In, In v, Out o) const { o[0] = -v[0]; }
};

TEST(StepPolicy, DefaultStepsArriveWhereTheUpperObjectiveIsSmall) {
  const Faint problem;
  for (const auto& [lower, outer] :
       {std::pair{"sgd", "sgd"}, {"saga", "saga"}, {"storm", "storm"}, {"msvr", "storm"}}) {
    auto options = streams(lower, lower, outer);
    const auto distance = [&] {
      Driver driver({parallel::Comm(), bilevel::OracleView(problem), 64, 1}, options);
      for (int k = 0; k < 3000; ++k) driver.step();
      return std::abs(driver.outer()[0] - 1.0);
    };
    EXPECT_LE(distance(), 1e-3) << lower;
    options.policy = "plain";
    EXPECT_GE(distance(), 0.9) << lower;
  }
}

/// g = exp(x) y^2 / 2 - y, f = y: F = exp(-x), and Hyy = exp(x) outgrows any fixed lower step.
struct Stiffening : OneByOne {
  void grad_y_g(std::int64_t, Batch, In x, In y, Out o) const { o[0] = std::exp(x[0]) * y[0] - 1; }
  void grad_y_f(std::int64_t, Batch, In, In, Out o) const { o[0] = 1; }
  void grad_x_f(std::int64_t, Batch, In, In, Out o) const { o[0] = 0; }
  void hvp_yy_g(std::int64_t, Batch, In x, In, In v, Out o) const { o[0] = std::exp(x[0]) * v[0]; }
  void jvp_xy_g(std::int64_t, Batch, In x, In y, In v, Out o) const {
    o[0] = std::exp(x[0]) * y[0] * v[0];
  }
};

TEST(StepPolicy, LowerStepsShrinkWhereTheLowerProblemStiffens) {
  const Stiffening problem;
  for (const std::string stream : {"saga", "sarah"}) {
    auto options = streams(stream, stream, stream);
    options.batch = 1;
    options.lower_step = 0.4;
    options.outer_step = 0.1;
    options.policy = "resilient";
    options.most = 100.0;
    options.window = 40;
    Driver driver({parallel::Comm(), bilevel::OracleView(problem), 64, 1}, options);
    for (int k = 0; k < 40000; ++k) driver.step();
    EXPECT_GE(driver.outer()[0], 3.0) << stream;
    EXPECT_NEAR(driver.inner()[0] * std::exp(driver.outer()[0]), 1.0, 0.1) << stream;
  }
}

TEST(StepPolicy, ResumesExactly) {
  for (const std::string name : {"auto", "adaptive", "resilient"}) {
    const auto problem = shared({12, 4, 3, 16, 0.2, 1.0});
    auto options = streams("saga", "saga", "saga");
    options.batch = 4;
    options.policy = name;
    options.window = 7;
    options.outer_step = name == "auto" ? 0.0 : 0.01;
    const bilevel::Setup setup{world(), bilevel::OracleView(problem), 64, 5};
    Driver whole(setup, options), half(setup, options), rest(setup, options);
    for (int k = 0; k < 60; ++k) whole.step();
    for (int k = 0; k < 31; ++k) half.step();
    test::FieldMemory memory(world());
    half.fields(memory.save());
    rest.fields(memory.load());
    for (int k = 0; k < 29; ++k) rest.step();
    EXPECT_EQ(rest.outer(), whole.outer()) << name;
  }
}

}  // namespace
