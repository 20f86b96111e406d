#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::problems {

/// WFG1 to WFG9 (Huband, Hingston, Barone, While 2006): z_i in [0, 2i], position parameters
/// 2 (k - 1) and 20 distance parameters, both even numbers by default.
struct Wfg {
  std::int64_t number = 4;
  std::int64_t objective_count = 2;
  std::int64_t distance = 20;  ///< number of distance parameters, even

  [[nodiscard]] std::int64_t position() const { return 2 * (objective_count - 1); }
  [[nodiscard]] std::int64_t dimension() const { return position() + distance; }
  [[nodiscard]] std::int64_t objectives() const { return objective_count; }
  [[nodiscard]] double lower(std::int64_t) const { return 0.0; }
  [[nodiscard]] double upper(std::int64_t i) const { return 2.0 * static_cast<double>(i + 1); }
  void evaluate(std::span<const double> z, std::span<double> f) const;
  [[nodiscard]] pareto::Yardstick yardstick() const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::MultiobjectiveProblem<Wfg>);

}  // namespace equipoise::problems
