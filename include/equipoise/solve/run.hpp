#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/checkpoint.hpp>
#include <equipoise/state/options.hpp>
#include <equipoise/state/run_file.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace equipoise::solve {

/// Why a run ended.
enum class Stop {
  converged,
  budget_spent,
  iteration_limit,
  time_limit,
  byte_limit,
  stalled,
  diverged,
  not_finite,
  interrupted,
};
[[nodiscard]] std::string name(Stop stop);

/// When to stop, under `stop.`.
struct StopOptions {
  double tolerance = 1e-6;
  std::int64_t max_iterations = 1'000'000;
  double max_seconds = 0.0;
  double max_bytes = 0.0;
  std::int64_t stall_checks = 1000;
  double divergence = 1e10;
  void describe(state::OptionVisitor& visit);
};

/// When to save, under `run.`.
struct SaveOptions {
  double checkpoint_every = 60.0;
  std::int64_t checkpoint_iterations = 0;
  std::int64_t checkpoint_keep = 2;
  std::int64_t trace_rows = 2000;
  double hang_seconds = 300.0;
  void describe(state::OptionVisitor& visit);
};

/// Where a run saves itself and whether it continues an earlier one.
struct Saving {
  std::string directory;  ///< checkpoints go here; empty for none
  std::string
      resume_from;  ///< start from the newest checkpoint in this directory; empty to start afresh
  state::Identity identity;
  std::string config_toml;
};

/// How a run shows itself: called on rank 0 only.
struct Watch {
  bool quiet = false;
  std::function<void(const std::string& line)> note;  ///< a line for the log
};

/// What came out, equal on every rank. Traffic figures are the largest over ranks (or agents),
/// counters sums.
struct Summary {
  Stop stop = Stop::iteration_limit;
  std::int64_t iterations = 0;
  double residual = Report::unknown;
  double objective = Report::unknown;
  double seconds = 0.0;
  parallel::Traffic traffic;
  Counters counters;
  state::Table trace;
  std::string checkpoint;  ///< path of the last one written, or empty
  std::string message;

  /// The exit code that the command returns for this end.
  [[nodiscard]] Exit exit_code() const;
};

/// The one run loop of every family: steps until a stop rule that all ranks agree on, keeps the
/// trace, shows progress, saves checkpoints on time, on SIGUSR1 and at the end, and resumes.
///
/// Stop rules on the residual and on iterations are decided from values equal on every rank,
/// without communication; time and signals are agreed by one allreduce of 40 bytes about every 20
/// ms, and after every step where bytes are limited. Totals of a resumed run are those of the whole
/// run: the method's start, which the checkpoint holds already, is not counted again.
/// **Collective.** Throws what the method throws, and CheckpointError.
Summary run(const parallel::Comm& comm, Method& method, const StopOptions& stop,
            const SaveOptions& save, const Saving& saving, const Watch& watch);

}  // namespace equipoise::solve
