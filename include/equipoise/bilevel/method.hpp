#pragma once

#include <equipoise/bilevel/blocks.hpp>
#include <equipoise/bilevel/calls.hpp>
#include <equipoise/bilevel/exchange.hpp>
#include <equipoise/bilevel/implicit.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/config.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::bilevel {

/// What every bilevel method is made of, besides its own options.
struct Setup {
  parallel::Comm comm;
  OracleView oracle;
  std::int64_t classes = 64;  ///< `run.classes`: logical classes of blocks
  std::uint64_t seed = 0;     ///< `run.seed`
};

/// State and reports that all bilevel methods share: the outer variable on every rank, the lower
/// variables on the owners of their blocks, oracle calls of all ranks, and the hypergradient as the
/// measure.
class MethodBase : public solve::Method {
 public:
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override {
    return CountedOracle::named(oracle_.counts());
  }
  [[nodiscard]] parallel::Traffic traffic() const override { return exchange_.traffic(); }
  void solution(state::FieldVisitor& visit) override;

  [[nodiscard]] const std::vector<double>& outer() const { return x_; }
  /// Lower variables of the owned blocks, one after the other.
  [[nodiscard]] virtual const std::vector<double>& inner() { return y_; }
  [[nodiscard]] const Blocks& blocks() const { return blocks_; }

 protected:
  /// Starts x and y where the oracle says. Throws ConfigurationError for a call in `calls` that the
  /// oracle lacks.
  MethodBase(const Setup& setup, const compress::MeanSetting& exchange, std::string_view name,
             std::span<const std::string_view> calls);
  void base_fields(state::FieldVisitor& visit);
  void block_field(state::FieldVisitor& visit, std::string_view name, std::vector<double>& data);
  /// One row of `width` values per owned block.
  void row_field(state::FieldVisitor& visit, std::string_view name, std::int64_t width,
                 std::vector<double>& data);
  /// Makes the engine of `evaluate` where there will be evaluations (`every` > 0) and no closed
  /// form: it keeps lower variables, solutions and factors, from which the next evaluation starts.
  /// Methods call this once, at construction.
  void evaluates(std::int64_t every);
  /// Evaluates F and its gradient at x by implicit differentiation, into the report; the method's y
  /// stays as it is. The calls are not counted. Methods on oracles without second order use the
  /// closed form or report nothing.
  /// **Collective.**
  void evaluate();
  /// Throws ConfigurationError for a batch larger than the samples of an owned block.
  void require_batches(std::int64_t batch) const;
  /// Samples of block i for the `round`-th use in this iteration; empty (all) where `batch` is 0 or
  /// not less than the samples there are.
  void draw_batch(std::int64_t i, Level level, std::int64_t batch, std::int64_t round,
                  std::vector<std::int64_t>& out) const;
  /// Sets `failed` with a message if any rank's `block` (a block number, or -1) names a block.
  /// **Collective.**
  bool failed_block(std::int64_t block);

  Blocks blocks_;
  CountedOracle oracle_;
  Exchange exchange_;
  std::uint64_t seed_;
  std::vector<double> x_, y_;
  std::int64_t iteration_ = 0;
  solve::Report report_;

 private:
  struct Evaluator {
    Evaluator(const Blocks& blocks, OracleView view, std::vector<double> start)
        : oracle(view),
          exchange(blocks, view.dim_outer(), {}),
          implicit(blocks, oracle, exchange, {}),
          y(std::move(start)),
          q(blocks.zeros()) {}
    CountedOracle oracle;
    Exchange exchange;
    Implicit implicit;
    std::vector<double> y, q;
  };
  std::unique_ptr<Evaluator> evaluator_;
};

/// Options of how the hypergradient travels.
struct ExchangeOptions {
  std::string codec = "identity";
  std::string server_codec = "identity";
  bool error_feedback = false;
  [[nodiscard]] bool exact() const { return codec == "identity" && server_codec == "identity"; }
  void describe(state::OptionVisitor& visit);
  [[nodiscard]] compress::MeanSetting setting(std::uint64_t seed) const;
};

/// Methods by name, the default first.
std::vector<solve::MethodEntry> methods();
/// The names of the methods that the oracle has the calls for.
std::vector<std::string> fitting_methods(OracleView oracle);
/// Makes a method, reading `method.*`. The oracle must outlive it. **Collective.**
std::unique_ptr<solve::Method> make_method(const std::string& name, const Setup& setup,
                                           state::Config& config);

}  // namespace equipoise::bilevel
