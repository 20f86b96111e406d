#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::problems {

/// UF1 to UF10 of the CEC 2009 competition (Zhang, Zhou, Zhao, Suganthan, Liu, Tiwari): fronts
/// whose Pareto sets are curved; 30 variables, two objectives (three for 8 to 10).
struct Uf {
  std::int64_t number = 1;
  std::int64_t variables = 30;

  [[nodiscard]] std::int64_t dimension() const { return variables; }
  [[nodiscard]] std::int64_t objectives() const { return number <= 7 ? 2 : 3; }
  [[nodiscard]] double lower(std::int64_t i) const { return i < objectives() - 1 ? 0.0 : -reach(); }
  [[nodiscard]] double upper(std::int64_t i) const { return i < objectives() - 1 ? 1.0 : top(); }
  void evaluate(std::span<const double> x, std::span<double> f) const;
  [[nodiscard]] pareto::Yardstick yardstick() const;
  [[nodiscard]] std::string fingerprint() const;

 private:
  [[nodiscard]] double reach() const { return number == 3 ? 0.0 : top(); }
  [[nodiscard]] double top() const { return number == 4 || number >= 8 ? 2.0 : 1.0; }
};
static_assert(pareto::MultiobjectiveProblem<Uf>);

}  // namespace equipoise::problems
