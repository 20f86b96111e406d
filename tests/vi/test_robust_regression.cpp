#include "support.hpp"

#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/dataset.hpp>
#include <equipoise/problems/vi/robust_regression.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <numeric>

namespace equipoise::vi {
namespace {

using partition::SparseRows;
using problems::RobustRegression;

constexpr std::int64_t row_count = 23;
constexpr std::int64_t features = 6;

/// Row r in full: its label and its features, most of them zero.
struct FullRow {
  double label;
  std::vector<double> a;
};
FullRow full_row(std::int64_t r) {
  const parallel::Draw draw(31, parallel::Purpose::problem, r);
  FullRow row{draw.normal(100), std::vector<double>(features, 0.0)};
  for (std::uint64_t j = 0; j < features; ++j) {
    if (draw.uniform(2 * j) < 0.4) row.a[j] = draw.normal(50 + j);
  }
  return row;
}

/// The problem, its rows parsed wherever they lie and sharded over `agents` agents.
RobustRegression make(const Comm& comm, std::int64_t agents) {
  const auto mine = Partition::uniform(row_count, comm.size()).range(comm.rank());
  SparseRows rows;
  rows.first = mine.begin;
  for (std::int64_t r = mine.begin; r < mine.end; ++r) {
    const FullRow full = full_row(r);
    std::vector<std::int32_t> index;
    std::vector<double> values;
    for (std::size_t j = 0; j < full.a.size(); ++j) {
      if (full.a[j] == 0.0) continue;
      index.push_back(static_cast<std::int32_t>(j));
      values.push_back(full.a[j]);
    }
    rows.append(full.label, index, values);
  }
  auto data = partition::distribute(comm, rows, Partition::uniform(agents, comm.size()), features);
  SparseRows first = problems::replicate_shard(comm, data, 0);
  problems::RobustRegressionOptions options;
  options.lambda = 0.3;
  options.beta = 2.0;
  return {std::move(data), std::move(first), options, "synthetic"};
}

/// f(x, y) = (1/2N) sum (x'(a_i + y) - b_i)^2 + (lambda/2) norm(x)^2 - (beta/2) norm(y)^2.
double saddle(const Vector& z) {
  double f = 0.0;
  for (std::int64_t r = 0; r < row_count; ++r) {
    const FullRow row = full_row(r);
    double e = -row.label;
    for (std::size_t j = 0; j < features; ++j) e += z[j] * (row.a[j] + z[features + j]);
    f += 0.5 * e * e / row_count;
  }
  for (std::size_t j = 0; j < features; ++j)
    f += 0.15 * z[j] * z[j] - 1.0 * z[features + j] * z[features + j];
  return f;
}

Vector some_point() {
  Vector z(2 * features);
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = std::sin(1.0 + 2.0 * static_cast<double>(i));
  return z;
}

/// sum_m weight_m F_m(z) over all ranks.
Vector mean_operator(const Comm& comm, const RobustRegression& problem, const Vector& z) {
  Vector sum(z.size(), 0.0);
  Vector out(z.size());
  const auto hosted = Partition::uniform(problem.agents(), comm.size()).range(comm.rank());
  for (std::int64_t m = hosted.begin; m < hosted.end; ++m) {
    problem.apply(m, z, out);
    for (std::size_t i = 0; i < z.size(); ++i) sum[i] += problem.weight(m) * out[i];
  }
  MPI_Allreduce(MPI_IN_PLACE, sum.data(), static_cast<int>(sum.size()), MPI_DOUBLE, MPI_SUM,
                comm.handle());
  return sum;
}

TEST(RobustRegression, TheOperatorIsTheDerivativeOfTheSaddleFunction) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const Vector z = some_point();
  const Vector f = mean_operator(world, make(world, 5), z);
  const double t = 1e-5;
  for (std::size_t i = 0; i < z.size(); ++i) {
    Vector up = z;
    Vector down = z;
    up[i] += t;
    down[i] -= t;
    const double slope = (saddle(up) - saddle(down)) / (2.0 * t);
    EXPECT_NEAR(f[i], i < features ? slope : -slope, 1e-8) << i;
  }
  world.close();
}

TEST(RobustRegression, UnevenShardsSolveTheSameProblemAsOneAgent) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const auto sharded = make(world, 5);  // 5, 5, 5, 4, 4 rows
  const auto alone = make(world, 1);
  double total = 0.0;
  for (std::int64_t m = 0; m < 5; ++m) total += sharded.weight(m);
  EXPECT_NEAR(total, 1.0, 1e-15);
  EXPECT_EQ(sharded.weight(0), 5.0 / 23.0);
  const Vector a = mean_operator(world, sharded, some_point());
  const Vector b = mean_operator(world, alone, some_point());
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_NEAR(a[i], b[i], 1e-14 * (1.0 + std::abs(b[i])));
  const auto solve_it = [&](const RobustRegression& problem, const char* name) {
    auto config = config_of({});
    const auto method = make_method(name, setting_of(world), ProblemView(problem), config);
    solve::StopOptions stop;
    stop.tolerance = 1e-11;
    const auto summary = solve::run(world, *method, stop, {}, {}, {true, {}});
    EXPECT_EQ(summary.stop, solve::Stop::converged) << name;
    state::FieldMap map;
    struct Solution : state::Stateful {
      solve::Method* method;
      void fields(state::FieldVisitor& visit) override { method->solution(visit); }
    } solution;
    solution.method = method.get();
    solution.fields(map);
    const auto z = map.doubles("z");
    return Vector(z.begin(), z.end());
  };
  const Vector one = solve_it(alone, "extragradient");
  const Vector many = solve_it(sharded, "extragradient");
  const Vector compressed = solve_it(sharded, "masha1");
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(many[i], one[i], 1e-9);
    EXPECT_NEAR(compressed[i], one[i], 1e-9);
  }
  // Concave in y there: norm(x)^2 <= beta.
  const auto facts = sharded.check(one);
  EXPECT_EQ(facts[1].first, "concave_in_y");
  EXPECT_EQ(facts[1].second, "1");
  Vector far = one;
  far[0] = 2.0;
  EXPECT_EQ(sharded.check(far)[1].second, "0");
  world.close();
}

TEST(RobustRegression, TheFullBatchIsTheOperator) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const auto problem = make(world, 3);
  const Vector z = some_point();
  Vector whole(z.size()), batched(z.size());
  const auto hosted = Partition::uniform(3, world.size()).range(world.rank());
  for (std::int64_t m = hosted.begin; m < hosted.end; ++m) {
    const std::int64_t n = problem.samples(m);
    EXPECT_EQ(n, m < 2 ? 8 : 7);
    std::vector<std::int64_t> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    problem.apply(m, z, whole);
    problem.apply_batch(m, z, all, batched);
    EXPECT_TRUE(same_bits(whole, batched));
    // The mean over single rows is the mean over all.
    Vector sum(z.size(), 0.0);
    for (const std::int64_t j : all) {
      problem.apply_batch(m, z, std::vector<std::int64_t>{j}, batched);
      for (std::size_t i = 0; i < z.size(); ++i) sum[i] += batched[i] / static_cast<double>(n);
    }
    for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(sum[i], whole[i], 1e-13);
  }
  world.close();
}

TEST(RobustRegression, TheSurrogateIsTheFirstAgentOnEveryRank) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const auto problem = make(world, 4);
  const Vector z = some_point();
  Vector first(z.size()), surrogate(z.size());
  if (world.rank() == 0) problem.apply(0, z, first);
  world.broadcast(std::span<double>(first), 0);
  problem.surrogate(z, surrogate);
  EXPECT_TRUE(same_bits(first, surrogate));
  world.close();
}

TEST(Dataset, TheHashOfARealFileDoesNotDependOnTheRanks) {
  const std::string path = std::string(EQUIPOISE_SOURCE_DIR) + "/../shared/data/libsvm/a9a";
  if (access(path.c_str(), R_OK) != 0) GTEST_SKIP() << path << " is not there";
  const std::string alone = problems::load_dataset(Comm(), path, 20, "auto").fingerprint;
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const auto loaded = problems::load_dataset(world, path, 20, "auto");
  EXPECT_EQ(loaded.fingerprint, alone);
  EXPECT_NE(alone.find("rows=32561 features=123"), std::string::npos) << alone;
  EXPECT_EQ(loaded.scale, "as in the file");
  std::string refusal;
  try {
    problems::load_dataset(world, path, 32562, "auto");
  } catch (const ConfigurationError& error) {
    refusal = error.what();
  }
  EXPECT_NE(refusal.find("fewer than run.agents = 32562"), std::string::npos);
  world.close();
}

}  // namespace
}  // namespace equipoise::vi
