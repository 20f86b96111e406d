#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/run_file.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::solve {

/// The trace of a run: a row of figures for every fresh report, thinned so that it stays short on
/// endless runs. Rows are this rank's own until `merge`.
class History {
 public:
  /// Columns of every run, then one for each of the method's counters.
  explicit History(const Counters& counters);

  void fields(state::FieldVisitor& visit);

  /// True if a report of this iteration is to be added.
  [[nodiscard]] bool wants(const Report& report, std::int64_t iteration) const;
  /// Adds a row where there is none of this iteration; of `limit` rows every second one is left
  /// out. `counters` are this rank's share of the totals.
  void add(std::int64_t iteration, double seconds, const Report& report,
           const parallel::Traffic& traffic, const std::vector<std::int64_t>& counters,
           std::int64_t limit);
  /// Replaces the rows added since the last call by figures equal on every rank: the largest over
  /// ranks, and the sum of calls. **Collective.**
  void merge(const parallel::Comm& comm);
  /// The rows that a checkpoint brought are merged.
  void loaded() { rows_merged_ = table.columns.front().size(); }

  state::Table table;

 private:
  void thin();
  void merge_columns(const parallel::Comm& comm, std::size_t begin, std::size_t end, MPI_Op op);
  std::int64_t stride_ = 1;
  std::size_t rows_merged_ = 0;
};

}  // namespace equipoise::solve
