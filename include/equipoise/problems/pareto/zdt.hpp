#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::problems {

/// ZDT1, 2, 3, 4, 6: two objectives (Zitzler, Deb, Thiele 2000). 30 variables, 10 for ZDT4 and
/// ZDT6.
struct Zdt {
  std::int64_t number = 1;
  std::int64_t variables = 0;  ///< 0: the standard number

  [[nodiscard]] std::int64_t dimension() const {
    return variables > 0 ? variables : (number == 4 || number == 6 ? 10 : 30);
  }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t i) const { return number == 4 && i > 0 ? -5.0 : 0.0; }
  [[nodiscard]] double upper(std::int64_t i) const { return number == 4 && i > 0 ? 5.0 : 1.0; }
  void evaluate(std::span<const double> x, std::span<double> f) const;
  [[nodiscard]] pareto::Yardstick yardstick() const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::MultiobjectiveProblem<Zdt>);

}  // namespace equipoise::problems
