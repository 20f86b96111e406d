#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/dtlz.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <stdexcept>

namespace equipoise::pareto {
namespace {

/// Keeps fields by name, and puts them back.
class Memory final : public state::FieldVisitor {
 public:
  explicit Memory(std::map<std::string, std::vector<double>>& store, bool reading = false)
      : store_(store), reading_(reading) {}
  void scalar(std::string_view name, double& value) override { number(name, value); }
  void scalar(std::string_view name, std::int64_t& value) override { number(name, value); }
  void replicated(std::string_view name, std::vector<double>& data) override {
    auto& slot = store_[std::string(name)];
    if (reading_)
      data = slot;
    else
      slot = data;
  }
  void replicated(std::string_view, std::vector<std::int64_t>&) override { FAIL(); }
  void partitioned(std::string_view, const partition::Partition&, int, std::int64_t,
                   std::vector<double>&) override {
    FAIL();
  }
  void partitioned(std::string_view, const partition::Partition&, int, std::int64_t,
                   std::vector<std::int64_t>&) override {
    FAIL();
  }
  void ragged(std::string_view name, const partition::Partition& items, int part,
              std::vector<std::vector<double>>& lists) override {
    for (std::int64_t i = items.range(part).begin; i < items.range(part).end; ++i) {
      const auto local = static_cast<std::size_t>(i - items.range(part).begin);
      replicated(std::string(name) + "/" + std::to_string(i), lists[local]);
    }
  }
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<std::int64_t>>&) override {
    FAIL();
  }

 private:
  template <class T>
  void number(std::string_view name, T& value) {
    auto& slot = store_[std::string(name)];
    if (reading_)
      value = static_cast<T>(slot.at(0));
    else
      slot = {static_cast<double>(value)};
  }
  std::map<std::string, std::vector<double>>& store_;
  bool reading_;
};

class Populations : public OnRanks {};

Population run(const parallel::Comm& comm, ProblemView problem, const std::string& algorithm,
               const IslandOptions& options, std::int64_t population = 40) {
  AlgorithmOptions algorithm_options;
  algorithm_options.population = population;
  Islands islands(comm, problem, algorithm, algorithm_options, options, 5);
  while (!islands.report().finished) islands.step();
  return islands.front();
}

TEST_F(Populations, TheSameBitsOnAnyNumberOfRanks) {
  const problems::Dtlz problem{2, 3, 0};
  IslandOptions options;
  options.islands = 3;
  options.evaluations = 1500;
  options.migrate_every = 3;
  for (const auto& name : algorithm_names()) {
    const Population here = run(comm, problem, name, options);
    const Population alone = run(parallel::Comm(), problem, name, options);
    EXPECT_EQ(here.x, alone.x) << name;
    EXPECT_EQ(here.f, alone.f) << name;
  }
}

TEST_F(Populations, ResumeContinuesBitByBit) {
  const problems::Zdt problem{4, 0};
  IslandOptions options;
  options.islands = 2;
  options.algorithms = {"hypervolume", "nsga2", "moead"};
  options.migrate_every = 4;
  options.window = 3;
  AlgorithmOptions algorithm;
  algorithm.population = 20;
  for (const auto& name : algorithm_names()) {
    options.algorithms = {name};
    Islands whole(comm, problem, name, algorithm, options, 9);
    for (int i = 0; i < 14; ++i) whole.step();
    std::map<std::string, std::vector<double>> store;
    Islands first(comm, problem, name, algorithm, options, 9);
    for (int i = 0; i < 7; ++i) first.step();
    Memory save(store);
    first.fields(save);
    Islands second(comm, problem, name, algorithm, options, 9);
    Memory load(store, true);
    second.fields(load);
    for (int i = 0; i < 7; ++i) second.step();
    EXPECT_EQ(whole.front().x, second.front().x) << name;
    EXPECT_EQ(whole.evaluations(), second.evaluations());
    EXPECT_EQ(whole.report().residual, second.report().residual);
  }
}

TEST_F(Populations, ZdtFrontsAreReached) {
  IslandOptions options;
  options.evaluations = 10000;
  const std::vector<double> reference{1.1, 1.1};
  for (const auto& name : {"hypervolume", "nsga2", "nsga3"}) {
    const problems::Zdt problem{1, 0};
    const Population front = run(comm, problem, name, options, 100);
    const double share = hypervolume(front.values(), reference) / problem.yardstick().limit;
    EXPECT_GT(share, 0.93) << name;
    EXPECT_LE(share, 1.0) << name;
  }
  const problems::Dtlz round{2, 3, 0};
  const Population front = run(comm, round, "moead", options, 100);
  EXPECT_GT(hypervolume(front.values(), round.yardstick().reference),
            0.8 * round.yardstick().limit);
}

/// ZDT1 whose evaluation fails in a third of the box, in two ways.
struct Fragile {
  [[nodiscard]] std::int64_t dimension() const { return 5; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const { return 0.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 1.0; }
  void evaluate(std::span<const double> x, std::span<double> f) const {
    if (x[4] > 0.8) throw std::runtime_error("the flow did not converge");
    problems::Zdt{1, 5}.evaluate(x, f);
    if (x[3] > 0.8) f[1] = NAN;
  }
};

TEST_F(Populations, FailedEvaluationsAreRankedLastAndCounted) {
  IslandOptions options;
  options.evaluations = 1000;
  for (const auto& name : algorithm_names()) {
    AlgorithmOptions algorithm;
    algorithm.population = 40;
    Fragile problem;
    Islands islands(comm, problem, name, algorithm, options, 5);
    while (!islands.report().finished) islands.step();
    const Population front = islands.front();
    for (const double v : front.f) EXPECT_TRUE(std::isfinite(v)) << name;
    EXPECT_GT(islands.failures().count, 0);
    EXPECT_NE(islands.notes().back().second.find("ranked last; the first one at x = ("),
              std::string::npos);
  }
}

/// All evaluations fail.
struct Broken : Fragile {
  void evaluate(std::span<const double>, std::span<double> f) const { f[0] = f[1] = NAN; }
};

TEST_F(Populations, AProblemThatAlwaysFailsIsExplained) {
  Broken problem;
  Islands islands(comm, problem, "nsga2", {}, {}, 1);
  try {
    islands.step();
    ADD_FAILURE() << "no exception";
  } catch (const NotFiniteError& error) {
    EXPECT_EQ(error.code(), Exit::diverged);
    EXPECT_NE(std::string(error.what()).find("objective 1 is nan"), std::string::npos)
        << error.what();
  }
}

/// Both objectives agree: the front is one point.
struct OnePoint {
  [[nodiscard]] std::int64_t dimension() const { return 2; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const { return -1.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 1.0; }
  [[nodiscard]] bool integer(std::int64_t i) const { return i == 1; }
  void evaluate(std::span<const double> x, std::span<double> f) const {
    f[0] = x[0] * x[0] + x[1] * x[1];
    f[1] = 2.0 * f[0];
  }
};

TEST_F(Populations, ADegenerateFrontIsOnePoint) {
  IslandOptions options;
  options.evaluations = 2000;
  for (const auto& name : algorithm_names()) {
    const Population front = run(comm, OnePoint{}, name, options);
    EXPECT_EQ(front.size(), 1U) << name;
    EXPECT_LT(front.f[0], 1e-3) << name;
    EXPECT_EQ(front.x[1], 0.0) << name;
  }
}

/// f = (x_0, x_1) below the line x_0 + x_1 = 1, which is forbidden.
struct Constrained {
  [[nodiscard]] std::int64_t dimension() const { return 2; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] std::int64_t constraints() const { return 1; }
  [[nodiscard]] double lower(std::int64_t) const { return 0.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 1.0; }
  void evaluate(std::span<const double> x, std::span<double> f, std::span<double> c) const {
    f[0] = x[0];
    f[1] = x[1];
    c[0] = 1.0 - x[0] - x[1];
  }
};

TEST_F(Populations, ConstraintsHold) {
  IslandOptions options;
  options.evaluations = 3000;
  for (const auto& name : algorithm_names()) {
    const Population front = run(comm, Constrained{}, name, options);
    EXPECT_GT(front.size(), 5U) << name;
    for (std::size_t i = 0; i < front.size(); ++i) {
      EXPECT_GE(front.f[2 * i] + front.f[2 * i + 1], 1.0) << name;
      EXPECT_LT(front.f[2 * i] + front.f[2 * i + 1], 1.05) << name;
    }
  }
}

/// Ten binary choices, one whole number and one real one: cost against what is gained. Enumeration
/// gives the front.
struct Choices {
  static constexpr std::array<double, 10> cost{3, 5, 2, 7, 4, 6, 1, 8, 2.5, 3.5};
  static constexpr std::array<double, 10> gain{4, 7, 1, 9, 6, 5, 2, 12, 2, 5.5};
  [[nodiscard]] std::int64_t dimension() const { return 12; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t i) const { return i == 10 ? -3.5 : 0.0; }
  [[nodiscard]] double upper(std::int64_t i) const { return i == 10 ? 3.5 : 1.0; }
  [[nodiscard]] bool integer(std::int64_t i) const { return i < 11; }
  void evaluate(std::span<const double> x, std::span<double> f) const {
    f[0] = f[1] = 0.0;
    for (std::size_t i = 0; i < 10; ++i) {
      f[0] += cost[i] * x[i];
      f[1] -= gain[i] * x[i];
    }
    const double off = std::abs(x[10] - 2.0) + 0.01 * std::abs(x[11] - 0.25);
    f[0] += off;
    f[1] += off;
  }
};

TEST_F(Populations, WholeAndRealVariablesTogether) {
  PointSet all{{}, 2};
  for (unsigned mask = 0; mask < 1024; ++mask) {
    std::vector<double> x(12, 0.0);
    for (unsigned i = 0; i < 10; ++i) x[i] = mask >> i & 1U;
    x[10] = 2.0;
    x[11] = 0.25;
    std::vector<double> f(2);
    Choices{}.evaluate(x, f);
    all.push(f);
  }
  const PointSet exact = select(all, nondominated(all));
  IslandOptions options;
  options.evaluations = 20000;
  const std::vector<double> reference{50.0, 10.0};
  for (const auto& name : {"hypervolume", "nsga2", "nsga3"}) {
    const Population front = run(comm, Choices{}, name, options, 100);
    for (std::size_t i = 0; i < front.size(); ++i) {
      for (std::size_t j = 0; j < 11; ++j) {
        EXPECT_EQ(front.x[12 * i + j], std::round(front.x[12 * i + j])) << name;
      }
      EXPECT_LE(std::abs(front.x[12 * i + 10]), 3.0) << name;
    }
    EXPECT_GT(hypervolume(front.values(), reference), 0.995 * hypervolume(exact, reference))
        << name;
  }
}

struct NoWholeNumber : OnePoint {
  [[nodiscard]] double lower(std::int64_t) const { return 0.2; }
  [[nodiscard]] double upper(std::int64_t) const { return 0.8; }
};

struct OneObjective : OnePoint {
  [[nodiscard]] std::int64_t objectives() const { return 1; }
};
struct Unbounded : OnePoint {
  [[nodiscard]] double upper(std::int64_t) const { return INFINITY; }
};

TEST(PopulationInput, IsExplained) {
  const auto message = [](auto problem, const std::string& name) -> std::string {
    try {
      Islands islands(parallel::Comm(), problem, name, {}, {}, 1);
    } catch (const ConfigurationError& error) {
      return error.what();
    }
    return "no exception";
  };
  EXPECT_NE(message(OneObjective{}, "nsga2").find("a front needs at least 2"), std::string::npos);
  EXPECT_NE(message(Unbounded{}, "nsga2").find("need finite bounds"), std::string::npos);
  EXPECT_NE(message(NoWholeNumber{}, "nsga2").find("takes whole numbers, and none lies in"),
            std::string::npos);
  EXPECT_NE(message(OnePoint{}, "nsga").find("unknown population method `nsga`"),
            std::string::npos);
  EXPECT_NE(message(problems::Dtlz{2, 8, 0}, "hypervolume").find("method.name=nsga3"),
            std::string::npos);
}

TEST(AskAndTell, DrivesAnAlgorithmByHand) {
  const problems::Zdt problem{1, 4};
  const ProblemView view(problem);
  const auto algorithm = make_algorithm("nsga2", space_of(view), {}, 3, 0);
  for (int generation = 0; generation < 60; ++generation) {
    Population candidates = algorithm->ask();
    EXPECT_EQ(candidates.x, algorithm->ask().x);
    Failures failures;
    evaluate(parallel::Comm(), view, candidates, failures);
    algorithm->tell(candidates);
  }
  EXPECT_GT(hypervolume(best_of(algorithm->population()).values(), std::vector<double>{1.1, 1.1}),
            0.85);
}

TEST(SimplexLattice, HasBinomialSize) {
  EXPECT_EQ(simplex_lattice(3, 12).size(), 91U);
  EXPECT_EQ(simplex_lattice(2, 99).size(), 100U);
  EXPECT_EQ(simplex_lattice(5, 4).size(), 70U);
  const PointSet lattice = simplex_lattice(4, 5);
  for (std::size_t i = 0; i < lattice.size(); ++i) {
    double sum = 0.0;
    for (const double w : lattice[i]) sum += w;
    EXPECT_NEAR(sum, 1.0, 1e-15);
  }
}

}  // namespace
}  // namespace equipoise::pareto
