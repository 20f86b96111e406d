#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::formats {

/// One row of a TNTP network file. Nodes count from 1. Units are the file's own.
struct TntpLink {
  std::int32_t from = 0, to = 0;
  double capacity = 0.0, length = 0.0, free_flow_time = 0.0, b = 0.0, power = 0.0;
  double speed = 0.0, toll = 0.0;  ///< 0 where the row ends before them
  std::int32_t type = 0;
};

/// A road network: zones 1..zones are where trips begin and end; nodes below `first_thru_node` may
/// begin or end a path and are never passed.
struct TntpNetwork {
  std::int64_t zones = 0, nodes = 0, first_thru_node = 1;
  std::vector<TntpLink> links;  ///< in file order; parallel links are allowed
};

struct TntpTrip {
  std::int32_t origin = 0, destination = 0;
  double demand = 0.0;
};

/// Demand between zones, as the file states it: trips within a zone and zero entries included.
struct TntpTrips {
  std::int64_t zones = 0;
  double announced = 0.0;  ///< TOTAL OD FLOW of the header, 0 where there is none (files round it)
  std::vector<TntpTrip> trips;
};

struct TntpNode {
  std::int32_t node = 0;
  double x = 0.0, y = 0.0;
};

struct TntpFlow {
  std::int32_t from = 0, to = 0;
  double volume = 0.0, cost = 0.0;  ///< cost 0 where the row ends before it
};

/// Parsers of the four kinds of TNTP files (github.com/bstabler/TransportationNetworks). Metadata
/// lines come first,
/// `~` begins a comment, fields are separated by blanks or tabs, and `;` may touch the last one.
/// `file` names the text in messages. All throw InputError "file:line: ..." with the remedy.
///
/// Network: refuses missing metadata, a number of rows other than NUMBER OF LINKS, nodes outside
/// 1..NUMBER OF NODES, fields that are no finite numbers, negative numbers, and a capacity of 0
/// where B > 0.
[[nodiscard]] TntpNetwork parse_tntp_network(std::string_view text, std::string_view file);
/// Trips: refuses zones outside 1..NUMBER OF ZONES, negative demand, and entries before the first
/// `Origin`.
[[nodiscard]] TntpTrips parse_tntp_trips(std::string_view text, std::string_view file);
/// Coordinates: rows `node x y`, after an optional line of titles.
[[nodiscard]] std::vector<TntpNode> parse_tntp_nodes(std::string_view text, std::string_view file);
/// Link flows: rows `from to volume [cost]`, after an optional line of titles.
[[nodiscard]] std::vector<TntpFlow> parse_tntp_flows(std::string_view text, std::string_view file);

/// The same from files, plain or packed. Throw InputError also for a file that cannot be read.
/// Communication-free.
[[nodiscard]] TntpNetwork read_tntp_network(const std::string& path);
[[nodiscard]] TntpTrips read_tntp_trips(const std::string& path);
[[nodiscard]] std::vector<TntpNode> read_tntp_nodes(const std::string& path);
[[nodiscard]] std::vector<TntpFlow> read_tntp_flows(const std::string& path);

}  // namespace equipoise::formats
