#include <equipoise/problems/vi/complementarity.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/field_map.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace equipoise::problems {
namespace {

struct Stored : state::Stateful {
  explicit Stored(solve::Method& m) : method(m) {}
  void fields(state::FieldVisitor& visit) override { method.solution(visit); }
  solve::Method& method;
};

class ComplementarityTest : public testing::Test {
 protected:
  parallel::Comm comm_ = parallel::Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm_.close(); }

  struct Result {
    solve::Summary summary;
    std::vector<double> z;
    solve::Certificate certificate;
  };

  Result solve(const ComplementarityOptions& options, std::string method = "semismooth-newton",
               double tolerance = 1e-13, std::int64_t iterations = 200,
               const std::vector<std::string>& settings = {}) {
    state::Config config;
    for (const auto& s : settings) config.assign(s);
    ComplementarityInstance instance(
        comm_, config, std::make_shared<const Complementarity>(Complementarity::make(options)));
    const auto made = instance.make_method(method, config);
    solve::StopOptions stop;
    stop.tolerance = tolerance;
    stop.max_iterations = iterations;
    Result result;
    result.summary = solve::run(comm_, *made, stop, {}, {}, {true, {}});
    Stored stored(*made);
    state::FieldMap map;
    stored.fields(map);
    const auto z = map.doubles("z");
    result.z.assign(z.begin(), z.end());
    result.certificate = instance.certify(stored);
    return result;
  }

  static double error_to_known(const ComplementarityOptions& options,
                               const std::vector<double>& z) {
    double nearest = HUGE_VAL;
    for (const auto& s : Complementarity::make(options).exact) {
      double worst = 0.0;
      for (std::size_t i = 0; i < z.size(); ++i) worst = std::max(worst, std::abs(z[i] - s[i]));
      nearest = std::min(nearest, worst);
    }
    return nearest;
  }
};

TEST_F(ComplementarityTest, SemismoothNewtonFindsTheKnownSolutions) {
  for (const char* name : {"lcp", "kojima-shindo", "josephy", "murty", "nash-cournot"}) {
    const ComplementarityOptions options{name, 20, 0};
    const Result r = solve(options);
    EXPECT_LE(error_to_known(options, r.z), 1e-10) << name;
    EXPECT_LE(r.certificate.values[0].second, 1e-10) << name;  // natural residual
    EXPECT_LE(r.summary.iterations, 60) << name;
  }
}

TEST_F(ComplementarityTest, GamesHaveTheirClosedForms) {
  for (const std::int64_t seed : {0, 1, 2}) {
    for (const char* name : {"kelly", "shared-capacity"}) {
      const ComplementarityOptions options{name, 12, seed};
      const Result r = solve(options);
      EXPECT_LE(error_to_known(options, r.z), 1e-9) << name << " " << seed;
    }
  }
}

/// Every buyer spends his budget, only on goods that give most for the money; every good is sold.
TEST_F(ComplementarityTest, AFisherMarketClears) {
  ComplementarityOptions options{"fisher", 0, 1};
  options.buyers = 4;
  const Result r = solve(options);
  EXPECT_LE(r.certificate.values[0].second, 1e-10);
  const Complementarity p = Complementarity::make(options);
  std::vector<double> value(r.z.size());
  p.f(r.z, value);
  double prices = 0.0;
  for (std::size_t j = 0; j < 4; ++j) {
    double sold = 0.0;
    for (std::size_t i = 0; i < 4; ++i) sold += r.z[4 * i + j];
    EXPECT_NEAR(sold, 1.0, 1e-9);
    prices += r.z[16 + j];
  }
  // F_x x = 0 summed up says: prices times goods are the budgets.
  double spent = 0.0;
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) spent += r.z[16 + j] * r.z[4 * i + j];
  }
  EXPECT_NEAR(spent, prices, 1e-9);
  EXPECT_GT(prices, 4.0);
  EXPECT_LT(prices, 8.0);
}

TEST_F(ComplementarityTest, HarkerAndPangsProblemsToAResidualOf1e10) {
  for (const std::int64_t seed : {0, 1}) {
    const ComplementarityOptions options{"hp-hard", 60, seed};
    const Result r = solve(options);
    EXPECT_LE(r.certificate.values[0].second, 1e-9) << seed;
    EXPECT_LE(r.certificate.values[2].second, 1e-12) << seed;
  }
}

TEST_F(ComplementarityTest, FirstOrderMethodsAgree) {
  const ComplementarityOptions options{"nash-cournot", 5, 0};
  for (const char* method : {"agraal", "extragradient", "feg", "hyperplane"}) {
    const Result r = solve(options, method, 1e-11, 20000);
    EXPECT_EQ(r.summary.stop, solve::Stop::converged) << method;
    EXPECT_LE(error_to_known(options, r.z), 1e-8) << method;
  }
}

TEST_F(ComplementarityTest, JacobiansMatchDifferences) {
  for (const char* name : {"lcp", "kojima-shindo", "josephy", "murty", "hp-hard", "nash-cournot",
                           "kelly", "fisher", "shared-capacity"}) {
    const Complementarity p = Complementarity::make({name, 6, 3, 2});
    const auto d = static_cast<std::size_t>(p.dimension());
    std::vector<double> z(d), plus(d), minus(d);
    for (std::size_t i = 0; i < d; ++i) z[i] = 3.0 + 0.7 * static_cast<double>(i);
    Eigen::MatrixXd jacobian;
    p.jacobian(z, jacobian);
    for (std::size_t j = 0; j < d; ++j) {
      const double h = 1e-5;
      auto moved = z;
      moved[j] = z[j] + h;
      p.f(moved, plus);
      moved[j] = z[j] - h;
      p.f(moved, minus);
      for (std::size_t i = 0; i < d; ++i) {
        const double exact = jacobian(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j));
        EXPECT_NEAR((plus[i] - minus[i]) / (2.0 * h), exact, 1e-6 * (1.0 + std::abs(exact)))
            << name << " " << i << " " << j;
      }
    }
  }
}

}  // namespace
}  // namespace equipoise::problems
