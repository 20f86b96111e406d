#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/pareto/problem.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::pareto {

/// A direction in which all objectives fall, and how critical the point is.
struct CommonDescent {
  std::vector<double> direction;  ///< [n] zero at a critical point
  std::vector<double> weights;    ///< [k] of the simplex: the multipliers of the point
  double criticality =
      0.0;  ///< norm of sum_i w_i grad f_i on the free variables, in the problem's norm
  std::vector<double> values;  ///< [k] objectives at x, where the caller had not got them
};

/// The direction of steepest common descent, -sum_i w_i g_i of least norm (Fliege and Svaiter 2000;
/// Desideri 2012). Variables at a bound that the direction would leave are held. `gradients` is [k
/// n].
[[nodiscard]] CommonDescent steepest_common_descent(const ProblemView& problem,
                                                    std::span<const double> x,
                                                    std::span<const double> gradients);

/// Constants of the non-smooth descent of Gebken and Peitz (JOTA 188, 2021).
struct GoldsteinOptions {
  double radius = 1e-3;     ///< eps: the ball whose subgradients count
  double tolerance = 1e-3;  ///< delta: least norm of a direction
  double decrease = 0.25;   ///< c
};
/// Evaluations so far.
struct DescentCounts {
  std::int64_t iterations = 0;
  std::int64_t values = 0;     ///< of single objectives
  std::int64_t gradients = 0;  ///< of single objectives
};
/// Element of least norm of an inner approximation of the eps-Goldstein subdifferential, sign
/// reversed: starts with one subgradient per objective and adds, by bisection, subgradients of
/// those objectives that do not fall enough. `criticality` is its norm, at most `tolerance` exactly
/// where x is (eps, delta)-critical.
[[nodiscard]] CommonDescent goldstein_descent(const ProblemView& problem, std::span<const double> x,
                                              const GoldsteinOptions& options,
                                              DescentCounts& counts);

struct DescentOptions {
  std::int64_t starts = 100;    ///< points that descend, independently of each other
  std::string layout = "grid";  ///< "grid" or "random" starts
  double start_from =
      -1.0;  ///< where a variable has no bound, starts lie in [start_from, start_to]
  double start_to = 1.0;
  GoldsteinOptions goldstein;  ///< method gebken-peitz
  double decrease = 1e-4;      ///< methods mgda and newton: Armijo constant
  void describe(state::OptionVisitor& visit);
};

/// Descent on all objectives at once from many starts, one iteration of every start a step: "mgda"
/// (steepest common descent), "newton" (Fliege, Grana Drummond, Svaiter 2009; needs Hessian
/// products), "gebken-peitz" (non-smooth objectives). Starts are shared out over the ranks and
/// never interact: the same bits on any number of ranks.
///
/// The residual is the largest criticality over the starts; with gebken-peitz a start counts as
/// done at `tolerance` and then adds 0. The front of the solution holds the nondominated end
/// points.
class Descent final : public solve::Method {
 public:
  /// **Collective** (no communication). Throws ConfigurationError for a problem without gradients
  /// (or Hessian products, for newton).
  Descent(parallel::Comm comm, ProblemView problem, const std::string& kind,
          const DescentOptions& options, std::uint64_t seed);

  /// **Collective**, some allreduces of one number and an allgatherv of the points.
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  /// Of the starts of this rank.
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  /// Names the nondominated points after the last step.
  void solution(state::FieldVisitor& visit) override;
  /// All current points with their objectives, in the order of the starts. **Collective.**
  [[nodiscard]] Population points() const;

 private:
  struct Walker {
    std::vector<double> x;
    std::vector<double> f;
    double criticality = 0.0;
    bool done = false;
    DescentCounts counts;
  };
  void keep_front();
  void advance(Walker& walker);
  [[nodiscard]] std::vector<double> values(std::span<const double> x, Walker& walker) const;
  [[nodiscard]] CommonDescent smooth_direction(Walker& walker) const;
  void line_search(Walker& walker, const CommonDescent& descent, const std::vector<double>& f);

  parallel::Comm comm_;
  ProblemView problem_;
  std::string kind_;
  DescentOptions options_;
  partition::Partition owners_;
  std::vector<Walker> walkers_;
  std::int64_t iteration_ = 0;
  solve::Report report_;
  Front front_;
};

}  // namespace equipoise::pareto
