#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/evaluation.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/external.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>

namespace equipoise::pareto {
namespace {

class Farm : public OnRanks {};

/// ZDT1 whose cost depends on the point, and which fails in a corner.
struct Uneven {
  [[nodiscard]] std::int64_t dimension() const { return 4; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const { return 0.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 1.0; }
  void evaluate(std::span<const double> x, std::span<double> f) const {
    if (x[0] > 0.9) throw std::runtime_error("no mesh");
    problems::Zdt{1, 4}.evaluate(x, f);
    const auto rounds = static_cast<int>(20000.0 * x[1] * x[1] * x[1]);
    double work = 0.0;
    for (int i = 0; i < rounds; ++i) work += std::sin(work + i);
    f[1] += 0.0 * work;
  }
};

TEST_F(Farm, TheQueueGivesTheBitsOfTheShares) {
  const Uneven problem;
  AlgorithmOptions algorithm;
  algorithm.population = 24;
  IslandOptions options;
  options.islands = 2;
  options.evaluations = 600;
  Islands shares(comm, problem, "nsga2", algorithm, options, 3);
  options.schedule = "queue";
  Islands queue(comm, problem, "nsga2", algorithm, options, 3);
  while (!shares.report().finished) {
    shares.step();
    queue.step();
  }
  EXPECT_EQ(queue.front().x, shares.front().x);
  EXPECT_EQ(queue.front().f, shares.front().f);
  EXPECT_EQ(queue.counters(), shares.counters());
  EXPECT_EQ(queue.notes(), shares.notes());
  EXPECT_GT(queue.failures().count, 0);
}

TEST_F(Farm, FewerCandidatesThanRanks) {
  const problems::Zdt problem{1, 3};
  Population one{3, 2, {0.25, 0.0, 0.0}, {}, {}};
  Failures failures;
  evaluate_from_queue(comm, problem, one, failures);
  EXPECT_EQ(one.f, (std::vector<double>{0.25, 0.5}));
  Population none{3, 2, {}, {}, {}};
  evaluate_from_queue(comm, problem, none, failures);
  EXPECT_EQ(none.f.size(), 0U);
  EXPECT_EQ(failures.count, 0);
}

problems::ExternalProgram program(const std::string& command) {
  problems::ExternalProgram p;
  p.command = command;
  p.lower_bounds = {0.0, 0.0};
  p.upper_bounds = {1.0, 1.0};
  p.timeout = 20.0;
  return p;
}

std::string failure(const problems::ExternalProgram& p) {
  std::vector<double> f(2);
  double violation = 0.0;
  return evaluate_one(p, std::vector<double>{0.25, 0.5}, f, violation);
}

TEST(External, AProgramComputesObjectives) {
  // f_1 = x_1 + x_2, f_2 = x_1 x_2, from the two lines of the input file.
  const auto p = program(
      "run() { awk '{v[NR]=$1} END {printf \"%.17g %.17g\\n\", v[1]+v[2], v[1]*v[2]}' \"$1\" > "
      "\"$2\"; }; run");
  std::vector<double> f(2);
  double violation = 1.0;
  EXPECT_EQ(evaluate_one(p, std::vector<double>{0.25, 0.5}, f, violation), "");
  EXPECT_EQ(f, (std::vector<double>{0.75, 0.125}));
  EXPECT_EQ(violation, 0.0);
}

TEST(External, FailuresAreExplained) {
  EXPECT_NE(failure(program("echo broken mesh >&2; exit 3; :"))
                .find("status 3; its last words: broken mesh"),
            std::string::npos);
  EXPECT_NE(failure(program(":")).find("wrote no output file"), std::string::npos);
  EXPECT_NE(
      failure(program("run() { echo 1 banana > \"$2\"; }; run")).find("`banana`, is no number"),
      std::string::npos);
  EXPECT_NE(
      failure(program("run() { echo 1 2 3 > \"$2\"; }; run")).find("wrote 3 numbers, 2 objectives"),
      std::string::npos);
  EXPECT_NE(failure(program("run() { echo 1 nan > \"$2\"; }; run")).find("objective 2 is nan"),
            std::string::npos);
  auto hanging = program("cat /dev/zero > /dev/null; :");
  hanging.timeout = 0.05;
  EXPECT_NE(failure(hanging).find("ran longer than 0.05 s"), std::string::npos);
  auto homeless = program(":");
  homeless.directory = "/nowhere";
  EXPECT_NE(failure(homeless).find("/nowhere: no directory"), std::string::npos);
}

}  // namespace
}  // namespace equipoise::pareto
