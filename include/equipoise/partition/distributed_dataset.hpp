#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::partition {

/// Consecutive rows of a sparse data file, compressed by rows. Row r of the file is local row r -
/// first.
struct SparseRows {
  std::int64_t first = 0;                   ///< global number of the first row
  std::vector<double> labels;               ///< [rows]
  std::vector<std::int64_t> offsets = {0};  ///< [rows + 1], into the two below
  std::vector<std::int32_t> index;          ///< features from 0, in the order of the file
  std::vector<double> values;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
  [[nodiscard]] std::int64_t nonzeros() const { return offsets.back(); }
  [[nodiscard]] std::span<const std::int32_t> row_index(std::int64_t row) const {
    return std::span(index).subspan(at(row), at(row + 1) - at(row));
  }
  [[nodiscard]] std::span<const double> row_values(std::int64_t row) const {
    return std::span(values).subspan(at(row), at(row + 1) - at(row));
  }
  /// Appends a row. `features` and `numbers` have equal length.
  void append(double label, std::span<const std::int32_t> features,
              std::span<const double> numbers);

 private:
  [[nodiscard]] std::size_t at(std::int64_t row) const {
    return static_cast<std::size_t>(offsets[static_cast<std::size_t>(row)]);
  }
};

/// The rows of a data file, sharded by agent: agent m holds the rows `rows.range(m)`, whatever the
/// number of ranks, and a rank holds the shards of the agents it hosts.
struct DistributedDataset {
  Partition rows;                  ///< rows of the file over agents
  Partition agents;                ///< agents over ranks
  std::int64_t features = 0;       ///< columns, equal on every rank
  std::vector<SparseRows> shards;  ///< of the hosted agents, in their order
  parallel::Traffic traffic;       ///< bytes moved to bring the rows here

  /// Share of the rows that agent m holds: the weight of its mean in the mean over all rows.
  [[nodiscard]] double weight(std::int64_t agent) const {
    return static_cast<double>(rows.range(static_cast<int>(agent)).size()) /
           static_cast<double>(rows.size());
  }
};

/// Sends parsed rows to the agents that are to hold them. `local` are the rows this rank parsed,
/// wherever they lie in the file; together the ranks must hold every row exactly once. Rows go to
/// `agents.size()` agents, uniformly and in order; `features` is the number of columns where it is
/// known beforehand, 0 to take the largest feature found. Throws an InputError on all ranks if a
/// row is missing or held twice, if a feature lies outside 0..features-1, or if there are fewer
/// rows than agents.
/// **Collective**: one sparse exchange of 16 bytes an entry and 24 bytes a row.
[[nodiscard]] DistributedDataset distribute(const parallel::Comm& comm, const SparseRows& local,
                                            const Partition& agents, std::int64_t features = 0);

}  // namespace equipoise::partition
