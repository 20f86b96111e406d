#include "plan.hpp"

#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::drivers {
namespace {

/// "25Gbit" or "2us" -> bits per second, seconds: a number and one of `units`.
double quantity(const std::string& text, const std::vector<std::pair<std::string, double>>& units,
                const char* example) {
  std::size_t end = 0;
  double value = 0.0;
  try {
    value = std::stod(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  for (const auto& [name, factor] : units) {
    if (end > 0 && value > 0.0 && text.substr(end) == name) return value * factor;
  }
  throw ConfigurationError("--network: '{}' is not understood; write for instance {}", text,
                           example);
}

}  // namespace

Network parse_network(const std::string& text) {
  const auto comma = text.find(',');
  if (comma == std::string::npos) {
    throw ConfigurationError("--network {}: write bandwidth,latency, for instance 25Gbit,2us",
                             text);
  }
  return {quantity(text.substr(0, comma), {{"Gbit", 1e9}, {"Mbit", 1e6}, {"kbit", 1e3}}, "25Gbit"),
          quantity(text.substr(comma + 1), {{"us", 1e-6}, {"ms", 1e-3}, {"ns", 1e-9}}, "2us")};
}

std::vector<std::int64_t> parse_ranks(const std::string& text) {
  const auto number = [&](const std::string& part) {
    std::size_t end = 0;
    std::int64_t value = 0;
    try {
      value = std::stoll(part, &end);
    } catch (const std::exception&) {
      end = 0;
    }
    if (end == 0 || end != part.size() || value < 1 || value > 1'000'000) {
      throw ConfigurationError("--ranks {}: write 64..8192, or 64,96,128", text);
    }
    return value;
  };
  std::vector<std::int64_t> ranks;
  const auto dots = text.find("..");
  if (dots != std::string::npos) {
    const std::int64_t last = number(text.substr(dots + 2));
    for (std::int64_t p = number(text.substr(0, dots)); p < last; p *= 2) ranks.push_back(p);
    ranks.push_back(last);
    return ranks;
  }
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t to = std::min(text.size(), text.find(',', from));
    ranks.push_back(number(text.substr(from, to - from)));
    from = to + 1;
  }
  return ranks;
}

double largest_share(std::int64_t agents, std::int64_t ranks) {
  if (agents == 0) return 1.0 / static_cast<double>(ranks);
  return static_cast<double>((agents + ranks - 1) / ranks) / static_cast<double>(agents);
}

double plan_bytes(const PlanCase& c, std::int64_t ranks) {
  if (c.agents == 0) return c.bytes;
  const auto p = static_cast<double>(ranks);
  const auto m = static_cast<double>(c.agents);
  const double hosted = std::ceil(m / p);
  const double sent = (hosted * c.uplink + c.downlink) * (p - 1.0) / p;
  const double received = (m - std::floor(m / p)) * c.uplink / p + c.downlink * (p - 1.0) / p;
  return c.bytes_scale * std::max(sent, received);
}

PlanRow predict(const PlanModel& model, const PlanCase& c, const Network& network,
                std::int64_t ranks, double bytes) {
  PlanRow row;
  row.ranks = ranks;
  const auto p = static_cast<double>(ranks);
  const double computing = c.replicated_seconds + c.shared_seconds * largest_share(c.agents, ranks);
  if (ranks > 1) {
    row.bytes = bytes;
    row.communication =
        c.rounds * (2.0 * (p - 1.0) * model.message_seconds + 2.0 * network.latency) +
        bytes * (8.0 / (network.bits * model.bandwidth_share) + model.byte_seconds);
  }
  row.iteration_seconds = computing + row.communication;
  row.seconds = c.iterations * row.iteration_seconds;
  row.core_hours = row.seconds * p / 3600.0;
  row.doublings = std::max(0.0, std::log2(p / static_cast<double>(model.measured_ranks)));
  row.factor =
      (1.0 + model.error) * std::pow(1.0 + model.doubling_error, row.doublings) * (1.0 + c.spread);
  return row;
}

}  // namespace equipoise::drivers
