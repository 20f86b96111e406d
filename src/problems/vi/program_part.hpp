#pragma once

#include "program_newton.hpp"
#include "program_scaled.hpp"

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::problems {

/// The columns and rows of a program that a part of it keeps; the other columns stay at a bound,
/// the other rows have the multiplier 0.
struct ProgramPart {
  std::vector<char> columns, rows;  ///< [owned columns], [owned rows], 1 for those kept
  bool whole = false;
};

/// Everything. Communication-free.
[[nodiscard]] ProgramPart whole_program(const DistributedProgram& program, int rank);

/// What a pair leaves open, for linear programs: a primal-dual step from (x, y), in scaled units,
/// puts a column beyond its bound by some distance, and a row's activity inside its bounds by some
/// distance. Those of no distance stay, and of the others the nearest ones: two more columns for
/// every row that stays, and as many more rows as inequalities stay. Puts the columns that go to
/// their bounds, and the multipliers of such rows to 0.
///
/// Solving a part, pricing the rest, and choosing anew is sifting (Bixby, Gregory, Lustig, Marsten
/// and Shanno 1992), here by columns and rows.
/// **Collective**, two products and about 100 sums of 8 bytes.
[[nodiscard]] ProgramPart open_part(const parallel::Comm& comm, ScaledProgram& scaled, double tau,
                                    double sigma, std::vector<double>& x, std::vector<double>& y);

/// A part on rank 0, and the pair there; both in the program's units.
struct GatheredPart {
  LocalProgram program;
  std::vector<double> x, y;
  std::int64_t nonzeros = 0;  ///< coefficients of A, known on every rank
};

/// Coefficients that come to rank 0 for the part: those of its columns of a generated program,
/// those of its rows of a file. **Collective**, one sum.
[[nodiscard]] std::int64_t traveling_nonzeros(const parallel::Comm& comm,
                                              const DistributedProgram& program,
                                              const ProgramPart& part);

/// `x`, `y`: the pair in scaled units. **Collective**, one product, six gathers.
[[nodiscard]] GatheredPart gather_part(const parallel::Comm& comm, ScaledProgram& scaled,
                                       const ProgramPart& part, const std::vector<double>& x,
                                       const std::vector<double>& y);

/// Puts the values of the part, on rank 0, at their places; the others stay. **Collective**, one
/// gather and one scatterv.
void scatter_part(const parallel::Comm& comm, const std::vector<char>& kept,
                  const std::vector<double>& values, std::vector<double>& owned);

}  // namespace equipoise::problems
