// The stochastic driver: published behaviour, invariants of its estimators, samplers, lazy moves,
// same bits, resume.
#include "field_memory.hpp"

#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

namespace {

using namespace equipoise;
using bilevel::Driver;
using bilevel::DriverOptions;
using problems::MultiBlockQuadratic;
using problems::QuadraticOptions;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

MultiBlockQuadratic make(QuadraticOptions options, const parallel::Comm& comm) {
  return {options, bilevel::Blocks::layout(options.blocks, 64, comm.size()).owned(comm.rank())};
}

QuadraticOptions quiet() { return {50, 10, 5, 64, 0.0, 1.0}; }
QuadraticOptions noisy() { return {50, 10, 5, 64, 0.3, 1.0}; }

DriverOptions streams(const std::string& y, const std::string& v, const std::string& x) {
  DriverOptions options;
  options.lower = y;
  options.linear = v;
  options.outer = x;
  options.lower_step = 0.5;
  options.outer_step = 0.2;
  options.batch = 8;
  options.evaluate_every = 0;
  return options;
}

double slope(const MultiBlockQuadratic& problem, const std::vector<double>& x) {
  std::vector<double> p(x.size());
  double value = 0.0;
  problem.exact(x, p, value);
  return bilevel::norm(p);
}

/// Rows of long tables are dealt to ranks; each runs on its own, which is the same to the last bit.
bool mine(std::size_t row) {
  return static_cast<int>(row % static_cast<std::size_t>(world().size())) == world().rank();
}

double run(const QuadraticOptions& q, const DriverOptions& options, int steps,
           std::uint64_t seed = 1) {
  const auto problem = make(q, parallel::Comm());
  Driver driver({parallel::Comm(), bilevel::OracleView(problem), 64, seed}, options);
  for (int k = 0; k < steps; ++k) driver.step();
  EXPECT_FALSE(driver.report().failed) << driver.report().message;
  return slope(problem, driver.outer());
}

TEST(Driver, WarmUpHoldsXUntilTheLowerVariablesHaveFollowed) {
  const auto problem = make(quiet(), parallel::Comm());
  auto options = streams("sgd", "sgd", "sgd");
  options.warm_up = 200;
  Driver driver({parallel::Comm(), bilevel::OracleView(problem), 64, 1}, options);
  const std::vector<double> start = driver.outer();
  for (int k = 0; k < 200; ++k) driver.step();
  EXPECT_EQ(driver.outer(), start);
  driver.step();
  std::vector<double> slope(start.size());
  double value = 0.0;
  problem.exact(start, slope, value);
  for (std::size_t k = 0; k < start.size(); ++k)
    EXPECT_NEAR((start[k] - driver.outer()[k]) / options.outer_step, slope[k], 1e-12);
}

// B3 of docs/bilevel-studies.md: tau .5, eta .2, 1500 iterations.
TEST(Driver, SobaReachesRoundingWithoutNoise) {
  EXPECT_LE(run(quiet(), streams("sgd", "sgd", "sgd"), 1500), 1e-10);
}

TEST(Driver, EveryConstantStepPresetReachesRoundingWithoutNoise) {
  const std::vector<std::array<std::string, 3>> presets = {
      {"sarah", "sarah", "sarah"}, {"page", "page", "page"},  {"storm", "storm", "storm"},
      {"msvr", "msvr", "storm"},   {"sgd", "sgd", "average"}, {"saga", "saga", "saga"}};
  for (std::size_t row = 0; row < presets.size(); ++row) {
    if (!mine(row)) continue;
    const auto& kinds = presets[row];
    auto options = streams(kinds[0], kinds[1], kinds[2]);
    options.move_all = kinds[0] == "msvr";
    // The delays of a moving average and of a table need smaller steps.
    if (kinds[2] == "average") options.outer_step = 0.1;
    options.constants.beta = kinds[2] == "average" ? 0.5 : 0.1;
    if (kinds[2] == "saga") options.lower_step = 0.2, options.outer_step = 0.1;
    EXPECT_LE(run(quiet(), options, 3000), 1e-10) << kinds[0] << " " << kinds[2];
    if (kinds[0] != "msvr") continue;
    options.track_hessian = true;
    EXPECT_LE(run(quiet(), options, 1500), 1e-10) << "tracked Hessian";
  }
}

// Finite sums with I = m: variance reduction converges to the exact solution under noise, SGD does
// not.
TEST(Driver, VarianceReductionConvergesUnderNoiseWithConstantSteps) {
  auto q = noisy();
  q.blocks = 8;
  auto options = streams("saga", "saga", "saga");
  options.lower_step = 0.2;
  options.outer_step = 0.05;
  const std::string kinds[] = {"saga", "sarah", "page", "sgd"};
  for (std::size_t row = 0; row < 4; ++row) {
    if (!mine(row)) continue;
    options.lower = options.linear = options.outer = kinds[row];
    const double end = run(q, options, 5000);
    if (kinds[row] == "sgd") {
      EXPECT_GE(end, 1e-4);
    } else {
      EXPECT_LE(end, 1e-8) << kinds[row];
    }
  }
}

// B4 of docs/bilevel-studies.md, setting of 5.5: I = 25, tau .1, eta .02, alpha .2, beta .1, from
// |gradF| = 1.372.
TEST(Driver, SampledBlocksFallToAnEighth) {
  struct Preset {
    const char *y, *v, *x;
    bool all, hessian;
    std::int64_t stage = 0;
  };
  std::size_t row = 0;
  for (const auto& p :
       {Preset{"sgd", "sgd", "sgd", false, false}, Preset{"sgd", "sgd", "average", false, false},
        Preset{"storm", "storm", "storm", false, false},
        Preset{"saga", "saga", "saga", false, false},
        Preset{"sarah", "sarah", "sarah", false, false},
        Preset{"page", "page", "page", false, false}, Preset{"msvr", "msvr", "storm", true, false},
        Preset{"msvr", "msvr", "storm", true, false, 1000},
        Preset{"msvr", "msvr", "storm", true, true}}) {
    auto options = streams(p.y, p.v, p.x);
    if (!mine(row++)) continue;
    options.blocks = 25;
    options.lower_step = 0.1;
    options.outer_step = 0.02;
    options.move_all = p.all;
    options.track_hessian = p.hessian;
    options.stage = p.stage;
    std::vector<double> ends;
    for (std::uint64_t seed = 1; seed <= 5; ++seed)
      ends.push_back(run(noisy(), options, 1500, seed));
    std::sort(ends.begin(), ends.end());
    EXPECT_LE(ends[2], 1.372 / 8.0) << p.y << " " << p.x << " " << p.hessian << p.stage;
  }
}

std::vector<double> outer_after(const DriverOptions& options, int steps,
                                const parallel::Comm& comm) {
  const auto problem = make(noisy(), comm);
  Driver driver({comm, bilevel::OracleView(problem), 64, 3}, options);
  for (int k = 0; k < steps; ++k) driver.step();
  auto x = driver.outer();
  return x;
}

TEST(Driver, LimitsOfEstimatorsAreTheSameBits) {
  auto options = streams("sgd", "sgd", "sgd");
  options.blocks = 20;
  const auto plain = outer_after(options, 30, world());
  options.lower = options.linear = options.outer = "storm";
  options.constants.beta = 1.0;
  EXPECT_EQ(outer_after(options, 30, world()), plain);
  options.lower = options.linear = options.outer = "average";
  EXPECT_EQ(outer_after(options, 30, world()), plain);
  options = streams("sarah", "sarah", "sarah");
  options.period = 1;
  const auto full = outer_after(options, 30, world());
  options = streams("page", "page", "page");
  options.coin = 1.0;
  EXPECT_EQ(outer_after(options, 30, world()), full);
}

TEST(Driver, MsvrIsStormWhenAllBlocksAreSampled) {
  auto options = streams("storm", "storm", "storm");
  options.constants.beta = 0.3;
  const auto storm = outer_after(options, 50, world());
  options.lower = options.linear = "msvr";
  options.constants.alpha = 0.3;
  const auto msvr = outer_after(options, 50, world());
  for (std::size_t k = 0; k < storm.size(); ++k) EXPECT_NEAR(storm[k], msvr[k], 1e-13);
}

TEST(Driver, SameBitsOnAnyNumberOfRanksAlsoWithCodecs) {
  for (const std::string codec : {"identity", "topk:3", "permk"}) {
    auto options = streams("msvr", "msvr", "storm");
    options.blocks = 20;
    options.lower_step = 0.1;
    options.outer_step = 0.02;
    options.move_all = true;
    options.exchange.codec = codec;
    options.exchange.server_codec = codec == "permk" ? "bf16" : "identity";
    options.exchange.error_feedback = codec == "topk:3";
    EXPECT_EQ(outer_after(options, 40, world()), outer_after(options, 40, parallel::Comm()))
        << codec;
  }
}

TEST(Driver, ResumesExactly) {
  const std::vector<std::array<std::string, 3>> presets = {
      {"saga", "saga", "saga"}, {"msvr", "msvr", "storm"}, {"page", "page", "page"}};
  for (const auto& kinds : presets) {
    for (const bool hessian : {false, true}) {
      if (hessian && kinds[0] != "msvr") continue;
      auto options = streams(kinds[0], kinds[1], kinds[2]);
      options.blocks = 20;
      options.lower_step = 0.1;
      options.outer_step = 0.02;
      options.track_hessian = hessian;
      options.move_all = kinds[0] == "msvr";
      options.exchange.codec = "topk:3";
      options.exchange.error_feedback = true;
      const auto problem = make(noisy(), world());
      const bilevel::Setup setup{world(), bilevel::OracleView(problem), 64, 5};
      Driver whole(setup, options), half(setup, options), rest(setup, options);
      for (int k = 0; k < 40; ++k) whole.step();
      for (int k = 0; k < 20; ++k) half.step();
      test::FieldMemory memory(world());
      half.fields(memory.save());
      rest.fields(memory.load());
      for (int k = 0; k < 20; ++k) rest.step();
      EXPECT_EQ(rest.outer(), whole.outer()) << kinds[0];
      EXPECT_EQ(rest.inner(), whole.inner()) << kinds[0];
    }
  }
}

// Eager bookkeeping of BSVRB's moves, one block at a time, against the lazy ones.
TEST(Driver, LazyMovesAreTheEagerOnes) {
  QuadraticOptions q{20, 4, 3, 16, 0.2, 1.0};
  const MultiBlockQuadratic problem(q, {0, 20});
  auto options = streams("msvr", "msvr", "storm");
  options.blocks = 4;
  options.batch = 16;
  options.lower_step = 0.1;
  options.outer_step = 0.02;
  options.move_all = true;
  Driver driver({parallel::Comm(), bilevel::OracleView(problem), 64, 9}, options);
  const bilevel::BlockSampler sampler(20, 4, bilevel::BlockSampler::Mode::global, 64, 9);
  std::vector<double> x(4, 1.0), x_old = x, z(4), y(60), v(60), s(60), u(60), y_old(60), v_old(60);
  std::vector<bool> seen(20, false);
  bilevel::SampledBlocks drawn;
  const double alpha = 0.2, beta = 0.1, gamma = 0.8;
  for (int t = 0; t < 200; ++t) {
    driver.step();
    sampler.draw(t, drawn);
    std::vector<double> mean(4);
    auto s_next = s, u_next = u;
    for (const auto i : drawn.ids) {
      const auto k = static_cast<std::size_t>(3 * i);
      const auto part = [&](std::vector<double>& a) { return std::span(a).subspan(k, 3); };
      std::vector<double> gy(3), hv(3), gf(3), jv(4), gx(4), gy0(3), hv0(3), gf0(3), jv0(4), gx0(4);
      problem.grad_y_g(i, {}, x, part(y), gy);
      problem.hvp_yy_g(i, {}, x, part(y), part(v), hv);
      problem.grad_y_f(i, {}, x, part(y), gf);
      problem.jvp_xy_g(i, {}, x, part(y), part(v), jv);
      problem.grad_x_f(i, {}, x, part(y), gx);
      problem.grad_y_g(i, {}, x_old, part(y_old), gy0);
      problem.hvp_yy_g(i, {}, x_old, part(y_old), part(v_old), hv0);
      problem.grad_y_f(i, {}, x_old, part(y_old), gf0);
      problem.jvp_xy_g(i, {}, x_old, part(y_old), part(v_old), jv0);
      problem.grad_x_f(i, {}, x_old, part(y_old), gx0);
      for (std::size_t j = 0; j < 3; ++j) {
        const double h = hv[j] - gf[j], h0 = hv0[j] - gf0[j];
        s_next[k + j] = seen[static_cast<std::size_t>(i)]
                            ? (1 - alpha) * s[k + j] + alpha * gy[j] + gamma * (gy[j] - gy0[j])
                            : gy[j];
        u_next[k + j] = seen[static_cast<std::size_t>(i)]
                            ? (1 - alpha) * u[k + j] + alpha * h + gamma * (h - h0)
                            : h;
      }
      for (std::size_t j = 0; j < 4; ++j) {
        const double h = gx[j] - jv[j], h0 = gx0[j] - jv0[j];
        mean[j] += 0.25 * (t == 0 ? h : h - (1 - beta) * h0);
      }
      seen[static_cast<std::size_t>(i)] = true;
    }
    s = s_next;
    u = u_next;
    y_old = y;
    v_old = v;
    bilevel::axpy(-0.1, s, y);
    bilevel::axpy(-0.1, u, v);
    for (std::size_t j = 0; j < 4; ++j) z[j] = (t == 0 ? 0.0 : (1 - beta) * z[j]) + mean[j];
    x_old = x;
    bilevel::axpy(-0.02, z, x);
  }
  for (std::size_t j = 0; j < 4; ++j) EXPECT_NEAR(driver.outer()[j], x[j], 1e-12);
  const auto& inner = driver.inner();
  for (std::size_t k = 0; k < y.size(); ++k) EXPECT_NEAR(inner[k], y[k], 1e-12);
}

TEST(Sampler, UniformAndUnbiased) {
  // Every block equally often (chi-square, 19 degrees of freedom: 43.8 is the 0.1 % point), both
  // modes.
  for (const auto mode :
       {bilevel::BlockSampler::Mode::global, bilevel::BlockSampler::Mode::stratified}) {
    const bilevel::BlockSampler sampler(20, 7, mode, 3, 11);
    std::vector<double> weight(20), count(20);
    bilevel::SampledBlocks drawn;
    const int rounds = 20000;
    for (int t = 0; t < rounds; ++t) {
      sampler.draw(t, drawn);
      EXPECT_EQ(drawn.ids.size(), 7U);
      EXPECT_TRUE(std::is_sorted(drawn.ids.begin(), drawn.ids.end()));
      for (std::size_t k = 0; k < 7; ++k) {
        weight[static_cast<std::size_t>(drawn.ids[k])] += drawn.weights[k] / rounds;
        count[static_cast<std::size_t>(drawn.ids[k])] += 1.0;
      }
    }
    for (const double w : weight) EXPECT_NEAR(w, 1.0, 0.05);
    if (mode == bilevel::BlockSampler::Mode::global) {
      double chi = 0.0;
      for (const double c : count)
        chi += (c - rounds * 0.35) * (c - rounds * 0.35) / (rounds * 0.35);
      EXPECT_LE(chi, 43.8);
    }
  }
}

void expect_refusal(const DriverOptions& options, const std::string& part) {
  const auto problem = make(quiet(), world());
  try {
    Driver driver({world(), bilevel::OracleView(problem), 64, 0}, options);
    ADD_FAILURE() << "accepted: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::configuration);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Driver, RefusesWhatMakesNoSense) {
  auto options = streams("sgd", "sgd", "sgd");
  options.blocks = 51;
  expect_refusal(options, "method.blocks = 51");
  options = streams("sgd", "sgd", "sgd");
  options.batch = 65;
  expect_refusal(options, "method.batch = 65");
  expect_refusal(streams("saga", "sgd", "sgd"), "SAGA");
  options = streams("saga", "saga", "saga");
  options.table_limit = 10.0;
  expect_refusal(options, "SAGA tables would take");
}

struct Nan : MultiBlockQuadratic {
  using MultiBlockQuadratic::MultiBlockQuadratic;
  Nan(const MultiBlockQuadratic& other) : MultiBlockQuadratic(other) {}
  void hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const {
    MultiBlockQuadratic::hvp_yy_g(i, batch, x, y, v, out);
    if (i == 33) out[0] = std::nan("");
  }
};

TEST(Driver, StopsAtNanNamingTheBlockAndKeepsTheLastPoint) {
  const Nan problem(make(quiet(), world()));
  Driver driver({world(), bilevel::OracleView(problem), 64, 0}, streams("sgd", "sgd", "sgd"));
  driver.step();
  EXPECT_TRUE(driver.report().failed);
  EXPECT_NE(driver.report().message.find("block 33"), std::string::npos) << driver.report().message;
  EXPECT_EQ(driver.outer(), std::vector<double>(10, 1.0));
}

}  // namespace
