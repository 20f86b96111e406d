#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::problems {

/// Engineering design problems RE21 (four-bar truss), RE24 (hatch cover), RE31 (two-bar truss),
/// RE33 (disc brake) and RE37 (rocket injector) of Tanabe and Ishibuchi 2020; in RE24, 31 and 33
/// the last objective is the sum of constraint violations. Objectives are judged in the scale of
/// their ideal and nadir points.
struct Re {
  std::int64_t number = 21;

  [[nodiscard]] std::int64_t dimension() const;
  [[nodiscard]] std::int64_t objectives() const { return number < 30 ? 2 : 3; }
  [[nodiscard]] double lower(std::int64_t i) const;
  [[nodiscard]] double upper(std::int64_t i) const;
  void evaluate(std::span<const double> x, std::span<double> f) const;
  [[nodiscard]] pareto::Yardstick yardstick() const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::MultiobjectiveProblem<Re>);

}  // namespace equipoise::problems
