#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// Objectives computed by a program of the user.
///
/// For each candidate, `command INPUT OUTPUT` is started by /bin/sh in a fresh directory, with two
/// absolute file names added: INPUT holds the variables, one number a line; the program writes the
/// objectives to OUTPUT, blank-separated numbers, then the constraints c <= 0. It fails by a status
/// other than 0, by running longer than `timeout` (it is then killed with all its children), or by
/// writing anything else; each failure is an exception that says which, with the last line of its
/// standard error. Variables of MPI launchers are kept from it, so it may start `mpirun` itself.
struct ExternalProgram {
  std::string command;
  std::int64_t objective_count = 2;
  std::int64_t constraint_count = 0;
  double timeout = 60.0;  ///< seconds
  std::vector<double> lower_bounds, upper_bounds;
  std::vector<double> integers;    ///< 1 where a variable takes whole numbers; empty: none does
  std::string directory = "/tmp";  ///< where the fresh directories are made

  [[nodiscard]] std::int64_t dimension() const {
    return static_cast<std::int64_t>(lower_bounds.size());
  }
  [[nodiscard]] std::int64_t objectives() const { return objective_count; }
  [[nodiscard]] std::int64_t constraints() const { return constraint_count; }
  [[nodiscard]] double lower(std::int64_t i) const {
    return lower_bounds[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] double upper(std::int64_t i) const {
    return upper_bounds[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] bool integer(std::int64_t i) const {
    return !integers.empty() && integers[static_cast<std::size_t>(i)] != 0.0;
  }
  void evaluate(std::span<const double> x, std::span<double> f, std::span<double> c) const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::MultiobjectiveProblem<ExternalProgram>);

}  // namespace equipoise::problems
