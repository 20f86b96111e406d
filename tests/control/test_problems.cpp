#include "support.hpp"

#include <equipoise/problems/control/entries.hpp>

#include <gtest/gtest.h>

#include <map>

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
  config.text("method.name");
  return config;
}

TEST(ControlProblems, EveryMethodReachesItsToleranceAndTheCertificateAgrees) {
  for (const Case& c :
       {Case{"poisson-control", "all-at-once", "problem.cells = 32", 1e-8},
        Case{"poisson-control", "all-at-once",
             "problem.cells = 8\nproblem.dimension = 3\nproblem.grading = 0.4\nmethod.cycles = 2",
             1e-8},
        Case{"poisson-control", "reduced-cg", "problem.cells = 32\nproblem.grading = -0.4", 1e-8},
        Case{"poisson-control", "reduced-cg",
             "problem.cells = 16\nproblem.element = 'fd'\nmethod.riesz = 'h1'", 1e-7},
        Case{"bounded-control", "reduced-newton",
             "problem.cells = 32\nproblem.grading = 0.3\nproblem.beta = 1e-5", 1e-8},
        Case{"coefficient", "laplace-posterior", "problem.cells = 6\nproblem.prior = 'bilaplacian'",
             1e-7},
        Case{"poisson-control", "lbfgs", "problem.cells = 16", 1e-6},
        Case{"mesh-control", "reduced-cg", "problem.cells = 8\nproblem.degree = 2", 1e-8},
        Case{"mesh-control", "newton-cg",
             "problem.cells = 3\nproblem.dimension = 3\nproblem.cubic = 10.0\n"
             "problem.advection = [3.0, 1.0, 0.0]\nproblem.streamline = true",
             1e-8},
        Case{"mesh-control", "trust-region",
             "problem.cells = 8\nproblem.control_cost = 'bv'\nproblem.smoothing = 0.3\n"
             "problem.region = [0.0, 0.0, 0.5, 0.5]",
             1e-6},
        Case{"state-constrained", "moreau-yosida",
             "problem.cells = 16\nproblem.upper = 0.02\n"
             "problem.target = 'sines'",
             1e-6},
        Case{"obstacle-control", "moreau-yosida", "problem.cells = 16", 1e-6},
        Case{"pde-equality", "adasketch", "problem.nodes = 9", 1e-9}}) {
    auto config = configuration(c);
    const auto instance = entry(c.problem).make(control::world(), config);
    const auto method = instance->make_method(c.method, config);
    EXPECT_NO_THROW(config.reject_unused());
    EXPECT_GT(control::run(*method, c.tolerance, 200), 0) << c.settings;
    Solution solution(*method);
    const auto certificate = instance->certify(solution);
    if (c.settings.find("h1") == std::string::npos && c.problem != "obstacle-control") {
      EXPECT_LE(certificate.measure, 1.5 * c.tolerance) << c.method << " " << c.settings;
    }
    for (const auto& [name, value] : certificate.values) {
      if (name == "posterior_variance_relative_error_at_centre") {
        EXPECT_LT(value, 1e-5);
      }
    }
    EXPECT_NE(instance->fingerprint(), "");
  }
}

/// Holds the fields of one method and gives them to another.
class Memory : public state::FieldVisitor {
 public:
  bool giving = false;
  void scalar(std::string_view name, double& v) override { one(name, v, doubles_); }
  void scalar(std::string_view name, std::int64_t& v) override { one(name, v, integers_); }
  void replicated(std::string_view name, std::vector<double>& v) override {
    many(name, v, doubles_);
  }
  void replicated(std::string_view name, std::vector<std::int64_t>& v) override {
    many(name, v, integers_);
  }
  void partitioned(std::string_view name, const partition::Partition& rows, int part,
                   std::int64_t width, std::vector<double>& v) override {
    many(name, v, doubles_);
    EXPECT_EQ(static_cast<std::int64_t>(v.size()), rows.range(part).size() * width) << name;
  }
  void partitioned(std::string_view name, const partition::Partition& rows, int part,
                   std::int64_t width, std::vector<std::int64_t>& v) override {
    many(name, v, integers_);
    EXPECT_EQ(static_cast<std::int64_t>(v.size()), rows.range(part).size() * width) << name;
  }
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<double>>&) override {}
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<std::int64_t>>&) override {}

 private:
  template <class T>
  using Store = std::map<std::string, std::vector<T>, std::less<>>;
  template <class T>
  void one(std::string_view name, T& value, Store<T>& store) {
    if (giving) {
      value = store.at(std::string(name)).at(0);
    } else {
      EXPECT_TRUE(store.emplace(name, std::vector<T>{value}).second) << name << " is named twice";
    }
  }
  template <class T>
  void many(std::string_view name, std::vector<T>& values, Store<T>& store) {
    if (giving) {
      values = store.at(std::string(name));
    } else {
      EXPECT_TRUE(store.emplace(name, values).second) << name << " is named twice";
    }
  }
  Store<double> doubles_;
  Store<std::int64_t> integers_;
};

TEST(ControlProblems, AMethodFilledFromTheFieldsOfAnotherContinuesBitByBit) {
  for (const Case& c :
       {Case{"poisson-control", "all-at-once", "problem.cells = 16", 0},
        Case{"poisson-control", "all-at-once",
             "problem.cells = 16\nmethod.eliminate_control = true", 0},
        Case{"poisson-control", "reduced-cg", "problem.cells = 16", 0},
        Case{"bounded-control", "active-set", "problem.cells = 16\nproblem.beta = 1e-6", 0},
        Case{"bounded-control", "reduced-newton", "problem.cells = 16\nproblem.sparsity = 1e-5", 0},
        Case{"semilinear", "three-set", "problem.cells = 16\nproblem.weight = 0.01", 0},
        Case{"obstacle-control", "obstacle-active-set", "problem.cells = 32", 0},
        Case{"heat-control", "reduced-cg", "problem.cells = 8\nproblem.steps = 5", 0},
        Case{"coefficient", "newton-cg", "problem.cells = 6", 0},
        Case{"coefficient", "laplace-posterior",
             "problem.cells = 4\nproblem.prior = 'bilaplacian'\nmethod.newton_tolerance = "
             "0.5\nmethod.block = 2",
             0},
        Case{"poisson-control", "lbfgs", "problem.cells = 8", 0},
        Case{"mesh-control", "trust-region", "problem.cells = 6\nproblem.cubic = 50.0", 0},
        Case{"mesh-control", "lbfgs",
             "problem.cells = 4\nproblem.control_cost = 'bv'\nproblem.points = [0.3, 0.4]", 0},
        Case{"state-constrained", "moreau-yosida", "problem.cells = 16", 0},
        Case{"pde-equality", "adasketch",
             "problem.nodes = 4\nproblem.cubic = 2.0\nmethod.inner = 'sketch'\nmethod.block = 8",
             0}}) {
    auto config = configuration(c);
    const auto instance = entry(c.problem).make(control::world(), config);
    const auto first = instance->make_method(c.method, config);
    for (int step = 0; step < 3; ++step) first->step();
    Memory memory;
    first->fields(memory);
    memory.giving = true;
    const auto instance_again = entry(c.problem).make(control::world(), config);
    const auto second = instance_again->make_method(c.method, config);
    second->fields(memory);
    for (int step = 0; step < 2; ++step) {
      first->step();
      second->step();
      EXPECT_TRUE(first->report().residual == second->report().residual ||
                  std::isnan(second->report().residual))
          << c.problem << " " << c.method << " " << first->report().residual << " "
          << second->report().residual;
      EXPECT_TRUE(first->report().objective == second->report().objective ||
                  std::isnan(second->report().objective))
          << c.problem << " " << c.method;
      EXPECT_EQ(std::isnan(first->report().residual), std::isnan(second->report().residual));
      EXPECT_EQ(std::isnan(first->report().objective), std::isnan(second->report().objective));
    }
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
        Case{"semilinear", "pseudo-newton", "method.descend_after = 3", 0},
        Case{"coefficient", "laplace-posterior", "problem.cells = 4", 0},
        Case{"obstacle-control", "active-set", "", 0}, Case{"poisson-control", "three-set", "", 0},
        Case{"poisson-control", "reduced-cg", "method.cycles = 2", 0},
        Case{"poisson-control", "all-at-once", "petsc.stat_ksp_rtol = 1e-3", 0}}) {
    EXPECT_THROW(make(c), ConfigurationError) << c.settings;
  }
}

}  // namespace
}  // namespace equipoise::problems
