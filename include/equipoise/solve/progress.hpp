#pragma once

#include <equipoise/solve/method.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace equipoise::solve {

struct Watch;

/// How a run shows itself on rank 0: one live line on a terminal, a plain line every few seconds
/// elsewhere.
class Progress {
 public:
  Progress(bool speaks, const Watch& watch);
  /// A warning, on standard error even of a quiet run.
  void warn(const std::string& line);
  /// A line for the log, above the live line.
  void note(const std::string& line);
  void update(std::int64_t iteration, double seconds, const Report& report,
              const parallel::Traffic& traffic, double tolerance);
  /// Clears the live line.
  void end();

 private:
  const Watch& watch_;
  bool first_rank_;
  bool speaks_;
  bool terminal_;
  bool live_ = false;
  double shown_at_ = 0.0;
};

/// 1234567 -> "1.23 MB" (1 kB = 1000 B).
[[nodiscard]] std::string human_bytes(double bytes);
/// Seconds as "850 ms", "12.3 s", "4 min 05 s".
[[nodiscard]] std::string human_seconds(double seconds);

}  // namespace equipoise::solve
