#include <equipoise/bilevel/check.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/instance.hpp>
#include <equipoise/state/field_map.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace equipoise::problems {
namespace {

/// Copies x and y out of any solution that names them.
BilevelSolution stored_in(state::Stateful& solution, const bilevel::Blocks& blocks,
                          std::int64_t dim_outer) {
  state::FieldMap map;
  solution.fields(map);
  BilevelSolution out(blocks, dim_outer);
  const auto x = map.doubles("x"), y = map.doubles("y");
  if (x.size() != out.x.size() || y.size() != out.y.size()) {
    throw CheckpointError("the stored solution has {} outer variables, the problem {}", x.size(),
                          dim_outer);
  }
  out.x.assign(x.begin(), x.end());
  out.y.assign(y.begin(), y.end());
  return out;
}

void write_lines(const std::string& path, const char* mode,
                 const std::function<void(std::FILE*)>& lines) {
  std::FILE* const file = std::fopen(path.c_str(), mode);
  if (!file) throw CheckpointError("{}: cannot be written", path);
  lines(file);
  if (std::fclose(file) != 0) throw CheckpointError("{}: writing failed; is the disk full?", path);
}

}  // namespace

void BilevelRun::describe(state::OptionVisitor& visit) {
  visit.option("classes", classes,
               "logical classes of blocks; results do not depend on the rank count, but on this",
               state::at_least_one);
  visit.option("seed", seed, "seed of all random draws", state::non_negative);
  visit.option("shards", shards,
               "parts of the samples of a block, which ranks without blocks compute for its owner; "
               "results depend on this, not on ranks; 1: none",
               {1.0, 4096.0});
}

BilevelInstance::BilevelInstance(parallel::Comm comm, bilevel::OracleView oracle,
                                 std::shared_ptr<const void> keep, const BilevelRun& run)
    : comm_(comm),
      oracle_(oracle),
      keep_(std::move(keep)),
      blocks_(comm, oracle, run.classes),
      shards_(run.shards > 1 ? std::make_unique<bilevel::ShardedOracle>(
                                   comm, oracle, blocks_.classes().size(), run.shards)
                             : nullptr),
      setup_{comm, shards_ ? shards_->view() : oracle, run.classes,
             static_cast<std::uint64_t>(run.seed)} {}

std::string BilevelInstance::fingerprint() const {
  return fmt::format("bilevel {} classes={}{}", oracle_.fingerprint(), blocks_.classes().size(),
                     shards_ ? fmt::format(" shards={}", shards_->count()) : "");
}

solve::Facts BilevelInstance::facts() const {
  auto facts = oracle_.facts();
  facts.emplace_back("outer variables", fmt::format("{}", oracle_.dim_outer()));
  facts.emplace_back("inner variables",
                     fmt::format("{} in {} blocks", blocks_.entries().size(), blocks_.count()));
  facts.emplace_back("classes of blocks", fmt::format("{}", blocks_.classes().size()));
  const auto without = comm_.size() - blocks_.classes().size();
  if (shards_) facts.emplace_back("shards of a block", fmt::format("{}", shards_->count()));
  if (without > 0 && !shards_ && oracle_.everywhere()) {
    facts.emplace_back("ranks without blocks",
                       fmt::format("{}, idle: run.shards=16 lets them share the samples", without));
  }
  return facts;
}

std::vector<std::string> BilevelInstance::methods() const {
  return bilevel::fitting_methods(oracle_);
}

std::unique_ptr<solve::Method> BilevelInstance::make_method(const std::string& name,
                                                            state::Config& config) {
  return bilevel::make_method(name, setup_, config);
}

std::unique_ptr<state::Stateful> BilevelInstance::solution_storage() {
  return std::make_unique<BilevelSolution>(blocks_, oracle_.dim_outer());
}

solve::Facts BilevelInstance::check() {
  std::vector<bilevel::Check> checks;
  std::vector<double> x(static_cast<std::size_t>(oracle_.dim_outer()));
  oracle_.start(x);
  const auto owned = blocks_.owned();
  const std::int64_t block = owned.size() > 0 ? owned.begin : 0;
  parallel::agree(comm_, [&] {
    if (owned.size() == 0) return;
    std::vector<double> y(static_cast<std::size_t>(oracle_.dim_inner(block)));
    oracle_.start_inner(block, y);
    const parallel::Draw draw(setup_.seed, parallel::Purpose::probe, 4, block);
    for (std::size_t k = 0; k < y.size(); ++k) y[k] += 0.1 * draw.normal(k);
    checks = bilevel::check_oracle(oracle_, block, x, y, setup_.seed + 1);
  });
  solve::Facts facts;
  std::int64_t count = comm_.max(std::ssize(checks));
  std::vector<double> errors(static_cast<std::size_t>(count), -1.0);
  for (std::size_t k = 0; k < checks.size(); ++k) errors[k] = checks[k].error;
  comm_.max(std::span(errors));
  // Rank 0 owns the first block, so it knows every name.
  for (std::size_t k = 0; k < checks.size(); ++k) {
    const bool passed = errors[k] <= checks[k].tolerance;
    facts.emplace_back(checks[k].name,
                       fmt::format("{} {:.1e} (at most {:.1e})",
                                   passed ? "holds:" : "FAILED:", errors[k], checks[k].tolerance));
  }
  const bool failed = std::any_of(facts.begin(), facts.end(), [](const auto& fact) {
    return fact.second.starts_with("FAILED");
  });
  if (comm_.any(failed) && facts.empty()) facts.emplace_back("oracle", "FAILED on another rank");
  return facts;
}

solve::Certificate BilevelInstance::certify(state::Stateful& solution) {
  BilevelSolution stored = stored_in(solution, blocks_, oracle_.dim_outer());
  solve::Certificate certificate;
  std::vector<double> p(stored.x.size());
  double value = 0.0;
  if (oracle_.exact(stored.x, p, value)) {
    certificate.measure = bilevel::norm(p);
    certificate.values = {{"objective_closed_form", value},
                          {"hypergradient_norm_closed_form", certificate.measure}};
  } else {
    certificate.measure = std::numeric_limits<double>::quiet_NaN();
  }
  if (oracle_.has("hvp_yy_g") && oracle_.has("jvp_xy_g")) {
    bilevel::CountedOracle counted(oracle_);
    bilevel::Exchange exchange(blocks_, oracle_.dim_outer(), {});
    bilevel::ImplicitOptions options;
    options.linear = "minres";
    bilevel::Implicit implicit(blocks_, counted, exchange, options);
    auto y = blocks_.zeros(), q = blocks_.zeros();
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i)
      oracle_.start_inner(i, blocks_.of(y, i));
    // One of many local minima can only be checked where it is.
    const bool convex = oracle_.lower_convex();
    if (!convex) y = stored.y;
    double eps = convex ? 1e-10 : 1e-6;
    auto found = implicit.gradient(stored.x, y, q, eps, 0.1 * eps, p);
    // Flat lower problems need more digits before the bound says something of the gradient.
    for (int round = 0; round < 3 && convex && found.bound > 0.1 * found.norm; ++round) {
      eps *= 0.01;
      const auto finer = implicit.gradient(stored.x, y, q, eps, 0.1 * eps, p);
      if (!(finer.bound < 0.5 * found.bound)) break;
      found = finer;
    }
    certificate.measure = found.norm + found.bound;
    double error = 0.0, size = 0.0;
    for (std::size_t k = 0; k < y.size(); ++k) {
      error = std::max(error, std::abs(y[k] - stored.y[k]));
      size = std::max(size, std::abs(y[k]));
    }
    double largest[] = {error, size};
    comm_.max(std::span(largest));
    for (const auto& entry : std::initializer_list<std::pair<std::string, double>>{
             {"objective", found.value},
             {"hypergradient_norm", found.norm},
             {"hypergradient_error_bound", found.bound},
             {"bound_certified", found.certified ? 1.0 : 0.0},
             {"inner_residual_over_mu_max", found.inner},
             {"linear_residual_max", found.linear},
             {"stored_inner_error_max_relative", largest[0] / std::max(largest[1], 1e-300)}}) {
      certificate.values.push_back(entry);
    }
  }
  for (const auto& figure : figures_of(stored)) certificate.values.push_back(figure);
  if (oracle_.optimum(p)) {
    bilevel::axpy(-1.0, stored.x, p);
    certificate.values.emplace_back("distance_to_optimum", bilevel::norm(p));
  }
  return certificate;
}

bilevel::Figures BilevelInstance::figures(state::Stateful& solution) const {
  return figures_of(stored_in(solution, blocks_, oracle_.dim_outer()));
}

/// Means over blocks of what the problem says of a solution.
bilevel::Figures BilevelInstance::figures_of(const BilevelSolution& stored) const {
  const auto& t = oracle_.table();
  bilevel::Figures out;
  if (!t.figures) return out;
  // Every rank learns the names; the values come from the owners.
  std::vector<std::string> names;
  std::vector<parallel::ExactSum> sums;
  parallel::agree(comm_, [&] {
    const auto owned = blocks_.owned();
    for (std::int64_t i = owned.begin; i < owned.end; ++i) {
      bilevel::Figures figures;
      t.figures(oracle_.self(), i, stored.x, blocks_.of(stored.y, i), figures);
      sums.resize(figures.size());
      names.resize(figures.size());
      for (std::size_t k = 0; k < figures.size(); ++k) {
        names[k] = figures[k].first;
        sums[k].add(figures[k].second);
      }
    }
  });
  const auto count = static_cast<std::size_t>(comm_.max(std::ssize(names)));
  sums.resize(count);
  names.resize(count);
  const int first = blocks_.over_ranks().owner(0);
  std::vector<double> values(count);
  parallel::exact_sums(comm_, sums, values);
  for (std::size_t k = 0; k < count; ++k) {
    out.emplace_back(comm_.broadcast(names[k], first),
                     values[k] / static_cast<double>(blocks_.count()));
  }
  return out;
}

std::vector<std::string> BilevelInstance::export_csv(state::Stateful& solution,
                                                     const std::string& directory) {
  BilevelSolution stored = stored_in(solution, blocks_, oracle_.dim_outer());
  const std::vector<std::string> paths = {directory + "/x.csv", directory + "/y.csv"};
  parallel::agree(comm_, [&] {
    if (comm_.rank() != 0) return;
    write_lines(paths[0], "w", [&](std::FILE* file) {
      std::fputs("index,value\n", file);
      for (std::size_t k = 0; k < stored.x.size(); ++k)
        std::fprintf(file, "%zu,%.17g\n", k, stored.x[k]);
    });
    write_lines(paths[1], "w", [](std::FILE* file) { std::fputs("block,entry,value\n", file); });
  });
  for (int rank = 0; rank < comm_.size(); ++rank) {
    parallel::agree(comm_, [&] {
      if (comm_.rank() != rank) return;
      write_lines(paths[1], "a", [&](std::FILE* file) {
        for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
          const auto y = blocks_.of(stored.y, i);
          for (std::size_t k = 0; k < y.size(); ++k) {
            std::fprintf(file, "%lld,%zu,%.17g\n", static_cast<long long>(i), k, y[k]);
          }
        }
      });
    });
  }
  return paths;
}

}  // namespace equipoise::problems
