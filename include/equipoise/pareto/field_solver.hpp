#pragma once

#include <equipoise/pareto/scalarisation.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::pareto {

/// What solves scalarisations of a problem whose points are fields over the ranks of a group (or
/// plain vectors, for a group of one rank). A packet's `x` holds `fields()` one after the other,
/// the values of this rank's `rows()` each.
class FieldSolver {
 public:
  virtual ~FieldSolver() = default;
  [[nodiscard]] virtual std::size_t objectives() const = 0;
  [[nodiscard]] virtual std::string fingerprint() const = 0;
  /// Rows of a field over the ranks of the group.
  [[nodiscard]] virtual const partition::Partition& rows() const = 0;
  /// Names of the fields; a field whose name starts with '.' travels but is no part of the
  /// solution.
  [[nodiscard]] virtual std::vector<std::string> fields() const = 0;
  /// Names of the counters of every answer, always the same.
  [[nodiscard]] virtual std::vector<std::string> counters() const = 0;
  /// `warm` may be null. **Collective** in the group. What fails is thrown on all its ranks.
  virtual ScalarAnswer solve(const Scalarisation& scalarisation, const WarmPacket* warm) = 0;
};

/// The solution of a weighted sum.
struct WeightedAnswer {
  ScalarStatus status = ScalarStatus::converged;
  std::vector<double> f;   ///< [k]
  double residual = 0.0;   ///< |sum_i w_i grad f_i| over the largest |grad f_i|
  std::int64_t grade = 0;  ///< as in ScalarAnswer
  std::string message;
};

/// What solves weighted sums, and nothing else: all that a PDE problem has to provide.
class WeightedSolver {
 public:
  virtual ~WeightedSolver() = default;
  [[nodiscard]] virtual std::size_t objectives() const = 0;
  [[nodiscard]] virtual std::string fingerprint() const = 0;
  [[nodiscard]] virtual const partition::Partition& rows() const = 0;
  [[nodiscard]] virtual std::vector<std::string> fields() const = 0;
  /// Work so far; the names never change.
  [[nodiscard]] virtual solve::Counters counters() const = 0;
  /// min sum_i weights_i f_i, weights >= 0 of sum 1. `x` is the start (empty: none) and becomes the
  /// solution, laid out as in FieldSolver. **Collective** in the group.
  virtual WeightedAnswer solve(std::span<const double> weights, std::vector<double>& x) = 0;
  /// [k k], by rows: d f_i / d w_j = -(grad f_i, H_w^-1 grad f_j) at the last solution.
  /// **Collective** in the group.
  [[nodiscard]] virtual std::vector<double> sensitivity() = 0;
};

}  // namespace equipoise::pareto
