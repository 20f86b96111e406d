#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::problems {

/// Non-smooth convex test functions of two variables: "CB3", "DEM", "QL", "LQ", "Mifflin1"
/// (Maekelae, Karmitsa, Wilppu). Value and one subgradient, that of the first active piece.
[[nodiscard]] double nonsmooth_value(const std::string& name, std::span<const double> x,
                                     std::span<double> gradient);

/// Two of them as objectives, the pairs on which Gebken and Peitz 2021 test their method.
struct NonsmoothPair {
  std::string first = "CB3";
  std::string second = "LQ";

  [[nodiscard]] std::int64_t dimension() const { return 2; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] bool smooth() const { return false; }
  [[nodiscard]] double lower(std::int64_t i) const;
  [[nodiscard]] double upper(std::int64_t i) const { return -lower(i); }
  void evaluate(std::span<const double> x, std::span<double> f) const;
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const;
  void gradient(std::int64_t i, std::span<const double> x, std::span<double> g) const;
  [[nodiscard]] std::string fingerprint() const {
    return "non-smooth pair " + first + "/" + second;
  }
};
static_assert(pareto::DifferentiableProblem<NonsmoothPair>);

}  // namespace equipoise::problems
