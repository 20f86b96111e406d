#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/pareto/problem.hpp>
#include <equipoise/pareto/scalarisation.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::pareto {

struct ContinuationOptions {
  double spacing = 0.05;        ///< length of a step, objectives scaled by ideal and nadir
  double anchor_weight = 1e-6;  ///< weight of the other objectives at the ends of the front
  std::int64_t max_points = 10000;
  double tolerance = 1e-9;            ///< of |sum_i w_i grad f_i| over the largest |grad f_i|
  std::int64_t max_corrections = 12;  ///< Newton steps of one corrector
  void describe(state::OptionVisitor& visit);
};

/// The Pareto critical set by predictor and corrector (Pareto tracer: Martin, Schuetze 2018).
///
/// At a critical point x with weights w, G = (grad f_i), H = sum_i w_i H_i, moving the weights by d
/// moves x by -H^-1 G d and the values by -S d with S = G^T H^-1 G, S w = 0. The predictor steps
/// `spacing` along the front in scaled objectives: S d = -delta for tangents delta. The corrector
/// is Newton's method on
///
///     G w = 0,   sum w = 1,   T^T (f - f_predicted) = 0
///
/// with the tangents T of the front: k solves with H and a k x k system a step. Variables at a
/// bound that would leave it are held. Tracing begins at the k ends; subsets of the objectives are
/// traced too, because they bound the set where weights vanish. A corrected point stays if no point
/// lies within 0.6 steps; where the front bends so much that it lies farther than 1.5 steps from
/// its parent, the step is halved.
///
/// Smooth objectives with Hessian products, dense algebra of O(n^3) a point; finds what hangs
/// together with the ends, non-convex parts included. Points of a generation are shared out over
/// the ranks: the same bits on any number of ranks. The residual is the share of points from which
/// tracing still goes on.
class Continuation final : public solve::Method {
 public:
  /// **Collective** (no communication). Throws ConfigurationError for a problem without Hessian
  /// products, with constraints, or with fewer than two objectives.
  Continuation(parallel::Comm comm, ProblemView problem, const ContinuationOptions& options);

  /// All predictors and correctors of a generation. **Collective**, one allgatherv.
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  /// Names the nondominated points.
  void solution(state::FieldVisitor& visit) override;

  /// All critical points, in the order in which they were found, equal on every rank.
  [[nodiscard]] Population points() const;
  /// [m k] their weights.
  [[nodiscard]] const std::vector<double>& weights() const { return w_; }

 private:
  struct Task {
    std::int64_t parent = -1;
    std::int64_t face = 0;       ///< objectives whose weights may differ from 0, by bits
    std::int64_t objective = 0;  ///< along which the step goes
    double sign = 1.0;
  };
  struct Found {
    bool good = false;
    std::vector<double> x, f, w;
  };
  [[nodiscard]] std::vector<Task> tasks() const;
  [[nodiscard]] Found work(const Task& task);
  [[nodiscard]] Found end(std::int64_t objective);
  [[nodiscard]] bool covered(std::span<const double> f) const;
  [[nodiscard]] std::size_t size() const { return faces_.size(); }
  void set_range();

  parallel::Comm comm_;
  ProblemView problem_;
  ContinuationOptions options_;
  std::vector<double> x_, f_, w_;    ///< [m n], [m k], [m k]
  std::vector<std::int64_t> faces_;  ///< [m] objectives whose weights are not zero, by bits
  std::int64_t open_ = 0;            ///< tracing goes on from the points from here on
  Range range_;
  std::int64_t corrections_ = 0;
  solve::Report report_;
  Front front_;
};

}  // namespace equipoise::pareto
