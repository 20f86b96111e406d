#include "../state/scratch.hpp"
#include "support.hpp"

#include <equipoise/problems/vi/obstacle.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace equipoise::vi {
namespace {

struct Choice {
  const char* name;
  std::vector<const char*> options;
};
const std::vector<Choice> choices = {
    {"extragradient", {}},
    {"extragradient", {"method.step=0.03"}},
    {"masha1", {"method.codec=randk:3", "method.p=0.1"}},
    {"masha1", {}},
    {"masha1", {"method.codec=natural", "method.server_codec=natural", "method.p=0.15"}},
    {"masha1", {"method.codec=randk-shared:5", "method.p=0.1"}},
    {"masha2", {"method.codec=topk:3", "method.server_codec=topk:0.5"}},
    {"masha2", {"method.codec=threshold:0.5"}},
    {"ceg", {"method.codec=randk:9"}},
    {"masha1", {"method.codec=natural", "method.participants=2"}},
    {"diana-sgda", {"method.codec=randk:4", "method.check_every=7"}},
    {"proxskip", {"method.p=1", "method.local=forward"}},
    {"sgda",
     {"method.check_every=10", "method.codec=topk:5", "method.server_codec=topk:0.5",
      "method.momentum=0.5"}},
    {"sgda", {"method.check_every=10", "method.participants=3", "method.codec=natural"}},
    {"q-genx", {"method.update_every=9", "method.check_every=11"}},
    {"q-genx", {"method.variant=optimistic", "method.levels=20"}},
};

/// Five agents, four chunks: neither fits 2, 3 or 4 ranks evenly.
Setting uneven(const Comm& comm) {
  Setting setting = setting_of(comm);
  setting.chunks = 4;
  setting.seed = 12;
  return setting;
}

TEST(Methods, SameBitsOnAnyNumberOfRanks) {
  for (const Choice& choice : choices) {
    Vector z, w;
    double residual = 0.0;
    const auto play = [&](const Comm& comm, bool compare) {
      const DenseGame game = game_of(comm, small_game());
      auto config = config_of(choice.options);
      const auto method = make_method(choice.name, uneven(comm), ProblemView(game), config);
      for (int k = 0; k < 60; ++k) method->step();
      if (!compare) {
        z = field(*method, "z");
        residual = method->report().residual;
        return;
      }
      EXPECT_TRUE(same_bits(field(*method, "z"), z)) << choice.name << " P=" << comm.size();
      EXPECT_EQ(method->report().residual, residual) << choice.name;
    };
    play(Comm(), false);
    EXPECT_TRUE(std::isfinite(residual));
    on_every_size([&](const Comm& comm) { play(comm, true); });
  }
}

TEST(Methods, ResumeOnAnotherNumberOfRanksIsExact) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  for (const Choice& choice : choices) {
    solve::StopOptions stop;
    stop.tolerance = 1e-300;
    const auto play = [&](const Comm& comm, std::int64_t iterations, const solve::Saving& saving) {
      const DenseGame game = game_of(comm, small_game());
      auto config = config_of(choice.options);
      const auto method = make_method(choice.name, uneven(comm), ProblemView(game), config);
      stop.max_iterations = iterations;
      const auto summary = solve::run(comm, *method, stop, {}, saving, {true, {}});
      return std::pair(field(*method, "z"), summary);
    };
    const state::Scratch scratch(world, "methods");
    solve::Saving to;
    to.directory = scratch.path;
    to.identity = {"game", choice.name};
    play(world, 40, to);
    const auto whole = play(world, 80, {});
    solve::Saving from;
    from.resume_from = scratch.path;
    from.identity = to.identity;
    for (const int ranks : {1, std::max(1, world.size() - 1), world.size()}) {
      Comm part = world.split(world.rank() < ranks ? 0 : 1);
      if (world.rank() < ranks) {
        const auto rest = play(part, 80, from);
        EXPECT_TRUE(same_bits(rest.first, whole.first)) << choice.name << " on " << ranks;
        EXPECT_EQ(rest.second.residual, whole.second.residual) << choice.name;
        EXPECT_EQ(rest.second.counters[0], whole.second.counters[0]) << choice.name;
        EXPECT_EQ(rest.second.traffic.rounds, whole.second.traffic.rounds) << choice.name;
        EXPECT_EQ(rest.second.traffic.downlink_per_agent, whole.second.traffic.downlink_per_agent);
        if (ranks == world.size()) {
          EXPECT_EQ(rest.second.traffic.sent, whole.second.traffic.sent) << choice.name;
          EXPECT_EQ(rest.second.traffic.received, whole.second.traffic.received);
          EXPECT_EQ(rest.second.traffic.header_sent, whole.second.traffic.header_sent);
          EXPECT_EQ(rest.second.traffic.uplink_per_agent, whole.second.traffic.uplink_per_agent);
        }
      }
      part.close();
      world.barrier();
    }
  }
  world.close();
}

/// A game one of whose agents misbehaves from its n-th call on.
struct Faulty {
  const DenseGame& game;
  std::int64_t bad_agent;
  std::function<void(std::int64_t call, std::span<double> out)> fault;
  mutable std::int64_t calls = 0;

  [[nodiscard]] std::int64_t dimension() const { return game.dimension(); }
  [[nodiscard]] std::int64_t agents() const { return game.agents(); }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
    game.apply(agent, z, out);
    if (agent == bad_agent) fault(++calls, out);
  }
};

struct Failure {
  Exit code = Exit::ok;
  std::string message;
};

/// Makes the method and steps until something is thrown.
Failure failure(const Comm& comm, const Choice& choice, const ProblemView& problem) {
  try {
    auto config = config_of(choice.options);
    const auto method = make_method(choice.name, uneven(comm), problem, config);
    for (int k = 0; k < 40; ++k) {
      method->step();
      if (method->report().failed) return {Exit::diverged, method->report().message};
    }
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

TEST(Methods, AnOperatorThatThrowsOnOneAgentStopsEveryRankAlike) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const DenseGame game = game_of(world, small_game());
  for (const Choice& choice : choices) {
    for (const std::int64_t when : {1, 2, 5, 25}) {
      const Faulty odd{game, 3, [&](std::int64_t call, std::span<double>) {
                         if (call >= when) throw std::runtime_error("sensor 7 is offline");
                       }};
      const Failure f = failure(world, choice, ProblemView(odd));
      EXPECT_EQ(f.code, Exit::defect) << choice.name << " call " << when;
      EXPECT_NE(f.message.find("sensor 7 is offline"), std::string::npos) << f.message;
      const Faulty input{game, 3, [&](std::int64_t call, std::span<double>) {
                           if (call >= when) throw InputError("rates.csv:8: no number");
                         }};
      const Failure g = failure(world, choice, ProblemView(input));
      EXPECT_EQ(g.code, Exit::input) << choice.name << " call " << when;
      EXPECT_NE(g.message.find("rates.csv:8: no number"), std::string::npos) << g.message;
    }
  }
  world.close();
}

TEST(Methods, ANanIsTracedToItsAgent) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const DenseGame game = game_of(world, small_game());
  for (const Choice& choice : choices) {
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}) {
      const Faulty faulty{game, 2, [&](std::int64_t call, std::span<double> out) {
                            if (call >= 22) out[7] = bad;
                          }};
      const Failure f = failure(world, choice, ProblemView(faulty));
      EXPECT_EQ(f.code, Exit::diverged) << choice.name;
      EXPECT_NE(f.message.find("agent 2 contributed"), std::string::npos) << f.message;
      EXPECT_NE(f.message.find("coordinate 7"), std::string::npos) << f.message;
    }
  }
  world.close();
}

/// The obstacle problem with an operator or a prox that fails on one rank.
struct FaultyObstacle {
  problems::Obstacle obstacle;
  bool bad;
  bool in_prox;
  mutable int calls = 0;
  void fail() const {
    if (bad && ++calls > 3) throw InputError("the membrane tore");
  }
  [[nodiscard]] const partition::Layout& layout() const { return obstacle.layout(); }
  [[nodiscard]] std::vector<std::int64_t> ghosts(int rank) const { return obstacle.ghosts(rank); }
  void apply_partitioned(partition::Range owned, std::span<const double> u,
                         std::span<const double> ghost_values, std::span<double> out) const {
    obstacle.apply_partitioned(owned, u, ghost_values, out);
    if (!in_prox) fail();
  }
  void prox(double step, partition::Range owned, std::span<double> u) const {
    obstacle.prox(step, owned, u);
    if (in_prox) fail();
  }
  [[nodiscard]] Constants constants() const { return obstacle.constants(); }
  [[nodiscard]] bool symmetric() const { return true; }
};

TEST(Methods, AFailureOfOneRankOfAPartitionedProblemStopsEveryRankAlike) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  for (const bool in_prox : {false, true}) {
    for (const Choice& choice : {Choice{"extragradient", {}}, Choice{"accelerated-gradient", {}}}) {
      const FaultyObstacle problem{problems::Obstacle(17, world.size(), world.rank()),
                                   world.rank() == world.size() - 1, in_prox};
      const Failure f = failure(world, choice, ProblemView(problem));
      EXPECT_EQ(f.code, Exit::input) << choice.name << f.message;
      EXPECT_NE(f.message.find("the membrane tore"), std::string::npos) << f.message;
    }
  }
  world.close();
}

/// A game that claims constants 20 times too small, so that the first steps are 20 times too long.
struct Boastful {
  const DenseGame& game;
  Constants claimed;
  [[nodiscard]] std::int64_t dimension() const { return game.dimension(); }
  [[nodiscard]] std::int64_t agents() const { return game.agents(); }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
    game.apply(agent, z, out);
  }
  [[nodiscard]] Constants constants() const { return claimed; }
};

TEST(Methods, AStepTwentyTimesTooLongRecovers) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  GameOptions options = small_game(20, 5);
  options.strong_monotonicity = 1.0;
  const DenseGame game = game_of(world, options);
  // norm2(B) = norm2(N_m) = 10: L_m is at most 20.
  const Boastful problem{game, {10.0 / 20.0, 15.0 / 20.0, 0.0, 0.0, 0.0}};
  for (const Choice& choice :
       {Choice{"extragradient", {}}, Choice{"masha1", {"method.codec=permk"}},
        Choice{"masha1", {"method.codec=randk:4", "method.p=0.2"}},
        Choice{"masha2", {"method.codec=topk:5"}}}) {
    auto config = config_of(choice.options);
    const auto method = make_method(choice.name, setting_of(world), ProblemView(problem), config);
    const double first_step = number(*method, "step");
    solve::StopOptions stop;
    stop.tolerance = 1e-6;
    stop.max_iterations = 20000;
    const auto summary = solve::run(world, *method, stop, {}, {}, {true, {}});
    EXPECT_EQ(summary.stop, solve::Stop::converged) << choice.name << " " << summary.residual;
    EXPECT_LT(number(*method, "step"), 0.5 * first_step) << choice.name;
  }
  world.close();
}

/// The mean of the measure over the second half of a run of CEG.
double plateau(const DenseGame& game, const char* step, const char* codec) {
  auto config = config_of({codec});
  config.set("method.step", step);
  const auto method = make_method("ceg", setting_of(Comm(), "distance"), ProblemView(game), config);
  double sum = 0.0;
  for (int k = 0; k < 4000; ++k) {
    method->step();
    if (k >= 2000) sum += method->report().residual / 2000.0;
  }
  return sum;
}

// Compressed operators that do not vanish at the solution leave a noise floor: the squared distance
// shrinks in proportion to the step, where uncompressed extragradient converges at these steps.
TEST(Ceg, ItsNoiseFloorIsProportionalToTheStep) {
  GameOptions options = small_game(20, 5);
  options.strong_monotonicity = 5.0;
  options.coupling = 2.0;
  const DenseGame game = game_of(Comm(), options);
  const double longer = plateau(game, "0.01", "method.codec=randk:5");
  const double shorter = plateau(game, "0.0025", "method.codec=randk:5");
  EXPECT_GT(shorter, 1e-5);
  EXPECT_NEAR(longer / shorter, 4.0, 1.2);
  EXPECT_LT(plateau(game, "0.01", "method.codec=identity"), 1e-20);
}

TEST(Methods, AcceleratedGradientSolvesTheObstacleProblem) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const problems::Obstacle problem(33, world.size(), world.rank());
  auto config = config_of({});
  const auto method =
      make_method("accelerated-gradient", setting_of(world), ProblemView(problem), config);
  solve::StopOptions stop;
  stop.tolerance = 1e-10;
  const auto summary = solve::run(world, *method, stop, {}, {}, {true, {}});
  EXPECT_EQ(summary.stop, solve::Stop::converged);
  EXPECT_LT(summary.iterations, 2000);
  const Vector u = field(*method, "z");
  Vector exact(u.size());
  problem.solution(problem.layout().owned(world.rank()), exact);
  double error = 0.0;
  for (std::size_t i = 0; i < u.size(); ++i) error = std::max(error, std::abs(u[i] - exact[i]));
  // Discretisation: about h^2 times a constant of order one (section 10.4).
  error = world.max(error);
  EXPECT_LT(error, 0.5 * problem.width() * problem.width());
  EXPECT_GT(error, 1e-4 * problem.width() * problem.width());
  world.close();
}

/// An operator that vanishes at the start up to rounding: there is nothing to be relative to.
struct Solved {
  [[nodiscard]] static std::int64_t dimension() { return 2; }
  [[nodiscard]] static std::int64_t agents() { return 3; }
  static void apply(std::int64_t, std::span<const double> z, std::span<double> out) {
    out[0] = z[0] + z[1] + 1e-17;
    out[1] = z[1] - z[0];
  }
};

TEST(Methods, AStartThatSolvesTheProblemIsConverged) {
  const Solved problem;
  for (const char* name : {"auto", "extragradient", "masha1"}) {
    auto config = config_of({});
    const auto method = make_method(name, setting_of(Comm()), ProblemView(problem), config);
    EXPECT_LE(method->report().residual, 1e-16) << name;
  }
}

TEST(Methods, OnlyWhatFitsIsAccepted) {
  const problems::Obstacle obstacle(9);
  const DenseGame game = game_of(Comm(), small_game());
  const auto reason = [](const char* name, const auto& problem,
                         const std::vector<const char*>& options, const char* measure) {
    auto config = config_of(options);
    try {
      make_method(name, setting_of(Comm(), measure), ProblemView(problem), config);
    } catch (const ConfigurationError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(reason("masha1", obstacle, {}, "residual").find("partitioned"), std::string::npos);
  EXPECT_NE(reason("ceg", obstacle, {}, "residual").find("partitioned"), std::string::npos);
  EXPECT_NE(reason("accelerated-gradient", game, {}, "residual").find("gradient"),
            std::string::npos);
  EXPECT_NE(reason("extragradient", game, {"method.step=0"}, "residual").find("method.step = 0"),
            std::string::npos);
  EXPECT_NE(reason("extragradient", game, {"method.step=1e-3x"}, "residual").find("1e-3x"),
            std::string::npos);
  EXPECT_NE(reason("masha1", game, {"method.p=1.5"}, "residual").find("method.p"),
            std::string::npos);
  EXPECT_NE(reason("masha1", game, {"method.codec=topkk:3"}, "residual").find("topkk"),
            std::string::npos);
  const problems::LowRankGame unknown(small_game(), {0, 5});
  EXPECT_NE(reason("extragradient", unknown, {}, "distance").find("stop.measure = distance"),
            std::string::npos);
  EXPECT_EQ(reason("extragradient", game, {}, "distance"), "accepted");
}

}  // namespace
}  // namespace equipoise::vi
