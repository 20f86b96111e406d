#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/vi/traffic_paths.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::problems {
namespace {

constexpr std::int32_t side = 12;
constexpr std::int32_t zones = 5;

/// A grid of roads both ways with random costs; the first five nodes are zones that must not be
/// passed.
formats::TntpNetwork grid() {
  formats::TntpNetwork net;
  net.zones = zones;
  net.nodes = side * side;
  net.first_thru_node = zones + 1;
  const parallel::Draw draw(7, parallel::Purpose::problem, 0);
  const auto add = [&](std::int32_t from, std::int32_t to) {
    const auto k = static_cast<std::uint64_t>(2 * net.links.size());
    net.links.push_back({from, to, 1.0 + draw.uniform(k), 1.0, 1.0 + 3.0 * draw.uniform(k + 1),
                         0.15, 4.0, 0.0, 0.0, 1});
  };
  for (std::int32_t row = 0; row < side; ++row) {
    for (std::int32_t column = 0; column < side; ++column) {
      const std::int32_t node = row * side + column + 1;
      for (const std::int32_t next :
           {column + 1 < side ? node + 1 : 0, row + 1 < side ? node + side : 0}) {
        if (next == 0) continue;
        add(node, next);
        add(next, node);
      }
    }
  }
  add(1, side + 1);
  return net;
}

std::vector<OdPair> all_pairs() {
  std::vector<OdPair> pairs;
  for (std::int32_t from = 1; from <= zones; ++from) {
    for (std::int32_t to = 1; to <= zones; ++to) {
      if (from != to) pairs.push_back({from, to, 1.0 + 0.25 * from});
    }
  }
  return pairs;
}

TEST(ShortestPaths, LabelCorrectionAndDijkstraAgree) {
  const TrafficNetwork net(grid(), 0.0, 0.0);
  LinkState state(net.links());
  state.evaluate(net.cost());
  const std::vector<OdPair> pairs = all_pairs();
  ShortestPaths fast(net);
  ShortestPaths dijkstra(net, 0);
  for (std::int32_t from = 1; from <= net.nodes(); ++from) {
    fast.run(from, pairs, state.cost);
    dijkstra.run(from, pairs, state.cost);
    for (std::int32_t to = 1; to <= net.nodes(); ++to) {
      EXPECT_EQ(fast.distance(to), dijkstra.distance(to));
      std::vector<std::int32_t> path;
      fast.append_path(to, path);
      double sum = 0.0;
      for (std::size_t k = path.size(); k-- > 0;) {
        sum += state.cost[static_cast<std::size_t>(path[k])];
        EXPECT_TRUE(k == 0 || net.thru(net.head(path[k])));
      }
      EXPECT_NEAR(sum, fast.distance(to), 1e-12);
    }
  }
}

double objective(const TrafficNetwork& net, const std::vector<double>& flow) {
  double sum = 0.0;
  for (std::size_t a = 0; a < flow.size(); ++a) sum += net.cost().integral(a, flow[a]);
  return sum;
}

TEST(PathGroup, SweepsDescendAndKeepTheDemand) {
  const TrafficNetwork net(grid(), 0.0, 0.0);
  const std::vector<OdPair> pairs = all_pairs();
  PathGroup group(net, pairs);
  ShortestPaths search(net);
  LinkState state(net.links());
  state.evaluate(net.cost());
  group.load(state, search);
  double before = objective(net, state.flow);
  for (int step = 0; step < 10; ++step) {
    state.evaluate(net.cost());
    parallel::ExactSum shortest;
    group.renew(state.cost, search, shortest);
    group.remember();
    for (int k = 0; k < 5; ++k) (void)group.sweep(state, 1.0);
    group.advance(1.0, 0.0);
    std::fill(state.flow.begin(), state.flow.end(), 0.0);
    group.add_link_flow(state.flow);
    const double after = objective(net, state.flow);
    EXPECT_LE(after, before * (1.0 + 1e-14)) << step;
    before = after;
  }
  std::vector<double> left(static_cast<std::size_t>(net.nodes()) + 1, 0.0);
  for (std::int32_t a = 0; a < static_cast<std::int32_t>(net.links()); ++a) {
    left[static_cast<std::size_t>(net.tail(a))] += state.flow[static_cast<std::size_t>(a)];
    left[static_cast<std::size_t>(net.head(a))] -= state.flow[static_cast<std::size_t>(a)];
  }
  for (const OdPair& pair : pairs) {
    left[static_cast<std::size_t>(pair.origin)] -= pair.demand;
    left[static_cast<std::size_t>(pair.destination)] += pair.demand;
  }
  for (const double error : left) EXPECT_NEAR(error, 0.0, 1e-12);
}

TEST(PathGroup, RestoresWhatItSavedAndRefusesTheRest) {
  const TrafficNetwork net(grid(), 0.0, 0.0);
  const std::vector<OdPair> pairs = all_pairs();
  PathGroup group(net, pairs);
  ShortestPaths search(net);
  LinkState state(net.links());
  state.evaluate(net.cost());
  group.load(state, search);
  std::vector<std::int64_t> counts, links;
  std::vector<double> flows, momenta;
  group.save(counts, links, flows, momenta);
  PathGroup other(net, pairs);
  other.restore(counts, links, flows, momenta);
  std::vector<double> mine(net.links(), 0.0), its(net.links(), 0.0);
  group.add_link_flow(mine);
  other.add_link_flow(its);
  EXPECT_EQ(mine, its);
  auto wrong_links = links;
  wrong_links[1] = static_cast<std::int64_t>(net.links());
  EXPECT_THROW(other.restore(counts, wrong_links, flows, momenta), CheckpointError);
  wrong_links = links;
  wrong_links[0] = 1'000'000;
  EXPECT_THROW(other.restore(counts, wrong_links, flows, momenta), CheckpointError);
  auto wrong_counts = counts;
  wrong_counts[0] += 1;
  EXPECT_THROW(other.restore(wrong_counts, links, flows, momenta), CheckpointError);
  wrong_counts.pop_back();
  EXPECT_THROW(other.restore(wrong_counts, links, flows, momenta), CheckpointError);
}

/// c(v) = 2 (1 + 0.5 (v / 4)^p) + 3 toll + 5 length, by the formula.
TEST(LinkCost, FollowsTheFormula) {
  for (const double power : {0.0, 0.5, 1.0, 4.0, 16.83}) {
    LinkCost cost;
    cost.add({1, 2, 4.0, 0.2, 2.0, 0.5, power, 0.0, 0.1, 1}, 3.0, 5.0);
    for (const double v : {0.5, 3.0, 4.0, 7.0}) {
      double value = 0.0, slope = 0.0;
      cost.evaluate(0, v, value, slope);
      const double growth = std::pow(v / 4.0, power);
      EXPECT_NEAR(value, 2.0 * (1.0 + 0.5 * growth) + 1.3, 1e-12 * value);
      EXPECT_NEAR(slope, growth * power / v, 1e-12 * (1.0 + slope));
      EXPECT_NEAR(cost.integral(0, v), v * (3.3 + growth / (power + 1.0)), 1e-12 * value * v);
      const double small = 1e-9 * v;
      EXPECT_NEAR(cost.rise(0, v, small), slope * small, 1e-7 * slope * small);
      double doubled = 0.0;
      cost.evaluate(0, 2.0 * v, doubled, slope);
      EXPECT_EQ(cost.rise(0, v, v), doubled - value);
    }
  }
}

}  // namespace
}  // namespace equipoise::problems
