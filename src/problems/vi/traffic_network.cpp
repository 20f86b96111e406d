#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/traffic_network.hpp>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace equipoise::problems {
namespace {
/// Of a link of type 0 at a junction, an hour.
constexpr double yielding_capacity = 4000.0;
}  // namespace

void LinkCost::add(const formats::TntpLink& link, double toll_weight, double length_weight) {
  const double fixed = toll_weight * link.toll + length_weight * link.length;
  const double scale = link.free_flow_time * link.b;
  if (scale == 0.0 || link.power == 0.0) {
    laws_.push_back({link.free_flow_time + fixed + scale, 0.0, 1.0, 1.0, Kind::power});
  } else {
    laws_.push_back({link.free_flow_time + fixed, scale, 1.0 / link.capacity, link.power,
                     link.power == 4.0 ? Kind::quartic : Kind::power});
  }
}

void LinkCost::add_linear(double slope) { laws_.push_back({0.0, slope, 1.0, 1.0, Kind::power}); }

void LinkCost::yield(std::size_t a, double t0, double fixed, double capacity,
                     std::vector<Priority> priorities) {
  constexpr double theta = 0.2, b = 4.0;
  laws_[a] = {t0 + fixed, 1.0 / theta, 1.0 / capacity, theta * b, Kind::yield};
  priorities_.resize(laws_.size());
  priorities_[a] = std::move(priorities);
}

void LinkCost::finish() {
  priorities_.resize(laws_.size());
  std::vector<std::vector<std::int32_t>> yielding(laws_.size());
  first_priority_.assign(1, 0);
  for (std::size_t a = 0; a < laws_.size(); ++a) {
    for (const Priority& p : priorities_[a]) {
      priority_.push_back(p);
      yielding[static_cast<std::size_t>(p.link)].push_back(static_cast<std::int32_t>(a));
    }
    first_priority_.push_back(static_cast<std::int32_t>(priority_.size()));
  }
  first_yielding_.assign(1, 0);
  for (const auto& list : yielding) {
    yielding_.insert(yielding_.end(), list.begin(), list.end());
    first_yielding_.push_back(static_cast<std::int32_t>(yielding_.size()));
  }
  priorities_.clear();
}

TrafficNetwork::TrafficNetwork(const formats::TntpNetwork& file, double toll_weight,
                               double length_weight, double junction_hours)
    : first_out_(static_cast<std::size_t>(file.nodes) + 2, 0),
      file_link_(file.links.size()),
      first_thru_(static_cast<std::int32_t>(file.first_thru_node)) {
  std::iota(file_link_.begin(), file_link_.end(), 0);
  std::stable_sort(file_link_.begin(), file_link_.end(), [&](std::int32_t a, std::int32_t b) {
    return file.links[static_cast<std::size_t>(a)].from <
           file.links[static_cast<std::size_t>(b)].from;
  });
  for (const std::int32_t at : file_link_) {
    const formats::TntpLink& link = file.links[static_cast<std::size_t>(at)];
    head_.push_back(link.to);
    tail_.push_back(link.from);
    ++first_out_[static_cast<std::size_t>(link.from) + 1];
    if (junction_hours > 0.0) {
      formats::TntpLink hourly = link;
      hourly.capacity *= junction_hours;
      cost_.add(hourly, toll_weight, length_weight);
    } else {
      cost_.add(link, toll_weight, length_weight);
    }
  }
  std::partial_sum(first_out_.begin(), first_out_.end(), first_out_.begin());
  if (junction_hours > 0.0) make_junctions(file, toll_weight, length_weight, junction_hours);
}

void TrafficNetwork::make_junctions(const formats::TntpNetwork& file, double toll_weight,
                                    double length_weight, double hours) {
  std::vector<std::vector<std::int32_t>> entering(static_cast<std::size_t>(file.nodes) + 1);
  const auto link_of = [&](std::size_t a) -> const formats::TntpLink& {
    return file.links[static_cast<std::size_t>(file_link_[a])];
  };
  for (std::size_t a = 0; a < links(); ++a) {
    if (link_of(a).type == 1)
      entering[static_cast<std::size_t>(head_[a])].push_back(static_cast<std::int32_t>(a));
  }
  for (std::size_t a = 0; a < links(); ++a) {
    const formats::TntpLink& link = link_of(a);
    if (link.type != 0) continue;
    std::vector<LinkCost::Priority> over;
    for (const std::int32_t other : entering[static_cast<std::size_t>(head_[a])]) {
      over.push_back(
          {other, yielding_capacity / link_of(static_cast<std::size_t>(other)).capacity});
    }
    cost_.yield(a, link.free_flow_time, toll_weight * link.toll + length_weight * link.length,
                hours * yielding_capacity, std::move(over));
  }
  cost_.finish();
}

std::int32_t TrafficNetwork::add_shortcut(std::int32_t from, std::int32_t to, double slope) {
  const auto number = static_cast<std::int32_t>(head_.size());
  head_.push_back(to);
  tail_.push_back(from);
  file_link_.push_back(number);
  cost_.add_linear(slope);
  return number;
}

std::vector<OdPair> sorted_demand(const formats::TntpTrips& trips,
                                  const formats::TntpNetwork& network, const std::string& file) {
  std::vector<OdPair> pairs;
  for (const formats::TntpTrip& trip : trips.trips) {
    if (std::max(trip.origin, trip.destination) > network.nodes) {
      throw InputError(
          "{}: trips from {} to {}, but the network has only {} nodes; do the files belong "
          "together?",
          file, trip.origin, trip.destination, network.nodes);
    }
    if (trip.demand > 0.0 && trip.origin != trip.destination) {
      pairs.push_back({trip.origin, trip.destination, trip.demand});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [](const OdPair& a, const OdPair& b) {
    return std::tie(a.origin, a.destination) < std::tie(b.origin, b.destination);
  });
  std::size_t kept = 0;
  for (const OdPair& pair : pairs) {
    if (kept > 0 && pairs[kept - 1].origin == pair.origin &&
        pairs[kept - 1].destination == pair.destination) {
      pairs[kept - 1].demand += pair.demand;
    } else {
      pairs[kept++] = pair;
    }
  }
  pairs.resize(kept);
  if (pairs.empty()) throw InputError("{}: no trips between different zones", file);
  return pairs;
}

}  // namespace equipoise::problems
