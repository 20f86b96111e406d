#include "mean_helpers.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/vi/game.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/vi/methods.hpp>

#include <gtest/gtest.h>
#include <mpi.h>

#include <list>

namespace {

/// What this program really handed to MPI, seen by the profiling interface.
struct Seen {
  std::int64_t sent = 0;
  std::int64_t received = 0;
  std::int64_t collective = 0;  ///< bytes of this rank's buffers in collectives
};
Seen seen;

/// Which of this rank's next payload messages leaves with a byte flipped; -1 for none.
int damage_in = -1;
std::list<std::vector<char>> damaged;  ///< must live until they are sent

std::int64_t bytes(int count, MPI_Datatype type) {
  int size = 0;
  PMPI_Type_size(type, &size);
  return static_cast<std::int64_t>(count) * size;
}

}  // namespace

extern "C" {
int MPI_Isend(const void* data, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm,
              MPI_Request* request) {
  seen.sent += bytes(count, type);
  const std::int64_t size = bytes(count, type);
  if (damage_in >= 0 && tag % 2 == 0 && size > 0 && damage_in-- == 0) {
    const auto* from = static_cast<const char*>(data);
    damaged.emplace_back(from, from + size);
    damaged.back()[static_cast<std::size_t>(size) / 2] ^= 64;
    data = damaged.back().data();
  }
  return PMPI_Isend(data, count, type, peer, tag, comm, request);
}
int MPI_Send(const void* data, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm) {
  seen.sent += bytes(count, type);
  return PMPI_Send(data, count, type, peer, tag, comm);
}
int MPI_Irecv(void* data, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm,
              MPI_Request* request) {
  seen.received += bytes(count, type);
  return PMPI_Irecv(data, count, type, peer, tag, comm, request);
}
int MPI_Recv(void* data, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm,
             MPI_Status* status) {
  seen.received += bytes(count, type);
  return PMPI_Recv(data, count, type, peer, tag, comm, status);
}
int MPI_Mrecv(void* data, int count, MPI_Datatype type, MPI_Message* message, MPI_Status* status) {
  seen.received += bytes(count, type);
  return PMPI_Mrecv(data, count, type, message, status);
}
int MPI_Imrecv(void* data, int count, MPI_Datatype type, MPI_Message* message,
               MPI_Request* request) {
  seen.received += bytes(count, type);
  return PMPI_Imrecv(data, count, type, message, request);
}
int MPI_Allreduce(const void* in, void* out, int count, MPI_Datatype type, MPI_Op op,
                  MPI_Comm comm) {
  seen.collective += bytes(count, type);
  return PMPI_Allreduce(in, out, count, type, op, comm);
}
int MPI_Allgatherv(const void* in, int count, MPI_Datatype type, void* out, const int* counts,
                   const int* offsets, MPI_Datatype out_type, MPI_Comm comm) {
  seen.collective += bytes(count, type);
  return PMPI_Allgatherv(in, count, type, out, counts, offsets, out_type, comm);
}
int MPI_Bcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm) {
  seen.collective += bytes(count, type);
  return PMPI_Bcast(data, count, type, root, comm);
}
}

namespace equipoise::compress::testing {
namespace {

using parallel::Traffic;

struct Case {
  std::int64_t d, agents, chunks;
  const char* device = "identity";
  const char* server = "identity";
  const char* collective = "auto";
};

/// One round on `comm`, with MPI's own count checked.
Traffic one_round(const Comm& comm, const Case& setup) {
  MeanSetting s;
  s.dimension = setup.d;
  s.weights = uneven_weights(setup.agents);
  s.codec = setup.device;
  s.server_codec = setup.server;
  s.collective = setup.collective;
  s.chunks = setup.chunks;
  Mean mean(comm, Partition::uniform(setup.agents, comm.size()), s);
  Vector out(at(setup.d));
  const Seen before = seen;
  mean(0, contributions(mean.hosted(), setup.d, 0), out);
  const Traffic t = mean.traffic();
  EXPECT_EQ(seen.sent - before.sent, t.sent + t.header_sent) << setup.device;
  EXPECT_EQ(seen.received - before.received, t.received + t.header_received) << setup.device;
  EXPECT_LE(seen.collective, before.collective + 8);  // the agreement at the end of a round
  EXPECT_EQ(t.rounds, 1);
  EXPECT_EQ(comm.sum(t.sent), comm.sum(t.received)) << setup.device;
  EXPECT_EQ(comm.sum(t.header_sent), comm.sum(t.header_received)) << setup.device;
  return t;
}

struct Expected {
  std::int64_t sent, received, header_sent, header_received, uplink, downlink;
};

void expect(const Traffic& t, const Expected& e, const std::string& what) {
  EXPECT_EQ(t.sent, e.sent) << what;
  EXPECT_EQ(t.received, e.received) << what;
  EXPECT_EQ(t.header_sent, e.header_sent) << what;
  EXPECT_EQ(t.header_received, e.header_received) << what;
  EXPECT_EQ(t.uplink_per_agent, e.uplink) << what;
  EXPECT_EQ(t.downlink_per_agent, e.downlink) << what;
}

// d = 100 in two chunks of 50 on two ranks, an agent on each. Identity: the other rank's half up
// (50 x 8 = 400), the own half down (400). Natural both ways: 12 bits a value, so 75 and 75.
// Identity up, natural down: 400 and 75.
TEST(Traffic, TwoAgentsOnTwoRanksByHand) {
  on_every_size([&](const Comm& comm) {
    if (comm.size() != 2) return;
    expect(one_round(comm, {100, 2, 2}), {800, 800, 0, 0, 800, 800}, "identity");
    expect(one_round(comm, {100, 2, 2, "natural", "natural"}), {150, 150, 0, 0, 150, 150},
           "natural both ways");
    expect(one_round(comm, {100, 2, 2, "identity", "natural"}), {475, 475, 0, 0, 800, 150},
           "natural down");
    // 1000 values a message: 8000 bytes, above 4096, so each of the two messages has a header.
    expect(one_round(comm, {2000, 2, 2}), {16000, 16000, 80, 80, 16000, 16000}, "long");
  });
}

// d = 12, three agents. On three ranks each sends its third (4 x 8 = 32 bytes) to the two others.
// On two ranks, rank 0 hosts agents 0 and 1: it sends 64 bytes and receives 32. Downlink: a server
// would return all 96 bytes, no more than the dense vector.
TEST(Traffic, PermkByAllgathervByHand) {
  on_every_size([&](const Comm& comm) {
    const Traffic t = one_round(comm, {12, 3, 2, "permk"});
    if (comm.size() == 1) expect(t, {0, 0, 0, 0, 32, 96}, "one rank");
    if (comm.size() == 2 && comm.rank() == 0) expect(t, {64, 32, 0, 0, 32, 96}, "rank 0 of 2");
    if (comm.size() == 2 && comm.rank() == 1) expect(t, {32, 64, 0, 0, 32, 96}, "rank 1 of 2");
    if (comm.size() == 3) expect(t, {64, 64, 0, 0, 32, 96}, "three ranks");
    // The fourth rank hosts nobody: it only listens.
    if (comm.size() == 4 && comm.rank() == 3) expect(t, {0, 96, 0, 0, 0, 96}, "idle rank");
  });
}

// Five agents on three ranks (2, 2, 1), d = 10 in two chunks of 5, owned by ranks 0 and 1. Up:
// every agent's 40 bytes of a chunk to its owner. Down: 40 bytes from each owner to two others.
TEST(Traffic, UnevenAgentsAndAnOwnerlessRankByHand) {
  on_every_size([&](const Comm& comm) {
    if (comm.size() != 3) return;
    const Traffic t = one_round(comm, {10, 5, 2});
    if (comm.rank() == 0) expect(t, {80 + 80, 120 + 40, 0, 0, 80, 80}, "rank 0");
    if (comm.rank() == 1) expect(t, {80 + 80, 120 + 40, 0, 0, 80, 80}, "rank 1");
    if (comm.rank() == 2) expect(t, {80, 80, 0, 0, 80, 80}, "rank 2");
  });
}

// TopK keeps 3 of 10 values: a mode byte, a count byte, the indices as 4 bits each or gaps of a
// byte or a bitmap (2 bytes are the least), 24 bytes of values: 28. Lengths travel as 8 bytes per
// hosted agent before the pieces.
TEST(Traffic, TopkAndItsTableOfLengthsByHand) {
  on_every_size([&](const Comm& comm) {
    const Traffic t = one_round(comm, {10, comm.size(), 1, "topk:3", "identity", "allgatherv"});
    const std::int64_t others = comm.size() - 1;
    expect(t,
           {28 * others, 28 * others, 8 * others, 8 * others, 28,
            std::min<std::int64_t>(28 * comm.size(), 80)},
           "topk");
  });
}

// Section 7 of the specification, with N = 8 d and K the bytes of one message, P agents on P ranks,
// P chunks: dense and two-phase 2 N (P-1)/P, PermK N (P-1)/P, sparse allgatherv (P-1) K, shared
// mask the dense formula for k values.
TEST(Traffic, FormulasInTheRankCount) {
  on_every_size([&](const Comm& comm) {
    const std::int64_t p = comm.size();
    const std::int64_t d = 240;
    const std::int64_t share = d / p;
    const std::int64_t others = p - 1;
    const auto both = [&](const Case& setup, std::int64_t moved, std::int64_t up,
                          std::int64_t down) {
      expect(one_round(comm, setup), {moved, moved, 0, 0, up, down}, setup.device);
    };
    both({d, p, p}, 2 * 8 * share * others, 8 * d, 8 * d);
    both({d, p, p, "natural", "natural"}, 2 * 12 * share / 8 * others, 12 * d / 8, 12 * d / 8);
    both({d, p, p, "permk"}, 8 * share * others, 8 * share, 8 * d);
    both({d, p, p, "randk:12", "identity", "allgatherv"}, 96 * others, 96, std::min(96 * p, 8 * d));
  });
}

TEST(Traffic, ASharedMaskMovesItsValuesAsADenseVector) {
  on_every_size([&](const Comm& comm) {
    const std::int64_t p = comm.size();
    // 768 values make 12 chunks of 64, which 1 to 4 ranks share evenly; 768 x 8 / P bytes are
    // below or above the header's limit.
    const std::int64_t moved = 2 * 8 * 768 / p * (p - 1);
    const std::int64_t headers = 8 * 768 / p > 4096 ? 2 * 40 * (p - 1) : 0;
    expect(one_round(comm, {5000, p, 0, "randk-shared:768"}),
           {moved, moved, headers, headers, 8 * 768, 8 * 768}, "shared mask");
  });
}

TEST(Traffic, IdleRanksSendNothingUp) {
  on_every_size([&](const Comm& comm) {
    const Traffic t = one_round(comm, {8, 1, 1});
    const std::int64_t others = comm.size() - 1;
    if (comm.rank() == 0) {
      expect(t, {64 * others, 0, 0, 0, 64, 64}, "owner and host");
    } else {
      expect(t, {0, 64, 0, 0, 0, 64}, "idle");
    }
  });
}

struct Fragile {
  const char* device;
  const char* server;
  const char* collective;
};

TEST(Damage, OnOneMessageIsTheSameErrorOnEveryRank) {
  for (const Fragile& f :
       {Fragile{"identity", "identity", "auto"}, Fragile{"natural", "natural", "auto"},
        Fragile{"topk:0.3", "topk:0.3", "auto"}, Fragile{"topk:0.3", "identity", "allgatherv"},
        Fragile{"permk", "identity", "auto"}, Fragile{"randk-shared:0.5", "identity", "auto"},
        Fragile{"topk:0.3", "identity", "split"},
        Fragile{"topk:0.3", "identity", "recursive-doubling"},
        Fragile{"topk:0.3", "identity", "balanced"}, Fragile{"powersgd:40", "identity", "auto"}}) {
    on_every_size([&](const Comm& comm) {
      if (comm.size() == 1) return;
      for (const int message : {0, comm.size() - 1}) {  // the first way up, and the first way down
        MeanSetting s;
        s.dimension = 20000;
        s.weights = uneven_weights(comm.size());
        s.codec = f.device;
        s.server_codec = f.server;
        s.collective = f.collective;
        s.error_feedback = std::string(f.device).find("permk") == std::string::npos;
        s.fast = std::string(f.collective) == "recursive-doubling" ||
                 std::string(f.collective) == "balanced";
        Mean mean(comm, Partition::uniform(comm.size(), comm.size()), s);
        Vector out(at(s.dimension));
        mean(0, contributions(mean.hosted(), s.dimension, 0), out);
        if (comm.rank() == 0) damage_in = message;
        std::string complaint;
        int culprit = -1;
        try {
          mean(1, contributions(mean.hosted(), s.dimension, 1), out);
        } catch (const parallel::CollectiveError& error) {
          complaint = error.what();
          culprit = error.rank();
        }
        // Recursive doubling has no second message on two ranks.
        const bool sent = comm.max(std::int64_t{damage_in}) < 0;
        damage_in = -1;
        comm.barrier();
        damaged.clear();
        if (!sent) continue;
        const std::string text = std::string(f.device) + " " + f.collective;
        EXPECT_NE(complaint.find("damaged"), std::string::npos) << text << complaint;
        EXPECT_EQ(comm.broadcast(complaint), complaint) << text;
        EXPECT_GT(culprit, 0) << text;
      }
    });
  }
}

TEST(Traffic, MpiSeesTheSameBytesOverAWholeSolve) {
  Comm world = Comm::duplicate(MPI_COMM_WORLD);
  problems::GameOptions options;
  options.dimension = 20;
  options.agents = 5;
  const auto hosted = Partition::uniform(5, world.size()).range(world.rank());
  const problems::DenseGame game(options, hosted);
  struct Words {
    const char* method;
    const char* codec;
    const char* server;
  };
  for (const auto& [name, codec, server] :
       {Words{"extragradient", "", ""}, Words{"masha1", "randk:3", "identity"},
        Words{"masha1", "permk", "identity"}, Words{"masha1", "natural", "natural"},
        Words{"masha1", "randk-shared:4", "identity"}, Words{"masha2", "topk:4", "identity"},
        Words{"masha2", "topk:4", "topk:0.5"}, Words{"ceg", "randk:3", "identity"}}) {
    const std::string text = std::string(name) + " " + codec + " " + server;
    state::Config config;
    config.set("method.step", "0.004");
    if (std::string(codec) != "") config.set("method.codec", codec);
    if (std::string(server) != "") config.set("method.server_codec", server);
    if (text.starts_with("masha")) config.set("method.p", "0.1");
    vi::Setting setting{world};
    setting.chunks = 3;
    setting.measure = "distance";
    const Seen before = seen;
    const auto method = vi::make_method(name, setting, vi::ProblemView(game), config);
    for (int k = 0; k < 20; ++k) method->step();
    // Nothing else moves vectors: agreements of 8 bytes are all that collectives carry.
    EXPECT_LE(seen.collective, before.collective + 8 * method->traffic().rounds) << text;
    solve::StopOptions stop;
    stop.max_iterations = 100;
    const auto summary = solve::run(world, *method, stop, {}, {}, {true, {}});
    EXPECT_EQ(summary.iterations, 100);
    const Traffic t = method->traffic();
    EXPECT_EQ(seen.sent - before.sent, t.sent + t.header_sent) << text;
    EXPECT_EQ(seen.received - before.received, t.received + t.header_received) << text;
    EXPECT_EQ(world.sum(t.sent), world.sum(t.received)) << text;
    EXPECT_EQ(world.max(t.sent), summary.traffic.sent) << text;
    EXPECT_EQ(world.max(t.received), summary.traffic.received) << text;
    EXPECT_EQ(world.max(t.sent) > 0, world.size() > 1) << text;
  }
  world.close();
}

}  // namespace
}  // namespace equipoise::compress::testing
