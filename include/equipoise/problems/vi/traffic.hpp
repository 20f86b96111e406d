#pragma once

#include <equipoise/problems/vi/traffic_model.hpp>
#include <equipoise/solve/instance.hpp>

#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

/// User equilibrium of a road network: nobody can travel faster by another route. Family `vi`, name
/// `traffic`.
///
/// The only vector that agents (groups of origins) exchange is the flow of the links. Measures:
/// `relative_gap` (default), 1 - sum_w d_w u_w / sum_a v_a c_a, and `average_excess_cost`, (sum v c
/// - sum d u) / sum d, with u from exact shortest paths. The objective is Beckmann's. With
/// `problem.dispersion` the equilibrium is stochastic (LogitAveraging), its measure `flow_error`.
class TrafficInstance : public solve::Instance {
 public:
  /// `measure` is "relative_gap" or "average_excess_cost", for a stochastic equilibrium
  /// "flow_error"; throws ConfigurationError for another.
  TrafficInstance(parallel::Comm comm, TrafficModel model, std::string measure);

  [[nodiscard]] std::string fingerprint() const override { return model_->fingerprint(); }
  [[nodiscard]] solve::Facts facts() const override;
  [[nodiscard]] std::vector<std::string> methods() const override;
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override;
  std::unique_ptr<state::Stateful> solution_storage() override;
  solve::Certificate certify(state::Stateful& solution) override;
  /// `flow.csv` (from, to, volume, cost; in file order), with elastic demand `demand.csv` (origin,
  /// destination, trips), and, where coordinates are given, `nodes.csv` (node, x, y).
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override;

  [[nodiscard]] const std::shared_ptr<const TrafficModel>& model() const { return model_; }

 private:
  parallel::Comm comm_;
  std::shared_ptr<const TrafficModel> model_;
  std::string measure_;
};

/// The registry's entries of the problem and of its methods.
[[nodiscard]] solve::ProblemEntry traffic_problem();
[[nodiscard]] solve::MethodEntry path_projection_method();
[[nodiscard]] solve::MethodEntry logit_averaging_method();

}  // namespace equipoise::problems
