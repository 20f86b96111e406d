#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::partition {

/// One entry of a sparse matrix.
struct Triplet {
  std::int64_t row = 0;
  std::int64_t column = 0;
  double value = 0.0;
};

/// The norm of a row or column: sum of magnitudes, Euclidean, or largest magnitude.
enum class LineNorm { one, two, max };

/// The lines (rows, or columns) of a sparse matrix that this rank owns, with the halo that their
/// product needs. One half of a `DistributedMatrix`.
class MatrixHalf {
 public:
  /// `entries` in any order: `row` is a line this rank owns, `column` runs across, no position
  /// twice.
  /// **Collective**, one Halo construction.
  MatrixHalf(const parallel::Comm& comm, Partition lines, Partition across,
             std::vector<Triplet> entries);

  /// out = lines * x, both by owned entries. **Collective** among neighbours, one halo exchange.
  void multiply(std::span<const double> x, std::span<double> out);
  /// value := (value * first) * second with the factors of its line and of its position across, in
  /// the order line first if `line_first`. **Collective** among neighbours, one halo exchange.
  void scale(std::span<const double> lines, std::span<const double> across, bool line_first);
  /// One norm per owned line. Never communicates.
  void norms(LineNorm norm, std::span<double> out) const;
  /// The owned lines, line by line, `row` being the line, in ascending order of the position
  /// across.
  [[nodiscard]] std::vector<Triplet> triplets() const;
  [[nodiscard]] std::int64_t nonzeros() const { return offsets_.back(); }
  [[nodiscard]] const parallel::Traffic& traffic() const { return halo_.traffic(); }

 private:
  double line_product(std::size_t line) const;
  void fill_window(std::span<const double> owned);
  void fill_ghosts(std::span<const double> ghosts);

  Range lines_;
  Range across_;
  Halo halo_;
  // What the owned lines touch, in global order: ghosts below the owned entries, these, ghosts
  // above.
  std::vector<double> window_;
  std::size_t ghosts_below_ = 0;
  std::vector<std::int64_t> offsets_;
  std::vector<std::int32_t> index_;  // into window_, ascending in each line
  std::vector<double> values_;
  std::vector<std::int32_t> inner_;  // lines that touch no ghost
  std::vector<std::int32_t> outer_;
};

/// A sparse matrix kept twice, by rows and by columns, so that every entry of A x and of A' y is
/// computed by one rank, adding in ascending order of the global index: the bits do not depend on
/// the number of ranks, and no vector as long as the matrix is ever reduced.
///
/// During an exchange the lines that need no foreign entry are computed; a line that needs one
/// waits for it and is then added from its first entry on, since adding local entries first would
/// make the order depend on the ownership. Memory: 24 bytes a nonzero over both halves.
class DistributedMatrix {
 public:
  /// From triplets held anywhere; entries at the same position are added (exactly, rounded once).
  /// Throws an InputError on all ranks for a position outside the matrix or a value that is not
  /// finite.
  /// **Collective**: two sparse exchanges of 24 bytes an entry, and two Halo constructions.
  DistributedMatrix(const parallel::Comm& comm, const Partition& rows, const Partition& columns,
                    std::span<const Triplet> local);

  /// y = A x: [columns] -> [rows], owned entries. 2 flops a nonzero, no allocation.
  /// **Collective** among neighbours, one halo exchange.
  void multiply(std::span<const double> x, std::span<double> y) { by_rows_.multiply(x, y); }
  /// x = A' y: [rows] -> [columns], owned entries. **Collective** among neighbours, one halo
  /// exchange.
  void multiply_transposed(std::span<const double> y, std::span<double> x) {
    by_columns_.multiply(y, x);
  }
  /// A := diag(row_factors) A diag(column_factors), by owned entries.
  /// **Collective** among neighbours, two halo exchanges.
  void scale(std::span<const double> row_factors, std::span<const double> column_factors);

  /// Norms of the owned rows or columns; an empty line has norm 0. Never communicate.
  void row_norms(LineNorm norm, std::span<double> out) const { by_rows_.norms(norm, out); }
  void column_norms(LineNorm norm, std::span<double> out) const { by_columns_.norms(norm, out); }
  /// The owned rows in order of (row, column).
  [[nodiscard]] std::vector<Triplet> owned_rows() const { return by_rows_.triplets(); }
  /// The owned columns in order of (column, row), `row` being the column.
  [[nodiscard]] std::vector<Triplet> owned_columns() const { return by_columns_.triplets(); }

  [[nodiscard]] const Partition& rows() const { return rows_; }
  [[nodiscard]] const Partition& columns() const { return columns_; }
  /// Of the whole matrix.
  [[nodiscard]] std::int64_t nonzeros() const { return nonzeros_; }
  /// Bytes moved so far by the products and their set-up.
  [[nodiscard]] parallel::Traffic traffic() const;

 private:
  struct Entries {
    std::vector<Triplet> by_row;
    std::vector<Triplet> by_column;  // transposed: `row` is the column
    parallel::Traffic traffic;
  };
  DistributedMatrix(const parallel::Comm& comm, const Partition& rows, const Partition& columns,
                    Entries entries);
  static Entries redistribute(const parallel::Comm& comm, const Partition& rows,
                              const Partition& columns, std::span<const Triplet> local);

  Partition rows_;
  Partition columns_;
  MatrixHalf by_rows_;
  MatrixHalf by_columns_;
  std::int64_t nonzeros_ = 0;
  parallel::Traffic setup_;
};

}  // namespace equipoise::partition
