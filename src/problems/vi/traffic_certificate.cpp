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

/// Costs of the file's links at these flows.
std::vector<double> costs_at(const TrafficModel& model, std::span<const double> flow) {
  std::vector<double> cost(model.file.links.size());
  for (std::size_t a = 0; a < cost.size(); ++a) {
    cost[a] = model.options.junction_hours() > 0.0
                  ? junction_cost(model, a, flow)
                  : link_cost(model.options, model.file.links[a], flow[a]);
  }
  return cost;
}

/// Logit flows of one pair after another: probabilities from the expected costs to its destination.
class LogitPairs {
 public:
  LogitPairs(const TrafficModel& model, std::span<const double> empty, std::span<const double> cost)
      : model_(model), labels_(model.file, empty), empty_(empty), cost_(cost) {}

  void add(const OdPair& pair, std::vector<double>& flow) {
    if (pair.origin != origin_) choose(pair.origin);
    const double dispersion = model_.options.dispersion;
    const auto& links = model_.file.links;
    std::vector<double> ahead(distance_.size(), std::numeric_limits<double>::infinity());
    ahead[static_cast<std::size_t>(pair.destination)] = 0.0;
    for (auto a = efficient_.rbegin(); a != efficient_.rend(); ++a) {
      // exp(-dispersion ahead) of the tail grows by that of the path over this link.
      double& tail = ahead[static_cast<std::size_t>(links[*a].from)];
      const double by = cost_[*a] + ahead[static_cast<std::size_t>(links[*a].to)];
      if (std::isinf(by)) continue;
      const double least = std::min(tail, by), most = std::max(tail, by);
      tail = least - std::log1p(std::exp(-dispersion * (most - least))) / dispersion;
    }
    std::vector<double> through(distance_.size(), 0.0);
    through[static_cast<std::size_t>(pair.origin)] = pair.demand;
    for (const std::size_t a : efficient_) {
      const auto from = static_cast<std::size_t>(links[a].from);
      const auto to = static_cast<std::size_t>(links[a].to);
      if (through[from] == 0.0 || std::isinf(ahead[to])) continue;
      const double part =
          through[from] * std::exp(-dispersion * (cost_[a] + ahead[to] - ahead[from]));
      flow[a] += part;
      through[to] += part;
    }
  }

 private:
  /// The links that lead farther from the origin, nearest tail first; of shortest paths of equal
  /// cost the one with fewer links counts.
  void choose(std::int32_t origin) {
    origin_ = origin;
    distance_ = labels_.from(origin);
    const auto& links = model_.file.links;
    steps_.assign(distance_.size(), model_.file.nodes);
    steps_[static_cast<std::size_t>(origin)] = 0;
    const auto leaves = [&](std::size_t a) {
      return links[a].from == origin || links[a].from >= model_.file.first_thru_node;
    };
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t a = 0; a < links.size(); ++a) {
        const auto from = static_cast<std::size_t>(links[a].from);
        const auto to = static_cast<std::size_t>(links[a].to);
        if (!leaves(a) || steps_[from] + 1 >= steps_[to] ||
            distance_[from] + empty_[a] != distance_[to]) {
          continue;
        }
        steps_[to] = steps_[from] + 1;
        changed = true;
      }
    }
    const auto rank = [&](std::int32_t node) {
      const auto i = static_cast<std::size_t>(node);
      return std::pair(distance_[i], steps_[i]);
    };
    efficient_.clear();
    for (std::size_t a = 0; a < links.size(); ++a) {
      if (leaves(a) && !std::isinf(rank(links[a].from).first) &&
          rank(links[a].from) < rank(links[a].to)) {
        efficient_.push_back(a);
      }
    }
    std::stable_sort(efficient_.begin(), efficient_.end(), [&](std::size_t a, std::size_t b) {
      return rank(links[a].from) < rank(links[b].from);
    });
  }

  const TrafficModel& model_;
  Labels labels_;
  std::span<const double> empty_, cost_;
  std::int32_t origin_ = 0;
  std::vector<double> distance_;
  std::vector<std::int64_t> steps_;
  std::vector<std::size_t> efficient_;
};

}  // namespace

solve::Certificate certify_logit(const parallel::Comm& comm, const TrafficModel& model,
                                 std::span<const double> link_flow) {
  std::array<double, 3> value{};  // error, total cost, balance
  parallel::agree(comm, [&] {
    if (link_flow.size() != model.network.links()) {
      throw InputError("a solution with {} link flows for a network of {} links", link_flow.size(),
                       model.network.links());
    }
    if (comm.rank() > 0) return;
    const std::vector<double> empty = costs_at(model, std::vector<double>(link_flow.size()));
    const std::vector<double> cost = costs_at(model, link_flow);
    std::vector<double> loaded(link_flow.size());
    LogitPairs logit(model, empty, cost);
    for (const OdPair& pair : model.pairs) logit.add(pair, loaded);
    double total = 0.0;
    for (std::size_t a = 0; a < loaded.size(); ++a) {
      value[0] += std::abs(loaded[a] - link_flow[a]);
      value[1] += cost[a] * link_flow[a];
      total += link_flow[a];
    }
    if (total > 0.0) value[0] /= total;
    value[2] = balance_error(model, link_flow) / model.demand;
  });
  comm.broadcast(std::span<double>(value));
  solve::Certificate certificate;
  certificate.values = {{"flow_error", value[0]},
                        {"balance_error_relative_to_demand", value[2]},
                        {"total_cost", value[1]}};
  certificate.measure = std::max(value[0], value[2]);
  return certificate;
}

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
    const std::vector<double> cost = costs_at(model, link_flow);
    std::vector<double> empty(links);
    for (std::size_t a = 0; a < links; ++a) {
      const TntpLink& link = model.file.links[a];
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
