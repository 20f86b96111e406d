#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::drivers {

/// The arguments of `plan`.
struct PlanArguments {
  std::vector<std::string> words;  ///< CASE.toml files and key=value overrides
  std::string ranks = "64..8192";  ///< doublings from..to, or a list
  std::string network = "25Gbit,2us";
  std::string model;                ///< JSON by cluster/studies/model.py; empty for the defaults
  std::vector<std::string> codecs;  ///< values of method.codec to choose from
  double seconds = 10.0;            ///< of each measuring run
  double price = 1.0;               ///< of one core hour
};

struct Network {
  double bits = 0.0;     ///< per second, each way
  double latency = 0.0;  ///< seconds
};
/// "25Gbit,2us". Throws ConfigurationError.
Network parse_network(const std::string& text);
/// "64..8192" by doublings, the last one included, or "64,96,128". Throws ConfigurationError.
std::vector<std::int64_t> parse_ranks(const std::string& text);

/// What is known of machines: fitted from run files by cluster/studies/model.py. The defaults come
/// from a machine of two cores: handling from ping-pongs while it was idle, the rest from the fit
/// in docs/cluster.md, made while much other work shared it.
struct PlanModel {
  double message_seconds = 1e-6;  ///< handling of one message
  double byte_seconds = 3e-10;    ///< copying of one byte moved
  double bandwidth_share = 0.65;  ///< of the network's bandwidth that payload gets
  double error = 0.52;            ///< nine of ten configurations that were held out were closer
  double doubling_error = 0.21;   ///< what a doubling of the ranks beyond a fit adds
  std::int64_t measured_ranks = 4;
};

/// What was measured of a case, per iteration.
struct PlanCase {
  std::int64_t agents = 0;  ///< 0 where work is shared out without them
  double rounds = 0.0;
  double uplink = 0.0, downlink = 0.0;  ///< payload bytes of one agent
  double shared_seconds = 0.0;          ///< work that agents share out, on one rank
  double replicated_seconds = 0.0;      ///< work that every rank does
  double iterations = 0.0;              ///< to the tolerance
  double spread = 0.0;                  ///< relative doubt of that
  double bytes = 0.0;                   ///< max(sent, received) of a rank, on the ranks at hand
  double bytes_scale = 1.0;             ///< those over the bytes of two phases
};

struct PlanRow {
  std::int64_t ranks = 1;
  double bytes = 0.0;      ///< max(sent, received) of a rank, an iteration
  bool simulated = false;  ///< counted by virtual ranks, not estimated
  double communication = 0.0, iteration_seconds = 0.0;
  double efficiency = 1.0;
  double seconds = 0.0, core_hours = 0.0;
  double factor = 1.0;     ///< `seconds` is doubtful by this factor both ways
  double doublings = 0.0;  ///< of the ranks beyond those of the fit
};

/// Part of the shared work that the busiest of so many ranks does.
double largest_share(std::int64_t agents, std::int64_t ranks);

/// Estimates max(sent, received) in payload bytes of a rank in one iteration on `ranks` ranks: two
/// phases with uniform chunks, in which a rank sends its agents' messages but for the chunks it
/// owns, and its chunks of the result to all others; times `bytes_scale` for other collectives.
/// Without agents as many as on the ranks at hand.
double plan_bytes(const PlanCase& c, std::int64_t ranks);

/// seconds(P) = replicated + shared ceil(M/P)/M
///            + rounds (2 (P - 1) message_seconds + 2 latency)
///            + bytes (8 / (bits bandwidth_share) + byte_seconds),
/// one rank a core. Its doubt is the fit's error, times (1 + doubling_error) for every doubling of
/// the ranks beyond those of the fit, times that of the number of iterations.
PlanRow predict(const PlanModel& model, const PlanCase& c, const Network& network,
                std::int64_t ranks, double bytes);

/// Measures the case on one rank and on the ranks at hand, then prints what it would take on
/// others. **Collective.**
int plan_command(const parallel::Comm& comm, const PlanArguments& arguments);

}  // namespace equipoise::drivers
