#include "history.hpp"

#include <algorithm>

namespace equipoise::solve {
namespace {

/// Columns that differ from rank to rank; the others are equal by themselves.
constexpr std::size_t seconds_column = 1, first_traffic_column = 4, first_counter_column = 10;

}  // namespace

History::History(const Counters& counters) {
  table.names = {"iteration",
                 "seconds",
                 "residual",
                 "objective",
                 "uplink_bytes_per_agent",
                 "downlink_bytes_per_agent",
                 "sent_bytes_max",
                 "received_bytes_max",
                 "header_bytes_max",
                 "rounds"};
  for (const auto& counter : counters) table.names.push_back("calls_" + counter.first);
  table.columns.assign(table.names.size(), {});
}

void History::fields(state::FieldVisitor& visit) {
  visit.scalar("run/trace_stride", stride_);
  table.fields(visit);
}

bool History::wants(const Report& report, std::int64_t iteration) const {
  return report.fresh && iteration % stride_ == 0;
}

void History::add(std::int64_t iteration, double seconds, const Report& report,
                  const parallel::Traffic& traffic, const std::vector<std::int64_t>& counters,
                  std::int64_t limit) {
  auto& columns = table.columns;
  const auto number = static_cast<double>(iteration);
  if (!columns[0].empty() && columns[0].back() == number) return;
  std::vector<double> row = {number, seconds, report.residual, report.objective};
  for (const std::int64_t n :
       {traffic.uplink_per_agent, traffic.downlink_per_agent, traffic.sent, traffic.received,
        traffic.header_sent + traffic.header_received, traffic.rounds}) {
    row.push_back(static_cast<double>(n));
  }
  for (const std::int64_t n : counters) row.push_back(static_cast<double>(n));
  for (std::size_t i = 0; i < row.size(); ++i) columns[i].push_back(row[i]);
  if (std::ssize(columns[0]) >= 2 * limit) thin();
}

void History::thin() {
  stride_ *= 2;
  auto& columns = table.columns;
  std::size_t kept = 0;
  std::size_t merged = 0;
  for (std::size_t i = 0; i < columns[0].size(); ++i) {
    if (static_cast<std::int64_t>(columns[0][i]) % stride_ != 0) continue;
    for (auto& column : columns) column[kept] = column[i];
    ++kept;
    if (i < rows_merged_) merged = kept;
  }
  for (auto& column : columns) column.resize(kept);
  rows_merged_ = merged;
}

void History::merge(const parallel::Comm& comm) {
  merge_columns(comm, seconds_column, seconds_column + 1, MPI_MAX);
  merge_columns(comm, first_traffic_column, first_counter_column, MPI_MAX);
  merge_columns(comm, first_counter_column, table.columns.size(), MPI_SUM);
  rows_merged_ = table.columns[0].size();
}

void History::merge_columns(const parallel::Comm& comm, std::size_t begin, std::size_t end,
                            MPI_Op op) {
  auto& columns = table.columns;
  const auto first = static_cast<std::ptrdiff_t>(rows_merged_);
  std::vector<double> packed;
  for (std::size_t c = begin; c < end; ++c) {
    packed.insert(packed.end(), columns[c].begin() + first, columns[c].end());
  }
  if (packed.empty()) return;
  MPI_Allreduce(MPI_IN_PLACE, packed.data(), static_cast<int>(packed.size()), MPI_DOUBLE, op,
                comm.handle());
  auto from = packed.begin();
  const auto rows = std::ssize(columns[0]) - first;
  for (std::size_t c = begin; c < end; ++c) {
    std::copy_n(from, rows, columns[c].begin() + first);
    from += rows;
  }
}

}  // namespace equipoise::solve
