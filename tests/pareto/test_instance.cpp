#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/entries.hpp>
#include <equipoise/problems/pareto/front_instance.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace equipoise::problems {
namespace {

/// A method's solution, as the command hands it to a certificate.
struct SolutionOf final : state::Stateful {
  explicit SolutionOf(solve::Method& m) : method(m) {}
  void fields(state::FieldVisitor& visit) override { method.solution(visit); }
  solve::Method& method;
};

std::unique_ptr<solve::Instance> make(const parallel::Comm& comm, const std::string& name,
                                      state::Config& config) {
  for (const auto& entry : pareto_problems()) {
    if (entry.name == name) return entry.make(comm, config);
  }
  return nullptr;
}

class Instances : public pareto::OnRanks {};

TEST_F(Instances, EveryProblemRunsItsDefaultMethodAndIsCertified) {
  for (const auto& entry : pareto_problems()) {
    if (entry.name == "external") continue;
    // These need a file; they have tests of their own.
    if (entry.name == "multitask" || entry.name == "regularisation-path") continue;
    state::Config config = state::Config::parse("", "test");
    if (entry.name != "nonsmooth-pair") config.assign("method.population=16");
    auto instance = make(comm, entry.name, config);
    const std::string method = instance->methods().front();
    if (method == "hypervolume") {
      config.assign("method.evaluations=160");
    } else {
      config = state::Config::parse("", "test");
      if (entry.name == "obstacle-pair") {
        config.assign("problem.cells=4");
        config.assign("method.starts=4");
        instance = make(comm, entry.name, config);
      }
    }
    auto run = instance->make_method(method, config);
    for (int i = 0; i < 200 && !run->report().finished; ++i) run->step();
    EXPECT_TRUE(run->report().finished) << entry.name;
    SolutionOf solution(*run);
    const auto certificate = instance->certify(solution);
    EXPECT_EQ(certificate.measure, 0.0) << entry.name;
    std::map<std::string, double> values(certificate.values.begin(), certificate.values.end());
    EXPECT_GT(values.at("points"), 0.0);
    EXPECT_EQ(values.at("dominated points"), 0.0) << entry.name;
    if (entry.name == "distances" || entry.name == "fonseca") {
      EXPECT_LT(values.at("largest criticality |sum w_i grad f_i|"), 1e-3) << entry.name;
    }
  }
}

TEST_F(Instances, FrontsAreWrittenAsCsv) {
  state::Config config = state::Config::parse("", "test");
  auto instance = make(comm, "fonseca", config);
  pareto::Front front;
  front.variables = 3;
  front.objectives = 2;
  front.x = {0.1, 0.2, 0.3};
  front.f = {0.5, 1.0 / 3.0};
  const std::string directory =
      std::string(EQUIPOISE_BINARY_DIR) + "/front_csv_" + std::to_string(comm.size());
  std::filesystem::create_directories(directory);
  const auto paths = instance->export_csv(front, directory);
  comm.barrier();
  std::ifstream in(paths[0]);
  std::string header;
  std::string row;
  std::getline(in, header);
  std::getline(in, row);
  EXPECT_EQ(header, "# f1,f2");
  EXPECT_EQ(row, "0.5,0.33333333333333331");
  comm.barrier();
  EXPECT_THROW((void)instance->export_csv(front, directory + "/missing"), Error);
}

TEST_F(Instances, WrongMethodsAndNumbersAreExplained) {
  const auto message = [&](const std::string& problem, const std::string& assignment,
                           const std::string& method) {
    try {
      state::Config config = state::Config::parse("", "test");
      if (!assignment.empty()) config.assign(assignment);
      auto instance = make(comm, problem, config);
      (void)instance->make_method(method, config);
    } catch (const ConfigurationError& error) {
      return std::string(error.what());
    }
    return std::string("no exception");
  };
  EXPECT_NE(message("zdt", "", "front").find("can be solved by: hypervolume, nsga3"),
            std::string::npos);
  EXPECT_NE(message("zdt", "problem.number=5", "nsga2").find("ZDT5"), std::string::npos);
  EXPECT_NE(message("re", "problem.number=22", "nsga2").find("RE24"), std::string::npos);
  EXPECT_NE(message("dtlz", "problem.objectives=1", "nsga2").find("a front needs at least 2"),
            std::string::npos);
  EXPECT_NE(message("nonsmooth-pair", "", "mgda").find("can be solved by: gebken-peitz"),
            std::string::npos);
  EXPECT_NE(message("external", "", "nsga2").find("problem.command is missing"), std::string::npos);
  EXPECT_NE(message("external", "problem.command='true'", "nsga2").find("one per variable"),
            std::string::npos);
  EXPECT_NE(message("zdt", "method.population=2", "nsga2"), "no exception");
}

}  // namespace
}  // namespace equipoise::problems
