#include "program_part.hpp"

#include "program_generate.hpp"
#include "program_spread.hpp"

#include <equipoise/partition/distributed_vector.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using Vector = std::vector<double>;
using partition::Triplet;

constexpr std::int64_t columns_per_row = 2;
constexpr int bisections = 45;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::int64_t count(const parallel::Comm& comm, const Vector& distance, double most) {
  return comm.sum(
      std::count_if(distance.begin(), distance.end(), [most](double d) { return d <= most; }));
}

/// Keeps the lines of no distance and at most `more` others, the nearest. **Collective.**
std::vector<char> nearest(const parallel::Comm& comm, const Vector& distance, std::int64_t more) {
  const std::int64_t target = count(comm, distance, 0.0) + more;
  double most = 0.0;
  for (const double d : distance) {
    if (std::isfinite(d)) most = std::max(most, d);
  }
  most = comm.max(most);
  if (count(comm, distance, most) > target) {
    double low = 0.0, high = most;  // `low` fits, `high` does not
    for (int k = 0; k < bisections; ++k) {
      const double middle = 0.5 * (low + high);
      (count(comm, distance, middle) > target ? high : low) = middle;
    }
    most = low;
  }
  std::vector<char> kept(distance.size());
  for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = distance[i] <= most;
  return kept;
}

/// A kept line on its way to rank 0.
struct Line {
  std::int64_t index = 0;
  double cost = 0.0, lower = 0.0, upper = 0.0, value = 0.0;
};

/// Position of a global index among the kept ones, or -1.
std::int64_t position(const std::vector<Line>& lines, std::int64_t index) {
  const auto found =
      std::lower_bound(lines.begin(), lines.end(), index,
                       [](const Line& line, std::int64_t wanted) { return line.index < wanted; });
  return found != lines.end() && found->index == index ? found - lines.begin() : -1;
}

std::vector<Triplet> renumbered(const std::vector<Triplet>& entries, const std::vector<Line>& rows,
                                const std::vector<Line>& columns) {
  std::vector<Triplet> out;
  for (const auto& e : entries) {
    const std::int64_t i = position(rows, e.row), j = position(columns, e.column);
    if (i >= 0 && j >= 0) out.push_back({i, j, e.value});
  }
  return out;
}

/// This rank's coefficients whose own line, the column of a generated program or the row of a file,
/// is kept.
std::vector<Triplet> kept_entries(const DistributedProgram& p, const ProgramPart& part, int rank) {
  std::vector<Triplet> out;
  if (p.generator) {
    const auto mine = p.columns.owned(rank);
    for (std::int64_t j = mine.begin; j < mine.end; ++j) {
      if (part.columns[at(j - mine.begin)]) p.generator->entries(j, out);
    }
  } else {
    const std::int64_t first = p.rows.owned(rank).begin;
    std::copy_if(p.matrix.begin(), p.matrix.end(), std::back_inserter(out),
                 [&](const Triplet& e) { return part.rows[at(e.row - first)] != 0; });
  }
  return out;
}

}  // namespace

ProgramPart whole_program(const DistributedProgram& program, int rank) {
  return {std::vector<char>(at(program.columns.owned(rank).size()), 1),
          std::vector<char>(at(program.rows.owned(rank).size()), 1), true};
}

ProgramPart open_part(const parallel::Comm& comm, ScaledProgram& scaled, double tau, double sigma,
                      Vector& x, Vector& y) {
  Vector beyond(x.size()), inside(y.size());
  scaled.by_columns().multiply(y, beyond);
  scaled.by_rows().multiply(x, inside);
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double activity = inside[i] - y[i] / sigma;
    inside[i] =
        std::max(0.0, std::min(activity - scaled.row_lower[i], scaled.row_upper[i] - activity));
  }
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double next = x[j] - tau * (scaled.cost[j] - beyond[j]);
    beyond[j] = std::max({0.0, scaled.lower[j] - next, next - scaled.upper[j]});
  }
  ProgramPart part;
  std::int64_t active = 0;  // inequalities
  for (std::size_t i = 0; i < y.size(); ++i)
    active += inside[i] == 0.0 && scaled.row_lower[i] < scaled.row_upper[i];
  part.rows = nearest(comm, inside, comm.sum(active));
  const std::int64_t rows = comm.sum(std::count(part.rows.begin(), part.rows.end(), 1));
  part.columns = nearest(comm, beyond, columns_per_row * rows);
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (!part.rows[i]) y[i] = 0.0;
  }
  Vector& aty = beyond;
  scaled.by_columns().multiply(y, aty);
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (!part.columns[j]) {
      const bool at_lower = std::isinf(scaled.upper[j]) ||
                            (std::isfinite(scaled.lower[j]) && scaled.cost[j] > aty[j]);
      x[j] = at_lower ? scaled.lower[j] : scaled.upper[j];
    }
  }
  return part;
}

std::int64_t traveling_nonzeros(const parallel::Comm& comm, const DistributedProgram& program,
                                const ProgramPart& part) {
  return comm.sum(std::ssize(kept_entries(program, part, comm.rank())));
}

GatheredPart gather_part(const parallel::Comm& comm, ScaledProgram& scaled, const ProgramPart& part,
                         const Vector& x, const Vector& y) {
  const DistributedProgram& p = scaled.original();
  const std::int64_t first_column = p.columns.owned(comm.rank()).begin;
  const std::int64_t first_row = p.rows.owned(comm.rank()).begin;
  // What the columns that stay at their bounds cost and do to the rows.
  Vector fixed(x.size()), costs(x.size()), activity(y.size());
  std::vector<Line> columns, rows;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double value = x[j] * scaled.column_scale[j];
    if (part.columns[j]) {
      columns.push_back({first_column + static_cast<std::int64_t>(j), p.cost[j], p.lower[j],
                         p.upper[j], clip(value, p.lower[j], p.upper[j])});
    } else {
      fixed[j] = x[j];
      costs[j] = p.cost[j] * value;
    }
  }
  if (!part.whole) scaled.by_rows().multiply(fixed, activity);
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (!part.rows[i]) continue;
    const double shift = activity[i] / scaled.row_scale[i];
    rows.push_back({first_row + static_cast<std::int64_t>(i), 0.0, p.row_lower[i] - shift,
                    p.row_upper[i] - shift,
                    carried(y[i] * scaled.row_scale[i], p.row_lower[i], p.row_upper[i])});
  }
  GatheredPart out;
  LocalProgram& local = out.program;
  local.constant = p.constant + partition::sum(comm, p.columns, costs);
  local.largest_bound = p.largest_bound;
  local.largest_cost = p.largest_cost;
  columns = gather(comm, columns);
  rows = gather(comm, rows);
  local.matrix = renumbered(gather(comm, kept_entries(p, part, comm.rank())), rows, columns);
  local.quadratic = renumbered(gather(comm, p.quadratic), columns, columns);
  for (const Line& column : columns) {
    local.cost.push_back(column.cost);
    local.lower.push_back(column.lower);
    local.upper.push_back(column.upper);
    out.x.push_back(column.value);
  }
  for (const Line& row : rows) {
    local.row_lower.push_back(row.lower);
    local.row_upper.push_back(row.upper);
    out.y.push_back(row.value);
  }
  out.nonzeros = comm.max(std::ssize(local.matrix));
  return out;
}

void scatter_part(const parallel::Comm& comm, const std::vector<char>& kept, const Vector& values,
                  Vector& owned) {
  const auto mine = static_cast<std::size_t>(std::count(kept.begin(), kept.end(), 1));
  const Vector brought = scatter(comm, values, mine);
  auto next = brought.begin();
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) owned[i] = *next++;
  }
}

}  // namespace equipoise::problems
