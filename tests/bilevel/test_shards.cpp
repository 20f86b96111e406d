// Samples of a block shared out over ranks: the same oracle, the same bits on any number of ranks,
// one error for all.
#include <equipoise/bilevel/check.hpp>
#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/penalty.hpp>
#include <equipoise/bilevel/shards.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>
#include <equipoise/problems/bilevel/selection.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace {

using namespace equipoise;
using bilevel::OracleView;
using bilevel::ShardedOracle;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

problems::LabelledRows drawn_rows(std::int64_t rows, std::int64_t stream) {
  constexpr std::int64_t features = 5;
  problems::LabelledRows out;
  out.features = features;
  for (std::int64_t r = 0; r < rows; ++r) {
    const parallel::Draw draw(3, parallel::Purpose::problem, stream, r);
    double sum = 0.5 * draw.normal(features);
    for (std::int64_t j = 0; j < features; ++j) {
      out.columns.push_back(static_cast<std::int32_t>(j));
      out.values.push_back(draw.normal(static_cast<std::uint64_t>(j)));
      sum += j % 2 == 0 ? out.values.back() : 0.0;
    }
    out.labels.push_back(sum > 0.0 ? 1.0 : -1.0);
    out.offsets.push_back(static_cast<std::int64_t>(out.columns.size()));
  }
  return out;
}

struct Shards : ::testing::Test {
  parallel::Comm comm = world();
  problems::RegularisationSelection problem{drawn_rows(47, 1), drawn_rows(31, 2), {}};
  std::vector<double> x = std::vector<double>(5, -2.0), y = {0.3, -0.2, 0.1, 0.5, -0.4},
                      v = {1.0, 0.5, -0.5, 0.25, 2.0};
};

TEST_F(Shards, EveryCallIsTheOriginalsOnAllSamplesAndOnBatches) {
  const OracleView plain(problem);
  const bilevel::Blocks alone(comm, plain, 1);
  for (const std::int64_t shards : {2, 7, 60}) {  // of 60 shards of 47 samples some are empty
    const ShardedOracle shared(comm, plain, 1, shards);
    const OracleView view = shared.view();
    const bilevel::Blocks blocks(comm, view, 1);
    for (const auto& batch : {std::vector<std::int64_t>{}, {3}, {30, 2, 11, 17, 5}}) {
      const auto near = [&](const std::function<void(const OracleView&, bilevel::Out)>& call,
                            std::size_t size) {
        std::vector<double> expected(size), out(size);
        call(plain, expected);
        blocks.work([&] {
          if (blocks.owned().size() == 0) return;
          call(view, out);
          for (std::size_t k = 0; k < size; ++k) EXPECT_NEAR(out[k], expected[k], 1e-14) << shards;
        });
      };
      near([&](const OracleView& o,
               bilevel::Out out) { o.table().grad_y_g(o.self(), 0, batch, x, y, out); },
           5);
      near([&](const OracleView& o,
               bilevel::Out out) { o.table().grad_y_f(o.self(), 0, batch, x, y, out); },
           5);
      near([&](const OracleView& o,
               bilevel::Out out) { o.table().hess_yy_g(o.self(), 0, batch, x, y, out); },
           25);
      near(
          [&](const OracleView& o, bilevel::Out out) {
            o.table().lower_pass(o.self(), 0, batch, x, y, v, out.first(5), out.subspan(5, 5),
                                 out.subspan(10));
          },
          15);
      near(
          [&](const OracleView& o, bilevel::Out out) {
            out[0] = o.table().f(o.self(), 0, batch, x, y);
            out[1] = o.table().g(o.self(), 0, batch, x, y);
          },
          2);
    }
    for (const auto& check : bilevel::check_oracle(view, 0, x, y)) {
      EXPECT_TRUE(check.passed()) << check.name << " " << check.error;
    }
  }
}

/// The outer variable after some steps, with the helpers there are, and on every rank alone.
template <class Method, class Options>
void expect_same_bits(const parallel::Comm& comm, const OracleView& plain, const Options& options,
                      int steps) {
  const auto end = [&](const parallel::Comm& on) {
    const ShardedOracle shared(on, plain, 1, 6);
    Method method({on, shared.view(), 1, 5}, options);
    for (int k = 0; k < steps; ++k) method.step();
    return method.outer();
  };
  EXPECT_EQ(end(comm), end(parallel::Comm()));
}

TEST_F(Shards, MethodsHaveTheSameBitsOnAnyNumberOfRanks) {
  const OracleView plain(problem);
  expect_same_bits<bilevel::Maid>(comm, plain, bilevel::MaidOptions{}, 8);
  bilevel::DriverOptions saba;
  saba.lower = saba.linear = saba.outer = "saga";
  saba.batch = 4;
  saba.evaluate_every = 10;
  saba.outer_step = 0.05;
  expect_same_bits<bilevel::Driver>(comm, plain, saba, 20);
  bilevel::PenaltyOptions penalty;
  penalty.batch = 10;
  expect_same_bits<bilevel::PenaltyMethod>(comm, plain, penalty, 10);
}

TEST_F(Shards, NodesOfDifferencesHaveTheSameBitsOnAnyNumberOfRanks) {
  const OracleView plain(problem);
  for (const std::int64_t order : {1, 8}) {
    bilevel::DifferenceOptions options;
    options.order = order;
    options.evaluate_every = 0;
    const auto end = [&](const parallel::Comm& on) {
      bilevel::DifferenceMethod method({on, plain, 1, 5}, options);
      for (int k = 0; k < 3; ++k) method.step();
      const std::int64_t calls = on.sum(method.counters().front().second);
      return std::pair(method.outer(), calls);
    };
    EXPECT_EQ(end(comm), end(parallel::Comm()));
  }
}

/// Fails on one sample.
struct Fragile {
  const problems::RegularisationSelection* inner;
  std::int64_t bad;
  [[nodiscard]] std::int64_t dim_outer() const { return inner->dim_outer(); }
  [[nodiscard]] std::int64_t num_blocks() const { return 1; }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t i) const { return inner->dim_inner(i); }
  [[nodiscard]] std::int64_t num_samples(std::int64_t i, bilevel::Level level) const {
    return inner->num_samples(i, level);
  }
  void grad_y_g(std::int64_t i, bilevel::Batch b, bilevel::In p, bilevel::In q,
                bilevel::Out out) const {
    if (std::find(b.begin(), b.end(), bad) != b.end()) throw InputError("sample {} is broken", bad);
    inner->grad_y_g(i, b, p, q, out);
  }
  void grad_y_f(std::int64_t i, bilevel::Batch b, bilevel::In p, bilevel::In q,
                bilevel::Out out) const {
    inner->grad_y_f(i, b, p, q, out);
  }
  void grad_x_f(std::int64_t i, bilevel::Batch b, bilevel::In p, bilevel::In q,
                bilevel::Out out) const {
    inner->grad_x_f(i, b, p, q, out);
  }
  [[nodiscard]] bool everywhere() const { return true; }
};

TEST_F(Shards, WhatFailsOnAHelperFailsOnAllWithItsMessage) {
  for (const std::int64_t bad : {0, 20, 46}) {  // on the owner or on any helper
    const Fragile fragile{&problem, bad};
    const ShardedOracle shared(comm, OracleView(fragile), 1, 4);
    const OracleView view = shared.view();
    const bilevel::Blocks blocks(comm, view, 1);
    std::vector<double> out(5);
    try {
      blocks.work([&] {
        if (blocks.owned().size() > 0) view.table().grad_y_g(view.self(), 0, {}, x, y, out);
      });
      ADD_FAILURE() << "nobody failed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Exit::input);
      EXPECT_NE(std::string(error.what()).find("is broken"), std::string::npos) << error.what();
    }
    // The team goes on afterwards.
    blocks.work([&] {
      if (blocks.owned().size() > 0) view.table().grad_y_f(view.self(), 0, {}, x, y, out);
    });
  }
}

TEST_F(Shards, NeedRanksThatKnowEveryBlock) {
  const problems::MultiBlockQuadratic owned({4, 3, 2}, {0, 4});
  EXPECT_THROW(ShardedOracle(comm, OracleView(owned), 4, 2), ConfigurationError);
}

}  // namespace
