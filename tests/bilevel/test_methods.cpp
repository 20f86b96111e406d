// Penalty methods, differences, BO-REP, BOME, LV-HBA, M-FAC: their published orders, limits and
// invariants.
#include "field_memory.hpp"

#include <equipoise/bilevel/alternating.hpp>
#include <equipoise/bilevel/lvhba.hpp>
#include <equipoise/bilevel/mfac.hpp>
#include <equipoise/bilevel/penalty.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/coupled.hpp>
#include <equipoise/problems/bilevel/entries.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>

#include <Eigen/Dense>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace {

using namespace equipoise;
using problems::MultiBlockQuadratic;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

MultiBlockQuadratic quadratic(std::int64_t m, std::int64_t dx, std::int64_t dy) {
  return {{m, dx, dy}, bilevel::Blocks::layout(m, 64, world().size()).owned(world().rank())};
}

double distance(const MultiBlockQuadratic& problem, const std::vector<double>& x) {
  std::vector<double> best(x.size());
  problem.optimum(best);
  bilevel::axpy(-1.0, x, best);
  return bilevel::norm(best);
}

template <class Method, class Options>
double slope_after(const MultiBlockQuadratic& problem, const Options& options, int steps) {
  Method method({world(), bilevel::OracleView(problem)}, options);
  for (int k = 0; k < steps; ++k) method.step();
  EXPECT_FALSE(method.report().failed) << method.report().message;
  std::vector<double> p(method.outer().size());
  double value = 0.0;
  problem.exact(method.outer(), p, value);
  return bilevel::norm(p);
}

TEST(Penalty, BiasHalvesWhenThePenaltyDoubles) {
  const auto problem = quadratic(4, 3, 2);
  double last = 0.0;
  for (const double lambda : {20.0, 40.0, 80.0}) {
    bilevel::PenaltyOptions options;
    options.penalty = lambda;
    options.inner = 10;
    options.outer_step = 0.2;
    options.evaluate_every = 0;
    const double bias = slope_after<bilevel::PenaltyMethod>(problem, options, 1500);
    if (last > 0.0) {
      EXPECT_NEAR(last / bias, 2.0, 0.1) << lambda;
    }
    last = bias;
  }
}

TEST(Penalty, StormChangesNothingWithoutNoiseInTheLimit) {
  const auto problem = quadratic(4, 3, 2);
  bilevel::PenaltyOptions options;
  options.penalty = 40.0;
  options.outer_step = 0.2;
  options.evaluate_every = 0;
  const double plain = slope_after<bilevel::PenaltyMethod>(problem, options, 1500);
  options.storm = true;
  EXPECT_NEAR(slope_after<bilevel::PenaltyMethod>(problem, options, 1500), plain, 1e-6 * plain);
}

/// A logistic-like lower problem, so that differences have an error at every order:
/// g = log(1 + exp(y)) + y^2 / 2 - x y, f = (y - 1)^2 / 2 + sin(y).
struct Curved {
  std::int64_t dim_outer() const { return 1; }
  std::int64_t num_blocks() const { return 1; }
  std::int64_t dim_inner(std::int64_t) const { return 1; }
  std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 1; }
  using In = bilevel::In;
  using Out = bilevel::Out;
  void grad_y_g(std::int64_t, bilevel::Batch, In x, In y, Out o) const {
    o[0] = 1.0 / (1.0 + std::exp(-y[0])) + y[0] - x[0];
  }
  void grad_x_g(std::int64_t, bilevel::Batch, In, In y, Out o) const { o[0] = -y[0]; }
  void grad_y_f(std::int64_t, bilevel::Batch, In, In y, Out o) const {
    o[0] = y[0] - 1.0 + std::cos(y[0]);
  }
  void grad_x_f(std::int64_t, bilevel::Batch, In, In, Out o) const { o[0] = 0.0; }
  bilevel::Bounds bounds(std::int64_t, In, In) const {
    bilevel::Bounds b;
    b.strong_convexity = 1.0;
    b.smoothness = 1.25;
    b.upper_smoothness = 2.0;
    return b;
  }
  double hypergradient(double x) const {
    double y = 0.0;
    for (int k = 0; k < 100; ++k) {
      const double s = 1.0 / (1.0 + std::exp(-y));
      y -= (s + y - x) / (1.0 + s * (1.0 - s));
    }
    const double s = 1.0 / (1.0 + std::exp(-y));
    return (y - 1.0 + std::cos(y)) / (1.0 + s * (1.0 - s));
  }
};

TEST(Differences, ReachTheirOrders) {
  const Curved problem;
  for (const std::int64_t order : {1, 2, 3, 4, 8}) {
    std::vector<double> errors;
    for (const double s : {0.08, 0.04}) {
      bilevel::DifferenceOptions options;
      options.order = order;
      options.spacing = s;
      options.accuracy = 1e-15;
      bilevel::DifferenceMethod method({world(), bilevel::OracleView(problem)}, options);
      std::vector<double> p(1);
      method.hypergradient(std::vector<double>{0.7}, p);
      errors.push_back(std::abs(p[0] - problem.hypergradient(0.7)));
    }
    EXPECT_GE(std::log2(errors[0] / errors[1]), static_cast<double>(order) - 0.15)
        << errors[0] << " " << errors[1];
  }
}

TEST(Differences, RefuseNodesThatAreNotConvex) {
  const Curved problem;
  bilevel::DifferenceOptions options;
  options.spacing = 0.6;
  try {
    bilevel::DifferenceMethod method({world(), bilevel::OracleView(problem)}, options);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::configuration);
    EXPECT_NE(std::string(error.what()).find("not convex"), std::string::npos) << error.what();
  }
}

TEST(Alternating, AmigoReachesTheSolutionAndBoRepItsStepLength) {
  const auto problem = quadratic(4, 3, 2);
  bilevel::AlternatingOptions options;
  options.outer_step = 0.3;
  options.evaluate_every = 0;
  EXPECT_LE(slope_after<bilevel::Alternating>(problem, options, 800), 1e-10);
  options.normalised = true;
  options.beta = 0.1;
  options.inner = 3;
  options.period = 2;
  options.outer_step = 1e-3;
  bilevel::Alternating bo_rep({world(), bilevel::OracleView(problem)}, options);
  for (int k = 0; k < 4000; ++k) {
    const auto before = bo_rep.outer();
    bo_rep.step();
    double moved = 0.0;
    for (std::size_t l = 0; l < before.size(); ++l) {
      moved += (bo_rep.outer()[l] - before[l]) * (bo_rep.outer()[l] - before[l]);
    }
    EXPECT_NEAR(std::sqrt(moved), 1e-3, 1e-9);
  }
  EXPECT_LE(distance(problem, bo_rep.outer()), 0.05);
}

TEST(Bome, KeepsItsBarrierAndDescends) {
  const auto problem = quadratic(4, 3, 2);
  bilevel::BomeOptions options;
  options.step = 0.05;
  options.evaluate_every = 0;
  bilevel::Bome method({world(), bilevel::OracleView(problem)}, options);
  std::vector<double> p(3);
  double first = 0.0, last = 0.0;
  problem.exact(method.outer(), p, first);
  for (int k = 0; k < 2000; ++k) {
    method.step();
    EXPECT_GE(method.margin(), -1e-9);
  }
  problem.exact(method.outer(), p, last);
  EXPECT_LT(last, first);
  EXPECT_LE(bilevel::norm(p), 0.1);
}

// Bar: relative error of x after 1k, 3k, 10k, 30k iterations with the default row,
// row scaled.
TEST(Lvhba, CoupledToyHasThePublishedErrors) {
  const problems::CoupledToy problem({});
  bilevel::LvhbaOptions options;
  options.evaluate_every = 0;
  options.warm_up = 0;
  bilevel::Lvhba method({world(), bilevel::OracleView(problem)}, options);
  const std::pair<int, double> figures[] = {
      {1000, 4.0e-3}, {3000, 2.4e-3}, {10000, 1.3e-3}, {30000, 7.9e-4}};
  int k = 0;
  double centre = method.centre()[0];
  for (const auto& [iterations, error] : figures) {
    for (; k < iterations; ++k) method.step();
    double gap = 0.0;
    for (const double entry : method.outer()) gap += (entry + 0.3) * (entry + 0.3);
    EXPECT_NEAR(std::sqrt(gap) / 3.0, error, 0.05 * error) << iterations;
    EXPECT_NE(method.centre()[0], centre);
    centre = method.centre()[0];
  }
  EXPECT_NEAR(method.multipliers()[0], -std::sqrt(300.0), 0.1);
}

// B10 of docs/bilevel-studies.md: a constant penalty c leaves the bias 1 / (1.25 c + 1.5).
TEST(Lvhba, ConstantPenaltyLeavesItsBias) {
  if (world().size() > 1) GTEST_SKIP() << "one block";
  const problems::CoupledToy problem({});
  bilevel::LvhbaOptions options;
  options.evaluate_every = 0;
  options.warm_up = 0;
  options.proximal = options.dual = 1.0;
  options.step = 0.1;
  options.centre_step = options.saddle_step = 0.3;
  options.penalty = 1000.0;
  options.growth = 0.0;
  bilevel::Lvhba method({parallel::Comm(), bilevel::OracleView(problem)}, options);
  for (int k = 0; k < 100000; ++k) method.step();
  double gap = 0.0;
  for (const double entry : method.outer()) gap += (entry + 0.3) * (entry + 0.3);
  EXPECT_NEAR(std::sqrt(gap) / 3.0, 8.0e-4, 0.02 * 8.0e-4);
}

TEST(Lvhba, RefusesAnUnscaledRow) {
  problems::CoupledOptions toy;
  toy.scaled = false;
  const problems::CoupledToy problem(toy);
  try {
    bilevel::Lvhba method({world(), bilevel::OracleView(problem)}, {});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::configuration);
    EXPECT_NE(std::string(error.what()).find("norm of its row"), std::string::npos) << error.what();
  }
}

TEST(InverseFisher, IsTheDenseInverseAlsoAfterOverwriting) {
  const std::int64_t d = 60, capacity = 16;
  const double damping = 1e-2;
  bilevel::InverseFisher inverse(d, capacity, damping);
  std::vector<std::vector<double>> kept;
  const std::vector<double> v(static_cast<std::size_t>(d), 1.0);
  for (int round = 0; round < 3 * capacity + 5; ++round) {
    const parallel::Draw draw(1, parallel::Purpose::probe, round);
    std::vector<double> g(static_cast<std::size_t>(d));
    for (std::size_t k = 0; k < g.size(); ++k) g[k] = draw.normal(k);
    inverse.push(g);
    kept.push_back(g);
    if (std::ssize(kept) > capacity) kept.erase(kept.begin());
    if (round % 7 != 3) continue;
    Eigen::MatrixXd dense = damping * Eigen::MatrixXd::Identity(d, d);
    for (const auto& one : kept) {
      const Eigen::Map<const Eigen::VectorXd> e(one.data(), d);
      dense += e * e.transpose() / static_cast<double>(kept.size());
    }
    const Eigen::VectorXd expected = dense.ldlt().solve(Eigen::VectorXd::Ones(d));
    std::vector<double> out(static_cast<std::size_t>(d));
    inverse.apply(v, out);
    EXPECT_LE((Eigen::Map<Eigen::VectorXd>(out.data(), d) - expected).norm(),
              1e-10 * expected.norm());
  }
  EXPECT_EQ(inverse.stored(), capacity);
  EXPECT_THROW(bilevel::InverseFisher(10, 0, 1.0), ConfigurationError);
}

/// What a problem, by its entry, and a method, by its name, need to be made on some ranks.
struct Setting {
  Setting(const parallel::Comm& ranks, const std::string& problem, const std::string& method,
          state::Config config)
      : comm(ranks), options(std::move(config)) {
    for (const auto& entry : problems::bilevel_problems()) {
      if (entry.name == problem) instance = entry.make(comm, options);
    }
    if (!method.empty()) made = instance->make_method(method, options);
  }
  void step(int times) const {
    for (int k = 0; k < times; ++k) made->step();
  }
  parallel::Comm comm;
  state::Config options;
  std::unique_ptr<solve::Instance> instance;
  std::unique_ptr<solve::Method> made;
};

bool takes(const solve::MethodEntry& entry, std::string_view wanted) {
  struct Probe final : state::OptionVisitor {
    explicit Probe(std::string_view name) : key(name) {}
    void option(std::string_view k, double&, std::string_view, state::Limits) override { see(k); }
    void option(std::string_view k, std::int64_t&, std::string_view, state::Limits) override {
      see(k);
    }
    void option(std::string_view k, bool&, std::string_view) override { see(k); }
    void option(std::string_view k, std::string&, std::string_view) override { see(k); }
    void option(std::string_view k, std::vector<double>&, std::string_view,
                state::Limits) override {
      see(k);
    }
    void option(std::string_view k, std::vector<std::string>&, std::string_view) override {
      see(k);
    }
    void choice(std::string_view k, std::string&, const std::vector<std::string>&,
                std::string_view) override {
      see(k);
    }
    void see(std::string_view k) { found = found || k == key; }
    std::string_view key;
    bool found = false;
  } probe(wanted);
  entry.describe(probe);
  return probe.found;
}

state::Config small(const std::string& problem) {
  state::Config config;
  if (problem == "quadratic") {
    config.set("problem.blocks", "6");
    config.set("problem.outer", "5");
    config.set("problem.inner", "2");
    config.set("problem.noise", "0.2");
  }
  return config;
}

// Every registered method: made by name on a problem that fits, it steps, gives the same bits on
// any number of ranks, with codecs and their memory too, and resumes on one rank what several
// ranks saved.
TEST(Registry, EveryMethodKeepsItsBitsOnAnyRanksAndResumes) {
  std::set<std::string> seen;
  for (const std::string problem : {"quadratic", "coupled"}) {
    const Setting all(world(), problem, "", small(problem));
    for (const auto& entry : problems::bilevel_methods()) {
      const auto fits = all.instance->methods();
      if (std::find(fits.begin(), fits.end(), entry.name) == fits.end()) continue;
      for (const std::string codec : {"identity", "topk:2", "permk"}) {
        if (codec != "identity" && !takes(entry, "codec")) continue;
        seen.insert(entry.name);
        auto config = small(problem);
        if (takes(entry, "window")) config.set("method.window", "3");  // x moves from then on
        if (codec != "identity") config.set("method.codec", codec);
        if (codec == "topk:2") config.set("method.error_feedback", "true");
        const Setting whole(world(), problem, entry.name, config);
        whole.step(6);
        EXPECT_FALSE(whole.made->report().failed) << entry.name << whole.made->report().message;
        test::FieldMemory memory(world());
        whole.made->fields(memory.save());
        whole.step(4);
        test::FieldMemory a(world());
        whole.made->solution(a.save());
        for (const bool resumed : {false, true}) {
          const Setting alone(parallel::Comm(), problem, entry.name, config);
          if (resumed) alone.made->fields(memory.load());
          alone.step(resumed ? 4 : 10);
          test::FieldMemory b{parallel::Comm()};
          alone.made->solution(b.save());
          EXPECT_TRUE(a == b) << entry.name << " " << codec << " resumed " << resumed;
        }
        const auto storage = whole.instance->solution_storage();
        storage->fields(a.load());
        const auto certificate = whole.instance->certify(*storage);
        EXPECT_TRUE(std::isfinite(certificate.measure)) << entry.name;
        EXPECT_GE(certificate.values.size(), 2U);
      }
    }
  }
  EXPECT_EQ(seen.size(), problems::bilevel_methods().size());
}

TEST(Registry, MethodsThatIgnoreConstraintsAreRefused) {
  const problems::CoupledToy problem({});
  state::Config config;
  try {
    (void)bilevel::make_method("f2sa", {world(), bilevel::OracleView(problem)}, config);
    ADD_FAILURE();
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find("lv-hba"), std::string::npos) << error.what();
  }
}

TEST(Registry, UnknownMethodNamesTheNearest) {
  const auto problem = quadratic(4, 3, 2);
  state::Config config;
  try {
    (void)bilevel::make_method("bsvrd", {world(), bilevel::OracleView(problem)}, config);
    ADD_FAILURE();
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find("`bsvrb`"), std::string::npos) << error.what();
  }
}

}  // namespace
