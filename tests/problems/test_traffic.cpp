#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/vi/traffic.hpp>
#include <equipoise/problems/vi/traffic_projection.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>

namespace equipoise::problems {
namespace {

using parallel::Comm;

const Comm& world() {
  static const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

std::string stem_of(const std::string& name) {
  static const std::map<std::string, std::string> stems = {
      {"SiouxFalls", "SiouxFalls/SiouxFalls"},
      {"Anaheim", "Anaheim/Anaheim"},
      {"Barcelona", "Barcelona/Barcelona"},
      {"Braess", "Braess-Example/Braess"},
      {"EMA", "Eastern-Massachusetts/EMA"},
      {"Berlin", "Berlin-Friedrichshain/friedrichshain-center"},
      {"Terrassa", "Terrassa-Asymmetric/Terrassa-Asym"},
  };
  const char* const given = std::getenv("EQUIPOISE_DATA");
  return std::string(given ? given : EQUIPOISE_SOURCE_DIR "/../shared/data") + "/traffic/" +
         stems.at(name);
}

bool present(const std::string& name) {
  return std::filesystem::exists(stem_of(name) + "_net.tntp");
}

std::shared_ptr<const TrafficModel> published(const std::string& name, std::int64_t agents) {
  TrafficOptions options;
  options.net = stem_of(name) + "_net.tntp";
  options.trips = stem_of(name) + "_trips.tntp";
  return std::make_shared<const TrafficModel>(
      parallel::agree(world(), [&] { return TrafficModel::read(options, agents); }));
}

/// Two zones and the links of Braess: costs 10 v, 50 + v, 50 + v, 10 + v, 10 v (spec 8.7).
formats::TntpNetwork braess() {
  formats::TntpNetwork net;
  net.zones = 2;
  net.nodes = 4;
  const auto add = [&](std::int32_t from, std::int32_t to, double free, double b) {
    net.links.push_back({from, to, 1.0, 100.0, free, b, 1.0, 0.0, 1.0, 1});
  };
  add(1, 3, 1e-8, 1e9);
  add(1, 4, 50.0, 0.02);
  add(3, 2, 50.0, 0.02);
  add(3, 4, 10.0, 0.1);
  add(4, 2, 1e-8, 1e9);
  return net;
}

std::shared_ptr<const TrafficModel> model_of(formats::TntpNetwork net,
                                             std::vector<formats::TntpTrip> trips,
                                             std::int64_t agents = 0, double toll = 0.0,
                                             double length = 0.0) {
  TrafficOptions options;
  options.toll_weight = toll;
  options.length_weight = length;
  return std::make_shared<const TrafficModel>(
      TrafficModel::make(options, std::move(net), {2, 0.0, std::move(trips)}, agents));
}

struct Outcome {
  std::int64_t steps = 0;
  solve::Report report;
  std::vector<double> flow;
};

Outcome run(const std::shared_ptr<const TrafficModel>& model, double tolerance,
            std::int64_t limit = 1000) {
  PathProjection method(world(), model, {}, "relative_gap");
  Outcome out;
  do {
    method.step();
    ++out.steps;
  } while (method.report().residual > tolerance && out.steps < limit);
  out.report = method.report();
  out.flow = method.link_flow();
  return out;
}

/// Every path costs 92 with flow 2 each, the objective is 386 (closed form); the constant 1e-8 of
/// two links moves 1e-8 / 13 from the middle path to each of the others.
TEST(Traffic, BraessByHand) {
  const Outcome out = run(model_of(braess(), {{1, 2, 6.0}}), 1e-13);
  EXPECT_LE(out.report.residual, 1e-13);
  EXPECT_NEAR(out.report.objective, 386.0, 1e-6);
  const double moved = 1e-8 / 13.0;
  const std::vector<double> expected = {4 - moved, 2 + moved, 2 + moved, 2 - 2 * moved, 4 - moved};
  for (std::size_t a = 0; a < 5; ++a) EXPECT_NEAR(out.flow.at(a), expected[a], 1e-12) << a;
}

TEST(Traffic, WithoutTheShortcutTheBraessNetworkIsFaster) {
  formats::TntpNetwork net = braess();
  net.links.erase(net.links.begin() + 3);
  const auto model = model_of(net, {{1, 2, 6.0}});
  const Outcome out = run(model, 1e-13);
  EXPECT_NEAR(out.flow.at(0), 3.0, 1e-9);
  const solve::Certificate proof = certify_traffic(world(), *model, out.flow, "relative_gap");
  EXPECT_NEAR(proof.values.at(4).second, 6.0 * 83.0, 1e-6);
  EXPECT_LE(proof.measure, 1e-12);
}

/// Two parallel links, costs 10 + v and 20 with toll 1 and length 100 each: the first takes
/// everything up to 10.
TEST(Traffic, ParallelLinksFreeLinksTollsAndLengths) {
  formats::TntpNetwork net;
  net.zones = 2;
  net.nodes = 3;
  net.links.push_back({1, 3, 1.0, 100.0, 10.0, 0.1, 1.0, 0.0, 1.0, 1});
  net.links.push_back({1, 3, 1.0, 100.0, 20.0, 0.0, 4.0, 0.0, 1.0, 1});
  net.links.push_back({3, 2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1});
  const Outcome plain = run(model_of(net, {{1, 2, 30.0}, {1, 1, 5.0}, {2, 1, 0.0}}), 1e-14);
  EXPECT_NEAR(plain.flow.at(0), 10.0, 1e-12);
  EXPECT_NEAR(plain.flow.at(1), 20.0, 1e-12);
  EXPECT_EQ(plain.flow.at(2), 30.0);
  EXPECT_NEAR(plain.report.objective, 10.0 * 10.0 + 50.0 + 400.0, 1e-9);
  net.links[1].toll = 3.0;
  net.links[0].length = 97.0;
  const Outcome tolled = run(model_of(net, {{1, 2, 30.0}}, 0, 2.0, 1.0), 1e-14);
  EXPECT_NEAR(tolled.flow.at(0), 10.0 + 4.0 + 3.0, 1e-12);
}

/// One link with cost 10 + v and 30 trips asked for at cost 10, elasticity 0.5: d = 45 - 1.5 u, so
/// u = 10 + 45 - 1.5 u gives u = 22 and d = 12.
TEST(Traffic, ElasticDemandMeetsTheCost) {
  formats::TntpNetwork net;
  net.zones = 2;
  net.nodes = 2;
  net.links.push_back({1, 2, 1.0, 0.0, 10.0, 0.1, 1.0, 0.0, 0.0, 1});
  TrafficOptions options;
  options.elasticity = 0.5;
  const auto model = std::make_shared<const TrafficModel>(
      TrafficModel::make(options, net, {2, 0.0, {{1, 2, 30.0}}}, 0));
  const Outcome out = run(model, 1e-13);
  EXPECT_NEAR(out.flow.at(0), 12.0, 1e-10);
  const solve::Certificate proof = certify_traffic(world(), *model, out.flow, "relative_gap");
  EXPECT_LE(proof.measure, 1e-12);
  EXPECT_NEAR(proof.values.back().second, 12.0, 1e-10);
  EXPECT_NEAR(proof.values.at(3).second, out.report.objective, 1e-9);
}

/// Two roads to node 3: one of type 0 that yields to one of type 1 (the values of section 8.6), and
/// the certificate's own reading of the law.
TEST(Traffic, YieldingLinksLookAtTheOthers) {
  LinkCost cost;
  for (int k = 0; k < 2; ++k) cost.add({1, 3, 4000.0, 1.0, 0.75, 0.1, 1.5, 0, 0, 1}, 0.0, 0.0);
  cost.yield(0, 0.75, 0.0, 1.0, {{1, 2.0}});
  cost.finish();
  double value = 0.0, slope = 0.0;
  cost.evaluate(0, cost.seen(0, std::vector{0.0, 0.0}), value, slope);
  EXPECT_NEAR(value, 2.6055033297, 1e-10);
  EXPECT_NEAR(slope, 1.2401020755, 1e-10);
  cost.evaluate(0, cost.seen(0, std::vector{0.2, 0.4}), value, slope);
  EXPECT_NEAR(value, 4.2157359028, 1e-10);
  EXPECT_EQ(cost.yielding_to(1).size(), 1U);
  EXPECT_EQ(cost.yielding_to(0).size(), 0U);
}

TEST(Traffic, TerrassaIsAnEquilibriumWithoutPotential) {
  if (!present("Terrassa")) GTEST_SKIP() << "no network at " << stem_of("Terrassa");
  TrafficOptions options;
  options.net = stem_of("Terrassa") + "_net.tntp";
  options.trips = stem_of("Terrassa") + "_trips.tntp";
  options.law = "junctions";
  const auto model = std::make_shared<const TrafficModel>(
      parallel::agree(world(), [&] { return TrafficModel::read(options, 1); }));
  const Outcome out = run(model, 1e-5, 40);
  const solve::Certificate proof = certify_traffic(world(), *model, out.flow, "relative_gap");
  EXPECT_LE(proof.measure, 1e-5);
  EXPECT_NEAR(proof.values.at(0).second, out.report.residual, 1e-11);
}

TEST(Traffic, AZoneBelowFirstThruNodeIsNotPassed) {
  formats::TntpNetwork net;
  net.zones = 3;
  net.nodes = 4;
  net.first_thru_node = 4;
  const auto add = [&](std::int32_t from, std::int32_t to, double cost) {
    net.links.push_back({from, to, 1.0, 0.0, cost, 0.0, 0.0, 0.0, 0.0, 1});
  };
  add(1, 3, 1.0);
  add(3, 2, 1.0);
  add(1, 4, 5.0);
  add(4, 2, 5.0);
  const auto model = model_of(net, {{1, 2, 7.0}});
  EXPECT_EQ(run(model, 1e-14).flow, (std::vector<double>{0, 0, 7, 7}));
  // Flow through the zone is cheaper and yet refused by the certificate.
  const std::vector<double> cheat = {7, 7, 0, 0};
  EXPECT_GE(certify_traffic(world(), *model, cheat, "relative_gap").measure, 0.5);
}

TEST(Traffic, UnreachableDemandIsNamed) {
  formats::TntpNetwork net = braess();
  net.links.resize(2);
  const auto model = model_of(net, {{1, 2, 6.0}});
  std::string message;
  try {
    (void)run(model, 1e-6, 1);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::input);
    message = error.what();
  }
  EXPECT_NE(message.find("from zone 1 to zone 2"), std::string::npos) << message;
}

TEST(Traffic, RefusesTripsOutsideTheNetworkAndTooManyAgents) {
  EXPECT_THROW((void)model_of(braess(), {{1, 9, 6.0}}), InputError);
  EXPECT_THROW((void)model_of(braess(), {{1, 1, 6.0}}), InputError);
  EXPECT_THROW((void)model_of(braess(), {{1, 2, 6.0}}, 2), ConfigurationError);
}

struct Known {
  const char* name;
  std::int64_t agents;
  double objective, total_cost, tolerance;
};

/// Compares link flows with the published ones, where the cost depends on the flow (section 11).
void expect_published_flow(const Known& known, const TrafficModel& model,
                           const std::vector<double>& flow) {
  const std::string path = stem_of(known.name) + "_flow.tntp";
  if (!std::filesystem::exists(path)) return;
  std::map<std::pair<std::int32_t, std::int32_t>, double> volume;
  double largest = 0.0;
  for (const formats::TntpFlow& row : formats::read_tntp_flows(path)) {
    volume[{row.from, row.to}] = row.volume;
    largest = std::max(largest, row.volume);
  }
  double worst = 0.0;
  for (std::size_t a = 0; a < flow.size(); ++a) {
    const formats::TntpLink& link = model.file.links[a];
    if (link.b > 0.0) worst = std::max(worst, std::abs(flow[a] - volume.at({link.from, link.to})));
  }
  EXPECT_LE(worst, 1e-3 * largest) << known.name;
}

/// Objectives and total costs: section 8.7 of the specification (published flows) and the README of
/// the data.
TEST(Traffic, PublishedEquilibria) {
  const std::vector<Known> sets = {
      {"SiouxFalls", 0, 4231335.28710744, 7480225.34492112, 1e-10},
      {"SiouxFalls", 1, 4231335.28710744, 7480225.34492112, 1e-12},
      {"Anaheim", 0, 1286032.17109603, 1419913.85105939, 1e-9},
      {"Anaheim", 1, 1286032.17109603, 1419913.85105939, 1e-12},
      {"EMA", 0, 26160.3459229, 28181.4231673, 1e-10},
      {"Berlin", 0, 618038.880728, 728609.306037, 1e-10},
      {"Barcelona", 1, 1265654.92203176, 1365715.68378678, 1e-12},
  };
  int found = 0;
  for (const Known& known : sets) {
    if (!present(known.name)) continue;
    ++found;
    const auto model = published(known.name, known.agents);
    const Outcome out = run(model, known.tolerance);
    EXPECT_LE(out.report.residual, known.tolerance) << known.name << ' ' << known.agents;
    EXPECT_NEAR(out.report.objective / known.objective, 1.0, 1e-11) << known.name;
    const solve::Certificate proof = certify_traffic(world(), *model, out.flow, "relative_gap");
    EXPECT_LE(proof.measure, 1.01 * known.tolerance + 1e-14) << known.name;
    EXPECT_NEAR(proof.values.at(0).second, out.report.residual, 1e-13) << known.name;
    EXPECT_LE(proof.values.at(2).second, 1e-14) << known.name;
    EXPECT_NEAR(proof.values.at(3).second / out.report.objective, 1.0, 1e-13) << known.name;
    EXPECT_NEAR(proof.values.at(4).second / known.total_cost, 1.0, 1e-7) << known.name;
    expect_published_flow(known, *model, out.flow);
  }
  if (found == 0)
    GTEST_SKIP() << "no networks at " << stem_of("SiouxFalls") << "; set EQUIPOISE_DATA";
}

/// The iterates have the bits of a run in which every process does all the work alone.
TEST(Traffic, BitsDoNotDependOnTheRankCount) {
  if (!present("SiouxFalls")) GTEST_SKIP() << "no network at " << stem_of("SiouxFalls");
  const auto model = published("SiouxFalls", 7);
  PathProjection together(world(), model, {}, "relative_gap");
  PathProjection alone(Comm(), model, {}, "relative_gap");
  bool equal = true;
  for (int k = 0; k < 12; ++k) {
    together.step();
    alone.step();
    equal = equal && together.link_flow() == alone.link_flow() &&
            together.report().residual == alone.report().residual &&
            together.report().objective == alone.report().objective;
  }
  EXPECT_TRUE(equal);
}

/// Keeps fields in memory, by name.
class Memory : public state::FieldVisitor {
 public:
  bool reading = false;
  using Partition = partition::Partition;
  void scalar(std::string_view name, double& v) override { swap(doubles_, name, v); }
  void scalar(std::string_view name, std::int64_t& v) override { swap(integers_, name, v); }
  void replicated(std::string_view name, std::vector<double>& v) override { swap(lists_, name, v); }
  void replicated(std::string_view, std::vector<std::int64_t>&) override {}
  void partitioned(std::string_view name, const Partition&, int, std::int64_t,
                   std::vector<double>& v) override {
    swap(lists_, name, v);
  }
  void partitioned(std::string_view, const Partition&, int, std::int64_t,
                   std::vector<std::int64_t>&) override {}
  void ragged(std::string_view name, const Partition&, int,
              std::vector<std::vector<double>>& v) override {
    swap(ragged_, name, v);
  }
  void ragged(std::string_view name, const Partition&, int,
              std::vector<std::vector<std::int64_t>>& v) override {
    swap(ragged_integers_, name, v);
  }

 private:
  template <class T>
  void swap(std::map<std::string, T>& store, std::string_view name, T& value) {
    if (reading) {
      value = store.at(std::string(name));
    } else {
      store[std::string(name)] = value;
    }
  }
  std::map<std::string, double> doubles_;
  std::map<std::string, std::int64_t> integers_;
  std::map<std::string, std::vector<double>> lists_;
  std::map<std::string, std::vector<std::vector<double>>> ragged_;
  std::map<std::string, std::vector<std::vector<std::int64_t>>> ragged_integers_;
};

TEST(Traffic, FieldsAreTheWholeState) {
  if (!present("SiouxFalls")) GTEST_SKIP() << "no network at " << stem_of("SiouxFalls");
  const auto model = published("SiouxFalls", 5);
  PathProjection straight(world(), model, {}, "relative_gap");
  for (int k = 0; k < 10; ++k) straight.step();
  Memory memory;
  straight.fields(memory);
  PathProjection resumed(world(), model, {}, "relative_gap");
  memory.reading = true;
  resumed.fields(memory);
  EXPECT_EQ(resumed.report().residual, straight.report().residual);
  for (int k = 0; k < 10; ++k) {
    straight.step();
    resumed.step();
  }
  EXPECT_EQ(resumed.link_flow(), straight.link_flow());
  EXPECT_EQ(resumed.report().residual, straight.report().residual);
}

TEST(Traffic, TheSolutionHoldsPathsThatCarryTheLinkFlows) {
  const auto model = model_of(braess(), {{1, 2, 6.0}});
  PathProjection method(world(), model, {}, "relative_gap");
  for (int k = 0; k < 20; ++k) method.step();
  Memory memory;
  method.solution(memory);
  memory.reading = true;
  TrafficSolution solution;
  solution.hosts = model->hosts(world().size());
  solution.part = world().rank();
  solution.fields(memory);
  EXPECT_EQ(solution.link_flow, method.link_flow());
  if (solution.path_flow.empty()) return;
  double sum = 0.0;
  for (const double flow : solution.path_flow[0]) sum += flow;
  EXPECT_EQ(sum, 6.0);
  // Link numbers as they are travelled, each list led by its length: 1-3-4-2 is the links 0, 3, 4.
  const std::vector<std::int64_t>& links = solution.path_link[0];
  const std::vector<std::int64_t> longest = {3, 0, 3, 4};
  EXPECT_NE(std::search(links.begin(), links.end(), longest.begin(), longest.end()), links.end());
}

TEST(Traffic, InstanceReadsOptionsAndExportsFlows) {
  if (!present("SiouxFalls")) GTEST_SKIP() << "no network at " << stem_of("SiouxFalls");
  state::Config config;
  const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
  config.set("problem.net", quoted(stem_of("SiouxFalls") + "_net.tntp"));
  config.set("problem.trips", quoted(stem_of("SiouxFalls") + "_trips.tntp"));
  config.set("problem.nodes", quoted(stem_of("SiouxFalls") + "_node.tntp"));
  config.set("run.agents", "4");
  config.set("method.sweeps", "8");
  const auto instance = traffic_problem().make(world(), config);
  EXPECT_NE(instance->fingerprint().find("24 zones, 24 nodes, 76 links, 528 OD pairs, 4 agents"),
            std::string::npos)
      << instance->fingerprint();
  EXPECT_THROW((void)instance->make_method("extragradient", config), ConfigurationError);
  const auto method = instance->make_method("path-projection", config);
  config.reject_unused();
  for (int k = 0; k < 30; ++k) method->step();
  Memory memory;
  method->solution(memory);
  memory.reading = true;
  const auto storage = instance->solution_storage();
  storage->fields(memory);
  EXPECT_NEAR(instance->certify(*storage).measure, method->report().residual, 1e-13);
  const std::string folder =
      world().broadcast(std::filesystem::temp_directory_path().string() + "/equipoise-traffic-" +
                        std::to_string(std::rand()) + std::to_string(world().size()));
  if (world().rank() == 0) std::filesystem::create_directory(folder);
  world().barrier();
  const auto files = instance->export_csv(*storage, folder);
  world().barrier();
  EXPECT_EQ(files.size(), 2U);
  const auto flows = formats::read_tntp_flows(files.at(0));
  EXPECT_EQ(flows.size(), 76U);
  EXPECT_EQ(flows.at(0).from, 1);
  EXPECT_EQ(formats::read_tntp_nodes(files.at(1)).size(), 24U);
  world().barrier();
  if (world().rank() == 0) std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace equipoise::problems
