#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::formats {

/// Rows of a LIBSVM file by rows (CSR): row r has label `labels[r]` and the entries offsets[r] ..
/// offsets[r+1] of `columns` (counted from 0, ascending) and `values`.
struct LibsvmBlock {
  std::vector<double> labels;               ///< [rows]
  std::vector<std::int64_t> offsets = {0};  ///< [rows + 1]
  std::vector<std::int32_t> columns;        ///< [nonzeros]
  std::vector<double> values;               ///< [nonzeros], zeros that the file states included
  std::int64_t features = 0;                ///< 1 + the largest column, 0 without entries
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
};

/// Parses LIBSVM text: `label index:value index:value ...` a line, indices from 1 and ascending,
/// '#' begins a comment, empty lines and "\r\n" are allowed. `file` and `first_line` name the place
/// in messages.
///
/// Throws InputError "file:line:column: ..." for a label that is no number, an index that is not a
/// positive integer (or above 2^31 - 1), repeated or unsorted indices, a value that is missing or
/// not finite, a missing colon, and for `qid:`. An empty text gives an empty block. Memory: 12
/// bytes an entry and 16 a row.
[[nodiscard]] LibsvmBlock parse_libsvm(std::string_view text, std::string_view file,
                                       std::int64_t first_line = 1);

/// What one rank holds of a LIBSVM file, and the sizes of the whole.
struct LibsvmData {
  LibsvmBlock block;           ///< the rows first_row .. first_row + block.rows() - 1
  std::int64_t first_row = 0;  ///< global number of the first row held here
  std::int64_t rows = 0;       ///< of the whole file
  std::int64_t features = 0;   ///< of the whole file; equals block.features
  std::int64_t nonzeros = 0;   ///< of the whole file
};

/// Reads a LIBSVM file in parallel, plain or packed by gzip or bzip2 (told by content, not by
/// name).
///
/// A plain file is read by all ranks, each its share of the bytes cut at line ends. A packed file
/// is unpacked once, by rank 0, which sends each rank its share of the text; so its text must fit
/// into rank 0's memory, and very large files are better kept plain. Ranks hold consecutive rows,
/// in rank order; a rank may hold none.
/// **Collective**: a few reductions of 8 bytes; a packed file also moves its text once. Throws
/// CollectiveError (exit code of InputError), on every rank alike, for whatever `parse_libsvm`
/// refuses, for a file that cannot be read, and for one without rows. Memory: the rank's share of
/// the text, besides its block.
[[nodiscard]] LibsvmData read_libsvm(const parallel::Comm& comm, const std::string& path);

}  // namespace equipoise::formats
