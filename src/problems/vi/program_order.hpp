#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/problems/vi/linear_program.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// Entries of a partitioned vector that this rank wants, in an order of its own, with repeats.
/// Nothing is allocated after construction.
class Pick {
 public:
  /// **Collective**, one Halo construction.
  Pick(const parallel::Comm& comm, const partition::Partition& from,
       const std::vector<std::int64_t>& wanted);
  /// out[k] := entry wanted[k] of the vector. **Collective** among neighbours, one exchange.
  void operator()(std::span<const double> owned, std::span<double> out);
  [[nodiscard]] std::size_t size() const { return places_.size(); }

 private:
  std::size_t owned_ = 0;
  partition::Halo halo_;
  std::vector<std::size_t> places_;  ///< in the owned entries, or beyond them in the ghosts
};

/// Numbers that other parts of `rows` and `columns` (as many parts, at most 64) need in one product
/// with the matrix and one with its transpose. **Collective**, one sum.
[[nodiscard]] std::int64_t halo_between(const parallel::Comm& comm,
                                        const partition::DistributedMatrix& matrix,
                                        const partition::Partition& rows,
                                        const partition::Partition& columns);

/// The order in which a program lies on the ranks: that of the file, or one in which rows and
/// columns that meet are neighbours.
///
/// The graph has a vertex for every row and every column and an edge for every coefficient. Scotch
/// cuts it by halves into up to 256 parts; a part's rows and columns get consecutive numbers, and
/// ranks get runs of parts with about as many coefficients. The parts are the chunks of both
/// layouts, so the bits do not depend on the number of ranks.
///
///     file      x . x .      graph   x x . .     rows 0 2 | 1 3, columns 0 2 | 1 3
///               . x . x              x x . .
///               x . x .              . . x x
///               . x . x              . . x x
///
/// Lines of more than 256 coefficients have no edges: they are summed where their columns live and
/// cost every part one number, wherever they are. `graph` always takes the order of the graph;
/// `auto` takes it for files of more than 100,000 coefficients if
/// - in the order of the file eight parts need more than 0.05 numbers per coefficient,
/// - the columns within some steps of a random one are not suddenly everywhere: where the last of
///   these balls with at most an eighth of the columns more than doubles in a step, no order can
///   keep neighbours together (three balls, without the lines that are four times as long as the
///   mean, which link blocks),
/// - and in the order of the graph eight parts need at most half as many numbers.
/// Graphs of more than 4 million vertices keep the order of the file, because their parts would
/// depend on the number of ranks.
class ProgramOrder {
 public:
  using Vector = std::vector<double>;

  /// `choice`: auto, file or graph. **Collective.**
  ProgramOrder(const parallel::Comm& comm, std::shared_ptr<const DistributedProgram> file,
               const std::string& choice);

  /// The program as it lies on the ranks; `file` itself where its order is kept.
  [[nodiscard]] const std::shared_ptr<const DistributedProgram>& program() const {
    return program_;
  }
  /// What was decided, and the counts behind it; empty where nothing was counted.
  [[nodiscard]] const std::string& note() const { return note_; }

  /// In place, [owned columns] or [owned rows] of one order to those of the other.
  /// **Collective** among neighbours, one exchange each.
  void columns_to_file(Vector& x) { move(columns_to_file_, x); }
  void rows_to_file(Vector& y) { move(rows_to_file_, y); }
  void columns_from_file(Vector& x) { move(columns_from_file_, x); }
  void rows_from_file(Vector& y) { move(rows_from_file_, y); }

 private:
  struct Numbers;
  [[nodiscard]] static Numbers cut(const parallel::Comm& comm,
                                   const partition::DistributedMatrix& matrix);
  void reorder(const parallel::Comm& comm, const Numbers& numbers);
  static void move(std::optional<Pick>& pick, Vector& v);

  std::shared_ptr<const DistributedProgram> program_;
  std::string note_;
  std::optional<Pick> columns_to_file_, rows_to_file_, columns_from_file_, rows_from_file_;
};

}  // namespace equipoise::problems
