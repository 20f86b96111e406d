#include "plan.hpp"

#include "command.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/solve/progress.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>

namespace equipoise::drivers {
namespace {

using nlohmann::json;

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

/// One run of the case on some ranks, per iteration.
struct Measured {
  double seconds = 0.0, rounds = 0.0, uplink = 0.0, downlink = 0.0;
  double sent = 0.0, received = 0.0;
  double iterations = 0.0;  ///< to the tolerance
  bool converged = false;
  double spread = 0.0;  ///< of the extrapolated iterations, relative; 0 where they were all done
  std::int64_t agents = 1;
};

/// Iterations to the tolerance from a history that falls like a power of a constant: by the slope
/// of its second half, with that of its last quarter as a measure of the doubt.
void extrapolate(const state::Table& trace, double tolerance, Measured& m) {
  const auto& k = trace.columns.at(0);
  const auto& r = trace.columns.at(2);
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (std::isfinite(r[i]) && r[i] > 0.0) rows.push_back(i);
  }
  const auto needed = [&](double part) {
    if (rows.size() < 4) return std::nan("");
    const std::size_t a = rows[static_cast<std::size_t>((1.0 - part) * (std::ssize(rows) - 1.0))];
    const std::size_t b = rows.back();
    const double slope = (std::log(r[b]) - std::log(r[a])) / std::max(1.0, k[b] - k[a]);
    return slope < 0.0 ? k[b] + (std::log(tolerance) - std::log(r[b])) / slope : std::nan("");
  };
  m.iterations = needed(0.5);
  m.spread = std::fabs(needed(0.25) - m.iterations) / m.iterations;
}

Measured measure(const parallel::Comm& comm, const std::vector<std::string>& words,
                 double seconds) {
  Case c = open_case(comm, read_words(comm, words));
  solve::StopOptions stop;
  solve::SaveOptions save;
  c.config.read("stop", stop);
  c.config.read("run", save);
  stop.max_seconds = seconds;
  const auto method = c.instance->make_method(c.method, c.config);
  c.config.reject_unused();
  const parallel::Traffic start = method->traffic();  // the start is not an iteration
  solve::Watch watch;
  watch.quiet = true;
  const solve::Summary s = solve::run(comm, *method, stop, save, {}, watch);
  if (s.iterations < 1) throw ConfigurationError("plan: the case ends before its first iteration");
  Measured m;
  const auto n = static_cast<double>(s.iterations);
  const auto each = [&](std::int64_t total, std::int64_t before) {
    return static_cast<double>(total - comm.max(before)) / n;
  };
  m.seconds = s.seconds / n;
  m.rounds = each(s.traffic.rounds, start.rounds);
  m.uplink = each(s.traffic.uplink_per_agent, start.uplink_per_agent);
  m.downlink = each(s.traffic.downlink_per_agent, start.downlink_per_agent);
  m.sent = each(s.traffic.sent, start.sent);
  m.received = each(s.traffic.received, start.received);
  for (const auto& [key, value] : c.instance->facts()) {
    if (key == "agents") m.agents = std::stoll(value);
  }
  m.converged = s.stop == solve::Stop::converged;
  m.iterations = n;
  if (!m.converged) extrapolate(s.trace, stop.tolerance, m);
  return m;
}

/// The same on rank 0 alone, while the others sleep; equal on every rank.
Measured measure_alone(const parallel::Comm& comm, const std::vector<std::string>& words,
                       double seconds) {
  Measured m;
  parallel::agree(comm, [&] {
    if (comm.rank() == 0) m = measure(parallel::Comm(), words, seconds);
  });
  MPI_Bcast(&m, sizeof m, MPI_BYTE, 0, comm.handle());
  return m;
}

PlanModel read_model(const parallel::Comm& comm, const std::string& file) {
  return parallel::agree(comm, [&] {
    PlanModel model;
    if (file.empty()) return model;
    std::ifstream stream(file);
    const json found = json::parse(stream, nullptr, false);
    if (!found.is_object()) {
      throw InputError("{}: no model; cluster/studies/model.py writes one", file);
    }
    model.message_seconds = found.value("message_seconds", model.message_seconds);
    model.byte_seconds = found.value("byte_seconds", model.byte_seconds);
    model.bandwidth_share = found.value("bandwidth_share", model.bandwidth_share);
    model.error = found.value("relative_error", model.error);
    model.measured_ranks = found.value("measured_ranks", model.measured_ranks);
    return model;
  });
}

std::string known(double value, const std::string& text) {
  return std::isfinite(value) ? text : "unknown";
}

void print_row(const PlanRow& row, double price, bool extrapolated, bool best) {
  const double cost = row.core_hours * price;
  fmt::print("{:>7} {:>12} {:>12} {:>8.0f}% {:>7.0f}% {:>9.0f}% {:>12} {:>9} {:>12} {}{}\n",
             row.ranks, solve::human_seconds(row.iteration_seconds), solve::human_bytes(row.bytes),
             100.0 * row.communication / row.iteration_seconds, 100.0 * row.efficiency,
             100.0 * row.doubt, known(row.seconds, solve::human_seconds(row.seconds)),
             known(row.seconds_doubt, fmt::format("{:.0f}%", 100.0 * row.seconds_doubt)),
             known(cost, fmt::format("{:.4g}", cost)), extrapolated ? "extrapolated" : "",
             best ? " <- advice" : "");
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

double plan_bytes(const PlanCase& c, std::int64_t ranks) {
  const auto p = static_cast<double>(ranks);
  const auto m = static_cast<double>(c.agents);
  const double hosted = std::ceil(m / p);
  const double sent = (hosted * c.uplink + c.downlink) * (p - 1.0) / p;
  const double received = (m - std::floor(m / p)) * c.uplink / p + c.downlink * (p - 1.0) / p;
  return c.bytes_scale * std::max(sent, received);
}

PlanRow predict(const PlanModel& model, const PlanCase& c, const Network& network,
                std::int64_t ranks) {
  PlanRow row;
  row.ranks = ranks;
  const auto p = static_cast<double>(ranks);
  const auto m = static_cast<double>(c.agents);
  const double share = std::ceil(m / p) / m;
  const double computing = c.replicated_seconds + c.shared_seconds * share;
  const double messages = ranks > 1 ? 2.0 * (p - 1.0) : 0.0;
  row.bytes = ranks > 1 && c.rounds > 0.0 ? plan_bytes(c, ranks) : 0.0;
  const double latency = ranks > 1 ? 2.0 * network.latency : 0.0;
  row.communication =
      c.rounds * (messages * model.message_seconds + latency) +
      row.bytes * (8.0 / (network.bits * model.bandwidth_share) + model.byte_seconds);
  row.iteration_seconds = computing + row.communication;
  // The fitted error holds where it was measured; beyond it grows with every doubling.
  const double doublings =
      std::max(0.0, std::log2(p / std::max<double>(1.0, model.measured_ranks)));
  row.doubt = model.error * std::sqrt(1.0 + doublings);
  row.seconds = c.iterations * row.iteration_seconds;
  row.seconds_doubt = std::hypot(row.doubt, c.spread);
  row.core_hours = row.seconds * p / 3600.0;
  return row;
}

int plan_command(const parallel::Comm& comm, const PlanArguments& arguments) {
  const Network network = parse_network(arguments.network);
  const std::vector<std::int64_t> ranks = parse_ranks(arguments.ranks);
  const PlanModel model = read_model(comm, arguments.model);
  std::vector<std::string> codecs = arguments.codecs;
  if (codecs.empty()) codecs.emplace_back();
  std::string advice;
  double fastest = std::numeric_limits<double>::infinity();
  for (const std::string& codec : codecs) {
    std::vector<std::string> words = arguments.words;
    if (!codec.empty()) words.push_back("method.codec=" + codec);
    const Measured alone = measure_alone(comm, words, arguments.seconds);
    const Measured here = comm.size() > 1 ? measure(comm, words, arguments.seconds) : alone;
    PlanCase c;
    c.agents = alone.agents;
    c.rounds = here.rounds;
    c.uplink = here.uplink;
    c.downlink = here.downlink;
    c.shared_seconds = alone.seconds;
    c.iterations = alone.iterations;
    c.spread = alone.spread;
    if (comm.size() > 1) {
      // Seconds on one and on P ranks split into what the agents share out and what every rank
      // does.
      const auto p = static_cast<double>(comm.size());
      const double bytes = std::max(here.sent, here.received);
      if (bytes > 0.0) c.bytes_scale = bytes / plan_bytes(c, comm.size());
      const double moved =
          bytes * model.byte_seconds + here.rounds * 2.0 * (p - 1.0) * model.message_seconds;
      const double share =
          std::ceil(static_cast<double>(c.agents) / p) / static_cast<double>(c.agents);
      const double gained = (alone.seconds - (here.seconds - moved)) / std::max(1e-9, 1.0 - share);
      c.shared_seconds = std::clamp(gained, 0.0, alone.seconds);
      c.replicated_seconds = alone.seconds - c.shared_seconds;
    }
    std::vector<PlanRow> rows;
    const PlanRow base = predict(model, c, network, ranks.front());
    for (const std::int64_t p : ranks) {
      rows.push_back(predict(model, c, network, p));
      rows.back().efficiency = base.iteration_seconds * static_cast<double>(base.ranks) /
                               (rows.back().iteration_seconds * static_cast<double>(p));
    }
    // The fastest that still makes half of its processors count.
    const auto best = std::min_element(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
      const auto rank = [](const PlanRow& r) {
        return r.efficiency >= 0.5 ? r.iteration_seconds : std::numeric_limits<double>::infinity();
      };
      return rank(a) < rank(b);
    });
    if (comm.rank() == 0) {
      fmt::print(
          "{}{} agents, {:.4g} exchanges an iteration; {} an iteration on one rank, {} of it "
          "on every rank; {} iterations to the tolerance{}\n",
          codec.empty() ? "" : "codec " + codec + ": ", c.agents, c.rounds,
          solve::human_seconds(alone.seconds), solve::human_seconds(c.replicated_seconds),
          std::isfinite(c.iterations) ? fmt::format("{:.0f}", c.iterations) : "unknown",
          alone.converged
              ? ""
              : " (extrapolated from a run of " + solve::human_seconds(arguments.seconds) + ")");
      if (comm.size() == 1) {
        fmt::print(
            "measured on one rank: all work counts as shared out, which flatters; start "
            "with mpirun -n 2 for the part that every rank repeats\n");
      }
      fmt::print("{:>7} {:>12} {:>12} {:>9} {:>8} {:>10} {:>12} {:>9} {:>12}\n", "ranks",
                 "iteration", "bytes", "moving", "effic.", "doubt", "to the end", "doubt",
                 arguments.price == 1.0 ? "core hours" : "cost");
      for (const PlanRow& row : rows) {
        print_row(row, arguments.price, row.ranks > model.measured_ranks, &row == &*best);
      }
      std::fflush(stdout);
    }
    if (best->seconds < fastest) {
      fastest = best->seconds;
      advice = fmt::format("{} ranks{}: {} ({:.4g} core hours), give or take {:.0f} %", best->ranks,
                           codec.empty() ? "" : ", method.codec=" + codec,
                           solve::human_seconds(best->seconds), best->core_hours,
                           100.0 * best->seconds_doubt);
    }
  }
  if (comm.rank() == 0) {
    fmt::print("advice: {}\n",
               advice.empty() ? "the run was too short to say how many iterations are needed; give "
                                "--seconds more"
                              : advice);
  }
  return 0;
}

}  // namespace equipoise::drivers
