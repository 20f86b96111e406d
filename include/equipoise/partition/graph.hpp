#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::partition {

/// An undirected graph whose vertices are spread over ranks: this rank holds the neighbours of the
/// vertices `vertices.range(rank)`. Every edge is given from both ends; no vertex is its own
/// neighbour.
struct Graph {
  Partition vertices;
  std::vector<std::int64_t> offsets = {0};  ///< [owned + 1], into `neighbours`
  std::vector<std::int64_t> neighbours;     ///< global numbers
};

/// A graph cut into logical parts, and the renumbering that makes each part contiguous.
struct GraphSplit {
  Partition parts;        ///< new vertex numbers over parts
  std::vector<int> part;  ///< of each owned vertex
  std::vector<std::int64_t>
      number;            ///< new number of each owned vertex: by part, then by old number
  std::int64_t cut = 0;  ///< edges between different parts
};

struct GraphOptions {
  double imbalance = 0.05;  ///< a part may exceed the mean by this fraction
  /// Graphs up to this many vertices are gathered and cut by rank 0, so that the parts do not
  /// depend on the number of ranks. Larger ones are cut in parallel, and then they do.
  std::int64_t gather_limit = std::int64_t{1} << 22U;
};

/// Cuts the graph into `parts` parts of nearly equal numbers of vertices with few edges between
/// them, by Scotch (or PT-Scotch, see GraphOptions) with its random numbers reset. Parts are
/// logical, like chunks and agents: their number belongs to the configuration, never to the number
/// of ranks. Throws a ConfigurationError on all ranks for parts < 1, and for a graph that is not as
/// described above (on one rank: lists and numbers; across ranks, symmetry is not checked).
/// **Collective.**
[[nodiscard]] GraphSplit split_graph(const parallel::Comm& comm, const Graph& graph, int parts,
                                     const GraphOptions& options = {});

}  // namespace equipoise::partition
