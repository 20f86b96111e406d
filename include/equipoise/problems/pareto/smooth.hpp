#pragma once

#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::problems {

/// f_i(x) = h/2 |x - e_i|^2 with the unit vectors e_1 .. e_k of R^n and the inner product h a^T b.
/// The Pareto set is their convex hull: the minimizer for weights w is x = w.
struct Distances {
  std::int64_t variables = 3;
  std::int64_t objective_count = 2;
  double mass = 1.0;  ///< h

  [[nodiscard]] std::int64_t dimension() const { return variables; }
  [[nodiscard]] std::int64_t objectives() const { return objective_count; }
  [[nodiscard]] double lower(std::int64_t) const { return -2.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 2.0; }
  void evaluate(std::span<const double> x, std::span<double> f) const;
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const;
  [[nodiscard]] double inner(std::span<const double> a, std::span<const double> b) const;
  void hessian_product(std::span<const double> weights, std::span<const double> x,
                       std::span<const double> v, std::span<double> out) const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::DifferentiableProblem<Distances>);

/// f_1 = 1 - exp(-|x - a|^2), f_2 = 1 - exp(-|x + a|^2) with a = (1, ..., 1)/sqrt(n) (Fonseca and
/// Fleming 1995). The Pareto set is the segment from -a to a, the front is concave: a weighted sum
/// finds its ends only.
struct Fonseca {
  std::int64_t variables = 3;

  [[nodiscard]] std::int64_t dimension() const { return variables; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const { return -4.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 4.0; }
  void evaluate(std::span<const double> x, std::span<double> f) const;
  void gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const;
  void start(std::span<double> x) const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::DifferentiableProblem<Fonseca>);

}  // namespace equipoise::problems
