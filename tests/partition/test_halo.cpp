#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/partition/sparse_exchange.hpp>

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace equipoise::partition {
namespace {

using parallel::Comm;

double value_of(std::int64_t global, int round) {
  return 1000.0 * round + static_cast<double>(global);
}

std::vector<double> owned_values(Range owned, int round) {
  std::vector<double> values;
  for (std::int64_t i = owned.begin; i < owned.end; ++i) values.push_back(value_of(i, round));
  return values;
}

/// Several exchanges bring exactly the values of the owners.
void expect_exchanges(const Comm& comm, const Partition& coordinates,
                      const std::vector<std::int64_t>& ghosts) {
  Halo halo(comm, coordinates, ghosts);
  const std::int64_t header = halo.traffic().header_sent;
  EXPECT_EQ(header, static_cast<std::int64_t>(8 * ghosts.size()));
  for (int round = 0; round < 3; ++round) {
    auto owned = owned_values(coordinates.range(comm.rank()), round);
    halo.begin(owned);
    std::fill(owned.begin(), owned.end(), -1.0);  // allowed as soon as begin has returned
    const auto values = halo.end();
    EXPECT_EQ(values.size(), ghosts.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(values[i], value_of(ghosts[i], round));
  }
  EXPECT_EQ(halo.traffic().received, static_cast<std::int64_t>(3 * 8 * ghosts.size()));
  EXPECT_EQ(comm.sum(halo.traffic().sent), comm.sum(halo.traffic().received));
  EXPECT_EQ(halo.traffic().rounds, 3);
}

TEST(Halo, EverybodyReadsEverything) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto coordinates = Partition::uniform(11, comm.size());
  std::vector<std::int64_t> ghosts;
  for (std::int64_t i = 0; i < coordinates.size(); ++i) {
    if (coordinates.owner(i) != comm.rank()) ghosts.push_back(i);
  }
  expect_exchanges(comm, coordinates, ghosts);
}

TEST(Halo, RingNeighbours) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto coordinates = Partition::uniform(10, comm.size());
  const Range owned = coordinates.range(comm.rank());
  std::set<std::int64_t> ghosts = {(owned.begin + 9) % 10, owned.end % 10};
  std::erase_if(ghosts, [&](std::int64_t i) { return owned.contains(i); });
  expect_exchanges(comm, coordinates, {ghosts.begin(), ghosts.end()});
}

TEST(Halo, RandomGhostsAndRanksThatOwnNothing) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  for (int trial = 0; trial < 10; ++trial) {
    // All entries on the ranks of one parity; the others still read.
    std::vector<double> costs(40, 1.0);
    std::vector<std::int64_t> offsets = {0};
    for (int rank = 0; rank < comm.size(); ++rank) {
      offsets.push_back(rank + 1 == comm.size()
                            ? 40
                            : (rank % 2 == trial % 2 ? offsets.back() : 10 * (rank + 1)));
    }
    const auto coordinates = Partition::from_offsets(offsets);
    const parallel::Draw draw(trial, parallel::Purpose::probe, 0, comm.rank());
    std::vector<std::int64_t> ghosts;
    for (std::int64_t i = 0; i < 40; ++i) {
      if (coordinates.owner(i) != comm.rank() &&
          draw.uniform(static_cast<std::uint64_t>(i)) < 0.4) {
        ghosts.push_back(i);
      }
    }
    expect_exchanges(comm, coordinates, ghosts);
  }
}

TEST(Halo, TwoHalosMayOverlap) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto coordinates = Partition::uniform(comm.size(), comm.size());
  const int next = (comm.rank() + 1) % comm.size();
  const int previous = (comm.rank() + comm.size() - 1) % comm.size();
  const auto only = [&](int rank) {
    return rank == comm.rank() ? std::vector<std::int64_t>{} : std::vector<std::int64_t>{rank};
  };
  Halo up(comm, coordinates, only(next));
  Halo moved(comm, coordinates, only(previous));
  Halo down = std::move(moved);
  const std::vector<double> mine = {1.0 + comm.rank()};
  const std::vector<double> other = {-1.0 - comm.rank()};
  up.begin(mine);
  down.begin(other);
  const auto low = down.end();
  const auto high = up.end();
  if (comm.size() > 1) {
    EXPECT_EQ(high[0], 1.0 + next);
    EXPECT_EQ(low[0], -1.0 - previous);
  }
}

TEST(Halo, BadGhostsAreRefusedOnAllRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto coordinates = Partition::uniform(8, comm.size());
  const bool last = comm.rank() == comm.size() - 1;
  const auto refused = [&](const std::vector<std::int64_t>& bad, const std::string& words) {
    try {
      Halo halo(comm, coordinates, last ? bad : std::vector<std::int64_t>{});
      ADD_FAILURE() << "accepted: " << words;
    } catch (const parallel::CollectiveError& error) {
      EXPECT_EQ(error.code(), Exit::configuration);
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  refused({8}, "lies outside");
  refused({-1}, "lies outside");
  refused({7}, "is owned by rank");
  if (comm.size() > 2) {
    refused({1, 0}, "ascend");
    refused({0, 0}, "ascend");
  }
}

TEST(SparseExchange, EveryMessageArrivesOnceAndSorted) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  struct Pair {
    int from;
    double what;
  };
  for (int round = 0; round < 20; ++round) {
    // Rank r writes to all ranks t with (r + t + round) odd, himself included.
    std::vector<Message<Pair>> outgoing;
    for (int to = 0; to < comm.size(); ++to) {
      if ((comm.rank() + to + round) % 2 == 1)
        outgoing.push_back({to, {{comm.rank(), 0.5 * round}}});
      if ((comm.rank() + to + round) % 2 == 0) outgoing.push_back({to, {}});
    }
    const auto incoming = sparse_exchange(comm, outgoing);
    std::size_t at = 0;
    for (int from = 0; from < comm.size(); ++from) {
      if ((comm.rank() + from + round) % 2 == 0) continue;
      EXPECT_LT(at, incoming.size());
      if (at >= incoming.size()) break;
      EXPECT_EQ(incoming[at].rank, from);
      EXPECT_EQ(incoming[at].items.size(), 1U);
      EXPECT_EQ(incoming[at].items[0].from, from);
      EXPECT_EQ(incoming[at].items[0].what, 0.5 * round);
      ++at;
    }
    EXPECT_EQ(at, incoming.size());
  }
}

}  // namespace
}  // namespace equipoise::partition
