#pragma once

#include <equipoise/parallel/traffic.hpp>
#include <equipoise/solve/method.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace equipoise::solve {

/// The history of a running job for people who watch it: `progress.csv` in the checkpoint
/// directory.
///
/// One line at most a second, and one for every start, checkpoint and end; each is appended by a
/// single write, so the file may be read at any time and stays readable when the job dies. Rank 0
/// writes alone. A line that cannot be written is dropped: watching must never end a run. Columns:
/// unix_time, event (start, step, checkpoint, or how the run ended), ranks, iteration, seconds,
/// residual, tolerance, objective, moved_bytes_max.
class SideTrace {
 public:
  static constexpr const char* file_name = "progress.csv";
  /// Opens `directory`/progress.csv for appending; an empty directory gives a trace that writes
  /// nothing.
  SideTrace(const std::string& directory, int ranks, double tolerance);
  ~SideTrace();
  SideTrace(const SideTrace&) = delete;
  SideTrace& operator=(const SideTrace&) = delete;

  /// A line "step", unless the last one is younger than a second.
  void step(std::int64_t iteration, double seconds, const Report& report,
            const parallel::Traffic& traffic);
  /// A line at once.
  void event(const std::string& name, std::int64_t iteration, double seconds, const Report& report,
             const parallel::Traffic& traffic);

 private:
  int file_ = -1;
  int ranks_;
  double tolerance_;
  double written_at_ = -1.0;  ///< in seconds of the run, which no change of the clock moves
};

/// Where a job stands, by the last whole line of its side trace.
struct SideTraceState {
  double unix_time = 0.0;
  std::string event;
  std::int64_t ranks = 0, iteration = 0;
  double seconds = 0.0, residual = 0.0, tolerance = 0.0, objective = 0.0, moved_bytes = 0.0;
  double iterations_per_second = 0.0;  ///< over the last lines of this start; 0 where unknown
  double checkpoint_time = 0.0;        ///< unix time of the last checkpoint, 0 for none
  [[nodiscard]] bool ended() const {
    return event != "start" && event != "step" && event != "checkpoint";
  }
};

/// Reads the side trace of `directory`, on this process alone; nothing where there is none yet.
/// Lines cut short or not understood are passed over.
[[nodiscard]] std::optional<SideTraceState> read_side_trace(const std::string& directory);

}  // namespace equipoise::solve
