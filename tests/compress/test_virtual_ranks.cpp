#include "mean_helpers.hpp"

#include <equipoise/parallel/virtual_ranks.hpp>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace equipoise::compress::testing {
namespace {

using parallel::Traffic;
using parallel::VirtualRanks;

struct Form {
  const char* device = "identity";
  const char* server = "identity";
  const char* collective = "bytes";
  bool fast = false;
  bool error_feedback = false;
};

/// Every collective, with codecs whose messages have known and unknown lengths.
const std::vector<Form> forms = {
    {},
    {"identity", "identity", "bytes", true},
    {"natural", "natural"},
    {"qsgd:8", "identity", "two-phase"},
    {"bf16", "bf16"},
    {"topk:0.1", "topk:0.2", "two-phase", false, true},
    {"topk:0.1", "identity", "two-phase", false, true},
    {"topk:0.1", "identity", "allgatherv", false, true},
    {"topk:0.1", "identity", "split", false, true},
    {"randk:0.05", "identity", "allgatherv"},
    {"permk"},
    {"permk", "natural"},
    {"randk-shared:0.1"},
    {"powersgd:2", "identity", "bytes", false, true},
    {"topk:0.1", "identity", "recursive-doubling", true, true},
    {"topk:0.1", "identity", "balanced", true, true},
};

MeanSetting mean_of(const Form& form, std::int64_t agents, std::int64_t d) {
  MeanSetting s;
  s.dimension = d;
  s.weights = uneven_weights(agents);
  s.codec = form.device;
  s.server_codec = form.server;
  s.collective = form.collective;
  s.fast = form.fast;
  s.error_feedback = form.error_feedback;
  return s;
}

/// Three rounds on `comm` as `ranks` virtual ranks would have moved them; `own` is what this rank
/// moved.
std::vector<Traffic> count(const Comm& comm, int ranks, const Form& form, std::int64_t agents,
                           std::int64_t d, Traffic& own) {
  VirtualRanks counted(comm, ranks);
  Mean mean(comm, Partition::uniform(agents, comm.size()), mean_of(form, agents, d));
  Vector out(at(d));
  for (int k = 0; k < 3; ++k) mean(k, contributions(mean.hosted(), d, k), out);
  own = mean.traffic();
  return counted.total(comm);
}

void expect_equal(const Traffic& counted, const Traffic& moved, const std::string& what) {
  EXPECT_EQ(counted.sent, moved.sent) << what;
  EXPECT_EQ(counted.received, moved.received) << what;
  EXPECT_EQ(counted.header_sent, moved.header_sent) << what;
  EXPECT_EQ(counted.header_received, moved.header_received) << what;
}

std::string words(const Form& s) {
  return std::string(s.device) + " " + s.server + " " + s.collective;
}

// As many virtual ranks as real ones: the two counts are one. Short messages without headers and
// long ones with; agents that share out unevenly, and ranks without any.
TEST(VirtualRanks, AreTheRealOnesWhereThereAreAsMany) {
  on_every_size([](const Comm& comm) {
    for (const Form& form : forms) {
      for (const auto& [agents, d] : {std::pair{5, 400}, {7, 9000}, {2, 1000}}) {
        Traffic own;
        const auto all = count(comm, comm.size(), form, agents, d, own);
        expect_equal(all[static_cast<std::size_t>(comm.rank())], own,
                     fmt::format("{}, {} agents, d = {}", words(form), agents, d));
      }
    }
  });
}

// The exact collectives give the same messages on any number of ranks, so 1, 2 and 3 ranks count
// the same for P virtual ones, fewer or more than there are agents.
TEST(VirtualRanks, DoNotDependOnTheRealOnes) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  Comm self;
  for (const Form& form : forms) {
    if (form.fast) continue;
    for (const int ranks : {1, 3, 5, 64}) {
      Traffic own;
      const auto together = count(world, ranks, form, 11, 3000, own);
      const auto alone = count(self, ranks, form, 11, 3000, own);
      ASSERT_EQ(together.size(), static_cast<std::size_t>(ranks));
      for (std::size_t v = 0; v < together.size(); ++v) {
        expect_equal(together[v], alone[v],
                     fmt::format("{}, {} of {} ranks", words(form), v, ranks));
      }
    }
  }
  world.close();
}

// What is sent is received, also by sums that depend on the real ranks.
TEST(VirtualRanks, ReceiveWhatIsSent) {
  on_every_size([](const Comm& comm) {
    for (const Form& form : forms) {
      Traffic own, sum;
      for (const Traffic& t : count(comm, 13, form, 40, 2000, own)) sum += t;
      EXPECT_EQ(sum.sent, sum.received) << words(form);
      EXPECT_EQ(sum.header_sent, sum.header_received) << words(form);
      EXPECT_GT(sum.sent, 0) << words(form);
    }
  });
}

// 2,000 agents on 2,000 ranks, d = 640 in 10 chunks of 64: ten ranks own one each. An agent sends
// 512 bytes to each owner but itself, an owner serves 512 bytes to all others.
TEST(VirtualRanks, ThousandsByHand) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  Traffic own;
  const auto all = count(world, 2000, {}, 2000, 640, own);
  expect_equal(all[0], {0, 0, 3 * 512 * (9 + 1999), 3 * 512 * (1999 + 9), 0, 0, 0}, "an owner");
  expect_equal(all[1999], {0, 0, 3 * 512 * 10, 3 * 512 * 10, 0, 0, 0}, "another");
  world.close();
}

TEST(VirtualRanks, LeaveTrialsOut) {
  on_every_size([](const Comm& comm) {
    {
      const VirtualRanks counted(comm, 8);
      EXPECT_EQ(VirtualRanks::on(comm), &counted);
      {
        const VirtualRanks::Pause pause(comm);
        EXPECT_EQ(VirtualRanks::on(comm), nullptr);
      }
      EXPECT_EQ(VirtualRanks::on(comm), &counted);
      EXPECT_EQ(VirtualRanks::on(Comm()), nullptr);
    }
    EXPECT_EQ(VirtualRanks::on(comm), nullptr);
  });
}

}  // namespace
}  // namespace equipoise::compress::testing
