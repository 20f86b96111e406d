#pragma once

#include <equipoise/parallel/comm.hpp>

#include <memory>
#include <string>

namespace equipoise::parallel {

/// Names a process that hangs, and ends the job, instead of letting everybody wait for ever.
///
/// A thread of every rank wakes a few times in `seconds`. Where its rank has made no progress
/// (`beat`) for that long, it looks at the processes of the same machine: a rank that waits for a
/// message uses processor time; one that was stopped (SIGSTOP, a debugger) or that waits for a dead
/// file system uses none. If it finds such a rank, it prints its number, machine, process id and
/// state, and ends this process with `exit_code`, upon which the launcher ends the job. A long step
/// in which all ranks work is never taken for a hang. Cost: one read of /proc for each local rank
/// at each look, nothing otherwise; no messages.
class Watchdog {
 public:
  /// Starts watching; 0 seconds: never. **Collective**, one allgather of 16 bytes a rank.
  Watchdog(const Comm& comm, double seconds, int exit_code);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// This rank has made progress.
  void beat();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace equipoise::parallel
