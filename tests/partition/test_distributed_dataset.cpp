#include <equipoise/parallel/agree.hpp>
#include <equipoise/partition/distributed_dataset.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace equipoise::partition {
namespace {

using parallel::Comm;

/// Row r has label -r and r mod 4 entries: feature k with value r + k / 10.
SparseRows make_rows(Range range) {
  SparseRows rows;
  rows.first = range.begin;
  for (std::int64_t r = range.begin; r < range.end; ++r) {
    std::vector<std::int32_t> index;
    std::vector<double> values;
    for (std::int32_t k = 0; k < r % 4; ++k) {
      index.push_back(k);
      values.push_back(static_cast<double>(r) + k / 10.0);
    }
    rows.append(-static_cast<double>(r), index, values);
  }
  return rows;
}

void expect_shards(const Comm& comm, const DistributedDataset& data, std::int64_t total) {
  const Range hosted = data.agents.range(comm.rank());
  EXPECT_EQ(static_cast<std::int64_t>(data.shards.size()), hosted.size());
  double weights = 0.0;
  for (std::int64_t agent = 0; agent < data.agents.size(); ++agent) weights += data.weight(agent);
  EXPECT_NEAR(weights, 1.0, 1e-14);
  for (std::int64_t agent = hosted.begin; agent < hosted.end; ++agent) {
    const auto& shard = data.shards[static_cast<std::size_t>(agent - hosted.begin)];
    const Range range = Partition::uniform(total, static_cast<int>(data.agents.size()))
                            .range(static_cast<int>(agent));
    const auto expected = make_rows(range);
    EXPECT_EQ(shard.first, range.begin);
    EXPECT_EQ(shard.labels, expected.labels);
    EXPECT_EQ(shard.offsets, expected.offsets);
    EXPECT_EQ(shard.index, expected.index);
    EXPECT_EQ(shard.values, expected.values);
  }
}

TEST(DistributedDataset, RowsReachTheirAgents) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const std::int64_t total = 53;
  for (const std::int64_t agents : {1, 3, 20}) {
    const auto hosts = Partition::uniform(agents, comm.size());
    const auto data = distribute(
        comm, make_rows(Partition::uniform(total, comm.size()).range(comm.rank())), hosts);
    EXPECT_EQ(data.features, 3);
    EXPECT_EQ(data.rows.size(), total);
    expect_shards(comm, data, total);
  }
}

TEST(DistributedDataset, OneRankMayHaveParsedEverything) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  for (int reader = 0; reader < comm.size(); ++reader) {
    const auto data = distribute(comm, make_rows({0, comm.rank() == reader ? 30 : 0}),
                                 Partition::uniform(7, comm.size()), 10);
    EXPECT_EQ(data.features, 10);
    expect_shards(comm, data, 30);
  }
}

TEST(DistributedDataset, BadRowsAreRefusedOnAllRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto hosts = Partition::uniform(2, comm.size());
  const auto refused = [&](const SparseRows& rows, std::int64_t features,
                           const std::string& words) {
    try {
      (void)distribute(comm, rows, hosts, features);
      ADD_FAILURE() << "accepted: " << words;
    } catch (const parallel::CollectiveError& error) {
      EXPECT_EQ(error.code(), Exit::input);
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  };
  const bool last = comm.rank() == comm.size() - 1;
  refused(make_rows({0, last ? 8 : 0}), 2, "has feature 2");
  refused(make_rows({0, last ? 1 : 0}), 0, "too few");
  refused(make_rows({last ? 1 : 0, last ? 9 : 0}), 0, "cannot belong");
  if (comm.size() == 1) return;
  // The last two ranks overlap in row 3, so that row 7 of 8 is missing.
  const bool before = comm.rank() == comm.size() - 2;
  refused(last ? make_rows({3, 7}) : make_rows({0, before ? 4 : 0}), 0, "given twice");
}

}  // namespace
}  // namespace equipoise::partition
