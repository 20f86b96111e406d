#include <equipoise/parallel/agree.hpp>
#include <equipoise/partition/graph.hpp>
#include <equipoise/partition/grid.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace equipoise::partition {
namespace {

using parallel::Comm;

TEST(Grid, SlabsNeverCutARow) {
  for (const int ranks : {1, 2, 3, 7}) {
    const auto layout = grid(5, 3, ranks);
    EXPECT_EQ(layout.dimension(), 15);
    EXPECT_EQ(layout.chunks().parts(), 5);
    std::int64_t next = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      EXPECT_EQ(layout.owned(rank).begin, next);
      EXPECT_EQ(layout.owned(rank).size() % 3, 0);
      EXPECT_LE(layout.owned(rank).size(), 3 * ((5 + ranks - 1) / ranks));
      next = layout.owned(rank).end;
    }
    EXPECT_EQ(next, 15);
  }
  EXPECT_EQ(grid(5, 3, 2).owned(0).size(), 9);
  EXPECT_EQ(grid(4, 3, 2, 2).chunks().range(1), (Range{6, 12}));
  EXPECT_THROW((void)grid(0, 3, 1), ConfigurationError);
  EXPECT_THROW((void)grid(3, 3, 0), ConfigurationError);
}

/// The five-point graph of an n x n grid, this rank's vertices.
Graph grid_graph(std::int64_t n, const Partition& vertices, int rank) {
  Graph graph;
  graph.vertices = vertices;
  for (std::int64_t v = vertices.range(rank).begin; v < vertices.range(rank).end; ++v) {
    if (v >= n) graph.neighbours.push_back(v - n);
    if (v % n > 0) graph.neighbours.push_back(v - 1);
    if (v % n < n - 1) graph.neighbours.push_back(v + 1);
    if (v < n * (n - 1)) graph.neighbours.push_back(v + n);
    graph.offsets.push_back(static_cast<std::int64_t>(graph.neighbours.size()));
  }
  return graph;
}

/// Four parts of a 40 x 40 grid: the best cut by lines is two lines of 40 edges.
void expect_good_split(const Comm& comm, const Graph& graph, const GraphSplit& split) {
  const std::int64_t vertices = graph.vertices.size();
  EXPECT_EQ(split.parts.parts(), 4);
  EXPECT_EQ(split.parts.size(), vertices);
  for (int p = 0; p < 4; ++p) {
    EXPECT_LE(split.parts.range(p).size(), 1.1 * static_cast<double>(vertices) / 4);
    EXPECT_GE(split.parts.range(p).size(), 0.9 * static_cast<double>(vertices) / 4);
  }
  EXPECT_LT(split.cut, 3 * 80);
  EXPECT_GT(split.cut, 0);
  // The numbers are a permutation, and each lies in the range of its part.
  std::vector<double> count(static_cast<std::size_t>(vertices), 0.0);
  for (std::size_t v = 0; v < split.number.size(); ++v) {
    EXPECT_TRUE(split.parts.range(split.part[v]).contains(split.number[v]));
    count[static_cast<std::size_t>(split.number[v])] = 1.0 + comm.rank();
  }
  EXPECT_EQ(comm.sum(static_cast<std::int64_t>(split.number.size())), vertices);
  comm.max(count);
  EXPECT_EQ(std::count(count.begin(), count.end(), 0.0), 0);
}

TEST(SplitGraph, GatheredPartsDoNotDependOnTheRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto vertices = Partition::uniform(1600, comm.size());
  const auto graph = grid_graph(40, vertices, comm.rank());
  const auto split = split_graph(comm, graph, 4);
  expect_good_split(comm, graph, split);

  const Comm alone;
  const auto serial = split_graph(alone, grid_graph(40, Partition::uniform(1600, 1), 0), 4);
  EXPECT_EQ(serial.parts, split.parts);
  EXPECT_EQ(serial.cut, split.cut);
  const auto begin = static_cast<std::ptrdiff_t>(vertices.range(comm.rank()).begin);
  EXPECT_TRUE(std::equal(split.number.begin(), split.number.end(), serial.number.begin() + begin));
  EXPECT_TRUE(std::equal(split.part.begin(), split.part.end(), serial.part.begin() + begin));
}

TEST(SplitGraph, ParallelCutIsGoodToo) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto graph = grid_graph(40, Partition::uniform(1600, comm.size()), comm.rank());
  expect_good_split(comm, graph, split_graph(comm, graph, 4, {.gather_limit = 0}));
}

TEST(SplitGraph, OnePartAndRanksWithoutVertices) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(comm.size()) + 1, 0);
  offsets.back() = 100;
  const auto graph = grid_graph(10, Partition::from_offsets(offsets), comm.rank());
  const auto one = split_graph(comm, graph, 1);
  EXPECT_EQ(one.cut, 0);
  for (std::size_t v = 0; v < one.number.size(); ++v)
    EXPECT_EQ(one.number[v], static_cast<std::int64_t>(v));
  const auto two = split_graph(comm, graph, 2);
  EXPECT_LE(two.cut, 30);
  EXPECT_EQ(two.part.size(), one.part.size());
}

TEST(SplitGraph, BadGraphsAreRefusedOnAllRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto graph = grid_graph(4, Partition::uniform(16, comm.size()), comm.rank());
  const auto refused = [&](const Graph& bad, int parts) {
    try {
      (void)split_graph(comm, bad, parts);
      ADD_FAILURE() << "accepted";
    } catch (const parallel::CollectiveError& error) {
      EXPECT_EQ(error.code(), Exit::configuration);
    }
  };
  refused(graph, 0);
  auto bad = graph;
  if (comm.rank() == comm.size() - 1) bad.neighbours.back() = 16;
  refused(bad, 2);
  bad = graph;
  if (comm.rank() == 0) bad.neighbours.front() = 0;  // its own neighbour
  refused(bad, 2);
  bad = graph;
  if (comm.rank() == 0) bad.offsets.pop_back();
  refused(bad, 2);
}

}  // namespace
}  // namespace equipoise::partition
