#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::formats {

/// One coefficient of an MPS file, rows and columns counted from 0.
struct MpsEntry {
  std::int32_t row = 0;
  std::int32_t column = 0;
  double value = 0.0;
};

/// A linear or convex quadratic program as an MPS or QPS file states it:
///
///     minimise    1/2 x'Qx + c'x + constant
///     subject to  row_lower <= A x <= row_upper,   lower <= x <= upper
///
/// A maximisation is turned into the minimisation of the negative objective (`maximise` tells).
struct MpsProgram {
  std::string name;
  std::string objective_name;  ///< empty where the file has no N row: the objective is then 0
  bool maximise = false;
  double constant = 0.0;
  std::vector<std::string> row_names, column_names;
  std::vector<double> cost, lower, upper;    ///< [columns]; bounds may be infinite
  std::vector<double> row_lower, row_upper;  ///< [rows]
  std::vector<MpsEntry> matrix;              ///< A, column by column, no position twice, no zeros
  std::vector<MpsEntry> quadratic;           ///< Q, both triangles, no position twice
};

/// Reads the text of an MPS or QPS file; `file` names it in messages.
///
/// Fields are separated by blanks (free format, and nearly every fixed file); a text that cannot be
/// read so is taken as fixed format, where names may hold blanks (fields at columns 2, 5, 15, 25,
/// 40 and 50). Sections NAME, OBJSENSE, ROWS, COLUMNS, RHS, RANGES, BOUNDS, QUADOBJ (one triangle),
/// QMATRIX (both), ENDATA. The first N row is the objective, further ones are dropped; an RHS entry
/// of the objective is minus its constant; a negative UP bound without a lower one makes that
/// -infinity; integer columns are relaxed; bounds of 1e30 or beyond are infinite.
///
/// Throws InputError "file:line: ..." with the remedy: unknown or missing sections (ENDATA),
/// repeated rows, columns, coefficients, unknown names, coefficients that are not finite; and for
/// bounds or ranges that cross, which make the program infeasible, with the name of the variable.
[[nodiscard]] MpsProgram parse_mps(std::string_view text, std::string_view file);
/// The same from a file, plain or packed. Communication-free.
[[nodiscard]] MpsProgram read_mps(const std::string& path);

}  // namespace equipoise::formats
