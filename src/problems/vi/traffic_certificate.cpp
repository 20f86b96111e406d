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

/// The largest error of a node: inflow and outflow must differ by what begins and ends there; and a
/// zone must send out and take in at least its trips, exactly them where it cannot be passed.
double balance_error(const TrafficModel& model, std::span<const double> flow) {
  std::vector<double> in(static_cast<std::size_t>(model.file.nodes) + 1, 0.0);
  std::vector<double> out = in;
  for (std::size_t a = 0; a < model.file.links.size(); ++a) {
    out[static_cast<std::size_t>(model.file.links[a].from)] += flow[a];
    in[static_cast<std::size_t>(model.file.links[a].to)] += flow[a];
  }
  for (const OdPair& pair : model.pairs) {
    out[static_cast<std::size_t>(pair.origin)] -= pair.demand;
    in[static_cast<std::size_t>(pair.destination)] -= pair.demand;
  }
  double worst = 0.0;
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
  std::array<parallel::ExactSum, 3> sums;  // total cost, shortest-path cost, objective
  parallel::agree(comm, [&] {
    const std::size_t links = model.file.links.size();
    if (link_flow.size() != links) {
      throw InputError("a solution with {} link flows for a network of {} links", link_flow.size(),
                       links);
    }
    std::vector<double> cost(links);
    for (std::size_t a = 0; a < links; ++a) {
      const TntpLink& link = model.file.links[a];
      cost[a] = link_cost(model.options, link, link_flow[a]);
      if (comm.rank() > 0) continue;
      sums[0].add(link_flow[a] * cost[a]);
      sums[2].add(link_flow[a] * (fixed_cost(model.options, link) +
                                  link.free_flow_time *
                                      (1.0 + congestion(link, link_flow[a]) / (link.power + 1.0))));
    }
    const Labels labels(model.file, cost);
    std::vector<double> label;
    std::int32_t origin = 0;
    const auto mine =
        partition::Partition::uniform(static_cast<std::int64_t>(model.pairs.size()), comm.size());
    for (std::int64_t w = mine.range(comm.rank()).begin; w < mine.range(comm.rank()).end; ++w) {
      const OdPair& pair = model.pairs[static_cast<std::size_t>(w)];
      if (pair.origin != origin) label = labels.from(origin = pair.origin);
      const double distance = label[static_cast<std::size_t>(pair.destination)];
      if (std::isinf(distance)) {
        throw InputError("no path leads from zone {} to zone {}", pair.origin, pair.destination);
      }
      sums[1].add(pair.demand * distance);
    }
  });
  std::array<double, 3> value{};
  parallel::exact_sums(comm, sums, value);
  const auto [total, shortest, objective] = value;
  const double excess = std::abs(total - shortest);
  const double gap = total > 0.0 ? excess / total : excess;
  const double balance = balance_error(model, link_flow) / model.demand;
  solve::Certificate certificate;
  certificate.values = {{"relative_gap", gap},
                        {"average_excess_cost", excess / model.demand},
                        {"balance_error_relative_to_demand", balance},
                        {"beckmann_objective", objective},
                        {"total_cost", total}};
  certificate.measure =
      std::max(balance, measure == "average_excess_cost" ? excess / model.demand : gap);
  return certificate;
}

}  // namespace equipoise::problems
