#pragma once

#include <equipoise/pareto/points.hpp>
#include <equipoise/pareto/problem.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// Evaluated (or, with empty `f`, not yet evaluated) candidates, row by row.
struct Population {
  std::size_t variables = 0;   ///< n
  std::size_t objectives = 0;  ///< k
  std::vector<double> x;       ///< [m n]
  std::vector<double> f;       ///< [m k]; infinite where the evaluation failed
  std::vector<double>
      violation;  ///< [m] sum of max(c_i, 0): 0 where feasible, infinite where failed

  [[nodiscard]] std::size_t size() const { return variables == 0 ? 0 : x.size() / variables; }
  [[nodiscard]] std::span<const double> point(std::size_t i) const {
    return std::span<const double>(x).subspan(i * variables, variables);
  }
  [[nodiscard]] std::span<const double> value(std::size_t i) const {
    return std::span<const double>(f).subspan(i * objectives, objectives);
  }
  [[nodiscard]] PointView values() const { return {f, objectives}; }
  /// Appends member i of another population.
  void push(const Population& from, std::size_t i);
  /// Overwrites member `to` by member `i` of another population.
  void assign(std::size_t to, const Population& from, std::size_t i);
  void append(const Population& other);
  [[nodiscard]] Population subset(std::span<const std::size_t> members) const;
};

/// Feasible nondominated members; where nothing is feasible, those of least violation.
[[nodiscard]] Population best_of(const Population& population);

/// Where population methods search.
struct Space {
  std::vector<double> lower, upper;  ///< [n], finite
  std::vector<bool> integer;         ///< [n]
  std::size_t objectives = 0;
  [[nodiscard]] std::size_t variables() const { return lower.size(); }
};
/// Throws ConfigurationError for a problem that population methods cannot search.
[[nodiscard]] Space space_of(const ProblemView& problem);

}  // namespace equipoise::pareto
