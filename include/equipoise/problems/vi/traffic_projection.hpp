#pragma once

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/problems/vi/traffic_model.hpp>
#include <equipoise/problems/vi/traffic_paths.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

struct PlaneSlope;

struct PathProjectionOptions {
  std::int64_t sweeps = 30;  ///< at most so many sweeps over the OD pairs between two searches
  std::int64_t exchange_every = 1;  ///< sweeps
  double reduction = 0.01;          ///< sweeps end when the excess cost has fallen to this fraction
  double overlap = 2.0;  ///< first value of the factor by which agents leave room for each other
  void describe(state::OptionVisitor& visit);
};

/// Path-based gradient projection with column generation for traffic equilibria with a potential.
///
/// A step is a few rounds on the known paths, then a search for new ones. In a round each agent (a
/// group of origins) moves flow between its known paths, one OD pair after the other, by Newton's
/// step on pairs of paths, all agents from the same link flows v. The agents' link flows are then
/// added; D is the change they make together, and S the last change, damped pair by pair so that it
/// stays feasible. The round ends at the minimum of the Beckmann objective over v + t D + b S, t in
/// [0, 1], |b| <= 2, which every rank finds by itself because all know v, D and S. Then shortest
/// paths at the new costs give the gap and new paths. An agent sees its own moves enlarged by an
/// overlap factor, adapted to t.
///
/// Where links yield to others there is no objective; then S is left out and t is where the costs
/// of the change begin to exceed those saved.
///
/// State belongs to agents, sums run in agent order: the iterates have the same bits on any number
/// of ranks. Communication per round: one mean of 2 x links (links with a single agent), two exact
/// sums of 576 bytes. Source: gradient projection after Jayakrishnan et al. (1994); the
/// two-dimensional search is the conjugate direction idea of LOPCG (Knyazev 2001) applied to the
/// block-Jacobi step.
class PathProjection : public solve::Method {
 public:
  /// `model` is shared with the instance; `measure` is "relative_gap" or "average_excess_cost".
  PathProjection(parallel::Comm comm, std::shared_ptr<const TrafficModel> model,
                 PathProjectionOptions options, std::string measure);

  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] parallel::Traffic traffic() const override { return mean_.traffic(); }
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;

  [[nodiscard]] double relative_gap() const { return relative_gap_; }
  [[nodiscard]] double average_excess_cost() const { return average_excess_cost_; }
  /// Link flows in file order.
  [[nodiscard]] std::vector<double> link_flow() const;

 private:
  [[nodiscard]] bool alone() const { return model_->agents.parts() == 1; }
  [[nodiscard]] bool coupled() const { return model_->network.cost().coupled(); }
  /// Whether the last change helps: where there is a potential, and other agents to wait for.
  [[nodiscard]] bool momentum() const { return !alone() && !coupled(); }
  void load();
  void improve();
  [[nodiscard]] double round(std::int64_t sweeps);
  void combine();
  void see(std::span<const double> flow, std::vector<double>& seen) const;
  void exchange();
  [[nodiscard]] PlaneSlope derivatives() const;
  void renew();

  parallel::Comm comm_;
  std::shared_ptr<const TrafficModel> model_;
  PathProjectionOptions options_;
  std::string measure_;
  partition::Partition hosts_;
  compress::Mean mean_;
  ShortestPaths search_;
  std::vector<PathGroup> groups_;  ///< of the agents hosted here
  LinkState now_, view_;
  std::vector<double> sent_;                ///< [hosted x (1 or 2) links]: flows, then momentum
  std::vector<double> received_;            ///< [(1 or 2) links]: D, then S
  std::vector<double> seen_, seen_change_;  ///< what links see of v and D, where some yield
  double overlap_ = 1.0, relative_gap_ = solve::Report::unknown,
         average_excess_cost_ = solve::Report::unknown;
  std::int64_t iteration_ = 0, trees_ = 0, origins_ = 0;
  solve::Report report_;
};

}  // namespace equipoise::problems
