#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/traffic_network.hpp>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace equipoise::problems {

void LinkCost::add(const formats::TntpLink& link, double toll_weight, double length_weight) {
  const double fixed = toll_weight * link.toll + length_weight * link.length;
  const double scale = link.free_flow_time * link.b;
  if (scale == 0.0 || link.power == 0.0) {
    laws_.push_back({link.free_flow_time + fixed + scale, 0.0, 1.0, 1.0, false});
  } else {
    laws_.push_back(
        {link.free_flow_time + fixed, scale, 1.0 / link.capacity, link.power, link.power == 4.0});
  }
}

TrafficNetwork::TrafficNetwork(const formats::TntpNetwork& file, double toll_weight,
                               double length_weight)
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
    cost_.add(link, toll_weight, length_weight);
  }
  std::partial_sum(first_out_.begin(), first_out_.end(), first_out_.begin());
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
