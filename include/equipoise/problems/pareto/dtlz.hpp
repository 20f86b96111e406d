#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::problems {

/// DTLZ1 to DTLZ7 with any number of objectives (Deb, Thiele, Laumanns, Zitzler 2002).
/// n = k + K - 1 variables with K = 5 (DTLZ1), 10 (2 to 6), 20 (7).
struct Dtlz {
  std::int64_t number = 1;
  std::int64_t objective_count = 3;
  std::int64_t variables = 0;  ///< 0: the standard number

  [[nodiscard]] std::int64_t dimension() const {
    return variables > 0 ? variables
                         : objective_count - 1 + (number == 1 ? 5 : (number == 7 ? 20 : 10));
  }
  [[nodiscard]] std::int64_t objectives() const { return objective_count; }
  [[nodiscard]] double lower(std::int64_t) const { return 0.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 1.0; }
  void evaluate(std::span<const double> x, std::span<double> f) const;
  [[nodiscard]] pareto::Yardstick yardstick() const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::MultiobjectiveProblem<Dtlz>);

}  // namespace equipoise::problems
