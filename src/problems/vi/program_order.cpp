#include "program_order.hpp"

#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/graph.hpp>
#include <equipoise/partition/sparse_exchange.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace equipoise::problems {
namespace {

using partition::DistributedMatrix;
using partition::Partition;
using partition::Range;
using partition::Triplet;
using Vector = std::vector<double>;
using Indices = std::vector<std::int64_t>;

constexpr std::int64_t small_program = 100'000;
constexpr std::int64_t long_line = 256;
constexpr int counted_parts = 8, most_parts = 256;
constexpr std::int64_t part_vertices = 64;
constexpr double worth_cutting = 0.05;  ///< numbers per coefficient
constexpr int balls = 3, ball_steps = 64;
constexpr std::int64_t linking = 4;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

Indices foreign(const Indices& wanted, Range owned) {
  Indices out;
  std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(out),
               [&](std::int64_t i) { return !owned.contains(i); });
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Indices picked(const parallel::Comm& comm, const Partition& from, const Indices& owned,
               const Indices& wanted) {
  Vector out(wanted.size());
  Pick(comm, from, wanted)(Vector(owned.begin(), owned.end()), out);  // exact up to 2^53
  return {out.begin(), out.end()};
}

Indices all(Range range) {
  Indices out;
  for (std::int64_t i = range.begin; i < range.end; ++i) out.push_back(i);
  return out;
}

/// Without the entries of lines that have more than `most`; lines ascend.
std::vector<Triplet> without_long_lines(const std::vector<Triplet>& lines, std::int64_t most) {
  std::vector<Triplet> out;
  for (auto from = lines.begin(); from != lines.end();) {
    const auto to =
        std::find_if(from, lines.end(), [&](const Triplet& e) { return e.row != from->row; });
    if (to - from <= most) out.insert(out.end(), from, to);
    from = to;
  }
  return out;
}

/// The entries in rows, and then columns, of at most so many.
DistributedMatrix shorter(const parallel::Comm& comm, const DistributedMatrix& matrix,
                          std::int64_t row, std::int64_t column) {
  auto entries = without_long_lines(matrix.owned_rows(), row);
  const DistributedMatrix short_rows(comm, matrix.rows(), matrix.columns(), entries);
  entries = without_long_lines(short_rows.owned_columns(), column);
  for (Triplet& e : entries) std::swap(e.row, e.column);
  return {comm, matrix.rows(), matrix.columns(), entries};
}

/// Where the matrix has entries, in lines that are not long: positive ones.
DistributedMatrix pattern(const parallel::Comm& comm, const DistributedProgram& p) {
  std::vector<Triplet> entries = p.entries(comm.rank());
  for (Triplet& e : entries) e.value = 1.0;
  const DistributedMatrix whole(comm, p.rows.coordinates(), p.columns.coordinates(), entries);
  return shorter(comm, whole, long_line, long_line);
}

/// Other parts of `across` that the lines meet.
std::int64_t other_parts(const std::vector<Triplet>& lines, const Partition& own,
                         const Partition& across) {
  std::int64_t count = 0;
  for (auto from = lines.begin(); from != lines.end();) {
    std::uint64_t met = std::uint64_t{1} << static_cast<unsigned>(own.owner(from->row));
    auto to = from;
    for (; to != lines.end() && to->row == from->row; ++to)
      met |= std::uint64_t{1} << static_cast<unsigned>(across.owner(to->column));
    count += std::popcount(met) - 1;
    from = to;
  }
  return count;
}

/// Whether the columns reached from some column are suddenly more than twice as many when they come
/// to an eighth of all. **Collective**, up to 128 products.
bool spreads_fast(const parallel::Comm& comm, DistributedMatrix& matrix, std::int64_t start) {
  const Range mine = matrix.columns().range(comm.rank());
  Vector reached(at(mine.size())), more(reached.size());
  Vector rows(at(matrix.rows().range(comm.rank()).size()));
  if (mine.contains(start)) reached[at(start - mine.begin)] = 1.0;
  std::int64_t size = 1;
  for (int step = 0; step < ball_steps; ++step) {
    matrix.multiply(reached, rows);
    for (double& r : rows) r = std::min(r, 1.0);
    matrix.multiply_transposed(rows, more);
    std::int64_t count = 0;
    for (std::size_t j = 0; j < more.size(); ++j) {
      if (more[j] > 0.0) reached[j] = 1.0;
      if (reached[j] > 0.0) ++count;
    }
    count = comm.sum(count);
    if (8 * count > matrix.columns().size()) return count > 2 * size;
    if (count == size) return false;
    size = count;
  }
  return false;
}

/// Lines of more than `linking` times the mean link blocks, and are left out.
bool has_order(const parallel::Comm& comm, const DistributedMatrix& whole) {
  DistributedMatrix matrix =
      shorter(comm, whole, linking * (1 + whole.nonzeros() / whole.rows().size()),
              linking * (1 + whole.nonzeros() / whole.columns().size()));
  const parallel::Draw draw(0, parallel::Purpose::probe, 1);
  for (int k = 0; k < balls; ++k) {
    const auto n = static_cast<std::uint64_t>(matrix.columns().size());
    const auto start = draw.below(n, static_cast<std::uint64_t>(k));
    if (spreads_fast(comm, matrix, static_cast<std::int64_t>(start))) return false;
  }
  return true;
}

/// Every run of parts / count parts as one.
Partition merged(const Partition& parts, int count) {
  Indices offsets;
  for (int k = 0; k <= count; ++k)
    offsets.push_back(parts.offsets()[at(k * parts.parts() / count)]);
  return Partition::from_offsets(std::move(offsets));
}

}  // namespace

Pick::Pick(const parallel::Comm& comm, const Partition& from, const Indices& wanted)
    : owned_(at(from.range(comm.rank()).size())),
      halo_(comm, from, foreign(wanted, from.range(comm.rank()))) {
  const Range mine = from.range(comm.rank());
  const auto ghosts = halo_.ghosts();
  for (const std::int64_t i : wanted) {
    places_.push_back(
        mine.contains(i)
            ? at(i - mine.begin)
            : owned_ + at(std::lower_bound(ghosts.begin(), ghosts.end(), i) - ghosts.begin()));
  }
}

void Pick::operator()(std::span<const double> owned, std::span<double> out) {
  const auto ghosts = halo_.exchange(owned);
  for (std::size_t k = 0; k < places_.size(); ++k)
    out[k] = places_[k] < owned_ ? owned[places_[k]] : ghosts[places_[k] - owned_];
}

std::int64_t halo_between(const parallel::Comm& comm, const DistributedMatrix& matrix,
                          const Partition& rows, const Partition& columns) {
  return comm.sum(other_parts(matrix.owned_rows(), rows, columns) +
                  other_parts(matrix.owned_columns(), columns, rows));
}

/// New numbers of the owned rows and columns, and the parts that they fill.
struct ProgramOrder::Numbers {
  Indices row, column;
  Partition row_parts, column_parts;
};

ProgramOrder::Numbers ProgramOrder::cut(const parallel::Comm& comm,
                                        const DistributedMatrix& matrix) {
  const std::int64_t m = matrix.rows().size(), n = matrix.columns().size();
  // Vertices: the columns, then the rows, whatever the number of ranks.
  partition::Graph graph{Partition::uniform(n + m, comm.size()), {0}, {}};
  std::vector<Triplet> edges;
  for (const Triplet& e : matrix.owned_rows()) {
    edges.push_back({n + e.row, e.column, 1.0});
    edges.push_back({e.column, n + e.row, 1.0});
  }
  const auto lists = DistributedMatrix(comm, graph.vertices, graph.vertices, edges).owned_rows();
  const Range mine = graph.vertices.range(comm.rank());
  auto next = lists.begin();
  for (std::int64_t v = mine.begin; v < mine.end; ++v) {
    for (; next != lists.end() && next->row == v; ++next) graph.neighbours.push_back(next->column);
    graph.offsets.push_back(std::ssize(graph.neighbours));
  }
  const auto wanted = static_cast<std::uint64_t>(
      std::clamp<std::int64_t>((n + m) / part_vertices, counted_parts, most_parts));
  const auto parts = static_cast<int>(std::bit_floor(wanted));
  const auto split = partition::split_graph(comm, graph, parts);

  Indices columns_of(at(parts));
  for (std::int64_t v = mine.begin; v < mine.end && v < n; ++v)
    ++columns_of[at(split.part[at(v - mine.begin)])];
  MPI_Allreduce(MPI_IN_PLACE, columns_of.data(), parts, MPI_INT64_T, MPI_SUM, comm.handle());
  Indices row_offsets = {0}, column_offsets = {0};
  for (int p = 0; p < parts; ++p) {
    column_offsets.push_back(column_offsets.back() + columns_of[at(p)]);
    row_offsets.push_back(split.parts.range(p).end - column_offsets.back());
  }
  Indices number;
  for (std::int64_t v = mine.begin; v < mine.end; ++v) {
    const int p = split.part[at(v - mine.begin)];
    const std::int64_t within = split.number[at(v - mine.begin)] - split.parts.range(p).begin;
    number.push_back(v < n ? column_offsets[at(p)] + within
                           : row_offsets[at(p)] + within - columns_of[at(p)]);
  }
  const Range rows = matrix.rows().range(comm.rank());
  return {picked(comm, graph.vertices, number, all({n + rows.begin, n + rows.end})),
          picked(comm, graph.vertices, number, all(matrix.columns().range(comm.rank()))),
          Partition::from_offsets(std::move(row_offsets)),
          Partition::from_offsets(std::move(column_offsets))};
}

namespace {

/// Rows and columns by their new numbers.
void renumber(const parallel::Comm& comm, const Partition& rows, const Indices& row_numbers,
              const Partition& columns, const Indices& column_numbers,
              std::vector<Triplet>& entries) {
  Indices row, column;
  for (const Triplet& e : entries) {
    row.push_back(e.row);
    column.push_back(e.column);
  }
  row = picked(comm, rows, row_numbers, row);
  column = picked(comm, columns, column_numbers, column);
  for (std::size_t k = 0; k < entries.size(); ++k)
    entries[k] = {row[k], column[k], entries[k].value};
}

/// The old numbers of the owned new ones.
Indices inverse(const parallel::Comm& comm, const Partition& from, const Indices& numbers,
                const Partition& to) {
  struct Move {
    std::int64_t to = 0, from = 0;
  };
  std::vector<Move> moves;
  for (std::size_t k = 0; k < numbers.size(); ++k)
    moves.push_back({numbers[k], from.range(comm.rank()).begin + static_cast<std::int64_t>(k)});
  std::sort(moves.begin(), moves.end(), [](const Move& a, const Move& b) { return a.to < b.to; });
  std::vector<partition::Message<Move>> messages;
  for (const Move& move : moves) {
    const int rank = to.owner(move.to);
    if (messages.empty() || messages.back().rank != rank) messages.push_back({rank, {}});
    messages.back().items.push_back(move);
  }
  const Range mine = to.range(comm.rank());
  Indices out(at(mine.size()));
  for (const auto& message : partition::sparse_exchange(comm, messages)) {
    for (const Move& move : message.items) out[at(move.to - mine.begin)] = move.from;
  }
  return out;
}

/// Runs of parts for the ranks, by the coefficients of their rows and columns.
Partition dealt(const parallel::Comm& comm, const Partition& row_parts,
                const Partition& column_parts, const std::vector<Triplet>& entries) {
  std::vector<std::int64_t> counts(at(row_parts.parts()));
  for (const Triplet& e : entries) {
    ++counts[at(row_parts.owner(e.row))];
    ++counts[at(column_parts.owner(e.column))];
  }
  MPI_Allreduce(MPI_IN_PLACE, counts.data(), row_parts.parts(), MPI_INT64_T, MPI_SUM,
                comm.handle());
  return Partition::by_cost(Vector(counts.begin(), counts.end()), comm.size());
}

}  // namespace

void ProgramOrder::reorder(const parallel::Comm& comm, const Numbers& numbers) {
  const DistributedProgram& file = *program_;
  const auto& rows = file.rows.coordinates();
  const auto& columns = file.columns.coordinates();
  auto entries = file.entries(comm.rank());
  renumber(comm, rows, numbers.row, columns, numbers.column, entries);
  auto quadratic = file.quadratic;
  renumber(comm, columns, numbers.column, columns, numbers.column, quadratic);
  DistributedProgram p;
  const Partition owners = dealt(comm, numbers.row_parts, numbers.column_parts, entries);
  p.rows = partition::Layout(numbers.row_parts, owners);
  p.columns = partition::Layout(numbers.column_parts, owners);
  const auto& new_rows = p.rows.coordinates();
  const auto& new_columns = p.columns.coordinates();
  p.matrix = DistributedMatrix(comm, new_rows, new_columns, entries).owned_rows();
  p.quadratic = DistributedMatrix(comm, new_columns, new_columns, quadratic).owned_rows();

  columns_to_file_.emplace(comm, new_columns, numbers.column);
  rows_to_file_.emplace(comm, new_rows, numbers.row);
  columns_from_file_.emplace(comm, columns, inverse(comm, columns, numbers.column, new_columns));
  rows_from_file_.emplace(comm, rows, inverse(comm, rows, numbers.row, new_rows));
  const auto brought = [](std::optional<Pick>& pick, Vector v) {
    move(pick, v);
    return v;
  };
  p.cost = brought(columns_from_file_, file.cost);
  p.lower = brought(columns_from_file_, file.lower);
  p.upper = brought(columns_from_file_, file.upper);
  p.row_lower = brought(rows_from_file_, file.row_lower);
  p.row_upper = brought(rows_from_file_, file.row_upper);
  p.name = file.name;
  p.nonzeros = file.nonzeros;
  p.quadratic_nonzeros = file.quadratic_nonzeros;
  p.constant = file.constant;
  p.maximise = file.maximise;
  p.largest_bound = file.largest_bound;
  p.largest_cost = file.largest_cost;
  p.optimum = file.optimum;
  program_ = std::make_shared<const DistributedProgram>(std::move(p));
}

ProgramOrder::ProgramOrder(const parallel::Comm& comm,
                           std::shared_ptr<const DistributedProgram> file,
                           const std::string& choice)
    : program_(std::move(file)) {
  const DistributedProgram& p = *program_;
  const bool forced = choice == "graph";
  if (choice == "file" || (!forced && (p.generator || p.nonzeros <= small_program))) return;
  if (p.rows.dimension() == 0 || p.columns.dimension() == 0) return;
  if (p.rows.dimension() + p.columns.dimension() > partition::GraphOptions{}.gather_limit) {
    note_ = "file, because the graph is too large for parts that fit any number of ranks";
    return;
  }
  const DistributedMatrix matrix = pattern(comm, p);
  const auto eight = [](const partition::Layout& layout) {
    return Partition::uniform(layout.dimension(), counted_parts);
  };
  const std::int64_t before = halo_between(comm, matrix, eight(p.rows), eight(p.columns));
  const auto worth = worth_cutting * static_cast<double>(p.nonzeros);
  if (!forced && static_cast<double>(before) <= worth) {
    note_ = fmt::format("file, whose eight parts need {} numbers", before);
    return;
  }
  if (!forced && !has_order(comm, matrix)) {
    note_ = fmt::format(
        "file, whose eight parts need {} numbers; few steps lead from any column "
        "to all others",
        before);
    return;
  }
  const Numbers numbers = cut(comm, matrix);
  auto entries = matrix.owned_rows();
  renumber(comm, matrix.rows(), numbers.row, matrix.columns(), numbers.column, entries);
  const Partition row_eight = merged(numbers.row_parts, counted_parts);
  const Partition column_eight = merged(numbers.column_parts, counted_parts);
  const auto ranks = [&](const Partition& parts) {
    return Partition::uniform(parts.size(), comm.size());
  };
  const std::int64_t after =
      halo_between(comm, DistributedMatrix(comm, ranks(row_eight), ranks(column_eight), entries),
                   row_eight, column_eight);
  const bool pays = forced || 2 * after <= before;
  note_ = fmt::format("{}; eight parts need {} numbers in the file's, {} in the graph's",
                      pays ? "graph" : "file", before, after);
  if (pays) reorder(comm, numbers);
}

void ProgramOrder::move(std::optional<Pick>& pick, Vector& v) {
  if (!pick) return;
  Vector out(pick->size());
  (*pick)(v, out);
  v = std::move(out);
}

}  // namespace equipoise::problems
