#include <equipoise/parallel/error.hpp>
#include <equipoise/partition/partition.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace equipoise::partition {
namespace {

TEST(Partition, UniformSizesDifferByAtMostOne) {
  const auto p = Partition::uniform(10, 4);
  const std::vector<std::int64_t> expected = {0, 3, 6, 8, 10};
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), p.offsets().begin()));
  EXPECT_EQ(p.owner(6), 2);
  EXPECT_EQ(p.range(3), (Range{8, 10}));
}

TEST(Partition, OwnerSkipsEmptyParts) {
  const auto p = Partition::from_offsets({0, 2, 2, 5});
  EXPECT_EQ(p.owner(1), 0);
  EXPECT_EQ(p.owner(2), 2);
  EXPECT_EQ(p.owner(4), 2);
}

TEST(Partition, MorePartsThanItems) {
  const auto p = Partition::uniform(2, 5);
  EXPECT_EQ(p.range(0).size() + p.range(1).size(), 2);
  EXPECT_EQ(p.range(4).size(), 0);
}

TEST(Partition, ByCostBalances) {
  const std::vector<double> costs = {8, 1, 1, 1, 1, 4};
  const auto p = Partition::by_cost(costs, 2);
  EXPECT_EQ(p.range(0), (Range{0, 1}));
  EXPECT_EQ(p.range(1), (Range{1, 6}));
  const std::vector<double> bad = {1.0, -1.0};
  EXPECT_THROW(Partition::by_cost(bad, 2), ConfigurationError);
}

TEST(Layout, RanksOwnWholeChunks) {
  const auto layout = Layout::uniform(100, 7, 3);
  EXPECT_EQ(layout.dimension(), 100);
  std::int64_t covered = 0;
  for (int rank = 0; rank < 3; ++rank) covered += layout.owned(rank).size();
  EXPECT_EQ(covered, 100);
  EXPECT_EQ(layout.owned(0).end, layout.chunks().range(2).end);
}

TEST(Layout, DefaultChunkCount) {
  EXPECT_EQ(default_chunks(1), 1);
  EXPECT_EQ(default_chunks(100), 2);
  EXPECT_EQ(default_chunks(10'000'000), 4096);
}

}  // namespace
}  // namespace equipoise::partition
