#include "mean_helpers.hpp"

#include <equipoise/compress/choice.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/game.hpp>
#include <equipoise/vi/methods.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace equipoise::compress::testing {
namespace {

MeanSetting setting(std::int64_t d, std::int64_t agents) {
  MeanSetting s;
  s.dimension = d;
  s.weights = uneven_weights(agents);
  return s;
}

TEST(Choice, NetworkFiguresAreTheSameEverywhere) {
  on_every_size([&](const Comm& comm) {
    const NetworkCosts costs = measure_network(comm);
    EXPECT_EQ(costs.latency, comm.max(costs.latency));
    EXPECT_EQ(costs.bandwidth, comm.max(costs.bandwidth));
    EXPECT_EQ(costs.latency == 0.0, comm.size() == 1);
    EXPECT_EQ(std::isinf(costs.bandwidth), comm.size() == 1);
    EXPECT_GT(costs.bandwidth, 0.0);
  });
}

TEST(Choice, AHopelessCandidateIsNeverTaken) {
  const std::vector<Candidate> candidates = {{"natural", "natural", 1e6, 0.0},
                                             {"identity", "identity", 1.0, 0.0},
                                             {"bf16", "bf16", 1.0, 1e6}};
  for (const std::int64_t d : {1, 3, 2000}) {
    for (const std::int64_t agents : {1, 3, 7}) {
      on_every_size([&](const Comm& comm) {
        const auto choice = choose_codec(comm, Partition::uniform(agents, comm.size()),
                                         setting(d, agents), candidates);
        EXPECT_EQ(choice.taken.codec, "identity");
        EXPECT_EQ(choice.considered.size(), 3U);
        const std::string reason = choice.reason();
        EXPECT_EQ(reason.find("identity ("), 0U) << reason;
        EXPECT_NE(reason.find("natural both ways"), std::string::npos) << reason;
        EXPECT_EQ(comm.broadcast(reason), reason);
      });
    }
  }
}

TEST(Choice, OfEquallyFastOnesTheShortestIsTaken) {
  // A hundred iterations more than what is measured differ by: the bytes decide.
  on_every_size([&](const Comm& comm) {
    const std::vector<Candidate> candidates = {{}, {}, {"identity", "identity", 100.0, 0.0}};
    const auto choice =
        choose_codec(comm, Partition::uniform(4, comm.size()), setting(1000, 4), candidates);
    EXPECT_EQ(choice.taken.iterations, 1.0);
    EXPECT_EQ(choice.considered[0].bytes, choice.considered[1].bytes);
    // d = 1000 both ways, (P - 1)/P of the vector of every agent of the fullest rank.
    const double ranks = comm.size();
    const double most = comm.size() == 1 ? 4 : comm.size() == 4 ? 1 : 2;
    EXPECT_DOUBLE_EQ(choice.considered[0].bytes, (ranks - 1) / ranks * 8000 * (most + 1));
  });
}

TEST(Choice, NothingToChooseFromIsRefused) {
  EXPECT_THROW(static_cast<void>(choose_codec(Comm(), Partition::uniform(1, 1), setting(5, 1), {})),
               ConfigurationError);
}

TEST(Choice, EveryPossibleCollectiveIsTriedAndOneTaken) {
  on_every_size([&](const Comm& comm) {
    const auto agents = Partition::uniform(5, comm.size());
    MeanSetting s = setting(600, 5);
    s.codec = "randk-shared:0.1";
    const auto choice = choose_collective(comm, agents, s);
    if (comm.size() == 1) {
      EXPECT_EQ(choice.taken, "bytes");
      return;
    }
    EXPECT_EQ(choice.tried.size(), 4U);  // all exact ones
    const std::string reason = choice.reason();
    EXPECT_EQ(reason.find(choice.taken + " ("), 0U) << reason;
    EXPECT_EQ(comm.broadcast(reason), reason);
    for (const auto& tried : choice.tried) EXPECT_GT(tried.bytes, 0.0) << tried.name;
    s.fast = true;
    EXPECT_EQ(choose_collective(comm, agents, s).tried.size(), 5U);  // recursive doubling too
    s.codec = s.server_codec = "bf16";
    EXPECT_EQ(choose_collective(comm, agents, s).taken, "bytes");  // two phases or none
  });
}

TEST(CollectiveAuto, IsReplacedByWhatWasMeasured) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  problems::GameOptions options;
  options.dimension = 20;
  options.agents = 5;
  const auto hosted = Partition::uniform(5, world.size()).range(world.rank());
  const problems::DenseGame game(options, hosted);
  for (const char* name : {"auto", "masha1", "masha2", "three-pillars"}) {
    state::Config config;
    config.set("method.collective", "auto");
    const auto method = vi::make_method(name, vi::Setting{world}, vi::ProblemView(game), config);
    const std::string taken = config.text("method.collective");
    EXPECT_NE(taken, "auto") << name;
    EXPECT_EQ(world.broadcast(taken), taken) << name;
    const auto notes = method->notes();
    EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [&](const auto& note) {
      return note.first == "collective" && note.second.starts_with(taken);
    })) << name;
    for (int k = 0; k < 5; ++k) method->step();
  }
  world.close();
}

TEST(CodecAuto, IsReplacedByWhatWasMeasured) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  problems::GameOptions options;
  options.dimension = 20;
  options.agents = 5;
  const auto hosted = Partition::uniform(5, world.size()).range(world.rank());
  const problems::DenseGame game(options, hosted);
  for (const char* name : {"auto", "optimistic", "masha1", "masha2", "three-pillars"}) {
    state::Config config;
    config.set("method.codec", "auto");
    const auto method = vi::make_method(name, vi::Setting{world}, vi::ProblemView(game), config);
    const std::string taken = config.text("method.codec");
    EXPECT_NE(taken, "auto") << name;
    EXPECT_EQ(world.broadcast(taken), taken) << name;
    const auto notes = method->notes();
    EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [&](const auto& note) {
      return note.first == "codec" && note.second.starts_with(taken);
    })) << name;
    for (int k = 0; k < 5; ++k) method->step();
  }
  world.close();
}

TEST(CodecAuto, ChoosesBothDirections) {
  problems::GameOptions options;
  options.dimension = 20;
  options.agents = 5;
  const problems::DenseGame game(options, {0, 5});
  state::Config config;
  config.set("method.codec", "auto");
  config.set("method.server_codec", "natural");
  try {
    vi::make_method("auto", vi::Setting{Comm()}, vi::ProblemView(game), config);
    ADD_FAILURE() << "accepted";
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find("leave method.server_codec out"), std::string::npos);
  }
}

}  // namespace
}  // namespace equipoise::compress::testing
