#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/traffic_paths.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

namespace equipoise::problems {
namespace {

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }
std::int32_t narrow(std::size_t i) { return static_cast<std::int32_t>(i); }

/// A path this much cheaper than the others is new, not a rounding of one of them.
constexpr double clearly_cheaper = 1.0 - 1e-14;
/// Below this fraction of the demand a path counts as unused.
constexpr double unused = 1e-14;

}  // namespace

ShortestPaths::ShortestPaths(const TrafficNetwork& network, std::size_t patience)
    : network_(&network),
      patience_(patience),
      distance_(at(network.nodes()) + 1),
      into_(distance_.size(), -1),
      place_(distance_.size()),
      queue_(std::bit_ceil(distance_.size() + 1)) {}

void ShortestPaths::start() {
  std::fill(distance_.begin(), distance_.end(), std::numeric_limits<double>::infinity());
  distance_[at(origin_)] = 0.0;
}

bool ShortestPaths::correct_labels(std::span<const double> cost) {
  start();
  std::fill(place_.begin(), place_.end(), Place::never);
  const std::size_t mask = queue_.size() - 1;
  std::size_t front = 0, back = 1;
  queue_[0] = origin_;
  for (std::size_t left = patience_ * distance_.size(); front != back; --left) {
    if (left == 0) return false;
    const std::int32_t node = queue_[front];
    front = (front + 1) & mask;
    place_[at(node)] = Place::before;
    const double reached = distance_[at(node)];
    const std::int32_t end = network_->first_out(node + 1);
    for (std::int32_t link = network_->first_out(node); link < end; ++link) {
      const std::size_t head = at(network_->head(link));
      const double through = reached + cost[at(link)];
      if (!(through < distance_[head])) continue;
      distance_[head] = through;
      into_[head] = link;
      if (place_[head] == Place::waiting || !network_->thru(narrow(head))) continue;
      // A node that was expanded before goes first: its successors carry old labels.
      if (place_[head] == Place::before) {
        front = (front - 1) & mask;
        queue_[front] = narrow(head);
      } else {
        queue_[back] = narrow(head);
        back = (back + 1) & mask;
      }
      place_[head] = Place::waiting;
    }
  }
  return true;
}

void ShortestPaths::dijkstra(std::span<const double> cost) {
  start();
  heap_.assign(1, {0.0, origin_});
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const auto [reached, node] = heap_.back();
    heap_.pop_back();
    if (reached > distance_[at(node)]) continue;
    const std::int32_t end = network_->first_out(node + 1);
    for (std::int32_t link = network_->first_out(node); link < end; ++link) {
      const std::int32_t head = network_->head(link);
      const double through = reached + cost[at(link)];
      if (!(through < distance_[at(head)])) continue;
      distance_[at(head)] = through;
      into_[at(head)] = link;
      if (!network_->thru(head)) continue;
      heap_.emplace_back(through, head);
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
  }
}

void ShortestPaths::run(std::int32_t origin, std::span<const OdPair> pairs,
                        std::span<const double> cost) {
  origin_ = origin;
  if (!correct_labels(cost)) dijkstra(cost);
  for (const OdPair& pair : pairs) {
    if (distance_[at(pair.destination)] == std::numeric_limits<double>::infinity()) {
      throw InputError(
          "demand {} from zone {} to zone {}, but no path leads there; check FIRST THRU NODE and "
          "the links",
          pair.demand, pair.origin, pair.destination);
    }
  }
}

void ShortestPaths::append_path(std::int32_t node, std::vector<std::int32_t>& links) const {
  while (node != origin_) {
    const std::int32_t link = into_[at(node)];
    links.push_back(link);
    node = network_->tail(link);
  }
}

PathGroup::PathGroup(const TrafficNetwork& network, std::span<const OdPair> pairs,
                     std::int32_t shortcut)
    : network_(&network),
      pairs_(pairs),
      shortcut_(shortcut),
      first_path_(pairs.size() + 1, 0),
      first_link_(1, 0),
      mark_(network.links(), 0) {}

void PathGroup::load(LinkState& view, ShortestPaths& search) {
  flow_.clear();
  link_.clear();
  first_link_.assign(1, 0);
  for (std::size_t begin = 0, end = 0; begin < pairs_.size(); begin = end) {
    while (end < pairs_.size() && pairs_[end].origin == pairs_[begin].origin) ++end;
    search.run(pairs_[begin].origin, pairs_.subspan(begin, end - begin), view.cost);
    const std::size_t old = link_.size();
    for (std::size_t w = begin; w < end; ++w) {
      const std::size_t first = link_.size();
      search.append_path(pairs_[w].destination, link_);
      for (std::size_t k = first; k < link_.size(); ++k)
        view.flow[at(link_[k])] += pairs_[w].demand;
      flow_.push_back(pairs_[w].demand);
      first_link_.push_back(narrow(link_.size()));
      first_path_[w + 1] = narrow(w + 1);
    }
    for (std::size_t k = old; k < link_.size(); ++k) {
      const std::size_t a = at(link_[k]);
      view.update(network_->cost(), a);
    }
  }
  momentum_.assign(flow_.size(), 0.0);
  find_busy();
}

double PathGroup::path_cost(std::size_t path, std::span<const double> cost) const {
  double sum = 0.0;
  for (std::int32_t k = first_link_[path]; k < first_link_[path + 1]; ++k)
    sum += cost[at(link_[at(k)])];
  return sum;
}

void PathGroup::shift(std::size_t from, std::size_t to, LinkState& view, double overlap) {
  // Only links of exactly one of the two paths matter: the others keep their flow.
  only_from_.clear();
  only_to_.clear();
  double gain = 0.0, slope = 0.0;
  const std::int64_t in_from = ++marks_;
  for (std::int32_t k = first_link_[from]; k < first_link_[from + 1]; ++k)
    mark_[at(link_[at(k)])] = in_from;
  const std::int64_t in_to = ++marks_;
  for (std::int32_t k = first_link_[to]; k < first_link_[to + 1]; ++k) {
    const std::size_t a = at(link_[at(k)]);
    if (mark_[a] != in_from) {
      only_to_.push_back(narrow(a));
      gain -= view.cost[a];
      slope += view.slope[a];
    }
    mark_[a] = in_to;
  }
  for (std::int32_t k = first_link_[from]; k < first_link_[from + 1]; ++k) {
    const std::size_t a = at(link_[at(k)]);
    if (mark_[a] != in_to) {
      only_from_.push_back(narrow(a));
      gain += view.cost[a];
      slope += view.slope[a];
    }
  }
  double moved = 0.0;
  if (gain > 0.0) {
    moved = gain < flow_[from] * overlap * slope ? gain / (overlap * slope) : flow_[from];
  } else {
    moved = -gain < flow_[to] * overlap * slope ? gain / (overlap * slope) : -flow_[to];
  }
  if (moved == 0.0) return;
  flow_[from] -= moved;
  flow_[to] += moved;
  const double seen = overlap * moved;
  const LinkCost& law = network_->cost();
  for (const std::int32_t a : only_from_) {
    view.flow[at(a)] -= seen;
    view.update(law, at(a));
  }
  for (const std::int32_t a : only_to_) {
    view.flow[at(a)] += seen;
    view.update(law, at(a));
  }
}

void PathGroup::equilibrate(std::size_t pair, LinkState& view, double overlap, double& excess) {
  const auto begin = at(first_path_[pair]);
  const auto end = at(first_path_[pair + 1]);
  std::size_t best = begin;
  for (std::size_t p = begin; p < end; ++p) {
    path_cost_[p] = path_cost(p, view.cost);
    if (path_cost_[p] < path_cost_[best]) best = p;
  }
  for (std::size_t p = begin; p < end; ++p) {
    if (p == best || flow_[p] == 0.0) continue;
    excess += flow_[p] * (path_cost_[p] - path_cost_[best]);
    shift(p, best, view, overlap);
  }
}

double PathGroup::sweep(LinkState& view, double overlap) {
  double excess = 0.0;
  for (const std::int32_t pair : busy_) equilibrate(at(pair), view, overlap, excess);
  return excess;
}

void PathGroup::damp_momentum(double limit) {
  for (const std::int32_t pair : busy_) {
    const auto begin = at(first_path_[at(pair)]);
    const auto end = at(first_path_[at(pair) + 1]);
    double factor = 1.0;
    for (std::size_t p = begin; p < end; ++p) {
      const double room = std::min(before_[p], flow_[p]);
      const double reach = limit * std::abs(momentum_[p]);
      if (factor * reach > room) factor = room / reach;
    }
    for (std::size_t p = begin; p < end; ++p) momentum_[p] *= factor;
  }
}

void PathGroup::derivatives(std::span<const double> cost, parallel::ExactSum& along_change,
                            parallel::ExactSum& along_momentum) const {
  for (const std::int32_t pair : busy_) {
    const auto begin = at(first_path_[at(pair)]);
    const auto end = at(first_path_[at(pair) + 1]);
    const double reference = path_cost(begin, cost);
    for (std::size_t p = begin + 1; p < end; ++p) {
      const double above = path_cost(p, cost) - reference;
      along_change.add(above * (flow_[p] - before_[p]));
      if (momentum_[p] != 0.0) along_momentum.add(above * momentum_[p]);
    }
  }
}

void PathGroup::advance(double t, double b) {
  for (const std::int32_t pair : busy_) {
    const auto begin = at(first_path_[at(pair)]);
    const auto end = at(first_path_[at(pair) + 1]);
    std::size_t largest = begin;
    for (std::size_t p = begin; p < end; ++p) {
      if (t < 1.0) flow_[p] = before_[p] + t * (flow_[p] - before_[p]);
      flow_[p] = std::max(0.0, flow_[p] + b * momentum_[p]);
      if (flow_[p] > flow_[largest]) largest = p;
    }
    // The largest path takes what rounding left over, so that demand is met to the last bit.
    double rest = pairs_[at(pair)].demand;
    for (std::size_t p = begin; p < end; ++p) {
      if (p != largest) rest -= flow_[p];
    }
    flow_[largest] = rest;
    for (std::size_t p = begin; p < end; ++p) momentum_[p] = flow_[p] - before_[p];
  }
}

void PathGroup::renew(std::span<const double> cost, ShortestPaths& search,
                      parallel::ExactSum& shortest) {
  next_.flow.clear();
  next_.momentum.clear();
  next_.link.clear();
  next_.first_path.assign(1, 0);
  next_.first_link.assign(1, 0);
  for (std::size_t begin = 0, end = 0; begin < pairs_.size(); begin = end) {
    while (end < pairs_.size() && pairs_[end].origin == pairs_[begin].origin) ++end;
    search.run(pairs_[begin].origin, pairs_.subspan(begin, end - begin), cost);
    for (std::size_t w = begin; w < end; ++w) {
      double distance = search.distance(pairs_[w].destination);
      const std::int32_t shortcut = shortcut_ < 0 ? -1 : shortcut_ + narrow(w);
      const bool stays_home = shortcut >= 0 && cost[at(shortcut)] < distance;
      if (stays_home) distance = cost[at(shortcut)];
      shortest.add(pairs_[w].demand * distance);
      double cheapest = std::numeric_limits<double>::infinity();
      bool dropped = false;
      for (auto p = at(first_path_[w]); p < at(first_path_[w + 1]); ++p) {
        cheapest = std::min(cheapest, path_cost(p, cost));
        if (flow_[p] <= unused * pairs_[w].demand) {
          dropped = true;
          continue;
        }
        next_.link.insert(next_.link.end(), link_.begin() + first_link_[p],
                          link_.begin() + first_link_[p + 1]);
        next_.first_link.push_back(narrow(next_.link.size()));
        next_.flow.push_back(flow_[p]);
        next_.momentum.push_back(momentum_[p]);
      }
      if (distance < clearly_cheaper * cheapest) {
        if (stays_home) {
          next_.link.push_back(shortcut);
        } else {
          search.append_path(pairs_[w].destination, next_.link);
        }
        next_.first_link.push_back(narrow(next_.link.size()));
        next_.flow.push_back(0.0);
        next_.momentum.push_back(0.0);
      }
      if (dropped) {
        // What the dropped paths carried by rounding, and the momentum that they no longer balance.
        const auto first = at(next_.first_path.back());
        std::fill(next_.momentum.begin() + next_.first_path.back(), next_.momentum.end(), 0.0);
        if (next_.flow.size() == first + 1) next_.flow[first] = pairs_[w].demand;
      }
      next_.first_path.push_back(narrow(next_.flow.size()));
    }
  }
  std::swap(flow_, next_.flow);
  std::swap(momentum_, next_.momentum);
  std::swap(link_, next_.link);
  std::swap(first_path_, next_.first_path);
  std::swap(first_link_, next_.first_link);
  find_busy();
}

void PathGroup::find_busy() {
  busy_.clear();
  for (std::size_t w = 0; w < pairs_.size(); ++w) {
    if (first_path_[w + 1] - first_path_[w] > 1) busy_.push_back(narrow(w));
  }
  path_cost_.resize(flow_.size());
}

void PathGroup::add(std::span<const double> path_flow, std::span<double> link_flow) const {
  for (std::size_t p = 0; p < path_flow.size(); ++p) {
    if (path_flow[p] == 0.0) continue;
    for (std::int32_t k = first_link_[p]; k < first_link_[p + 1]; ++k)
      link_flow[at(link_[at(k)])] += path_flow[p];
  }
}

void PathGroup::save(std::vector<std::int64_t>& counts, std::vector<std::int64_t>& links,
                     std::vector<double>& flows, std::vector<double>& momenta) const {
  counts.clear();
  links.clear();
  for (std::size_t w = 0; w < pairs_.size(); ++w)
    counts.push_back(first_path_[w + 1] - first_path_[w]);
  for (std::size_t p = 0; p < flow_.size(); ++p) {
    links.push_back(first_link_[p + 1] - first_link_[p]);
    links.insert(links.end(), link_.begin() + first_link_[p], link_.begin() + first_link_[p + 1]);
  }
  flows = flow_;
  momenta = momentum_;
}

void PathGroup::restore(std::span<const std::int64_t> counts, std::span<const std::int64_t> links,
                        std::span<const double> flows, std::span<const double> momenta) {
  const auto refuse = [] {
    throw CheckpointError("the stored paths do not fit this network and demand");
  };
  if (counts.size() != pairs_.size() || momenta.size() != flows.size()) refuse();
  std::int64_t paths = 0;
  for (std::size_t w = 0; w < counts.size(); ++w) {
    if (counts[w] < 1 || counts[w] > static_cast<std::int64_t>(flows.size())) refuse();
    paths += counts[w];
    first_path_[w + 1] = static_cast<std::int32_t>(paths);
  }
  if (paths != static_cast<std::int64_t>(flows.size())) refuse();
  flow_.assign(flows.begin(), flows.end());
  momentum_.assign(momenta.begin(), momenta.end());
  link_.clear();
  first_link_.assign(1, 0);
  for (std::size_t p = 0, k = 0; p < flow_.size(); ++p) {
    if (k >= links.size() || links[k] < 0 ||
        links[k] > static_cast<std::int64_t>(links.size() - k - 1))
      refuse();
    for (const std::size_t stop = k + 1 + static_cast<std::size_t>(links[k]); ++k < stop;) {
      if (links[k] < 0 || links[k] >= static_cast<std::int64_t>(network_->links())) refuse();
      link_.push_back(static_cast<std::int32_t>(links[k]));
    }
    first_link_.push_back(narrow(link_.size()));
  }
  find_busy();
}

}  // namespace equipoise::problems
