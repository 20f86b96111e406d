#pragma once

#include <mpi.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace equipoise::parallel {

/// A cheap shared handle of one duplicated MPI communicator.
///
/// Duplicate once per program or group, then copy freely: a copy never communicates. The MPI
/// communicator is freed by `close()` (collective); a handle that is merely dropped leaks it,
/// because a collective call in a destructor would hang while an exception unwinds.
class Comm {
 public:
  /// A communicator of this process alone. Never communicates.
  Comm();
  /// Duplicates `parent`. **Collective**, one MPI_Comm_dup.
  static Comm duplicate(MPI_Comm parent);
  /// Groups of equal `color`, ordered by `key`. **Collective**, one MPI_Comm_split.
  [[nodiscard]] Comm split(int color, int key = 0) const;
  /// Frees the communicator for every copy of this handle. **Collective.**
  void close();

  [[nodiscard]] MPI_Comm handle() const { return state_->comm; }
  [[nodiscard]] int rank() const { return state_->rank; }
  [[nodiscard]] int size() const { return state_->size; }

  /// Largest and smallest value, integer sum, and "true on any rank". **Collective**, one allreduce
  /// of 8 bytes. All are exact and independent of the number of ranks.
  [[nodiscard]] double max(double value) const;
  [[nodiscard]] std::int64_t max(std::int64_t value) const;
  [[nodiscard]] std::int64_t min(std::int64_t value) const;
  [[nodiscard]] std::int64_t sum(std::int64_t value) const;
  [[nodiscard]] bool any(bool value) const;
  /// Overwrites `values` on every rank by those of `root`. **Collective**, one broadcast.
  void broadcast(std::span<double> values, int root = 0) const;
  void broadcast(std::span<std::int64_t> values, int root = 0) const;
  /// The string of `root` on every rank. **Collective**, two broadcasts.
  [[nodiscard]] std::string broadcast(std::string text, int root = 0) const;
  /// Element-wise maximum, in place. **Collective**, one allreduce.
  void max(std::span<double> values) const;
  /// Waits for all ranks. **Collective.**
  void barrier() const;

 private:
  struct State {
    MPI_Comm comm = MPI_COMM_SELF;
    int rank = 0;
    int size = 1;
  };
  explicit Comm(MPI_Comm owned);
  std::shared_ptr<State> state_;
};

}  // namespace equipoise::parallel
