#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/traffic_model.hpp>
#include <equipoise/problems/vi/traffic_paths.hpp>

#include <algorithm>
#include <bit>
#include <utility>

namespace equipoise::problems {
namespace {

/// FNV-1a over 64-bit words.
class Hash {
 public:
  void add(std::uint64_t word) {
    for (int byte = 0; byte < 8; ++byte)
      value_ = (value_ ^ (word >> (8 * byte) & 0xffU)) * 0x100000001b3U;
  }
  void add(double number) { add(std::bit_cast<std::uint64_t>(number)); }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325U;
};

/// Cuts the pairs into agents at origins.
partition::Partition group_origins(std::span<const OdPair> pairs, std::int64_t wanted) {
  std::vector<std::int64_t> first;
  for (std::size_t w = 0; w < pairs.size(); ++w) {
    if (w == 0 || pairs[w].origin != pairs[w - 1].origin)
      first.push_back(static_cast<std::int64_t>(w));
  }
  const auto origins = static_cast<std::int64_t>(first.size());
  if (wanted > origins) {
    throw ConfigurationError(
        "run.agents = {}, but only {} origins have demand; an agent is a group of origins, so ask "
        "for fewer",
        wanted, origins);
  }
  const auto agents = static_cast<int>(wanted > 0 ? wanted : std::min<std::int64_t>(20, origins));
  first.push_back(static_cast<std::int64_t>(pairs.size()));
  std::vector<double> cost;
  for (std::size_t o = 0; o + 1 < first.size(); ++o)
    cost.push_back(static_cast<double>(first[o + 1] - first[o]));
  std::vector<std::int64_t> offsets;
  const auto groups = partition::Partition::by_cost(cost, agents);
  for (const std::int64_t origin : groups.offsets())
    offsets.push_back(first[static_cast<std::size_t>(origin)]);
  return partition::Partition::from_offsets(std::move(offsets));
}

/// Appends the shortcuts, and raises every demand to its largest value. A pair that travels free of
/// cost in the empty network has nothing to compare with: its shortcut is as good as closed.
void make_elastic(TrafficNetwork& network, double elasticity, std::vector<OdPair>& pairs) {
  constexpr double closed = 1e30;
  LinkState empty(network.links());
  empty.evaluate(network.cost());
  std::vector<double> slopes;
  ShortestPaths search(network);
  for (std::size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
    while (end < pairs.size() && pairs[end].origin == pairs[begin].origin) ++end;
    search.run(pairs[begin].origin, std::span(pairs).subspan(begin, end - begin), empty.cost);
    for (std::size_t w = begin; w < end; ++w) {
      const double least = search.distance(pairs[w].destination);
      slopes.push_back((least > 0.0 ? least : closed) / (elasticity * pairs[w].demand));
    }
  }
  for (std::size_t w = 0; w < pairs.size(); ++w) {
    network.add_shortcut(pairs[w].origin, pairs[w].destination, slopes[w]);
    pairs[w].demand *= 1.0 + elasticity;
  }
}

}  // namespace

void TrafficOptions::describe(state::OptionVisitor& visit) {
  visit.option("net", net, "network file in TNTP format, plain or packed");
  visit.option("trips", trips, "trips file in TNTP format");
  visit.option("nodes", nodes, "file of node coordinates in TNTP format, for maps (optional)");
  visit.option("toll_weight", toll_weight, "cost of a unit of toll", state::non_negative);
  visit.option("length_weight", length_weight, "cost of a unit of length", state::non_negative);
  visit.choice(
      "law", law, {"bpr", "junctions"},
      "bpr: the cost of a link depends on its own flow, as the file says; junctions: links "
      "of type 0 yield to those of type 1 that enter the same node (Terrassa)");
  visit.option("hours", hours,
               "of junctions: capacities of the file times this; 1 takes them as they are",
               state::positive);
  visit.option("elasticity", elasticity,
               "of the demand at the cost of the empty network, where the file's demand holds; 0 "
               "for fixed demand",
               state::non_negative);
  visit.option("dispersion", dispersion,
               "of a stochastic equilibrium: a path of cost c is taken in proportion to "
               "exp(-dispersion c); 0 for the user equilibrium",
               state::non_negative);
}

TrafficModel TrafficModel::make(const TrafficOptions& options, formats::TntpNetwork file,
                                const formats::TntpTrips& trips, std::int64_t wanted) {
  TrafficNetwork network(file, options.toll_weight, options.length_weight,
                         options.junction_hours());
  std::vector<OdPair> pairs = sorted_demand(trips, file, options.trips);
  if (options.elasticity > 0.0) {
    if (options.dispersion > 0.0) {
      throw ConfigurationError(
          "problem.elasticity and problem.dispersion are both given; a stochastic equilibrium has "
          "fixed demand here");
    }
    if (options.junction_hours() > 0.0) {
      throw ConfigurationError(
          "problem.elasticity needs problem.law = bpr; the law of junctions has fixed demand");
    }
    make_elastic(network, options.elasticity, pairs);
  }
  partition::Partition agents = group_origins(pairs, wanted);
  double demand = 0.0;
  for (const OdPair& pair : pairs) demand += pair.demand;
  return {options,          std::move(file),   {},    std::move(network),
          std::move(pairs), std::move(agents), demand};
}

TrafficModel TrafficModel::read(const TrafficOptions& options, std::int64_t wanted) {
  if (options.net.empty() || options.trips.empty()) {
    throw ConfigurationError(
        "the traffic problem needs problem.net and problem.trips, two files in TNTP format");
  }
  TrafficModel model = make(options, formats::read_tntp_network(options.net),
                            formats::read_tntp_trips(options.trips), wanted);
  if (!options.nodes.empty()) model.nodes = formats::read_tntp_nodes(options.nodes);
  return model;
}

partition::Partition TrafficModel::hosts(int ranks) const {
  std::vector<double> cost;
  for (int agent = 0; agent < agents.parts(); ++agent) {
    cost.push_back(static_cast<double>(agents.range(agent).size()));
  }
  return partition::Partition::by_cost(cost, ranks);
}

std::string TrafficModel::fingerprint() const {
  Hash hash;
  for (const formats::TntpLink& link : file.links) {
    hash.add(static_cast<std::uint64_t>(link.from) << 32U | static_cast<std::uint64_t>(link.to));
    for (const double field :
         {link.capacity, link.length, link.free_flow_time, link.b, link.power, link.toll}) {
      hash.add(field);
    }
  }
  for (const OdPair& pair : pairs) {
    hash.add(static_cast<std::uint64_t>(pair.origin) << 32U |
             static_cast<std::uint64_t>(pair.destination));
    hash.add(pair.demand);
  }
  hash.add(static_cast<std::uint64_t>(file.first_thru_node));
  return fmt::format(
      "traffic: {} zones, {} nodes, {} links, {} OD pairs, {} agents, toll weight {}, length "
      "weight {}{}{}{}, hash {:016x}",
      file.zones, file.nodes, file.links.size(), pairs.size(), agents.parts(), options.toll_weight,
      options.length_weight,
      options.junction_hours() > 0.0 ? fmt::format(", junctions of {} hours", options.hours) : "",
      elastic() ? fmt::format(", elasticity {}", options.elasticity) : "",
      stochastic() ? fmt::format(", dispersion {}", options.dispersion) : "", hash.value());
}

void TrafficSolution::fields(state::FieldVisitor& visit) {
  visit.replicated("link_flow", link_flow);
  visit.ragged("path_count", hosts, part, path_count);
  visit.ragged("path_link", hosts, part, path_link);
  visit.ragged("path_flow", hosts, part, path_flow);
}

}  // namespace equipoise::problems
