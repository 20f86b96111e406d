#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/traffic.hpp>
#include <equipoise/problems/vi/traffic_logit.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace equipoise::problems {
namespace {

using parallel::Comm;

const Comm& world() {
  static const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

formats::TntpNetwork network(std::int64_t nodes, std::int64_t first_thru) {
  formats::TntpNetwork net;
  net.zones = 2;
  net.nodes = nodes;
  net.first_thru_node = first_thru;
  return net;
}

/// Cost free (1 + b v).
void add(formats::TntpNetwork& net, std::int32_t from, std::int32_t to, double free, double b) {
  net.links.push_back({from, to, 100.0, 1.0, free, b, 1.0, 0.0, 0.0, 1});
}

std::shared_ptr<const TrafficModel> model_of(formats::TntpNetwork net, double demand,
                                             double dispersion) {
  TrafficOptions options;
  options.dispersion = dispersion;
  return std::make_shared<const TrafficModel>(
      TrafficModel::make(options, std::move(net), {2, 0.0, {{1, 2, demand}}}, 0));
}

struct Outcome {
  std::int64_t steps = 0;
  double residual = HUGE_VAL;
  std::vector<double> flow;
};

Outcome run(const Comm& comm, const std::shared_ptr<const TrafficModel>& model, double tolerance,
            std::int64_t limit = 500) {
  LogitAveraging method(comm, model, {});
  Outcome out;
  while (!(out.residual <= tolerance) && out.steps < limit) {
    method.step();
    ++out.steps;
    out.residual = method.report().residual;
  }
  out.flow = method.link_flow();
  return out;
}

TEST(TrafficLogit, TwoRoutesOfFixedCost) {
  auto net = network(2, 1);
  add(net, 1, 2, 1.0, 0.0);
  add(net, 1, 2, 2.0, 0.0);
  const auto model = model_of(net, 10.0, 0.7);
  const Outcome out = run(world(), model, 1e-14);
  EXPECT_LE(out.residual, 1e-14);
  EXPECT_NEAR(out.flow[0], 10.0 / (1.0 + std::exp(-0.7)), 1e-12);
  EXPECT_NEAR(out.flow[1], 10.0 / (1.0 + std::exp(0.7)), 1e-12);
  EXPECT_LE(certify_logit(world(), *model, out.flow).measure, 1e-14);
}

// v1 = d / (1 + exp(theta (c1(v1) - c2(d - v1)))), whose root is bracketed by 0 and d.
TEST(TrafficLogit, TwoCongestedRoutes) {
  const double demand = 300.0;
  for (const double theta : {0.01, 1.0, 5.0}) {
    auto net = network(2, 1);
    add(net, 1, 2, 1.0, 10.0);
    add(net, 1, 2, 3.0, 1.0);
    double low = 0.0, high = demand;
    for (int k = 0; k < 200; ++k) {
      const double v = 0.5 * (low + high);
      const double difference = 1.0 + 10.0 * v / 100.0 - 3.0 - 3.0 * (demand - v) / 100.0;
      (v < demand / (1.0 + std::exp(theta * difference)) ? low : high) = v;
    }
    const auto model = model_of(net, demand, theta);
    const Outcome out = run(world(), model, 1e-12);
    EXPECT_LE(out.residual, 1e-12) << theta;
    EXPECT_NEAR(out.flow[0], low, 1e-9) << theta;
    EXPECT_LE(certify_logit(world(), *model, out.flow).measure, 1e-11);
  }
}

// Paths 1-3-2, 1-4-2 and 1-3-4-2 of costs 4, 4 and 5: shares 1, 1 and exp(-theta).
TEST(TrafficLogit, OverlappingRoutesAreCountedOneByOne) {
  auto net = network(4, 3);
  add(net, 1, 3, 1.0, 0.0);
  add(net, 1, 4, 3.0, 0.0);
  add(net, 3, 2, 3.0, 0.0);
  add(net, 3, 4, 3.0, 0.0);
  add(net, 4, 2, 1.0, 0.0);
  add(net, 4, 3, 0.5, 0.0);  // leads back towards the origin: on no efficient path
  const double theta = 0.4, third = std::exp(-theta), all = 2.0 + third;
  const auto model = model_of(net, 6.0, theta);
  const Outcome out = run(world(), model, 1e-14);
  EXPECT_NEAR(out.flow[0], 6.0 * (1.0 + third) / all, 1e-12);
  EXPECT_NEAR(out.flow[1], 6.0 / all, 1e-12);
  EXPECT_NEAR(out.flow[2], 6.0 / all, 1e-12);
  EXPECT_NEAR(out.flow[3], 6.0 * third / all, 1e-12);
  EXPECT_NEAR(out.flow[4], 6.0 * (1.0 + third) / all, 1e-12);
  EXPECT_EQ(out.flow[5], 0.0);
  EXPECT_LE(certify_logit(world(), *model, out.flow).measure, 1e-14);
  // Nodes below the first thru node are not passed.
  net.first_thru_node = 4;
  EXPECT_NEAR(run(world(), model_of(net, 6.0, theta), 1e-14).flow[1], 6.0, 1e-12);
}

// A link without cost still leads away from the origin, by the number of links.
TEST(TrafficLogit, LinksWithoutCost) {
  auto net = network(3, 3);
  add(net, 1, 3, 0.0, 0.0);
  add(net, 3, 2, 0.0, 0.0);
  add(net, 3, 2, 1.0, 0.0);
  const auto model = model_of(net, 1.0, 1.0);
  const Outcome out = run(world(), model, 1e-14);
  EXPECT_NEAR(out.flow[1], 1.0 / (1.0 + std::exp(-1.0)), 1e-14);
  EXPECT_LE(certify_logit(world(), *model, out.flow).measure, 1e-14);
}

TEST(TrafficLogit, BadInputIsNamed) {
  auto net = network(3, 1);
  add(net, 1, 3, 1.0, 0.0);
  std::string message;
  try {
    (void)run(world(), model_of(net, 1.0, 1.0), 1e-6, 1);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::input);
    message = error.what();
  }
  EXPECT_NE(message.find("from zone 1 to zone 2"), std::string::npos) << message;
  TrafficOptions options;
  options.dispersion = options.elasticity = 1.0;
  EXPECT_THROW((void)TrafficModel::make(options, net, {2, 0.0, {{1, 2, 1.0}}}, 0),
               ConfigurationError);
  EXPECT_THROW(TrafficInstance(world(), TrafficModel(*model_of(net, 1.0, 1.0)), "relative_gap"),
               ConfigurationError);
}

TEST(TrafficLogit, SiouxFallsWithTheSameBitsOnAnyRanks) {
  const char* const given = std::getenv("EQUIPOISE_DATA");
  const std::string stem = std::string(given ? given : EQUIPOISE_SOURCE_DIR "/../shared/data") +
                           "/traffic/SiouxFalls/SiouxFalls";
  if (!std::filesystem::exists(stem + "_net.tntp")) GTEST_SKIP() << "no network at " << stem;
  TrafficOptions options;
  options.net = stem + "_net.tntp";
  options.trips = stem + "_trips.tntp";
  options.dispersion = 0.5;
  const auto model = std::make_shared<const TrafficModel>(
      parallel::agree(world(), [&] { return TrafficModel::read(options, 0); }));
  const Outcome together = run(world(), model, 1e-10);
  const Outcome alone = run(Comm(), model, 1e-10);
  EXPECT_LE(together.residual, 1e-10);
  EXPECT_LT(together.steps, 200);
  EXPECT_EQ(together.steps, alone.steps);
  EXPECT_EQ(together.flow, alone.flow);
  EXPECT_LE(certify_logit(world(), *model, together.flow).measure, 1e-9);
}

}  // namespace
}  // namespace equipoise::problems
