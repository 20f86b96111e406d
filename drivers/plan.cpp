#include "plan.hpp"

#include "command.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/progress.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <fstream>
#include <limits>
#include <optional>
#include <thread>

namespace equipoise::drivers {
namespace {

using nlohmann::json;

/// One run of the case on some ranks, per iteration.
struct Measured {
  double seconds = 0.0, rounds = 0.0, uplink = 0.0, downlink = 0.0;
  double sent = 0.0, received = 0.0;
  double virtual_bytes = 0.0;  ///< max(sent, received) of virtual ranks, where they are counted
  double iterations = 0.0;     ///< to the tolerance
  bool converged = false;
  double spread = 0.0;  ///< of the extrapolated iterations, relative; 0 where they were all done
  std::int64_t agents = 0, dimension = 0;
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

/// max(sent, received) of the busiest of `ranks`, in all.
double busiest(const std::vector<parallel::Traffic>& ranks) {
  std::int64_t most = 0;
  for (const auto& t : ranks) most = std::max({most, t.sent, t.received});
  return static_cast<double>(most);
}

/// One run of the case; `what` gets its method and codecs.
Measured measure(const parallel::Comm& comm, const std::vector<std::string>& words, double seconds,
                 std::string* what = nullptr) {
  Case c = open_case(comm, read_words(comm, words));
  solve::StopOptions stop;
  solve::SaveOptions save;
  c.config.read("stop", stop);
  c.config.read("run", save);
  stop.max_seconds = seconds;
  const auto method = c.instance->make_method(c.method, c.config);
  c.config.reject_unused();
  if (what) {
    *what = c.method;
    for (const auto& [key, value] : c.config.values()) {
      if (key == "method.codec" || key == "method.server_codec") {
        *what += fmt::format(", {}={}", key, value);
      }
    }
  }
  // The start is not an iteration.
  const parallel::Traffic start = method->traffic();
  const auto counted = [&] {
    return c.virtual_ranks ? busiest(c.virtual_ranks->total(comm)) : 0.0;
  };
  const double virtual_start = counted();
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
  m.virtual_bytes = (counted() - virtual_start) / n;
  for (const auto& [key, value] : c.instance->facts()) {
    if (key == "agents" || key == "classes of blocks") m.agents = std::stoll(value);
    if (key == "dimension" || key == "outer variables") m.dimension = std::stoll(value);
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
  std::exception_ptr failure;
  if (comm.rank() == 0) {
    try {
      m = measure(parallel::Comm(), words, seconds);
    } catch (...) {
      failure = std::current_exception();
    }
  }
  MPI_Request over = MPI_REQUEST_NULL;
  MPI_Ibarrier(comm.handle(), &over);
  for (int done = 0; done == 0;) {
    MPI_Test(&over, &done, MPI_STATUS_IGNORE);
    if (done == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  parallel::agree(comm, [&] {
    if (failure) std::rethrow_exception(failure);
  });
  MPI_Bcast(&m, sizeof m, MPI_BYTE, 0, comm.handle());
  return m;
}

/// Bytes that the busiest of `ranks` would move in an iteration, counted in a short run that
/// encodes every message as they would; nothing where that is not cheap, or the case has no agents.
std::optional<double> simulate(const parallel::Comm& comm, std::vector<std::string> words,
                               const Measured& alone, std::int64_t ranks, double seconds) {
  constexpr std::int64_t cheap = 20'000'000;  // pieces of messages in a round
  const std::int64_t owners =
      std::min<std::int64_t>(ranks, partition::default_chunks(alone.dimension));
  if (alone.agents == 0 || alone.agents * owners > cheap) return std::nullopt;
  words.push_back(fmt::format("run.virtual_ranks={}", ranks));
  try {
    return measure(comm, words, seconds).virtual_bytes;
  } catch (const ConfigurationError&) {  // on every rank alike, before anything is sent
    return std::nullopt;
  }
}

/// Ranks that share a core here.
double overload(const parallel::Comm& comm) {
  MPI_Comm node = MPI_COMM_NULL;
  MPI_Comm_split_type(comm.handle(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  int ranks = 1;
  MPI_Comm_size(node, &ranks);
  MPI_Comm_free(&node);
  const double cores = std::max(1U, std::thread::hardware_concurrency());
  return comm.max(std::max(1.0, ranks / cores));
}

/// Splits seconds on one rank and on those at hand into what the agents share out and what every
/// rank does.
PlanCase split(const PlanModel& model, const Measured& alone, const Measured& here, int ranks,
               double overload) {
  PlanCase c;
  c.agents = alone.agents;
  c.rounds = here.rounds;
  c.uplink = here.uplink;
  c.downlink = here.downlink;
  c.shared_seconds = alone.seconds;
  c.iterations = alone.iterations;
  c.spread = alone.spread;
  if (ranks == 1) return c;
  const double bytes = std::max(here.sent, here.received);
  c.bytes = bytes;
  if (bytes > 0.0 && c.agents > 0) c.bytes_scale = bytes / plan_bytes(c, ranks);
  const double moved =
      bytes * model.byte_seconds + here.rounds * 2.0 * (ranks - 1.0) * model.message_seconds;
  const double share = largest_share(c.agents, ranks);
  const double gained =
      (alone.seconds - (here.seconds / overload - moved)) / std::max(1e-9, 1.0 - share);
  c.shared_seconds = std::clamp(gained, 0.0, alone.seconds);
  c.replicated_seconds = alone.seconds - c.shared_seconds;
  return c;
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
    model.doubling_error = found.value("doubling_error", model.doubling_error);
    model.measured_ranks = found.value("measured_ranks", model.measured_ranks);
    return model;
  });
}

std::string known(double value, const std::string& text) {
  return std::isfinite(value) ? text : "unknown";
}

void print_row(const PlanRow& row, double price, bool best) {
  const double cost = row.core_hours * price;
  fmt::print("{:>7} {:>12} {}{:>11} {:>8.0f}% {:>7.0f}% {:>12} {:>12} {:>8} {}{}\n", row.ranks,
             solve::human_seconds(row.iteration_seconds), row.simulated ? ' ' : '~',
             solve::human_bytes(row.bytes), 100.0 * row.communication / row.iteration_seconds,
             100.0 * row.efficiency, known(row.seconds, solve::human_seconds(row.seconds)),
             known(cost, fmt::format("{:.4g}", cost)),
             known(row.factor, fmt::format("{:.2f}", row.factor)),
             row.doublings > 0.0 ? "extrapolated" : "", best ? " <- advice" : "");
}

/// The fastest that still makes half of its processors count.
const PlanRow& best_of(const std::vector<PlanRow>& rows) {
  const auto rank = [](const PlanRow& r) {
    return r.efficiency >= 0.5 ? r.iteration_seconds : std::numeric_limits<double>::infinity();
  };
  return *std::min_element(rows.begin(), rows.end(),
                           [&](const PlanRow& a, const PlanRow& b) { return rank(a) < rank(b); });
}

void print_rows(const PlanCase& c, const Measured& alone, const std::vector<PlanRow>& rows,
                const std::string& what, const PlanArguments& arguments, int at_hand) {
  fmt::print(
      "{}: {}, {:.4g} exchanges an iteration; {} an iteration on one rank, {} of it on "
      "every "
      "rank; {} iterations to the tolerance{}\n",
      what, c.agents > 0 ? fmt::format("{} agents", c.agents) : "no agents", c.rounds,
      solve::human_seconds(alone.seconds), solve::human_seconds(c.replicated_seconds),
      known(c.iterations, fmt::format("{:.0f}", c.iterations)),
      alone.converged
          ? ""
          : " (extrapolated from a run of " + solve::human_seconds(arguments.seconds) + ")");
  if (at_hand > 1 && c.shared_seconds == 0.0) {
    fmt::print(
        "{} ranks were no faster than one: no work counts as shared out; is the machine busy?\n",
        at_hand);
  }
  if (at_hand == 1) {
    fmt::print(
        "measured on one rank: all work counts as shared out, which flatters; start with mpirun -n "
        "2 for the part that every rank repeats\n");
  }
  fmt::print("{:>7} {:>12} {:>12} {:>9} {:>8} {:>12} {:>12} {:>8}\n", "ranks", "iteration", "bytes",
             "moving", "effic.", "to the end", arguments.price == 1.0 ? "core hours" : "cost",
             "doubt x");
  const PlanRow& best = best_of(rows);
  for (const PlanRow& row : rows) print_row(row, arguments.price, &row == &best);
  std::fflush(stdout);
}

std::string advice_of(const PlanRow& row, const PlanModel& model, const std::string& what,
                      double price) {
  return fmt::format(
      "{} ranks, {}: {}, between {} and {}; cost {:.4g}{}", row.ranks, what,
      solve::human_seconds(row.seconds), solve::human_seconds(row.seconds / row.factor),
      solve::human_seconds(row.seconds * row.factor), price * row.core_hours,
      row.doublings > 0.0
          ? fmt::format("; an extrapolation over {:.1f} doublings beyond the {} ranks of the model",
                        row.doublings, model.measured_ranks)
          : "");
}

}  // namespace

int plan_command(const parallel::Comm& comm, const PlanArguments& arguments) {
  const Network network = parse_network(arguments.network);
  const std::vector<std::int64_t> ranks = parse_ranks(arguments.ranks);
  const PlanModel model = read_model(comm, arguments.model);
  const double sharing = overload(comm);
  std::vector<std::string> codecs = arguments.codecs;
  if (codecs.empty()) codecs.emplace_back();
  std::string advice;
  double fastest = std::numeric_limits<double>::infinity();
  for (const std::string& codec : codecs) {
    std::vector<std::string> words = arguments.words;
    if (!codec.empty()) words.push_back("method.codec=" + codec);
    const Measured alone = measure_alone(comm, words, arguments.seconds);
    std::string what;
    const Measured here = measure(comm, words, arguments.seconds, &what);
    const PlanCase c = split(model, alone, here, comm.size(), sharing);
    std::vector<PlanRow> rows;
    for (const std::int64_t p : ranks) {
      const auto counted =
          simulate(comm, words, alone, p, std::clamp(0.1 * arguments.seconds, 0.1, 5.0));
      const double estimate = c.rounds > 0.0 ? plan_bytes(c, p) : 0.0;
      rows.push_back(predict(model, c, network, p, counted.value_or(estimate)));
      PlanRow& row = rows.back();
      row.simulated = counted.has_value();
      row.efficiency = rows.front().iteration_seconds * static_cast<double>(rows.front().ranks) /
                       (row.iteration_seconds * static_cast<double>(p));
    }
    if (comm.rank() == 0) print_rows(c, alone, rows, what, arguments, comm.size());
    const PlanRow& best = best_of(rows);
    if (best.seconds < fastest) {
      fastest = best.seconds;
      advice = advice_of(best, model, what, arguments.price);
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
