#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/problems/vi/traffic_model.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <limits>

namespace equipoise::problems {
namespace {

using formats::TntpLink;

double congestion(const TntpLink& link, double flow) {
  return link.b == 0.0 ? 0.0 : link.b * std::pow(std::max(flow, 0.0) / link.capacity, link.power);
}

double fixed_cost(const TrafficOptions& options, const TntpLink& link) {
  return options.toll_weight * link.toll + options.length_weight * link.length;
}

double link_cost(const TrafficOptions& options, const TntpLink& link, double flow) {
  return link.free_flow_time * (1.0 + congestion(link, flow)) + fixed_cost(options, link);
}

/// The law of junctions from the columns of the file: type 0 looks at every link of type 1 with its
/// end node.
double junction_cost(const TrafficModel& model, std::size_t a, std::span<const double> flow) {
  constexpr double theta = 0.2, b = 4.0, hourly = 4000.0;
  const TntpLink& link = model.file.links[a];
  if (link.type != 0) {
    TntpLink longer = link;
    longer.capacity *= model.options.hours;
    return link_cost(model.options, longer, flow[a]);
  }
  double sum = flow[a];
  for (std::size_t k = 0; k < model.file.links.size(); ++k) {
    const TntpLink& other = model.file.links[k];
    if (other.type == 1 && other.to == link.to) sum += hourly / other.capacity * flow[k];
  }
  const double t = theta * b * (sum / (model.options.hours * hourly) - 1.0);
  const double soft = t > 30.0 ? t : std::log(1.0 + std::exp(t));
  return link.free_flow_time + soft / theta + fixed_cost(model.options, link);
}

/// Distances from one node by label correction over lists of the links out of each node.
class Labels {
 public:
  Labels(const formats::TntpNetwork& network, std::span<const double> cost)
      : network_(network), cost_(cost) {
    out_.resize(static_cast<std::size_t>(network.nodes) + 1);
    for (std::size_t a = 0; a < network.links.size(); ++a) {
      out_[static_cast<std::size_t>(network.links[a].from)].push_back(a);
    }
  }

  std::vector<double> from(std::int32_t origin) const {
    std::vector<double> label(out_.size(), std::numeric_limits<double>::infinity());
    std::vector<char> waiting(out_.size(), 0);
    std::deque<std::int32_t> queue = {origin};
    label[static_cast<std::size_t>(origin)] = 0.0;
    while (!queue.empty()) {
      const std::int32_t node = queue.front();
      const auto i = static_cast<std::size_t>(node);
      queue.pop_front();
      waiting[i] = 0;
      if (node < network_.first_thru_node && node != origin) continue;
      for (const std::size_t a : out_[i]) {
        const auto j = static_cast<std::size_t>(network_.links[a].to);
        if (!(label[i] + cost_[a] < label[j])) continue;
        label[j] = label[i] + cost_[a];
        if (waiting[j] == 0) queue.push_back(network_.links[a].to);
        waiting[j] = 1;
      }
    }
    return label;
  }

 private:
  const formats::TntpNetwork& network_;
  std::span<const double> cost_;
  std::vector<std::vector<std::size_t>> out_;
};

/// Trips that pair w makes: all, but those on its shortcut.
double trips_of(const TrafficModel& model, std::span<const double> flow, std::size_t w) {
  return model.pairs[w].demand - (model.elastic() ? flow[model.file.links.size() + w] : 0.0);
}

/// The largest error of a node: inflow and outflow must differ by what begins and ends there; and a
/// zone must send out and take in at least its trips, exactly them where it cannot be passed.
double balance_error(const TrafficModel& model, std::span<const double> flow) {
  std::vector<double> in(static_cast<std::size_t>(model.file.nodes) + 1, 0.0);
  std::vector<double> out = in;
  for (std::size_t a = 0; a < model.file.links.size(); ++a) {
    out[static_cast<std::size_t>(model.file.links[a].from)] += flow[a];
    in[static_cast<std::size_t>(model.file.links[a].to)] += flow[a];
  }
  double worst = 0.0;
  for (std::size_t w = 0; w < model.pairs.size(); ++w) {
    const double trips = trips_of(model, flow, w);
    out[static_cast<std::size_t>(model.pairs[w].origin)] -= trips;
    in[static_cast<std::size_t>(model.pairs[w].destination)] -= trips;
    worst = std::max(worst, -trips);
  }
  for (std::size_t node = 1; node < in.size(); ++node) {
    const bool passed = static_cast<std::int64_t>(node) >= model.file.first_thru_node;
    for (const double excess : {in[node], out[node]})
      worst = std::max(worst, passed ? -excess : std::abs(excess));
    worst = std::max(worst, std::abs(in[node] - out[node]));
  }
  for (const double value : flow) worst = std::max(worst, -value);
  return worst;
}

}  // namespace

solve::Certificate certify_traffic(const parallel::Comm& comm, const TrafficModel& model,
                                   std::span<const double> link_flow, const std::string& measure) {
  const bool junctions = model.options.junction_hours() > 0.0;
  std::array<parallel::ExactSum, 4> sums;  // total cost, shortest-path cost, objective, trips
  parallel::agree(comm, [&] {
    const std::size_t links = model.file.links.size();
    if (link_flow.size() != model.network.links()) {
      throw InputError("a solution with {} link flows for a network of {} links", link_flow.size(),
                       model.network.links());
    }
    std::vector<double> cost(links), empty(links);
    for (std::size_t a = 0; a < links; ++a) {
      const TntpLink& link = model.file.links[a];
      cost[a] = junctions ? junction_cost(model, a, link_flow)
                          : link_cost(model.options, link, link_flow[a]);
      if (model.elastic()) empty[a] = link_cost(model.options, link, 0.0);
      if (comm.rank() > 0) continue;
      sums[0].add(link_flow[a] * cost[a]);
      sums[2].add(link_flow[a] * (fixed_cost(model.options, link) +
                                  link.free_flow_time *
                                      (1.0 + congestion(link, link_flow[a]) / (link.power + 1.0))));
    }
    const Labels labels(model.file, cost), at_rest(model.file, empty);
    std::vector<double> label, rest;
    std::int32_t origin = 0;
    const auto mine =
        partition::Partition::uniform(static_cast<std::int64_t>(model.pairs.size()), comm.size());
    for (std::int64_t k = mine.range(comm.rank()).begin; k < mine.range(comm.rank()).end; ++k) {
      const auto w = static_cast<std::size_t>(k);
      const OdPair& pair = model.pairs[w];
      if (pair.origin != origin) {
        label = labels.from(origin = pair.origin);
        if (model.elastic()) rest = at_rest.from(origin);
      }
      double distance = label[static_cast<std::size_t>(pair.destination)];
      if (std::isinf(distance)) {
        throw InputError("no path leads from zone {} to zone {}", pair.origin, pair.destination);
      }
      sums[3].add(trips_of(model, link_flow, w));
      if (model.elastic()) {
        // The cost at which just this many trips would be made.
        const double e = model.options.elasticity;
        const double least = rest[static_cast<std::size_t>(pair.destination)];
        const double stay = link_flow[links + w];
        const double worth =
            least > 0.0 ? least * stay * (1.0 + e) / (e * pair.demand) : (stay > 0.0 ? 1e30 : 0.0);
        sums[0].add(stay * worth);
        sums[2].add(0.5 * stay * worth);
        if (least > 0.0) distance = std::min(distance, worth);
      }
      sums[1].add(pair.demand * distance);
    }
  });
  std::array<double, 4> value{};
  parallel::exact_sums(comm, sums, value);
  const auto [total, shortest, objective, trips] = value;
  const double excess = std::abs(total - shortest);
  const double gap = total > 0.0 ? excess / total : excess;
  const double balance = balance_error(model, link_flow) / model.demand;
  solve::Certificate certificate;
  certificate.values = {{"relative_gap", gap},
                        {"average_excess_cost", excess / model.demand},
                        {"balance_error_relative_to_demand", balance}};
  if (!junctions) certificate.values.emplace_back("beckmann_objective", objective);
  certificate.values.emplace_back("total_cost", total);
  if (model.elastic()) certificate.values.emplace_back("trips_made", trips);
  certificate.measure =
      std::max(balance, measure == "average_excess_cost" ? excess / model.demand : gap);
  return certificate;
}

}  // namespace equipoise::problems
