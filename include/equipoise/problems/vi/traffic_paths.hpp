#pragma once

#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/problems/vi/traffic_network.hpp>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace equipoise::problems {

/// Flow, cost and derivative of the cost of every link.
struct LinkState {
  std::vector<double> flow, cost, slope;  ///< [links] each

  explicit LinkState(std::size_t links) : flow(links), cost(links), slope(links) {}
  /// Costs and slopes at the flows.
  void evaluate(const LinkCost& law) {
    for (std::size_t a = 0; a < flow.size(); ++a)
      law.evaluate(a, law.seen(a, flow), cost[a], slope[a]);
  }
  /// Costs and slopes of a link whose flow has changed, and of those that yield to it.
  void update(const LinkCost& law, std::size_t a) {
    law.evaluate(a, law.seen(a, flow), cost[a], slope[a]);
    for (const std::int32_t b : law.yielding_to(a)) {
      const auto k = static_cast<std::size_t>(b);
      law.evaluate(k, law.seen(k, flow), cost[k], slope[k]);
    }
  }
};

/// Shortest paths from one origin at a time, on buffers that are made once: label correction with
/// the two-ended queue of Pape (1974), about twice as fast as Dijkstra's algorithm on road
/// networks. Where its labels change too often (its worst case is exponential) Dijkstra's algorithm
/// takes over, so that a tree costs O(links log nodes) at most.
class ShortestPaths {
 public:
  /// `patience`: so many expansions per node before Dijkstra's algorithm takes over.
  explicit ShortestPaths(const TrafficNetwork& network, std::size_t patience = 8);

  /// Distances at `cost` [links] from `origin` to the destinations of `pairs`. Throws InputError
  /// for one that cannot be reached.
  void run(std::int32_t origin, std::span<const OdPair> pairs, std::span<const double> cost);
  [[nodiscard]] double distance(std::int32_t node) const {
    return distance_[static_cast<std::size_t>(node)];
  }
  /// Appends the links of the shortest path to `node`, the last one first.
  void append_path(std::int32_t node, std::vector<std::int32_t>& links) const;

 private:
  enum class Place : std::uint8_t { never, waiting, before };
  /// False if it gave up.
  bool correct_labels(std::span<const double> cost);
  void dijkstra(std::span<const double> cost);
  void start();

  const TrafficNetwork* network_;
  std::size_t patience_;
  std::int32_t origin_ = 0;
  std::vector<double> distance_;    ///< [nodes + 1]
  std::vector<std::int32_t> into_;  ///< [nodes + 1], the link by which a node is reached
  std::vector<Place> place_;        ///< [nodes + 1], in the queue or not
  std::vector<std::int32_t>
      queue_;  ///< a ring whose length is a power of two above the number of nodes
  std::vector<std::pair<double, std::int32_t>> heap_;
};

/// The used paths of a group of origins: what one agent of a traffic equilibrium holds.
///
/// Paths lie flat, in the order of the OD pairs: pair w has the paths first_path(w) .. first_path(w
/// + 1), path p the links first_link(p) .. first_link(p + 1).
class PathGroup {
 public:
  /// `pairs` must outlive the group; those of one origin are neighbours. `shortcut` is the
  /// network's shortcut of the first pair, the others follow; -1 for none.
  PathGroup(const TrafficNetwork& network, std::span<const OdPair> pairs,
            std::int32_t shortcut = -1);

  /// Puts all demand on shortest paths, origin after origin, each at the costs that the former have
  /// left in `view` (updated).
  void load(LinkState& view, ShortestPaths& search);
  /// Moves flow between the paths of every OD pair towards equal costs (Newton's step on each pair
  /// of paths), pair after pair, at the costs of `view` (updated). A flow that moves by x changes
  /// `view` by overlap x: above 1 the group leaves room for others that see the same costs. Returns
  /// the sum of flow times cost above the cheapest, as met on the way.
  double sweep(LinkState& view, double overlap);
  /// Remembers the path flows h0 at the start of a step.
  void remember() { before_ = flow_; }
  /// Scales the momentum s (the last change of the path flows), OD pair by OD pair, so that flows
  /// on the way from h0 to h stay feasible when up to `limit` times s is added or taken away.
  void damp_momentum(double limit);
  /// Adds the derivative of the Beckmann objective from h0 along h - h0 to `along_change` and along
  /// the momentum to `along_momentum`: sums over paths of the cost above the pair's first times the
  /// change, where the same sums over links would drown in rounding near the solution. `cost`
  /// belongs to h0.
  void derivatives(std::span<const double> cost, parallel::ExactSum& along_change,
                   parallel::ExactSum& along_momentum) const;
  /// Ends a step: h := h0 + t (h - h0) + b s, and s := h - h0 for the next one.
  void advance(double t, double b);
  /// Drops paths without flow and adds the shortest path of every OD pair where it is new, at
  /// `cost`; adds demand times distance of every pair to `shortest`.
  void renew(std::span<const double> cost, ShortestPaths& search, parallel::ExactSum& shortest);
  /// Adds the group's flow to `flow` [links].
  void add_link_flow(std::span<double> flow) const { add(flow_, flow); }
  void add_link_momentum(std::span<double> flow) const { add(momentum_, flow); }

  [[nodiscard]] std::size_t paths() const { return flow_.size(); }
  [[nodiscard]] std::span<const OdPair> pairs() const { return pairs_; }
  /// The paths as lists: for every pair the number of its paths; for every path its number of links
  /// and then the links (forward-star numbers, the last one first); for every path its flow and its
  /// momentum.
  void save(std::vector<std::int64_t>& counts, std::vector<std::int64_t>& links,
            std::vector<double>& flows, std::vector<double>& momenta) const;
  /// Throws CheckpointError for lists that do not fit the pairs and the network.
  void restore(std::span<const std::int64_t> counts, std::span<const std::int64_t> links,
               std::span<const double> flows, std::span<const double> momenta);

 private:
  struct Store {
    std::vector<double> flow, momentum;
    std::vector<std::int32_t> first_path, first_link, link;
  };
  void equilibrate(std::size_t pair, LinkState& view, double overlap, double& excess);
  void shift(std::size_t from, std::size_t to, LinkState& view, double overlap);
  [[nodiscard]] double path_cost(std::size_t path, std::span<const double> cost) const;
  void add(std::span<const double> path_flow, std::span<double> link_flow) const;
  void find_busy();

  const TrafficNetwork* network_;
  std::span<const OdPair> pairs_;
  std::int32_t shortcut_;
  std::vector<double> flow_, before_, momentum_;
  std::vector<std::int32_t> first_path_, first_link_, link_;
  Store next_;                      ///< what `renew` builds
  std::vector<std::int32_t> busy_;  ///< pairs with more than one path
  std::vector<double> path_cost_;
  std::vector<std::int64_t> mark_;  ///< [links]
  std::int64_t marks_ = 0;
  std::vector<std::int32_t> only_from_, only_to_;
};

}  // namespace equipoise::problems
