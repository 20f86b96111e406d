#include "support.hpp"

#include <equipoise/problems/control/entries.hpp>

#include <gtest/gtest.h>

namespace equipoise::problems {
namespace {

const solve::ProblemEntry& entry(const std::string& name) {
  static const auto entries = control_problems();
  for (const auto& e : entries) {
    if (e.name == name) return e;
  }
  throw ConfigurationError("no problem `{}`", name);
}

/// What the command stores: the fields of `solution`.
class Solution : public state::Stateful {
 public:
  explicit Solution(solve::Method& method) : method_(&method) {}
  void fields(state::FieldVisitor& visit) override { method_->solution(visit); }

 private:
  solve::Method* method_;
};

struct Case {
  std::string problem, method, settings;
  double tolerance;
};

state::Config configuration(const Case& c) {
  auto config = state::Config::parse(c.settings, "test");
  config.set("problem.family", "control");
  config.set("problem.name", c.problem);
  config.set("method.name", c.method);
  config.text("problem.family");
  config.text("problem.name");
  return config;
}

TEST(ControlProblems, EveryMethodReachesItsToleranceAndTheCertificateAgrees) {
  for (const Case& c :
       {Case{"poisson-control", "all-at-once", "problem.cells = 32", 1e-8},
        Case{"poisson-control", "all-at-once",
             "problem.cells = 16\nproblem.dimension = 3\nproblem.grading = 0.4\nmethod.cycles = 2",
             1e-8},
        Case{"poisson-control", "reduced-cg", "problem.cells = 32\nproblem.grading = -0.4", 1e-8},
        Case{"poisson-control", "reduced-cg", "problem.element = 'fd'\nmethod.riesz = 'h1'",
             1e-7}}) {
    auto config = configuration(c);
    const auto instance = entry(c.problem).make(control::world(), config);
    const auto method = instance->make_method(c.method, config);
    EXPECT_NO_THROW(config.reject_unused());
    EXPECT_GT(control::run(*method, c.tolerance, 200), 0) << c.settings;
    Solution solution(*method);
    const auto certificate = instance->certify(solution);
    if (c.settings.find("h1") == std::string::npos) {
      EXPECT_LE(certificate.measure, 1.5 * c.tolerance) << c.method << " " << c.settings;
    }
    EXPECT_NE(instance->fingerprint(), "");
  }
}

TEST(ControlProblems, BadConfigurationsAreRefused) {
  const auto make = [](const Case& c) {
    auto config = configuration(c);
    const auto instance = entry(c.problem).make(control::world(), config);
    const auto method = instance->make_method(c.method, config);
    config.reject_unused();
  };
  for (const Case& c :
       {Case{"poisson-control", "all-at-once", "problem.beta = 0", 0},
        Case{"poisson-control", "all-at-once", "problem.beta = nan", 0},
        Case{"poisson-control", "all-at-once", "problem.cells = 1", 0},
        Case{"poisson-control", "all-at-once", "problem.dimension = 4", 0},
        Case{"poisson-control", "all-at-once", "problem.element = 'q2'", 0},
        Case{"bounded-control", "active-set", "problem.lower = 2", 0},
        Case{"bounded-control", "active-set", "problem.sparsity = -1", 0},
        Case{"semilinear", "three-set", "problem.weight = 0", 0},
        Case{"semilinear", "pseudo-newton", "method.damp_after = 3", 0},
        Case{"obstacle-control", "active-set", "", 0}, Case{"poisson-control", "newton-cg", "", 0},
        Case{"poisson-control", "reduced-cg", "method.cycles = 2", 0},
        Case{"poisson-control", "all-at-once", "petsc.stat_ksp_rtol = 1e-3", 0}}) {
    EXPECT_THROW(make(c), ConfigurationError) << c.settings;
  }
}

}  // namespace
}  // namespace equipoise::problems
