#include <equipoise/solve/side_trace.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <sstream>
#include <vector>

namespace equipoise::solve {
namespace {

constexpr const char* titles =
    "unix_time,event,ranks,iteration,seconds,residual,tolerance,objective,moved_bytes_max\n";
constexpr std::size_t columns = 9;

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// One line as it stands in the file; nothing for the titles and for a line that was cut short.
std::optional<SideTraceState> parse(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream stream(line);
  for (std::string cell; std::getline(stream, cell, ',');) cells.push_back(cell);
  if (cells.size() != columns || cells[0].empty() ||
      cells[0].find_first_not_of("0123456789.") != std::string::npos) {
    return std::nullopt;
  }
  const auto number = [&](std::size_t i) { return std::strtod(cells[i].c_str(), nullptr); };
  SideTraceState state;
  state.unix_time = number(0);
  state.event = cells[1];
  state.ranks = static_cast<std::int64_t>(number(2));
  state.iteration = static_cast<std::int64_t>(number(3));
  state.seconds = number(4);
  state.residual = number(5);
  state.tolerance = number(6);
  state.objective = number(7);
  state.moved_bytes = number(8);
  return state;
}

}  // namespace

SideTrace::SideTrace(const std::string& directory, int ranks, double tolerance)
    : ranks_(ranks), tolerance_(tolerance) {
  if (directory.empty()) return;
  const std::string path = directory + "/" + file_name;
  file_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  struct stat facts {};
  if (file_ >= 0 && fstat(file_, &facts) == 0 && facts.st_size == 0) {
    [[maybe_unused]] const auto written =
        write(file_, titles, std::char_traits<char>::length(titles));
  }
}

SideTrace::~SideTrace() {
  if (file_ >= 0) close(file_);
}

void SideTrace::step(std::int64_t iteration, double seconds, const Report& report,
                     const parallel::Traffic& traffic) {
  if (file_ >= 0 && seconds - written_at_ >= 1.0)
    event("step", iteration, seconds, report, traffic);
}

void SideTrace::event(const std::string& name, std::int64_t iteration, double seconds,
                      const Report& report, const parallel::Traffic& traffic) {
  if (file_ < 0) return;
  written_at_ = seconds;
  const std::string line = fmt::format(
      "{:.3f},{},{},{},{:.3f},{:.6e},{:.3e},{:.12g},{}\n", now(), name, ranks_, iteration, seconds,
      report.residual, tolerance_, report.objective, std::max(traffic.sent, traffic.received));
  [[maybe_unused]] const auto written = write(file_, line.data(), line.size());
}

std::optional<SideTraceState> read_side_trace(const std::string& directory) {
  std::ifstream file(directory + "/" + SideTrace::file_name);
  std::optional<SideTraceState> last;
  std::deque<SideTraceState> recent;  // of this start, for the pace
  double checkpoint = 0.0;
  for (std::string line; std::getline(file, line);) {
    if (file.eof()) break;  // no line end yet: it is being written
    const auto state = parse(line);
    if (!state) continue;
    if (state->event == "start") recent.clear();
    if (state->event == "checkpoint") checkpoint = state->unix_time;
    recent.push_back(*state);
    if (recent.size() > 20) recent.pop_front();
    last = state;
  }
  if (!last) return last;
  const double elapsed = last->seconds - recent.front().seconds;
  const auto done = static_cast<double>(last->iteration - recent.front().iteration);
  last->iterations_per_second = elapsed > 0.0 ? done / elapsed : 0.0;
  last->checkpoint_time = checkpoint;
  return last;
}

}  // namespace equipoise::solve
