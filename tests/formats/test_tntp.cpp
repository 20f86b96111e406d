#include "sample.hpp"

#include <equipoise/formats/tntp.hpp>

#include <set>
#include <utility>

namespace equipoise::formats {
namespace {

const std::string header =
    "<NUMBER OF ZONES> 2\t\t\n<NUMBER OF NODES> 4\n<FIRST THRU NODE> 3\n<NUMBER OF LINKS> 2\n"
    "<ORIGINAL HEADER>~ \tTail\tHead ;\n<END OF METADATA> ~ text behind it\n\n~ init term ;\n";

TEST(TntpNetwork, ReadsTabsCommentsAndTouchingSemicolons) {
  const TntpNetwork net = parse_tntp_network(header +
                                                 "\t1\t3\t1.49999e+006\t0.33\t0.75\t0.1\t1."
                                                 "5\t50\t2\t1;\r\n  3 2 9000 5280 1.5 0 4 ;~ end\n",
                                             "net");
  EXPECT_EQ(net.zones, 2);
  EXPECT_EQ(net.nodes, 4);
  EXPECT_EQ(net.first_thru_node, 3);
  EXPECT_EQ(net.links.size(), 2U);
  const TntpLink& link = net.links.at(0);
  EXPECT_EQ(link.from, 1);
  EXPECT_EQ(link.to, 3);
  EXPECT_EQ(link.capacity, 1499990.0);
  EXPECT_EQ(link.length, 0.33);
  EXPECT_EQ(link.free_flow_time, 0.75);
  EXPECT_EQ(link.b, 0.1);
  EXPECT_EQ(link.power, 1.5);
  EXPECT_EQ(link.speed, 50.0);
  EXPECT_EQ(link.toll, 2.0);
  EXPECT_EQ(link.type, 1);
  EXPECT_EQ(net.links.at(1).power, 4.0);
  EXPECT_EQ(net.links.at(1).toll, 0.0);
}

TEST(TntpNetwork, RefusesWithTheLine) {
  const auto expect = [](std::string_view row, std::string_view text) {
    const std::string good = "1 3 9000 5280 1.5 0.15 4 0 0 1;\n";
    const std::string message =
        refusal([&] { (void)parse_tntp_network(header + good + std::string(row) + "\n", "net"); });
    EXPECT_TRUE(message.starts_with("net:10: ")) << message;
    EXPECT_NE(message.find(text), std::string::npos) << row << " -> " << message;
  };
  expect("1 5 9000 1 1 0.15 4 0 0 1 ;", "term node 5 is unknown");
  expect("0 3 9000 1 1 0.15 4 0 0 1 ;", "init node 0 is unknown");
  expect("1.5 3 9000 1 1 0.15 4 0 0 1 ;", "not an integer");
  expect("1 3 -1 1 1 0.15 4 0 0 1 ;", "capacity -1 is negative");
  expect("1 3 0 1 1 0.15 4 0 0 1 ;", "the capacity is 0 and B is 0.15");
  expect("1 3 9000 1 nan 0.15 4 0 0 1 ;", "free flow time 'nan'");
  expect("1 3 9000 1 1 B 4 0 0 1 ;", "B 'B'");
  expect("1 3 9000 1 1 0.15 -4 0 0 1 ;", "power -4 is negative");
  expect("1 3 9000 1 1 0.15 ;", "6 fields");
}

TEST(TntpNetwork, RefusesAWrongNumberOfLinksAndMissingMetadata) {
  const std::string row = "1 3 9000 5280 1.5 0.15 4 0 0 1;\n";
  const auto message = [](const std::string& text) {
    return refusal([&] { (void)parse_tntp_network(text, "net"); });
  };
  EXPECT_NE(message(header + row).find("announces 2 links, the file holds 1"), std::string::npos);
  EXPECT_TRUE(message(header + row + row + row).starts_with("net:11: one link more"));
  EXPECT_NE(message(row).find("lack <NUMBER OF LINKS>"), std::string::npos);
  EXPECT_NE(message("").find("lack <NUMBER OF LINKS>"), std::string::npos);
  EXPECT_TRUE(
      message("<NUMBER OF LINKS> many\n" + row).starts_with("net:1: <NUMBER OF LINKS> 'many'"));
  EXPECT_NE(message("<NUMBER OF LINKS> 1\n<NUMBER OF NODES> 3\n<NUMBER OF ZONES> 4\n" + row)
                .find("4 zones"),
            std::string::npos);
  EXPECT_NE(
      refusal([] { (void)read_tntp_network("/nowhere/x_net.tntp"); }).find("cannot be opened"),
      std::string::npos);
}

const std::string trips_header =
    "<NUMBER OF ZONES> 3\n<TOTAL OD FLOW>   6.5$\n<END OF METADATA>\n\n";

TEST(TntpTrips, ReadsOriginsAndEntries) {
  const TntpTrips trips = parse_tntp_trips(
      trips_header + "Origin \t1 \n 1 : 0.0; 2 : 6.0;\n3\t:\t0.25;\nORIGIN 3\n  2 :.25", "trips");
  EXPECT_EQ(trips.zones, 3);
  EXPECT_EQ(trips.announced, 6.5);
  EXPECT_EQ(trips.trips.size(), 4U);
  EXPECT_EQ(trips.trips.at(3).origin, 3);
  EXPECT_EQ(trips.trips.at(3).destination, 2);
  EXPECT_EQ(trips.trips.at(2).demand, 0.25);
}

TEST(TntpTrips, RefusesWithTheLine) {
  const auto expect = [](std::string_view rows, std::string_view line, std::string_view text) {
    const std::string message =
        refusal([&] { (void)parse_tntp_trips(trips_header + std::string(rows), "trips"); });
    EXPECT_TRUE(message.starts_with("trips:" + std::string(line) + ": ")) << message;
    EXPECT_NE(message.find(text), std::string::npos) << message;
  };
  expect("Origin 4\n", "5", "origin 4 is unknown");
  expect("Origin 1\n2 : 1; 7 : 1;", "6", "destination 7 is unknown");
  expect("Origin 1\n2 : -1;", "6", "demand -1 from 1 to 2 is negative");
  expect("Origin 1\n2 : x;", "6", "demand 'x'");
  expect("Origin 1\n2 1;", "6", "no colon");
  expect("2 : 1;", "5", "before the first");
  expect("Start 1\n", "5", "'Start' is unknown");
  EXPECT_NE(
      refusal([] { (void)read_tntp_trips("/nowhere/x_trips.tntp"); }).find("cannot be opened"),
      std::string::npos);
  EXPECT_NE(refusal([] {
              (void)parse_tntp_trips("Origin 1\n2 : 1;", "t");
            }).find("lack <NUMBER OF ZONES>"),
            std::string::npos);
}

TEST(TntpNodesAndFlows, SkipTheTitlesOnly) {
  const auto nodes =
      parse_tntp_nodes("Node\tX\tY\t;\n1\t-96.77041974\t43.61282792\t;\n2 1 2;\n", "node");
  EXPECT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes.at(0).x, -96.77041974);
  const auto flows =
      parse_tntp_flows("From \tTo \tVolume \tCost \n1 \t2 \t4494.5 \t6.25 \n2 : 1 : 7 ;\n", "flow");
  EXPECT_EQ(flows.size(), 2U);
  EXPECT_EQ(flows.at(0).cost, 6.25);
  EXPECT_EQ(flows.at(1).volume, 7.0);
  EXPECT_TRUE(refusal([] {
                (void)parse_tntp_nodes("Node X Y\n1 2\n", "node");
              }).starts_with("node:2: the y coordinate"));
  EXPECT_TRUE(refusal([] {
                (void)parse_tntp_flows("1 2 3\nx 2 3\n", "flow");
              }).starts_with("flow:2: the init node"));
  EXPECT_NE(refusal([] { (void)parse_tntp_flows("From To\n", "flow"); }).find("holds no rows"),
            std::string::npos);
}

struct Known {
  const char *folder, *prefix;
  std::int64_t zones, nodes;
  std::size_t links, pairs;
  double demand, digits;
};

/// Figures: README of the shared data sets.
TEST(Tntp, PublishedNetworks) {
  const std::vector<Known> sets = {
      {"SiouxFalls", "SiouxFalls", 24, 24, 76, 528, 360600, 1e-6},
      {"Anaheim", "Anaheim", 38, 416, 914, 1406, 104694.4, 1e-6},
      {"Barcelona", "Barcelona", 110, 1020, 2522, 7922, 184679.561, 1e-6},
      {"Braess-Example", "Braess", 2, 4, 5, 1, 6, 1e-9},
      {"Eastern-Massachusetts", "EMA", 74, 74, 258, 1113, 65576.37543, 1e-5},
      {"Berlin-Friedrichshain", "friedrichshain-center", 23, 224, 523, 506, 11205.1, 1e-6},
      {"Terrassa-Asymmetric", "Terrassa-Asym", 55, 1609, 3264, 2215, 25225746.76, 1e-2},
  };
  int found = 0;
  for (const Known& known : sets) {
    const std::string stem = data_folder() + "/traffic/" + known.folder + "/" + known.prefix;
    if (!std::filesystem::exists(stem + "_net.tntp")) continue;
    ++found;
    const TntpNetwork net = read_tntp_network(stem + "_net.tntp");
    const TntpTrips trips = read_tntp_trips(stem + "_trips.tntp");
    EXPECT_EQ(net.zones, known.zones) << stem;
    EXPECT_EQ(net.nodes, known.nodes) << stem;
    EXPECT_EQ(net.links.size(), known.links) << stem;
    double demand = 0.0;
    std::set<std::pair<int, int>> pairs;
    for (const TntpTrip& trip : trips.trips) {
      demand += trip.demand;
      if (trip.demand > 0.0 && trip.origin != trip.destination)
        pairs.emplace(trip.origin, trip.destination);
    }
    EXPECT_EQ(pairs.size(), known.pairs) << stem;
    EXPECT_NEAR(demand, known.demand, known.digits) << stem;
  }
  if (found == 0) GTEST_SKIP() << "no networks under " << data_folder() << "; set EQUIPOISE_DATA";
}

}  // namespace
}  // namespace equipoise::formats
