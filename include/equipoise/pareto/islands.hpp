#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/algorithm.hpp>
#include <equipoise/pareto/evaluation.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::pareto {

struct IslandOptions {
  std::int64_t islands = 1;             ///< logical islands, shared out over the ranks
  std::vector<std::string> algorithms;  ///< of the islands in turn; empty: the method's own
  std::string topology = "ring";        ///< "ring", "full", "none"
  std::int64_t migrate_every = 20;      ///< generations between migrations
  std::int64_t migrants = 5;            ///< members sent at a time
  std::int64_t evaluations = 25000;     ///< budget of all islands together
  std::string schedule = "shares";      ///< "shares" (equal) or "queue" (as ranks become free)
  std::int64_t window = 20;             ///< generations over which the front must move on

  void describe(state::OptionVisitor& visit);
};

/// A set of points with their objectives, as a run file stores it.
struct Front : state::Stateful {
  std::int64_t variables = 0;
  std::int64_t objectives = 0;
  std::vector<double> x;  ///< [m n]
  std::vector<double> f;  ///< [m k]
  /// Names front_points, front_objectives and the two sizes.
  void fields(state::FieldVisitor& visit) override;
};

/// Population algorithms on islands: each has its own population and state, candidates of all
/// islands are evaluated together by all ranks, migrants travel at fixed generations. Islands are
/// logical: the same bits on any number of ranks.
///
/// The residual is the relative growth of the hypervolume of the joint front (scaled by its own
/// range, reference 1.1) over the last `window` generations: small when the front stalls. The
/// method ends when the budget is spent.
class Islands final : public solve::Method {
 public:
  /// **Collective** (no communication before the first step). The problem must outlive the method.
  Islands(parallel::Comm comm, ProblemView problem, const std::string& algorithm,
          const AlgorithmOptions& algorithm_options, const IslandOptions& options,
          std::uint64_t seed);

  /// One generation of every island. **Collective**: allgathervs of candidates and of values; of
  /// populations when they migrate and once every `window` generations, for the joint front.
  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override;
  [[nodiscard]] parallel::Traffic traffic() const override { return traffic_; }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override;
  void fields(state::FieldVisitor& visit) override;
  /// Names the joint front after the last step. **Collective** where that step did not judge it.
  void solution(state::FieldVisitor& visit) override;

  /// The nondominated members of all islands, equal on every rank. **Collective.**
  [[nodiscard]] Population front();
  [[nodiscard]] std::int64_t evaluations() const { return evaluations_; }
  [[nodiscard]] const Failures& failures() const { return failures_; }

 private:
  [[nodiscard]] std::vector<Population> gather();
  void share(std::vector<std::vector<double>>& parts);
  void migrate();
  void keep_front();
  void judge();

  parallel::Comm comm_;
  ProblemView problem_;
  IslandOptions options_;
  Space space_;
  partition::Partition owners_;  ///< islands over ranks
  std::vector<std::unique_ptr<Algorithm>> own_;
  std::vector<std::vector<double>> packed_;
  std::string algorithm_;
  std::int64_t generation_ = 0;
  std::int64_t evaluations_ = 0;
  std::vector<double> last_front_;  ///< [m k] when the front was judged last
  Failures failures_;
  Front front_;  ///< as of front_generation_
  std::int64_t front_generation_ = -1;
  bool front_feasible_ = false;
  solve::Report report_;
  parallel::Traffic traffic_;
};

/// Relative growth of hypervolume from one front to the next, both scaled by the range of the
/// newer, reference 1.1; beyond six objectives by a fixed Monte Carlo sample.
[[nodiscard]] double front_growth(PointView before, PointView after);

}  // namespace equipoise::pareto
