#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/pareto/scalarisation.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace equipoise::pareto {

struct FrontOptions {
  std::string scalarisation = "pascoletti_serafini";
  double spacing = 0.05;  ///< wanted distance of neighbours, objectives scaled by ideal and nadir
  double anchor_weight = 1e-4;  ///< weight of the other objectives at the ends of the front
  std::int64_t max_points = 10000;
  SmoothSolverOptions solver;
  void describe(state::OptionVisitor& visit);
};

/// A point of a front with what is known about it.
struct FrontMember {
  ScalarAnswer answer;
  std::int64_t parent = -1;  ///< the member that warmed it
};

/// How a scalarised problem is solved: rank-local, deterministic, the same on every rank.
using SolveScalar = std::function<ScalarAnswer(const Scalarisation&, const WarmPacket*)>;

/// Fronts by scalarisation, filled from coarse to fine; one generation of solves a step, shared out
/// over the ranks, each warm-started from a parent that is fixed in advance: the same bits on any
/// number of ranks.
///
/// Two objectives: from the two ends, every gap wider than `spacing` is halved. The scalarisation
/// aims at the middle of the gap: pascoletti_serafini along the normal of the chord (finds concave
/// parts), weighted_sum with the normal as weights (Aneja and Nair 1979; convex parts only),
/// epsilon_constraint at the mean of f_2, chebyshev from the ideal point through the middle,
/// reference_point from a point below the middle. A gap that yields no new point is a hole of the
/// front, and is counted. More objectives: Pascoletti-Serafini along (1, ..., 1) from grids on the
/// coordinate planes through the ideal point (specs: the hierarchical algorithm); where multipliers
/// vanish the point belongs to a sub-front and the line ends.
///
/// The residual is the largest open gap, scaled, once the ends are known (with three objectives:
/// the share of lines not yet solved); the method is finished when nothing is open.
class FrontSearch final : public solve::Method {
 public:
  FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options);
  /// The same for another solver of scalarisations (a PDE solver on this rank).
  FrontSearch(parallel::Comm comm, ProblemView problem, const FrontOptions& options,
              SolveScalar solve);

  /// **Collective**, one allgatherv of a few numbers and n per new point.
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;

  /// Converged points, equal on every rank; two objectives: by ascending f_1.
  [[nodiscard]] Population front() const;
  [[nodiscard]] const std::vector<FrontMember>& members() const { return members_; }
  /// Gaps that no solution halves.
  [[nodiscard]] std::int64_t holes() const { return holes_; }
  /// Distances of neighbours in scaled objectives (two objectives).
  [[nodiscard]] std::vector<double> gaps() const;

 private:
  struct Task {
    Scalarisation scalarisation;
    std::int64_t parent = -1;
    std::int64_t place = -1;  ///< gap or line
  };
  [[nodiscard]] std::vector<Task> anchors() const;
  [[nodiscard]] std::vector<Task> halvings() const;
  [[nodiscard]] std::vector<Task> lines() const;
  [[nodiscard]] std::vector<ScalarAnswer> solve_all(const std::vector<Task>& tasks);
  [[nodiscard]] Scalarisation aim(const FrontMember& left, const FrontMember& right) const;
  void set_range();
  void absorb_anchors(const std::vector<Task>& tasks, std::vector<ScalarAnswer> answers);
  void absorb_halvings(const std::vector<Task>& tasks, std::vector<ScalarAnswer> answers);
  void absorb_lines(const std::vector<Task>& tasks, std::vector<ScalarAnswer> answers);
  [[nodiscard]] double distance(std::span<const double> a, std::span<const double> b) const;
  [[nodiscard]] std::int64_t line_count() const;
  [[nodiscard]] std::int64_t side() const;

  parallel::Comm comm_;
  ProblemView problem_;
  FrontOptions options_;
  SolveScalar solve_;
  std::int64_t generation_ = 0;
  std::vector<FrontMember> members_;
  std::vector<std::int64_t> order_;   ///< two objectives: members by ascending f_1
  std::vector<std::int64_t> closed_;  ///< two objectives: 1 where the gap after order_[i] is a hole
  Range range_;
  std::int64_t solves_ = 0, failures_ = 0, holes_ = 0;
  std::vector<std::int64_t> totals_;  ///< values, gradients, Hessian products
  std::string trouble_;
  solve::Report report_;
  Front front_;
};

}  // namespace equipoise::pareto
