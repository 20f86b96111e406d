#include <equipoise/parallel/agree.hpp>
#include <equipoise/partition/graph.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/partition/sparse_exchange.hpp>

#include <ptscotch.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace equipoise::partition {
namespace {

void require(int status, const char* what) {
  if (status != 0) throw Error(Exit::defect, fmt::format("Scotch failed in {}", what));
}

/// The strategy that trades cut for balance.
class Strategy {
 public:
  Strategy() { SCOTCH_stratInit(&strategy_); }
  Strategy(const Strategy&) = delete;
  Strategy& operator=(const Strategy&) = delete;
  ~Strategy() { SCOTCH_stratExit(&strategy_); }
  SCOTCH_Strat* get() { return &strategy_; }

 private:
  SCOTCH_Strat strategy_;
};

void check(const Graph& graph, const parallel::Comm& comm, int parts) {
  if (parts < 1) throw ConfigurationError("a graph cannot be cut into {} parts", parts);
  if (graph.vertices.parts() != comm.size()) {
    throw ConfigurationError("a graph over {} ranks needs vertices in as many parts, got {}",
                             comm.size(), graph.vertices.parts());
  }
  const Range owned = graph.vertices.range(comm.rank());
  if (static_cast<std::int64_t>(graph.offsets.size()) != owned.size() + 1 ||
      graph.offsets.front() != 0 ||
      graph.offsets.back() != static_cast<std::int64_t>(graph.neighbours.size()) ||
      !std::is_sorted(graph.offsets.begin(), graph.offsets.end())) {
    throw ConfigurationError(
        "the offsets of a graph must ascend from 0 to the number of neighbours, one "
        "more than the {} owned vertices",
        owned.size());
  }
  for (std::int64_t v = 0; v < owned.size(); ++v) {
    const auto at = static_cast<std::size_t>(v);
    for (auto k = graph.offsets[at]; k < graph.offsets[at + 1]; ++k) {
      const std::int64_t other = graph.neighbours[static_cast<std::size_t>(k)];
      if (other < 0 || other >= graph.vertices.size() || other == owned.begin + v) {
        throw ConfigurationError("vertex {} cannot have the neighbour {}", owned.begin + v, other);
      }
    }
  }
}

/// One thread, a fixed seed and a generator of its own: Scotch left alone uses every core it finds,
/// and then its answer changes from run to run.
class Context {
 public:
  Context() {
    require(SCOTCH_contextInit(&context_), "SCOTCH_contextInit");
    require(SCOTCH_contextOptionSetNum(&context_, SCOTCH_OPTIONNUMDETERMINISTIC, 1),
            "SCOTCH_contextOptionSetNum");
    require(SCOTCH_contextOptionSetNum(&context_, SCOTCH_OPTIONNUMRANDOMFIXEDSEED, 1),
            "SCOTCH_contextOptionSetNum");
    require(SCOTCH_contextRandomClone(&context_), "SCOTCH_contextRandomClone");
    SCOTCH_contextRandomSeed(&context_, 1);
    require(SCOTCH_contextThreadSpawn(&context_, 1, nullptr), "SCOTCH_contextThreadSpawn");
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { SCOTCH_contextExit(&context_); }
  SCOTCH_Context* get() { return &context_; }

 private:
  SCOTCH_Context context_;
};

/// Parts of a whole graph, on this rank alone.
std::vector<int> cut_serially(std::vector<SCOTCH_Num> offsets, std::vector<SCOTCH_Num> neighbours,
                              int parts, double imbalance) {
  const auto count = static_cast<SCOTCH_Num>(offsets.size()) - 1;
  std::vector<SCOTCH_Num> part(static_cast<std::size_t>(count) + 1);  // never without storage
  Context context;
  Strategy strategy;
  SCOTCH_Graph graph;
  SCOTCH_Graph bound;
  require(SCOTCH_graphInit(&graph), "SCOTCH_graphInit");
  require(SCOTCH_graphInit(&bound), "SCOTCH_graphInit");
  int status =
      SCOTCH_graphBuild(&graph, 0, count, offsets.data(), nullptr, nullptr, nullptr,
                        static_cast<SCOTCH_Num>(neighbours.size()), neighbours.data(), nullptr);
  if (status == 0) status = SCOTCH_contextBindGraph(context.get(), &graph, &bound);
  if (status == 0) {
    status = SCOTCH_stratGraphMapBuild(strategy.get(), SCOTCH_STRATBALANCE | SCOTCH_STRATQUALITY,
                                       parts, imbalance);
  }
  if (status == 0) status = SCOTCH_graphPart(&bound, parts, strategy.get(), part.data());
  SCOTCH_graphExit(&bound);
  SCOTCH_graphExit(&graph);
  require(status, "SCOTCH_graphPart");
  return {part.begin(), part.begin() + count};
}

/// Sends the graph to rank 0, cuts it there, and brings each rank the parts of its vertices.
std::vector<int> cut_on_one_rank(const parallel::Comm& comm, const Graph& graph, int parts,
                                 double imbalance) {
  // A vertex travels as its degree and its neighbours.
  std::vector<Message<std::int64_t>> lists(1);
  for (std::size_t v = 0; v + 1 < graph.offsets.size(); ++v) {
    lists[0].items.push_back(graph.offsets[v + 1] - graph.offsets[v]);
    lists[0].items.insert(lists[0].items.end(), graph.neighbours.begin() + graph.offsets[v],
                          graph.neighbours.begin() + graph.offsets[v + 1]);
  }
  const auto arrived = sparse_exchange(comm, lists);
  std::vector<Message<int>> answers;
  parallel::agree(comm, [&] {
    if (comm.rank() != 0) return;
    std::vector<SCOTCH_Num> offsets = {0};
    std::vector<SCOTCH_Num> neighbours;
    for (const auto& message : arrived) {
      for (auto at = message.items.begin(); at != message.items.end();) {
        const std::int64_t degree = *at++;
        for (std::int64_t k = 0; k < degree; ++k)
          neighbours.push_back(static_cast<SCOTCH_Num>(*at++));
        offsets.push_back(static_cast<SCOTCH_Num>(neighbours.size()));
      }
    }
    const auto part = cut_serially(std::move(offsets), std::move(neighbours), parts, imbalance);
    for (int rank = 0; rank < comm.size(); ++rank) {
      const Range range = graph.vertices.range(rank);
      answers.push_back({rank, {part.begin() + range.begin, part.begin() + range.end}});
    }
  });
  const auto mine = sparse_exchange(comm, answers);
  return mine.empty() ? std::vector<int>{} : mine.front().items;
}

std::vector<int> cut_in_parallel(const parallel::Comm& comm, const Graph& graph, int parts,
                                 double imbalance) {
  std::vector<SCOTCH_Num> offsets(graph.offsets.begin(), graph.offsets.end());
  std::vector<SCOTCH_Num> neighbours(graph.neighbours.begin(), graph.neighbours.end());
  neighbours.reserve(1);
  const auto count = static_cast<SCOTCH_Num>(offsets.size()) - 1;
  const auto edges = static_cast<SCOTCH_Num>(neighbours.size());
  std::vector<SCOTCH_Num> part(static_cast<std::size_t>(count) + 1);
  Context context;
  Strategy strategy;
  SCOTCH_Dgraph dgraph;
  SCOTCH_Dgraph bound;
  require(SCOTCH_dgraphInit(&dgraph, comm.handle()), "SCOTCH_dgraphInit");
  require(SCOTCH_dgraphInit(&bound, comm.handle()), "SCOTCH_dgraphInit");
  int status = SCOTCH_dgraphBuild(&dgraph, 0, count, count, offsets.data(), nullptr, nullptr,
                                  nullptr, edges, edges, neighbours.data(), nullptr, nullptr);
  if (status == 0) status = SCOTCH_contextBindDgraph(context.get(), &dgraph, &bound);
  if (status == 0) {
    status = SCOTCH_stratDgraphMapBuild(strategy.get(), SCOTCH_STRATBALANCE | SCOTCH_STRATQUALITY,
                                        comm.size(), parts, imbalance);
  }
  if (status == 0) status = SCOTCH_dgraphPart(&bound, parts, strategy.get(), part.data());
  SCOTCH_dgraphExit(&bound);
  SCOTCH_dgraphExit(&dgraph);
  parallel::agree(comm, [&] { require(status, "SCOTCH_dgraphPart"); });
  return {part.begin(), part.begin() + count};
}

/// Numbers vertices by part, then by old number. **Collective**, two reductions of 8 bytes a part.
void renumber(const parallel::Comm& comm, int parts, GraphSplit& split) {
  const auto count = static_cast<std::size_t>(parts);
  std::vector<std::int64_t> mine(count, 0);
  for (const int p : split.part) ++mine[static_cast<std::size_t>(p)];
  std::vector<std::int64_t> before(count, 0);
  MPI_Exscan(mine.data(), before.data(), parts, MPI_INT64_T, MPI_SUM, comm.handle());
  if (comm.rank() == 0) std::fill(before.begin(), before.end(), 0);
  MPI_Allreduce(MPI_IN_PLACE, mine.data(), parts, MPI_INT64_T, MPI_SUM, comm.handle());
  std::vector<std::int64_t> offsets(count + 1, 0);
  std::partial_sum(mine.begin(), mine.end(), offsets.begin() + 1);
  for (std::size_t p = 0; p < count; ++p) before[p] += offsets[p];
  for (const int p : split.part) split.number.push_back(before[static_cast<std::size_t>(p)]++);
  split.parts = Partition::from_offsets(std::move(offsets));
}

/// Edges between parts. **Collective**, one halo construction and exchange.
std::int64_t count_cut(const parallel::Comm& comm, const Graph& graph,
                       const std::vector<int>& part) {
  const Range owned = graph.vertices.range(comm.rank());
  std::vector<std::int64_t> foreign;
  for (const auto v : graph.neighbours) {
    if (!owned.contains(v)) foreign.push_back(v);
  }
  std::sort(foreign.begin(), foreign.end());
  foreign.erase(std::unique(foreign.begin(), foreign.end()), foreign.end());
  Halo halo(comm, graph.vertices, foreign);
  const std::vector<double> values(part.begin(), part.end());
  const auto ghosts = halo.exchange(values);
  std::int64_t ends = 0;
  for (std::size_t v = 0; v < part.size(); ++v) {
    for (auto k = graph.offsets[v]; k < graph.offsets[v + 1]; ++k) {
      const std::int64_t other = graph.neighbours[static_cast<std::size_t>(k)];
      const double its =
          owned.contains(other)
              ? values[static_cast<std::size_t>(other - owned.begin)]
              : ghosts[static_cast<std::size_t>(
                    std::lower_bound(foreign.begin(), foreign.end(), other) - foreign.begin())];
      if (its != values[v]) ++ends;
    }
  }
  return comm.sum(ends) / 2;
}

}  // namespace

GraphSplit split_graph(const parallel::Comm& comm, const Graph& graph, int parts,
                       const GraphOptions& options) {
  parallel::agree(comm, [&] { check(graph, comm, parts); });
  GraphSplit split;
  split.part = graph.vertices.size() <= options.gather_limit
                   ? cut_on_one_rank(comm, graph, parts, options.imbalance)
                   : cut_in_parallel(comm, graph, parts, options.imbalance);
  renumber(comm, parts, split);
  split.cut = count_cut(comm, graph, split.part);
  return split;
}

}  // namespace equipoise::partition
