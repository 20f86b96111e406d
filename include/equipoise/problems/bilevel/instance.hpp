#pragma once

#include <equipoise/bilevel/method.hpp>
#include <equipoise/bilevel/shards.hpp>
#include <equipoise/solve/checked.hpp>
#include <equipoise/solve/instance.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

/// Options under `run.` that shape a bilevel run.
struct BilevelRun {
  std::int64_t classes = 64;
  std::int64_t seed = 0;
  std::int64_t shards = 1;
  void describe(state::OptionVisitor& visit);
};

/// What every bilevel method names in `solution`: x on every rank, y on the owners of the blocks.
class BilevelSolution final : public state::Stateful {
 public:
  BilevelSolution(const bilevel::Blocks& blocks, std::int64_t dim_outer)
      : x(static_cast<std::size_t>(dim_outer)), y(blocks.zeros()), blocks_(&blocks) {}
  void fields(state::FieldVisitor& visit) override {
    visit.replicated("x", x);
    visit.partitioned("y", blocks_->entries(), blocks_->comm().rank(), 1, y);
  }
  std::vector<double> x, y;

 private:
  const bilevel::Blocks* blocks_;
};

/// A bilevel oracle as the command sees it. `keep` owns the oracle behind the view.
class BilevelInstance final : public solve::Instance, public solve::Checked {
 public:
  BilevelInstance(parallel::Comm comm, bilevel::OracleView oracle, std::shared_ptr<const void> keep,
                  const BilevelRun& run);
  [[nodiscard]] std::string fingerprint() const override;
  [[nodiscard]] solve::Facts facts() const override;
  [[nodiscard]] std::vector<std::string> methods() const override;
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override;
  std::unique_ptr<state::Stateful> solution_storage() override;
  /// `bilevel::check_oracle` on the first block of every rank, near the start. **Collective.**
  solve::Facts check() override;
  /// Solves every lower problem anew (Newton, from the oracle's start) and every linear system by
  /// MINRES, and reports F, the hypergradient's norm with its a-posteriori bound, residuals, and
  /// the distance to the optimum where it is known. Oracles without second order are certified by
  /// their closed form. **Collective.**
  solve::Certificate certify(state::Stateful& solution) override;
  /// What the problem itself says of a solution (a test error), means over blocks. **Collective.**
  [[nodiscard]] bilevel::Figures figures(state::Stateful& solution) const;
  /// x.csv and y.csv (block, entry, value). **Collective.**
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override;

 private:
  [[nodiscard]] bilevel::Figures figures_of(const BilevelSolution& stored) const;

  parallel::Comm comm_;
  bilevel::OracleView oracle_;
  std::shared_ptr<const void> keep_;
  bilevel::Blocks blocks_;
  std::unique_ptr<bilevel::ShardedOracle> shards_;  ///< where samples are shared out
  bilevel::Setup setup_;
};

}  // namespace equipoise::problems
