#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/field_solver.hpp>
#include <equipoise/pareto/front_plan.hpp>
#include <equipoise/pareto/groups.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/solve/method.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::pareto {

/// How a scalarised problem is solved: rank-local, deterministic, the same on every rank.
using SolveScalar = std::function<ScalarAnswer(const Scalarisation&, const WarmPacket*)>;

/// Fronts by scalarisation, filled from coarse to fine, each point warm-started from a parent that
/// is fixed in advance, so that a result depends on its parent and not on timing.
///
/// Ends: weighted sums with `anchor_weight` on the other objectives, or with 1e-4 of that where the
/// values settle as these weights vanish.
///
/// Two objectives: from the two ends, every gap wider than `spacing` is filled. The scalarisation
/// aims at points of the gap: pascoletti_serafini along the normal (finds concave parts), nbi along
/// the fixed normal of the chord of the ends (Das and Dennis 1998), nnc by a normal constraint,
/// weighted_sum with the normal of the gap as weights (Aneja and Nair 1979; convex parts only),
/// epsilon_constraint at a value of f_2, chebyshev from the ideal point, reference_point from a
/// point below (once gaps are narrow enough to know where below is; wide ones are halved by
/// pascoletti_serafini). Wide gaps are halved; one of up to six spacings is filled at once, at
/// equal distances along the curve that the weights at its ends predict, so that neighbours end up
/// evenly spaced. A gap that yields no new point is a hole of the front, and is counted. More
/// objectives: the hierarchical Pascoletti-Serafini method of front_plan_hierarchy.cpp: fronts of
/// all subsets of the objectives, small subsets first, on a lattice of lines along (1, ..., 1) that
/// grows inwards from the fronts that bound it, each point warmed by a neighbour.
///
/// Points are computed by groups of ranks, as they become free (`Groups`); afterwards every group
/// holds every packet. With one rank per group and a solver that is deterministic: the same bits on
/// any number of ranks. Memory: fields of all points, shared out over the ranks of a group.
///
/// The residual is the largest open gap, scaled, once the ends are known (with three objectives:
/// the share of lines not yet solved); the method is finished when nothing is open.
class FrontSearch final : public solve::Method {
 public:
  FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options);
  /// The same for another solver of scalarisations (a PDE solver on this rank).
  FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options,
              SolveScalar solve);
  /// For points that are fields over a group of ranks; `solver` lives on this rank's group.
  FrontSearch(Groups groups, std::unique_ptr<FieldSolver> solver, const FrontOptions& options);

  /// Points as groups become free, about two per group (one point where there is one group), so
  /// that a checkpoint can follow soon. **Collective**: an allreduce of a few numbers per point,
  /// and a broadcast of its packet to the other groups.
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;
  void fields(state::FieldVisitor& visit) override;
  /// Plain vectors: a `Front`. Fields: a `FieldFront`.
  void solution(state::FieldVisitor& visit) override;

  /// Converged points, equal on every rank; two objectives: by ascending f_1. `x` holds this rank's
  /// part of the packets.
  [[nodiscard]] Population front() const;
  [[nodiscard]] const std::vector<FrontMember>& members() const { return plan_.members(); }
  /// Gaps that no solution fills.
  [[nodiscard]] std::int64_t holes() const { return plan_.holes(); }
  /// Distances of neighbours in scaled objectives (two objectives).
  [[nodiscard]] std::vector<double> gaps() const { return plan_.gaps(); }
  [[nodiscard]] FieldSolver& solver() { return *solver_; }

 private:
  [[nodiscard]] std::vector<double> solve(const FrontTask& task, std::string& message,
                                          std::vector<double>& x);
  [[nodiscard]] std::string trouble() const;
  [[nodiscard]] std::size_t local_size() const;
  [[nodiscard]] bool plain() const;
  [[nodiscard]] partition::Partition storage() const;

  Groups groups_;
  std::unique_ptr<FieldSolver> solver_;
  FrontOptions options_;
  FrontPlan plan_;
  std::vector<std::int64_t> totals_;  ///< of the solver's counters
  bool spread_ = false;               ///< packets were read, and only the first group has them
  solve::Report report_;
  Front front_;
};

/// A front whose points are fields, as a run file stores it.
struct FieldFront : state::Stateful {
  partition::Partition rows;  ///< over all ranks
  int part = 0;
  std::vector<std::string> names;
  std::int64_t points = 0, objectives = 0;
  std::vector<double> f, weights;             ///< [m k]
  std::vector<double> residuals;              ///< [m] criticality
  std::vector<std::int64_t> grades, parents;  ///< [m]
  std::vector<std::vector<double>> values;    ///< by field: [owned rows, m]
  /// Names front_objectives, front_weights, front_criticality, front_grade, front_parent and the
  /// fields, a column a point.
  void fields(state::FieldVisitor& visit) override;
};

}  // namespace equipoise::pareto
