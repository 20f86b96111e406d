#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/partition/sparse_exchange.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

namespace equipoise::partition {
namespace {

void check(std::span<const Triplet> entries, const Partition& rows, const Partition& columns) {
  for (const auto& [row, column, value] : entries) {
    if (row < 0 || row >= rows.size() || column < 0 || column >= columns.size()) {
      throw InputError(
          "matrix entry ({}, {}) lies outside a matrix of {} rows and {} columns (from 0)", row,
          column, rows.size(), columns.size());
    }
    if (!std::isfinite(value)) throw InputError("matrix entry ({}, {}) is {}", row, column, value);
  }
}

/// In order of (row, column): by buckets of rows, which takes linear time where the columns of a
/// row come in order, as those of a matrix held by columns do.
void sort_by_position(std::vector<Triplet>& entries) {
  const auto before = [](const Triplet& a, const Triplet& b) {
    return std::tie(a.row, a.column) < std::tie(b.row, b.column);
  };
  if (std::is_sorted(entries.begin(), entries.end(), before)) return;
  const auto [least, most] =
      std::minmax_element(entries.begin(), entries.end(),
                          [](const Triplet& a, const Triplet& b) { return a.row < b.row; });
  const std::int64_t first = least->row, rows = most->row - first + 1;
  if (rows > std::ssize(entries)) return std::sort(entries.begin(), entries.end(), before);
  std::vector<std::ptrdiff_t> next(static_cast<std::size_t>(rows) + 1);
  const auto bucket = [&](const Triplet& t) { return static_cast<std::size_t>(t.row - first); };
  for (const Triplet& t : entries) ++next[bucket(t) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<Triplet> sorted(entries.size());
  for (const Triplet& t : entries) sorted[static_cast<std::size_t>(next[bucket(t)]++)] = t;
  entries = std::move(sorted);
  std::ptrdiff_t begin = 0;
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); begin = next[row++]) {
    const auto from = entries.begin() + begin, to = entries.begin() + next[row];
    if (!std::is_sorted(from, to, before)) std::sort(from, to, before);
  }
}

/// Adds entries of equal position. They arrive in an order that depends on who held them, so the
/// sum is exact and rounded once.
void add_repeated(std::vector<Triplet>& sorted) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < sorted.size(); ++kept) {
    Triplet merged = sorted[i];
    std::size_t next = i + 1;
    const auto same = [&](const Triplet& t) {
      return t.row == merged.row && t.column == merged.column;
    };
    if (next < sorted.size() && same(sorted[next])) {
      parallel::ExactSum sum;
      for (next = i; next < sorted.size() && same(sorted[next]); ++next)
        sum.add(sorted[next].value);
      merged.value = sum.round();
    }
    sorted[kept] = merged;
    i = next;
  }
  sorted.resize(kept);
}

/// Every entry to the rank that owns its row; repeated positions added, sorted.
std::vector<Triplet> send_to_owners(const parallel::Comm& comm, const Partition& rows,
                                    std::vector<Triplet> entries, parallel::Traffic& traffic) {
  sort_by_position(entries);
  std::vector<Message<Triplet>> outgoing;
  for (std::size_t i = 0; i < entries.size();) {
    const int owner = rows.owner(entries[i].row);
    outgoing.push_back({owner, {}});
    const std::int64_t end = rows.range(owner).end;
    for (; i < entries.size() && entries[i].row < end; ++i)
      outgoing.back().items.push_back(entries[i]);
  }
  std::vector<Triplet> mine;
  for (const auto& message : sparse_exchange(comm, outgoing, &traffic)) {
    mine.insert(mine.end(), message.items.begin(), message.items.end());
  }
  sort_by_position(mine);
  add_repeated(mine);
  return mine;
}

/// What `entries` touch outside `owned`, ascending.
std::vector<std::int64_t> foreign_columns(const std::vector<Triplet>& entries, Range owned) {
  std::vector<std::int64_t> foreign;
  for (const auto& entry : entries) {
    if (!owned.contains(entry.column)) foreign.push_back(entry.column);
  }
  std::sort(foreign.begin(), foreign.end());
  foreign.erase(std::unique(foreign.begin(), foreign.end()), foreign.end());
  return foreign;
}

}  // namespace

MatrixHalf::MatrixHalf(const parallel::Comm& comm, Partition lines, Partition across,
                       std::vector<Triplet> entries)
    : lines_(lines.range(comm.rank())),
      across_(across.range(comm.rank())),
      halo_(comm, across, foreign_columns(entries, across_)) {
  sort_by_position(entries);
  const auto ghosts = halo_.ghosts();
  const auto position = [&](std::int64_t global) {
    return static_cast<std::size_t>(std::lower_bound(ghosts.begin(), ghosts.end(), global) -
                                    ghosts.begin());
  };
  ghosts_below_ = position(across_.begin);
  const auto owned = static_cast<std::size_t>(across_.size());
  window_.resize(owned + ghosts.size());
  assert(window_.size() <= std::numeric_limits<std::int32_t>::max());

  offsets_.assign(static_cast<std::size_t>(lines_.size()) + 1, 0);
  for (const auto& entry : entries) {
    const std::size_t at =
        across_.contains(entry.column)
            ? ghosts_below_ + static_cast<std::size_t>(entry.column - across_.begin)
            : position(entry.column) + (entry.column < across_.begin ? 0 : owned);
    index_.push_back(static_cast<std::int32_t>(at));
    values_.push_back(entry.value);
    ++offsets_[static_cast<std::size_t>(entry.row - lines_.begin) + 1];
  }
  for (std::size_t i = 1; i < offsets_.size(); ++i) offsets_[i] += offsets_[i - 1];

  for (std::size_t line = 0; line + 1 < offsets_.size(); ++line) {
    const auto begin = index_.begin() + offsets_[line];
    const auto end = index_.begin() + offsets_[line + 1];
    // Ascending: the first and the last entry tell whether a ghost is touched.
    const bool inner =
        begin == end || (static_cast<std::size_t>(*begin) >= ghosts_below_ &&
                         static_cast<std::size_t>(*(end - 1)) < ghosts_below_ + owned);
    (inner ? inner_ : outer_).push_back(static_cast<std::int32_t>(line));
  }
}

double MatrixHalf::line_product(std::size_t line) const {
  double sum = 0.0;
  for (auto k = static_cast<std::size_t>(offsets_[line]);
       k < static_cast<std::size_t>(offsets_[line + 1]); ++k) {
    sum += values_[k] * window_[static_cast<std::size_t>(index_[k])];
  }
  return sum;
}

void MatrixHalf::fill_window(std::span<const double> owned) {
  assert(owned.size() == static_cast<std::size_t>(across_.size()));
  std::copy(owned.begin(), owned.end(),
            window_.begin() + static_cast<std::ptrdiff_t>(ghosts_below_));
}

void MatrixHalf::fill_ghosts(std::span<const double> ghosts) {
  const auto below = ghosts.first(ghosts_below_);
  const auto above = ghosts.subspan(ghosts_below_);
  std::copy(below.begin(), below.end(), window_.begin());
  std::copy(above.begin(), above.end(), window_.end() - static_cast<std::ptrdiff_t>(above.size()));
}

void MatrixHalf::multiply(std::span<const double> x, std::span<double> out) {
  assert(out.size() == static_cast<std::size_t>(lines_.size()));
  halo_.begin(x);
  fill_window(x);
  for (const auto line : inner_) {
    out[static_cast<std::size_t>(line)] = line_product(static_cast<std::size_t>(line));
  }
  fill_ghosts(halo_.end());
  for (const auto line : outer_) {
    out[static_cast<std::size_t>(line)] = line_product(static_cast<std::size_t>(line));
  }
}

void MatrixHalf::scale(std::span<const double> lines, std::span<const double> across,
                       bool line_first) {
  fill_window(across);
  fill_ghosts(halo_.exchange(across));
  for (std::size_t line = 0; line + 1 < offsets_.size(); ++line) {
    for (auto k = static_cast<std::size_t>(offsets_[line]);
         k < static_cast<std::size_t>(offsets_[line + 1]); ++k) {
      const double other = window_[static_cast<std::size_t>(index_[k])];
      values_[k] =
          line_first ? (values_[k] * lines[line]) * other : (values_[k] * other) * lines[line];
    }
  }
}

void MatrixHalf::norms(LineNorm norm, std::span<double> out) const {
  for (std::size_t line = 0; line + 1 < offsets_.size(); ++line) {
    double result = 0.0;
    for (auto k = static_cast<std::size_t>(offsets_[line]);
         k < static_cast<std::size_t>(offsets_[line + 1]); ++k) {
      const double magnitude = std::abs(values_[k]);
      switch (norm) {
        case LineNorm::one:
          result += magnitude;
          break;
        case LineNorm::two:
          result += magnitude * magnitude;
          break;
        case LineNorm::max:
          result = std::max(result, magnitude);
          break;
      }
    }
    out[line] = norm == LineNorm::two ? std::sqrt(result) : result;
  }
}

std::vector<Triplet> MatrixHalf::triplets() const {
  std::vector<Triplet> result;
  result.reserve(values_.size());
  const auto ghosts = halo_.ghosts();
  const auto owned = static_cast<std::size_t>(across_.size());
  for (std::size_t line = 0; line + 1 < offsets_.size(); ++line) {
    for (auto k = static_cast<std::size_t>(offsets_[line]);
         k < static_cast<std::size_t>(offsets_[line + 1]); ++k) {
      const auto at = static_cast<std::size_t>(index_[k]);
      std::int64_t global = 0;
      if (at < ghosts_below_) {
        global = ghosts[at];
      } else if (at < ghosts_below_ + owned) {
        global = across_.begin + static_cast<std::int64_t>(at - ghosts_below_);
      } else {
        global = ghosts[at - owned];
      }
      result.push_back({lines_.begin + static_cast<std::int64_t>(line), global, values_[k]});
    }
  }
  return result;
}

DistributedMatrix::Entries DistributedMatrix::redistribute(const parallel::Comm& comm,
                                                           const Partition& rows,
                                                           const Partition& columns,
                                                           std::span<const Triplet> local) {
  parallel::agree(comm, [&] { check(local, rows, columns); });
  Entries entries;
  entries.by_row = send_to_owners(comm, rows, {local.begin(), local.end()}, entries.traffic);
  auto transposed = entries.by_row;
  for (auto& entry : transposed) std::swap(entry.row, entry.column);
  entries.by_column = send_to_owners(comm, columns, std::move(transposed), entries.traffic);
  return entries;
}

DistributedMatrix::DistributedMatrix(const parallel::Comm& comm, const Partition& rows,
                                     const Partition& columns, std::span<const Triplet> local)
    : DistributedMatrix(comm, rows, columns, redistribute(comm, rows, columns, local)) {}

DistributedMatrix::DistributedMatrix(const parallel::Comm& comm, const Partition& rows,
                                     const Partition& columns, Entries entries)
    : rows_(rows),
      columns_(columns),
      by_rows_(comm, rows, columns, std::move(entries.by_row)),
      by_columns_(comm, columns, rows, std::move(entries.by_column)),
      nonzeros_(comm.sum(by_rows_.nonzeros())),
      setup_(entries.traffic) {}

void DistributedMatrix::scale(std::span<const double> row_factors,
                              std::span<const double> column_factors) {
  by_rows_.scale(row_factors, column_factors, true);
  by_columns_.scale(column_factors, row_factors, false);
}

parallel::Traffic DistributedMatrix::traffic() const {
  auto total = setup_;
  total += by_rows_.traffic();
  total += by_columns_.traffic();
  return total;
}

}  // namespace equipoise::partition
