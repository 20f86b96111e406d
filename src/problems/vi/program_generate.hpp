#pragma once

#include <equipoise/formats/tntp.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/problems/vi/linear_program.hpp>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

/// One column or row of a generated program: its cost (columns), bounds, and where a solution is
/// known the value of x or y there.
struct GeneratedLine {
  double cost = 0.0, lower = 0.0, upper = HUGE_VAL, known = 0.0;
};

/// A linear program that is made rather than read. Any rank can make any column, so every rank
/// makes its own and no rank ever holds the whole. Communication-free.
class ProgramGenerator {
 public:
  virtual ~ProgramGenerator() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::int64_t rows() const = 0;
  [[nodiscard]] virtual std::int64_t columns() const = 0;
  [[nodiscard]] virtual GeneratedLine row(std::int64_t i) const = 0;
  [[nodiscard]] virtual GeneratedLine column(std::int64_t j) const = 0;
  /// Appends the coefficients of column j.
  virtual void entries(std::int64_t j, std::vector<partition::Triplet>& out) const = 0;
  /// True where `known` is an optimal pair of lines: costs and row bounds are then offsets, to
  /// which A'y and Ax at the known pair are added.
  [[nodiscard]] virtual bool has_optimum() const { return false; }

  /// Ship goods from random points of the unit square (rows), which hold 1.2 times what the other
  /// points (columns) ask for, at least distance.
  static std::unique_ptr<ProgramGenerator> transport(std::int64_t sources, std::int64_t sinks,
                                                     std::int64_t seed);
  /// Random sparse program with a known, strictly complementary solution.
  static std::unique_ptr<ProgramGenerator> random(std::int64_t rows, std::int64_t columns,
                                                  std::int64_t per_column, std::int64_t seed);
  /// Least travel time of all trips of a road network under its capacities; what exceeds a capacity
  /// costs `overflow` times the mean free-flow time. One commodity per origin.
  static std::unique_ptr<ProgramGenerator> multicommodity(formats::TntpNetwork network,
                                                          const formats::TntpTrips& trips,
                                                          const std::string& file, double overflow);
  /// What the options ask for. Throws ConfigurationError, InputError.
  static std::unique_ptr<ProgramGenerator> make(const LinearProgramOptions& options);
};

}  // namespace equipoise::problems
