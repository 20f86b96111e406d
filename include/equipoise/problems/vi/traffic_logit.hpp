#pragma once

#include <equipoise/compress/mean.hpp>
#include <equipoise/problems/vi/traffic_model.hpp>
#include <equipoise/problems/vi/traffic_paths.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/vi/anderson.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// The trips of one origin on all its efficient paths (Dial 1971): those whose links lead farther
/// from the origin in the empty network, by cost and then by number of links. A path of cost c is
/// taken in proportion to exp(-dispersion c), without any path being written down: with the
/// expected least cost S of a node,
///
///     exp(-dispersion S_j) = sum over the links (i, j) of exp(-dispersion (S_i + c_ij)),
///     flow_ij = (trips to j, and flow out of j) exp(-dispersion (S_i + c_ij - S_j)).
class LogitOrigin {
 public:
  /// `pairs`: those of one origin; `empty`: costs of the links without traffic. Throws InputError
  /// where a destination cannot be reached.
  LogitOrigin(const TrafficNetwork& network, std::span<const OdPair> pairs,
              std::span<const double> empty);
  /// Adds the flow of the links at these costs. Two passes over the efficient links.
  void load(std::span<const double> cost, double dispersion, std::span<double> flow);

 private:
  struct Link {
    std::int32_t link = 0, from = 0, to = 0;  ///< nodes by their place in the order of distance
  };
  std::vector<Link> links_;    ///< efficient ones, by `to`
  std::vector<double> trips_;  ///< that end at a node, [nodes met]
  std::vector<double> expected_, through_;
};

struct LogitOptions {
  std::int64_t memory = 10;
  void describe(state::OptionVisitor& visit);
};

/// Stochastic user equilibrium: link flows v with v = y(c(v)), y being the logit loading at given
/// costs (Fisk 1980). The fixed point is sought by steps towards y, a part of the way that shrinks
/// where the error does not fall (after the averages of Liu, He and He 2009), extrapolated by
/// Anderson's method.
///
/// Measure: `flow_error`, sum |y - v| / sum v. An iteration is one loading of all origins and one
/// exact mean of [links] over agents.
class LogitAveraging : public solve::Method {
 public:
  LogitAveraging(parallel::Comm comm, std::shared_ptr<const TrafficModel> model,
                 const LogitOptions& options);

  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] parallel::Traffic traffic() const override { return mean_.traffic(); }
  [[nodiscard]] solve::Counters counters() const override { return {{"logit_loading", loadings_}}; }
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;
  /// Link flows in file order.
  [[nodiscard]] std::vector<double> link_flow() const;

 private:
  void load();
  void adapt();

  parallel::Comm comm_;
  std::shared_ptr<const TrafficModel> model_;
  partition::Partition hosts_;
  compress::Mean mean_;
  std::vector<std::vector<LogitOrigin>> agents_;  ///< origins of the agents hosted here
  std::int64_t origins_ = 0;
  LinkState now_;
  vi::Anderson anderson_;
  std::vector<double> next_, sent_, loaded_;
  double part_ = 1.0;
  double mark_ = solve::Report::unknown;  ///< the error to halve
  std::int64_t iteration_ = 0, loadings_ = 0, since_mark_ = 0;
  solve::Report report_;
};

}  // namespace equipoise::problems
