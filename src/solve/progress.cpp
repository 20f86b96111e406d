#include <equipoise/solve/progress.hpp>
#include <equipoise/solve/run.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace equipoise::solve {

Progress::Progress(bool speaks, const Watch& watch)
    : watch_(watch),
      first_rank_(speaks),
      speaks_(speaks && !watch.quiet),
      terminal_(isatty(STDERR_FILENO) != 0) {}

void Progress::warn(const std::string& line) {
  if (!first_rank_) return;
  end();
  fmt::print(stderr, "equipoise: warning: {}\n", line);
}

void Progress::note(const std::string& line) {
  if (!speaks_) return;
  end();
  if (watch_.note) {
    watch_.note(line);
  } else {
    fmt::print(stderr, "{}\n", line);
  }
}

void Progress::update(std::int64_t iteration, double seconds, const Report& report,
                      const parallel::Traffic& traffic, double tolerance) {
  const double pause = terminal_ ? 0.1 : 5.0;
  if (!speaks_ || seconds - shown_at_ < pause) return;
  shown_at_ = seconds;
  std::string line = fmt::format("iteration {:>8}  {:>9}", iteration, human_seconds(seconds));
  if (std::isfinite(report.residual)) {
    line += fmt::format("  measure {:.2e} (goal {:.0e})", report.residual, tolerance);
  }
  if (std::isfinite(report.objective)) line += fmt::format("  objective {:.8g}", report.objective);
  const std::int64_t moved = std::max(traffic.sent, traffic.received);
  if (moved > 0) line += fmt::format("  moved {}", human_bytes(static_cast<double>(moved)));
  fmt::print(stderr, "{}{}{}", terminal_ ? "\r\033[K" : "", line, terminal_ ? "" : "\n");
  std::fflush(stderr);
  live_ = terminal_;
}

void Progress::end() {
  if (live_) fmt::print(stderr, "\r\033[K");
  live_ = false;
}

std::string human_bytes(double bytes) {
  constexpr std::array<const char*, 5> units = {"B", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < units.size()) {
    bytes /= 1000.0;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.3g} {}", bytes, units[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds < 0.9995) return fmt::format("{:.3g} ms", 1000.0 * seconds);
  if (seconds < 99.95) return fmt::format("{:.3g} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::lround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace equipoise::solve
