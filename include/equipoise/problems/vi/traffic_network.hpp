#pragma once

#include <equipoise/formats/tntp.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// Cost of a link at its own flow, c(v) = t0 (1 + B (v / capacity)^power) + toll_weight toll +
/// length_weight length, its derivative and its integral.
///
/// Links may also yield to others at a junction: then the cost is a function of the flow that the
/// link sees, its own and a multiple of theirs, and has no potential.
class LinkCost {
 public:
  void add(const formats::TntpLink& link, double toll_weight, double length_weight);
  /// Adds a line with the cost slope * v.
  void add_linear(double slope);
  /// Makes link `a` yield: c = t0 + ln(1 + exp(theta b (x - 1))) / theta + fixed with theta = 0.2,
  /// b = 4, x = (v_a + sum_k weight_k v_k) / capacity. Call `finish` after the last.
  struct Priority {
    std::int32_t link = 0;
    double weight = 0.0;
  };
  void yield(std::size_t a, double t0, double fixed, double capacity,
             std::vector<Priority> priorities);
  void finish();

  /// Some link's cost depends on others.
  [[nodiscard]] bool coupled() const { return !first_priority_.empty(); }
  /// The flow that the link sees.
  [[nodiscard]] double seen(std::size_t link, std::span<const double> flow) const {
    double sum = flow[link];
    if (coupled()) {
      for (std::int32_t k = first_priority_[link]; k < first_priority_[link + 1]; ++k) {
        const Priority& p = priority_[static_cast<std::size_t>(k)];
        sum += p.weight * flow[static_cast<std::size_t>(p.link)];
      }
    }
    return sum;
  }
  /// The links that yield to this one.
  [[nodiscard]] std::span<const std::int32_t> yielding_to(std::size_t link) const {
    if (!coupled()) return {};
    const auto begin = static_cast<std::size_t>(first_yielding_[link]);
    return std::span(yielding_).subspan(
        begin, static_cast<std::size_t>(first_yielding_[link + 1]) - begin);
  }

  /// c and c' at the flow seen; below 0 (rounding) counts as 0.
  void evaluate(std::size_t link, double flow, double& cost, double& slope) const {
    const Law& law = laws_[link];
    if (law.scale == 0.0) {
      cost = law.constant;
      slope = 0.0;
      return;
    }
    const double ratio = flow > 0.0 ? flow * law.inverse_capacity : 0.0;
    if (law.kind == Kind::yield) return evaluate_yield(law, ratio, cost, slope);
    const double below = power(ratio, law);
    cost = law.constant + law.scale * below * ratio;
    slope = law.scale * law.power * law.inverse_capacity * below;
  }
  /// c(v + x) - c(v), without the cancellation of a difference where x is small.
  [[nodiscard]] double rise(std::size_t link, double flow, double change) const {
    double cost = 0.0, slope = 0.0;
    if (std::abs(change) <= 1e-4 * flow) {
      evaluate(link, flow + 0.5 * change, cost, slope);
      return slope * change;
    }
    double before = 0.0;
    evaluate(link, flow, before, slope);
    evaluate(link, flow + change, cost, slope);
    return cost - before;
  }
  /// Integral of c from 0 to v.
  [[nodiscard]] double integral(std::size_t link, double flow) const {
    const Law& law = laws_[link];
    const double ratio = flow > 0.0 ? flow * law.inverse_capacity : 0.0;
    const double rise = law.scale == 0.0 ? 0.0 : law.scale * power(ratio, law) * ratio;
    return flow * (law.constant + rise / (law.power + 1.0));
  }

 private:
  enum class Kind : std::uint8_t { power, quartic, yield };
  struct Law {
    double constant, scale, inverse_capacity, power;
    Kind kind;
  };
  static void evaluate_yield(const Law& law, double ratio, double& cost, double& slope) {
    const double t = law.power * (ratio - 1.0);
    const double e = std::exp(-std::abs(t));
    cost = law.constant + law.scale * (std::max(t, 0.0) + std::log1p(e));
    slope = law.scale * law.power * law.inverse_capacity * (t > 0.0 ? 1.0 : e) / (1.0 + e);
  }
  /// ratio^(power - 1); for powers below 1 the ratio is kept off 0, where the slope is infinite.
  static double power(double ratio, const Law& law) {
    if (law.kind == Kind::quartic) return ratio * ratio * ratio;
    if (law.power < 1.0 && ratio < 1e-12) ratio = 1e-12;
    return law.power == 1.0 ? 1.0 : std::pow(ratio, law.power - 1.0);
  }
  std::vector<Law> laws_;
  std::vector<std::vector<Priority>> priorities_;  ///< while links are made to yield
  std::vector<Priority> priority_;
  std::vector<std::int32_t> first_priority_, yielding_, first_yielding_;
};

/// Trips from an origin to another zone.
struct OdPair {
  std::int32_t origin = 0, destination = 0;
  double demand = 0.0;
};

/// A road network as a forward star: links sorted by their tail, so that the links out of a node
/// are neighbours. Nodes count from 1 as in the file; links from 0, in forward-star order,
/// `file_link` gives their file order.
///
/// Behind the links of the file there may be shortcuts, one per OD pair, which carry the trips that
/// are not made: they have a cost, and no search passes them.
class TrafficNetwork {
 public:
  /// `junction_hours` > 0: links of type 0 yield to those of type 1 that enter the same node, and
  /// capacities are hourly values for so many hours (the law of Terrassa's data set: 4000 an hour
  /// for type 0, the file's capacity for type 1).
  TrafficNetwork(const formats::TntpNetwork& file, double toll_weight, double length_weight,
                 double junction_hours = 0.0);
  /// Appends a shortcut with the cost slope * v; returns its number.
  std::int32_t add_shortcut(std::int32_t from, std::int32_t to, double slope);

  [[nodiscard]] std::int32_t nodes() const {
    return static_cast<std::int32_t>(first_out_.size()) - 2;
  }
  [[nodiscard]] std::size_t links() const { return head_.size(); }
  [[nodiscard]] std::int32_t first_out(std::int32_t node) const {
    return first_out_[static_cast<std::size_t>(node)];
  }
  [[nodiscard]] std::int32_t head(std::int32_t link) const {
    return head_[static_cast<std::size_t>(link)];
  }
  [[nodiscard]] std::int32_t tail(std::int32_t link) const {
    return tail_[static_cast<std::size_t>(link)];
  }
  /// False for nodes that may begin or end a path and are never passed.
  [[nodiscard]] bool thru(std::int32_t node) const { return node >= first_thru_; }
  [[nodiscard]] std::span<const std::int32_t> file_link() const { return file_link_; }
  [[nodiscard]] const LinkCost& cost() const { return cost_; }

 private:
  std::vector<std::int32_t> first_out_;  ///< [nodes + 2], node 0 unused
  std::vector<std::int32_t> head_, tail_, file_link_;
  std::int32_t first_thru_;
  LinkCost cost_;
  void make_junctions(const formats::TntpNetwork& file, double toll_weight, double length_weight,
                      double hours);
};

/// The demand by origin, then destination: repeated entries merged, zero and intrazonal ones
/// dropped. Throws InputError where zones of the trips are no nodes of the network, or nothing is
/// left.
[[nodiscard]] std::vector<OdPair> sorted_demand(const formats::TntpTrips& trips,
                                                const formats::TntpNetwork& network,
                                                const std::string& file);

}  // namespace equipoise::problems
