#pragma once

#include <equipoise/formats/tntp.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/problems/vi/traffic_network.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/state/fields.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// What `problem.*` says of a traffic equilibrium.
struct TrafficOptions {
  std::string net, trips, nodes;
  double toll_weight = 0.0, length_weight = 0.0;
  std::string law = "bpr";
  double hours = 5.0, elasticity = 0.0, dispersion = 0.0;
  [[nodiscard]] double junction_hours() const { return law == "junctions" ? hours : 0.0; }
  void describe(state::OptionVisitor& visit);
};

/// Road network, demand, and the agents: groups of consecutive origins with about equally many OD
/// pairs. Immutable and equal on every rank.
///
/// With elastic demand, d(u) = d0 (1 + e (1 - u / u0)) with d0 of the file and u0 the cost of the
/// empty network, a pair's demand here is the largest one, d0 (1 + e); the trips that are not made
/// take the pair's shortcut, whose cost u0 v / (e d0) is the inverse of d.
struct TrafficModel {
  TrafficOptions options;
  formats::TntpNetwork file;
  std::vector<formats::TntpNode> nodes;  ///< coordinates, empty where `problem.nodes` is not given
  TrafficNetwork network;
  std::vector<OdPair> pairs;    ///< by origin, then destination
  partition::Partition agents;  ///< of the pairs; the pairs of one origin lie in one agent
  double demand = 0.0;

  /// Reads the files; `wanted` agents, 0 for the smaller of 20 and the number of origins.
  /// Throws InputError (files), ConfigurationError (more agents than origins with demand).
  /// Communication-free.
  static TrafficModel read(const TrafficOptions& options, std::int64_t wanted);
  static TrafficModel make(const TrafficOptions& options, formats::TntpNetwork file,
                           const formats::TntpTrips& trips, std::int64_t wanted);

  /// The agents dealt to ranks, balanced by OD pairs.
  [[nodiscard]] partition::Partition hosts(int ranks) const;
  [[nodiscard]] std::span<const OdPair> pairs_of(int agent) const {
    const partition::Range range = agents.range(agent);
    return std::span(pairs).subspan(static_cast<std::size_t>(range.begin),
                                    static_cast<std::size_t>(range.size()));
  }
  [[nodiscard]] bool elastic() const { return options.elasticity > 0.0; }
  /// Travellers see costs with an error, and spread over all efficient paths (LogitOrigin).
  [[nodiscard]] bool stochastic() const { return options.dispersion > 0.0; }
  /// The shortcut of the agent's first pair, or -1.
  [[nodiscard]] std::int32_t shortcut_of(int agent) const {
    return elastic() ? static_cast<std::int32_t>(std::ssize(file.links) + agents.range(agent).begin)
                     : -1;
  }
  /// Sizes, weights, agents and a hash of links and demand, in one line.
  [[nodiscard]] std::string fingerprint() const;
};

/// A solution as run files store it: link flows in file order and behind them those of the
/// shortcuts, equal on every rank, and the used paths by agent. For every agent: for each of its OD
/// pairs the number of paths; for each path its number of links followed by the links (file order,
/// from 0) as they are travelled; and the flow of each path.
struct TrafficSolution : state::Stateful {
  partition::Partition hosts;
  int part = 0;
  std::vector<double> link_flow;
  std::vector<std::vector<std::int64_t>> path_count, path_link;
  std::vector<std::vector<double>> path_flow;
  void fields(state::FieldVisitor& visit) override;
};

/// Judges link flows (file order) by a path of its own: costs from the file's columns, shortest
/// paths by label correction, the gap, the objective, and the balance of every node against the
/// demand. `measure` is the larger of the measure asked for ("relative_gap" or
/// "average_excess_cost") and the relative balance error.
/// **Collective**, one allreduce of 1.7 kB. Throws CollectiveError where demand cannot reach its
/// destination.
[[nodiscard]] solve::Certificate certify_traffic(const parallel::Comm& comm,
                                                 const TrafficModel& model,
                                                 std::span<const double> link_flow,
                                                 const std::string& measure);

/// The same for stochastic equilibria, whose measure is sum |y - v| / sum v: the loading y is
/// computed destination by destination. **Collective**, one broadcast; rank 0 works.
[[nodiscard]] solve::Certificate certify_logit(const parallel::Comm& comm,
                                               const TrafficModel& model,
                                               std::span<const double> link_flow);

}  // namespace equipoise::problems
