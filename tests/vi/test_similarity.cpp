#include "../../src/vi/safeguard.hpp"
#include "../../src/vi/similarity.hpp"
#include "agents_support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/vi/anderson.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace equipoise::vi::agents {
namespace {

/// Iterations to squared relative distance 1e-8, the median of five seeds.
std::int64_t median_iterations(double heterogeneity, const std::string& name, const Words& words,
                               std::int64_t* uplink = nullptr) {
  std::vector<std::int64_t> iterations;
  std::vector<std::int64_t> bytes;
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  Comm comm = world.split(world.rank());
  const auto problem = game(comm, heterogeneity);
  // Iterates have the same bits on any number of ranks: one of them counts.
  for (std::uint64_t seed = 0; seed < 5 && world.rank() == 0; ++seed) {
    const auto method = make(setting(comm, "distance", seed), problem, name, words);
    const auto summary = solve_to(comm, *method, 1e-8);
    EXPECT_EQ(summary.stop, solve::Stop::converged) << name << " seed " << seed;
    iterations.push_back(summary.iterations);
    bytes.push_back(summary.traffic.uplink_per_agent);
  }
  comm.close();
  std::sort(iterations.begin(), iterations.end());
  std::sort(bytes.begin(), bytes.end());
  std::int64_t result = iterations.empty() ? 0 : iterations[2];
  if (uplink) *uplink = world.max(bytes.empty() ? std::int64_t{0} : bytes[2]);
  result = world.max(result);
  world.close();
  return result;
}

void expect_within_quarter(std::int64_t measured, double expected) {
  EXPECT_GE(static_cast<double>(measured), 0.75 * expected);
  EXPECT_LE(static_cast<double>(measured), 1.25 * expected);
}

// Steps and iterations of the published table of the reference game: delta_max 1.5110 and delta_rms
// 1.3629 at h = .1, p = 1/20 with PermK.
TEST(Similarity, OgsNeedsTheTablesIterations) {
  expect_within_quarter(
      median_iterations(0.1, "ogs",
                        {"method.step=0.330907", "method.memory=0", "method.codec=identity",
                         "method.server_codec=identity"}),
      279);
}
TEST(Similarity, ThreePillarsNeedsTheTablesIterations) {
  expect_within_quarter(
      median_iterations(0.1, "three-pillars", {"method.step=0.656", "method.codec=permk"}), 382);
}
TEST(Similarity, CogsNeedsTheTablesIterations) {
  expect_within_quarter(
      median_iterations(0.1, "cogs", {"method.step=0.165453", "method.codec=permk"}), 1115);
}

// Extragradient with 0.9/L sends 1633 kB (h = .1) and 1615 kB (h = 1) per agent.
TEST(Similarity, DefaultsSendFewBytes) {
  std::int64_t bytes = 0;
  median_iterations(0.1, "three-pillars", {}, &bytes);
  EXPECT_LE(bytes, 1633000 / 45);
  median_iterations(0.1, "cogs", {}, &bytes);
  EXPECT_LE(bytes, 1633000 / 15);
  EXPECT_LE(median_iterations(0.1, "ogs", {}, &bytes), 2040 / 7);
  EXPECT_LE(bytes, 1633000 / 100);
  median_iterations(1.0, "ogs", {}, &bytes);
  EXPECT_LE(bytes, 1615000 / 34);
}

TEST(Similarity, ConstantsOfTheReferenceGame) {
  on_every_size([](const Comm& comm) {
    const auto problem = game(comm, 1.0);
    Evaluation f(setting(comm), problem, {});
    const Similarity delta = estimate_similarity(f, Vector(100, 0.0));
    // Power iteration bounds from below and comes close.
    EXPECT_LE(delta.max, 15.1098);
    EXPECT_GE(delta.max, 0.85 * 15.1097);
    EXPECT_LE(delta.rms, 13.6292);
    EXPECT_GE(delta.rms, 0.85 * 13.6291);
    EXPECT_EQ(f.traffic().rounds, 0);
  });
}

TEST(Similarity, ResolventSolvesItsInclusion) {
  on_every_size([](const Comm& comm) {
    const BoxGame problem{game(comm, 0.1, 30, 5), 0.2};
    Evaluation f(setting(comm), problem, {});
    Resolvent resolvent(f, 10.0);
    Vector x(30), z(30, 0.0), value(30);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(1.0 + static_cast<double>(i));
    for (const double eta : {0.05, 0.5, 5.0}) {
      Vector first(z.size());
      f.surrogate(z, first);
      resolvent.solve(eta, x, 1e-12, z, first);
      problem.surrogate(z, value);
      double largest = 0.0;
      EXPECT_TRUE(same_bits(value, first));
      for (std::size_t i = 0; i < z.size(); ++i) {
        const double moved = std::clamp(x[i] - eta * value[i], -0.2, 0.2);
        // The projection of z - (z - x + eta F_1(z)) is z itself.
        largest = std::max(largest, std::abs(moved - z[i]));
      }
      EXPECT_LE(largest, 1e-10) << "eta = " << eta;
    }
    EXPECT_EQ(f.traffic().rounds, 0);
  });
}

TEST(Similarity, AndersonSolvesLinearEquationsInDimensionSteps) {
  // S(x) = x - M x + b with eigenvalues of M in the right half plane, one rotation.
  const auto residual = [](const Vector& x) {
    return Vector{1.0 - x[0] - 3.0 * x[1], 2.0 + 3.0 * x[0] - x[1], -1.0 - 0.5 * x[2],
                  0.3 - 4.0 * x[3]};
  };
  Anderson anderson(4, 4);
  Vector x(4, 0.0);
  for (int k = 0; k < 6; ++k) anderson.propose(x, residual(x), x);
  for (const double r : residual(x)) EXPECT_NEAR(r, 0.0, 1e-9);
}

// The differences of a linear map do not depend on its constant: after `shift` the first proposal
// already solves the new equation.
TEST(Similarity, AndersonKeepsItsDifferencesWhenTheMapIsShifted) {
  const auto residual = [](const Vector& x, double constant) {
    return Vector{constant - x[0] - 3.0 * x[1], 2.0 + 3.0 * x[0] - x[1]};
  };
  Anderson anderson(2, 2);
  Vector x(2, 0.0);
  for (int k = 0; k < 4; ++k) anderson.propose(x, residual(x, 1.0), x);
  anderson.shift();
  EXPECT_FALSE(anderson.empty());
  anderson.propose(x, residual(x, -5.0), x);
  for (const double r : residual(x, -5.0)) EXPECT_NEAR(r, 0.0, 1e-9);
  anderson.clear();
  EXPECT_TRUE(anderson.empty());
  x = {0.5, 0.5};
  const Vector r = residual(x, -5.0);
  anderson.propose(x, r, x);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(x[i], 0.5 + r[i]);
}

TEST(Similarity, SafeguardHalvesFromTheBestAndGrowsAfterTenFalls) {
  Safeguard guard;
  guard.begin(1.0, 1.0);
  EXPECT_EQ(guard.judge(2.1), Safeguard::Verdict::back);
  EXPECT_EQ(guard.step, 0.5);
  EXPECT_EQ(guard.judge(std::nan("")), Safeguard::Verdict::back);
  EXPECT_EQ(guard.step, 0.25);
  EXPECT_EQ(guard.judge(1.5), Safeguard::Verdict::keep);
  for (int k = 0; k < 10; ++k) EXPECT_EQ(guard.judge(0.9 - 0.01 * k), Safeguard::Verdict::best);
  EXPECT_DOUBLE_EQ(guard.step, 0.3);
}

TEST(Similarity, SafeguardRestartsWhereTheResidualStalls) {
  Safeguard guard;
  guard.begin(1.0, 1.0);
  for (int k = 0; k < 200; ++k) EXPECT_EQ(guard.judge(1.5), Safeguard::Verdict::keep) << k;
  EXPECT_EQ(guard.judge(1.5), Safeguard::Verdict::back);
  EXPECT_EQ(guard.step, 0.5);
  for (int k = 0; k < 400; ++k) EXPECT_EQ(guard.judge(1.5), Safeguard::Verdict::keep) << k;
  EXPECT_EQ(guard.judge(1.5), Safeguard::Verdict::back);
  EXPECT_EQ(guard.judge(0.5), Safeguard::Verdict::best);
}

// A codec whose messages have no fixed length: the share of snapshots is what they really took.
TEST(Similarity, SnapshotProbabilityIsMeasured) {
  on_every_size([](const Comm& comm) {
    const auto problem = game(comm, 1.0, 100, 4);
    const auto method =
        make(setting(comm), problem, "masha2", {"method.codec=threshold:1e-9", "method.step=1e-4"});
    state::FieldMap before;
    method->fields(before);
    EXPECT_DOUBLE_EQ(before.number("p"), 0.01);  // 1/d: nothing is known
    method->step();
    // Everything is above the threshold, so a message is at least as long as a full vector.
    state::FieldMap after;
    method->fields(after);
    EXPECT_EQ(after.number("p"), 1.0);
    const auto fixed = make(setting(comm), problem, "masha1", {"method.codec=natural"});
    state::FieldMap one, two;
    fixed->fields(one);
    fixed->step();
    fixed->fields(two);
    EXPECT_EQ(one.number("p"), two.number("p"));
  });
}

/// Agents that are all alike: F_m(z) = A z + c with a rotation, and its surrogate.
struct Alike {
  [[nodiscard]] static std::int64_t dimension() { return 2; }
  [[nodiscard]] static std::int64_t agents() { return 4; }
  static void apply(std::int64_t, std::span<const double> z, std::span<double> out) {
    out[0] = 0.1 * z[0] + 5.0 * z[1] + 1.0;
    out[1] = 0.1 * z[1] - 5.0 * z[0] - 2.0;
  }
  static void surrogate(std::span<const double> z, std::span<double> out) { apply(0, z, out); }
};
static_assert(AgentProblem<Alike>);

TEST(Similarity, WithEqualAgentsAStepIsTheResolventOfF) {
  on_every_size([](const Comm& comm) {
    const Alike problem;
    const auto method =
        make(setting(comm), problem, "ogs",
             {"method.step=0.3", "method.memory=0", "method.inner_tolerance=1e-13"});
    method->step();
    const Vector z = field(*method, "z");
    Vector value(2);
    Alike::apply(0, z, value);
    EXPECT_NEAR(z[0] + 0.3 * value[0], 0.0, 1e-12);
    EXPECT_NEAR(z[1] + 0.3 * value[1], 0.0, 1e-12);
  });
}

TEST(Similarity, TrackedOperatorIsTheMeanLessWhatTheCodecsHold) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  Comm self = world.split(world.rank());
  const auto problem = game(self, 1.0, 40, 3);
  const auto method = make(setting(self), problem, "ogs", {"method.step=0.02"});
  for (int k = 0; k < 50; ++k) method->step();
  const Vector tracked = field(*method, "tracked"), rows = field(*method, "known_rows");
  const Vector agents = field(*method, "mean/agent_errors");
  const Vector owners = field(*method, "mean/owner_errors");
  double held = 0.0;
  for (std::size_t i = 0; i < 40; ++i) {
    double expected = -owners[i];
    for (std::size_t m = 0; m < 3; ++m) {
      expected += (rows[40 * m + i] - agents[40 * m + i]) / 3.0;
      held += std::abs(agents[40 * m + i]);
    }
    EXPECT_NEAR(tracked[i], expected, 1e-12);
  }
  EXPECT_GT(held, 0.0);
  self.close();
  world.close();
}

TEST(Similarity, BoxConstrainedGameIsSolvedByEveryMethod) {
  Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  {
    const BoxGame problem{game(comm, 0.1, 30, 5), 0.15};
    Vector value(30), sum(30);
    for (const std::string name : {"ogs", "optimistic", "three-pillars", "cogs", "svogs",
                                   "optimistic-masha", "proxskip", "diana-sgda"}) {
      const auto method = make(setting(comm), problem, name);
      const auto summary = solve_to(comm, *method, 1e-8);
      EXPECT_EQ(summary.stop, solve::Stop::converged) << name;
      struct Solution final : state::Stateful {
        solve::Method* of;
        void fields(state::FieldVisitor& visit) override { of->solution(visit); }
      } solution;
      solution.of = method.get();
      const Vector z = field(solution, "z");
      const auto at_bound =
          std::count_if(z.begin(), z.end(), [](double v) { return std::abs(v) == 0.15; });
      EXPECT_GT(at_bound, 3) << name;
      // The natural residual, by a sum over agents that shares nothing with the method.
      const BoxGame all{
          problems::DenseGame({.dimension = 30, .agents = 5, .heterogeneity = 0.1}, {0, 5}), 0.15};
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int m = 0; m < 5; ++m) {
        all.apply(m, z, value);
        for (std::size_t i = 0; i < z.size(); ++i) sum[i] += value[i] / 5.0;
      }
      double square = 0.0;
      for (std::size_t i = 0; i < z.size(); ++i) {
        const double r = z[i] - std::clamp(z[i] - sum[i], -0.15, 0.15);
        square += r * r;
      }
      EXPECT_LE(std::sqrt(square), 1e-7) << name;
    }
  }
  comm.close();
}

TEST(Similarity, SameBitsOnAnyNumberOfRanks) {
  for (const std::string name :
       {"ogs", "optimistic", "three-pillars", "cogs", "svogs", "optimistic-masha", "proxskip"}) {
    Vector reference;
    {
      Comm world = Comm::duplicate(MPI_COMM_WORLD);
      Comm self = world.split(world.rank());
      const auto problem = game(self, 1.0, 30, 5);
      const auto method = make(setting(self), problem, name);
      for (int k = 0; k < 60; ++k) method->step();
      reference = field(*method, "z");
      self.close();
      world.close();
    }
    on_every_size([&](const Comm& comm) {
      const auto problem = game(comm, 1.0, 30, 5);
      const auto method = make(setting(comm), problem, name);
      for (int k = 0; k < 60; ++k) method->step();
      EXPECT_TRUE(same_bits(field(*method, "z"), reference)) << name << " on " << comm.size();
    });
  }
}

TEST(Similarity, ContinuesExactlyFromItsFields) {
  on_every_size([](const Comm& comm) {
    const auto problem = game(comm, 1.0, 30, 5);
    for (const std::string name :
         {"ogs", "optimistic", "three-pillars", "cogs", "svogs", "optimistic-masha", "proxskip"}) {
      const auto first = make(setting(comm), problem, name);
      for (int k = 0; k < 40; ++k) first->step();
      Transfer state;
      first->fields(state);
      state.restore();
      const auto second = make(setting(comm), problem, name);
      second->fields(state);
      for (int k = 0; k < 40; ++k) {
        first->step();
        second->step();
      }
      EXPECT_TRUE(same_bits(field(*first, "z"), field(*second, "z"))) << name;
      EXPECT_EQ(first->report().residual, second->report().residual) << name;
    }
  });
}

TEST(Similarity, AutoTakesTheSampleWhereAgentsAreAlike) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  Comm self = world.split(world.rank());
  const auto note = [&](double heterogeneity) {
    const auto problem = game(self, heterogeneity, 300, 4);
    return make(setting(self), problem, "auto")->notes().front().second;
  };
  EXPECT_NE(note(0.05).find("alike enough"), std::string::npos);
  EXPECT_NE(note(1.0).find("too unlike"), std::string::npos);
  self.close();
  world.close();
}

// The ranks of a test share one node: a cheap operator of many unknowns gets extragradient itself,
// a choice that the configuration keeps; a codec, or an operator that is not cheap, gets the rest.
TEST(Similarity, AutoIsDenseWhereBytesCostNothingAndOperatorsLittle) {
  on_every_size([](const Comm& comm) {
    problems::GameOptions options;
    options.dimension = 300;
    options.agents = 4;
    const auto hosted = partition::Partition::uniform(4, comm.size()).range(comm.rank());
    const problems::LowRankGame cheap(options, hosted);
    const auto auto_with = [&](const ProblemView& problem, const Words& words) {
      state::Config config;
      for (const std::string& word : words) config.assign(word);
      const auto method = make_method("auto", setting(comm), problem, config);
      for (int k = 0; k < 5; ++k) method->step();
      EXPECT_EQ(config.text("method.dense") == "yes", method->traffic().uplink_per_agent > 20'000);
      return std::pair(field(*method, "z"), config.text("method.dense"));
    };
    const auto plain = make(setting(comm), cheap, "extragradient");
    for (int k = 0; k < 5; ++k) plain->step();
    const auto [z, taken] = auto_with(cheap, {});
    EXPECT_EQ(taken, "yes");
    EXPECT_TRUE(same_bits(z, field(*plain, "z")));
    EXPECT_EQ(auto_with(cheap, {"method.codec=bf16"}).second, "no");
    EXPECT_EQ(auto_with(cheap, {"method.dense=no"}).second, "no");
    EXPECT_EQ(auto_with(game(comm, 0.1, 300, 4), {}).second, "no");
  });
}

TEST(Similarity, AutoSolvesBothReferenceGames) {
  std::int64_t bytes = 0;
  median_iterations(0.1, "auto", {}, &bytes);
  EXPECT_LE(bytes, 1633000 / 100);
  median_iterations(1.0, "auto", {}, &bytes);
  EXPECT_LE(bytes, 1615000 / 34);
}

/// Least squares over parts, F_{m,j}(z) = a_j (a_j'z - b_j) + 0.5 z with a rotation.
struct Parts {
  static constexpr std::int64_t count = 12;
  [[nodiscard]] static std::int64_t dimension() { return 4; }
  [[nodiscard]] static std::int64_t agents() { return 3; }
  [[nodiscard]] static std::int64_t samples(std::int64_t) { return count; }
  static void apply_batch(std::int64_t m, std::span<const double> z,
                          std::span<const std::int64_t> parts, std::span<double> out) {
    for (std::size_t i = 0; i < 4; ++i) out[i] = 0.5 * z[i] + (i < 2 ? z[i + 2] : -z[i - 2]);
    for (const std::int64_t j : parts) {
      double a[4], r = -static_cast<double>(j % 3);
      for (int i = 0; i < 4; ++i) {
        a[i] = std::sin(static_cast<double>(m * count + j) + 2.0 * i);
        r += a[i] * z[static_cast<std::size_t>(i)];
      }
      for (std::size_t i = 0; i < 4; ++i) out[i] += r * a[i] / static_cast<double>(parts.size());
    }
  }
  static void apply(std::int64_t m, std::span<const double> z, std::span<double> out) {
    std::int64_t all[count];
    for (std::int64_t j = 0; j < count; ++j) all[j] = j;
    apply_batch(m, z, all, out);
  }
};
static_assert(AgentProblem<Parts>);

TEST(Similarity, BatchesReachTheSolutionWithoutANoiseFloor) {
  const Parts problem;
  Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  for (const std::string name : {"masha1", "masha2"}) {
    const auto method = make(setting(comm), problem, name, {"method.batch=2"});
    const auto summary = solve_to(comm, *method, 1e-9, 20000);
    EXPECT_EQ(summary.stop, solve::Stop::converged) << name;
    // The exact operator at the solution, summed without the method.
    const Vector w = field(*method, "w");
    Vector value(4), sum(4, 0.0);
    for (int m = 0; m < 3; ++m) {
      Parts::apply(m, w, value);
      for (std::size_t i = 0; i < 4; ++i) sum[i] += value[i] / 3.0;
    }
    for (const double v : sum) EXPECT_NEAR(v, 0.0, 1e-8) << name;
  }
  comm.close();
}

std::string refusal(const ProblemView& problem, const std::string& name, const Words& words) {
  Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  std::string message;
  try {
    (void)make(setting(comm), problem, name, words);
  } catch (const ConfigurationError& error) {
    EXPECT_EQ(error.code(), Exit::configuration);
    message = error.what();
  }
  comm.close();
  return message;
}

TEST(Similarity, RefusesBiasedCodecsAndProblemsWithoutASurrogate) {
  const Alike problem;
  for (const std::string name : {"three-pillars", "cogs", "optimistic-masha"}) {
    EXPECT_NE(refusal(problem, name, {"method.codec=topk:1"}).find("biased"), std::string::npos);
    EXPECT_NE(refusal(problem, name, {"method.server_codec=topk:0.5"}).find("biased"),
              std::string::npos);
  }
  struct Bare {
    [[nodiscard]] static std::int64_t dimension() { return 2; }
    [[nodiscard]] static std::int64_t agents() { return 4; }
    static void apply(std::int64_t a, std::span<const double> z, std::span<double> out) {
      Alike::apply(a, z, out);
    }
  };
  const Bare bare;
  for (const std::string name : {"ogs", "three-pillars", "cogs"}) {
    EXPECT_NE(refusal(bare, name, {}).find("surrogate"), std::string::npos) << name;
  }
  EXPECT_NE(refusal(problem, "ogs", {"method.codec=randk:1"}).find("not contractive"),
            std::string::npos);
  EXPECT_EQ(refusal(bare, "optimistic-masha", {}), "");
  EXPECT_NE(refusal(bare, "masha1", {"method.batch=2"}).find("apply_batch"), std::string::npos);
}

}  // namespace
}  // namespace equipoise::vi::agents
