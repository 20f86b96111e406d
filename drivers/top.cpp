#include "command.hpp"

#include <equipoise/parallel/session.hpp>
#include <equipoise/solve/progress.hpp>
#include <equipoise/solve/side_trace.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <thread>

namespace equipoise::drivers {
namespace {

double unix_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// A guess from the pace and, where the residual falls, from how fast it falls; "" where neither is
/// known.
std::string health(const solve::SideTraceState& s, double silence) {
  if (s.ended()) return "";
  // Lines come every second, or once a step where a step takes longer.
  const double usual =
      s.iterations_per_second > 0.0 ? std::max(1.0, 1.0 / s.iterations_per_second) : 30.0;
  if (silence > 10.0 * usual + 10.0) {
    return fmt::format("no sign of life for {}", solve::human_seconds(silence));
  }
  return "";
}

std::string row(const std::string& directory) {
  const auto found = solve::read_side_trace(directory);
  if (!found) return fmt::format("{:<24} no {} here yet\n", directory, solve::SideTrace::file_name);
  const solve::SideTraceState& s = *found;
  const double now = unix_now();
  const std::string state = s.ended() ? s.event : "running";
  const std::string saved =
      s.checkpoint_time > 0.0 ? solve::human_seconds(now - s.checkpoint_time) + " ago" : "none";
  const std::string pace = s.ended() || s.iterations_per_second <= 0.0
                               ? ""
                               : fmt::format("{:.3g} /s", s.iterations_per_second);
  const std::string measure = std::isfinite(s.residual) ? fmt::format("{:.2e}", s.residual) : "";
  return fmt::format("{:<24} {:<15} {:>5} {:>10} {:>10} {:>12} {:>9} {:>7.0e} {:>14} {}\n",
                     directory, state, s.ranks, s.iteration, pace, solve::human_seconds(s.seconds),
                     measure, s.tolerance, saved, health(s, now - s.unix_time));
}

bool all_ended(const std::vector<std::string>& directories) {
  for (const std::string& directory : directories) {
    const auto state = solve::read_side_trace(directory);
    if (!state || !state->ended()) return false;
  }
  return true;
}

}  // namespace

int top_command(const parallel::Comm& comm, const std::vector<std::string>& directories,
                bool once) {
  for (const std::string& directory : directories) {
    if (!std::filesystem::is_directory(directory)) {
      throw CheckpointError("{}: no such directory; give the --checkpoint directory of a run",
                            directory);
    }
  }
  if (comm.rank() != 0) return 0;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  while (true) {
    std::string page =
        fmt::format("{:<24} {:<15} {:>5} {:>10} {:>10} {:>12} {:>9} {:>7} {:>14}\n", "run", "state",
                    "ranks", "iteration", "pace", "time", "measure", "goal", "checkpoint");
    for (const std::string& directory : directories) page += row(directory);
    fmt::print("{}{}", terminal && !once ? "\033[H\033[2J" : "", page);
    std::fflush(stdout);
    if (once || !terminal || all_ended(directories) || parallel::stop_requested()) return 0;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace equipoise::drivers
