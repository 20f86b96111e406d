#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/descent.hpp>
#include <equipoise/pareto/dual_solver.hpp>
#include <equipoise/pareto/front_search.hpp>
#include <equipoise/problems/pareto/lasso_path.hpp>
#include <equipoise/problems/pareto/multitask.hpp>
#include <equipoise/problems/pareto/obstacle_pair.hpp>
#include <equipoise/problems/pareto/regularisation.hpp>
#include <equipoise/problems/pareto/switching.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace equipoise::pareto {
namespace {

class Applied : public testing::Test {
 protected:
  void TearDown() override { comm.close(); }
  /// A small LIBSVM file of `rows` rows, the same on every rank.
  std::string data(int rows, int columns) {
    const std::string path =
        std::string(EQUIPOISE_BINARY_DIR) + "/fronts_" + std::to_string(comm.size()) + ".txt";
    if (comm.rank() == 0) {
      std::ofstream out(path);
      for (int r = 0; r < rows; ++r) {
        double sum = 0.0;
        std::string line;
        for (int c = 0; c < columns; ++c) {
          const double v = std::sin(1.7 * r + 3.1 * c) + 0.3 * std::cos(0.9 * r * (c + 1));
          sum += (c % 3 - 1) * v;
          line += " " + std::to_string(c + 1) + ":" + std::to_string(v);
        }
        out << (sum + 0.5 * std::sin(5.0 * r) > 0 ? "+1" : "-1") << line << "\n";
      }
    }
    comm.barrier();
    return path;
  }
  parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
};

void finish(solve::Method& method, int steps) {
  for (int i = 0; i < steps && !method.report().finished; ++i) method.step();
  EXPECT_TRUE(method.report().finished);
}

/// Largest relative error of gradients against central differences, in the problem's inner product.
double gradient_error(const ProblemView& problem, const std::vector<double>& x, double t) {
  const std::size_t n = problem.dimension();
  const std::size_t k = problem.objectives();
  std::vector<double> f(k), g(k * n), d(n), up(k), down(k);
  problem.gradients(x, f, g);
  for (std::size_t j = 0; j < n; ++j) d[j] = std::cos(2.0 + 3.0 * static_cast<double>(j));
  auto at = x;
  for (std::size_t j = 0; j < n; ++j) at[j] = x[j] + t * d[j];
  problem.evaluate(at, up, {});
  for (std::size_t j = 0; j < n; ++j) at[j] = x[j] - t * d[j];
  problem.evaluate(at, down, {});
  double worst = 0.0;
  for (std::size_t i = 0; i < k; ++i) {
    const double slope = problem.inner(std::span<const double>(g).subspan(i * n, n), d);
    const double size = std::sqrt(problem.inner(std::span<const double>(g).subspan(i * n, n),
                                                std::span<const double>(g).subspan(i * n, n)) *
                                  problem.inner(d, d));
    worst = std::max(worst, std::abs(slope - (up[i] - down[i]) / (2.0 * t)) / size);
  }
  return worst;
}

TEST_F(Applied, ObstacleStatesAreComplementaryAndSubgradientsAreRight) {
  const problems::ObstaclePair problem(10, 1e-2, -0.02);
  std::vector<double> u(static_cast<std::size_t>(problem.dimension()));
  for (std::size_t i = 0; i < u.size(); ++i) u[i] = 8.0 * std::sin(0.37 * static_cast<double>(i));
  for (std::size_t i = 0; i < u.size() / 2; ++i) u[i] -= 4.0;
  const auto state = problem.state(u);
  int contact = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    EXPECT_GE(state.y[i], -0.02 - 1e-12);
    contact += state.contact[i];
  }
  EXPECT_GT(contact, 5);
  EXPECT_LT(contact, static_cast<int>(u.size()) - 5);
  // No node in contact without a force here: the operator is differentiable at u.
  EXPECT_LT(gradient_error(problem, u, 1e-6), 1e-6);
}

/// Hilbert-space Gebken-Peitz: end points are (eps, delta)-critical, the mirrored start ends at the
/// mirrored point with the objectives exchanged, and nothing dominates the weighted sums found.
TEST_F(Applied, GebkenPeitzOnTheObstacleProblem) {
  const problems::ObstaclePair problem(6, 1e-2, -0.02);
  DescentOptions options;
  options.starts = 4;
  options.start_from = -3.0;
  options.start_to = 3.0;
  Descent descent(comm, problem, "gebken-peitz", options, 3);
  finish(descent, 2000);
  const auto points = descent.points();
  for (std::size_t p = 0; p < points.size(); ++p) {
    DescentCounts counts;
    const auto direction = goldstein_descent(problem, points.point(p), options.goldstein, counts);
    EXPECT_LE(direction.criticality, options.goldstein.tolerance);
    // No sampled direction lowers both objectives by more than the tolerance allows.
    std::vector<double> moved(points.variables);
    std::vector<double> f(2);
    for (int trial = 0; trial < 20; ++trial) {
      for (std::size_t j = 0; j < moved.size(); ++j)
        moved[j] = points.point(p)[j] +
                   0.1 * std::sin(1.0 + trial * 2.3 + static_cast<double>(j) * (trial + 1));
      problem.evaluate(moved, f);
      EXPECT_FALSE(f[0] < points.value(p)[0] - 2e-3 && f[1] < points.value(p)[1] - 2e-3);
    }
  }
  // Mirror images.
  const std::size_t line = 5;
  std::vector<double> u(points.point(0).begin(), points.point(0).end());
  std::vector<double> mirrored(u.size());
  for (std::size_t i = 0; i < u.size(); ++i)
    mirrored[i] = u[i / line * line + (line - 1 - i % line)];
  std::vector<double> f(2);
  problem.evaluate(mirrored, f);
  EXPECT_NEAR(f[0], points.value(0)[1], 1e-12);
  EXPECT_NEAR(f[1], points.value(0)[0], 1e-12);
}

TEST_F(Applied, TasksOfOneFileTradeAgainstEachOther) {
  problems::MultitaskOptions options;
  options.data = data(60, 5);
  const auto problem = problems::make_multitask(comm, options);
  EXPECT_LT(gradient_error(problem, std::vector<double>{0.1, -0.2, 0.3, 0.0, 0.5}, 1e-5), 1e-8);
  FrontOptions front;
  front.spacing = 0.1;
  FrontSearch search(comm, problem, front);
  finish(search, 100);
  EXPECT_GT(search.front().size(), 10U);
  // Both groups together are the plain logistic regression: weights by size, its gradient vanishes.
  SmoothSolver solver(problem);
  const double all = 60.0;
  const std::vector<double> w{static_cast<double>(problem.sizes[0]) / all,
                              static_cast<double>(problem.sizes[1]) / all};
  const auto joint = solver.solve(weighted_sum(w), nullptr);
  std::vector<double> f(2), g(10);
  problem.gradients(joint.packet.x, f, g);
  for (std::size_t j = 0; j < 5; ++j) EXPECT_NEAR(w[0] * g[j] + w[1] * g[5 + j], 0.0, 1e-8);
  options.split = "feature";
  options.feature = 1;  // there in every row
  EXPECT_THROW((void)problems::make_multitask(comm, options), ConfigurationError);
  options.data = "/missing/file";
  EXPECT_THROW((void)problems::make_multitask(comm, options), Error);
}

TEST_F(Applied, TheRegularisationPathIsAFrontOfLassos) {
  problems::RegularisationOptions options;
  options.data = data(60, 6);
  const auto problem = problems::make_regularisation_path(comm, options);
  FrontOptions front;
  front.spacing = 0.05;
  FrontSearch search(Groups::split(comm, 1),
                     std::make_unique<DualSolver>(problems::lasso_solver(problem)), front);
  finish(search, 400);
  EXPECT_EQ(search.holes(), 0);
  const auto gaps = search.gaps();
  EXPECT_LE(*std::max_element(gaps.begin(), gaps.end()), front.spacing);
  std::vector<double> f(2), g(12);
  std::size_t sparse = 0;
  for (const auto& member : search.members()) {
    const auto& x = member.answer.packet.x;
    problem.gradients(x, f, g);
    const double lambda = member.answer.weights[1] / member.answer.weights[0];
    for (std::size_t j = 0; j < 6; ++j) {
      if (x[j] != 0.0) {
        EXPECT_NEAR(g[j], x[j] > 0 ? -lambda : lambda, 1e-9);
      } else {
        EXPECT_LE(std::abs(g[j]), lambda * (1 + 1e-8) + 1e-12);
        ++sparse;
      }
    }
  }
  EXPECT_GT(sparse, 10U);
}

/// From kink to kink: optimality conditions at every event, the lassos of coordinate descent
/// between them, and soft thresholds where the columns are orthogonal.
TEST_F(Applied, TheHomotopyIsTheWholeLassoPath) {
  problems::RegularisationOptions options;
  options.data = data(60, 6);
  const auto problem = problems::make_regularisation_path(comm, options);
  problems::LassoPath path(problem, {});
  finish(path, 100);
  EXPECT_EQ(path.lambda(path.events() - 1), 0.0);
  std::vector<double> f(2), g(12);
  const auto solver = problems::lasso_solver(problem);
  for (std::size_t e = 0; e < path.events(); ++e) {
    const auto x = path.point(e);
    const double lambda = path.lambda(e);
    problem.gradients(x, f, g);
    for (std::size_t j = 0; j < 6; ++j) {
      if (x[j] != 0.0)
        EXPECT_NEAR(g[j], x[j] > 0 ? -lambda : lambda, 1e-12);
      else
        EXPECT_LE(std::abs(g[j]), lambda + 1e-12);
    }
    if (e + 1 == path.events()) break;
    EXPECT_LT(path.lambda(e + 1), lambda);
    const double middle = 0.5 * (lambda + path.lambda(e + 1));
    std::vector<double> other;
    const std::vector<double> weights{1.0 / (1.0 + middle), middle / (1.0 + middle)};
    (void)solver->solve(weights, other);
    for (std::size_t j = 0; j < 6; ++j)
      EXPECT_NEAR(other[j], 0.5 * (x[j] + path.point(e + 1)[j]), 1e-9) << e;
  }
  problems::RegularisationPath orthogonal;
  orthogonal.features = 3;
  orthogonal.gram = {2, 0, 0, 0, 1, 0, 0, 0, 0.5};
  orthogonal.right = {1.0, -3.0, 2.0};
  problems::LassoPath thresholds(orthogonal, {});
  finish(thresholds, 10);
  EXPECT_EQ(thresholds.events(), 4U);
  const std::vector<double> lambdas{3.0, 2.0, 1.0, 0.0};
  for (std::size_t e = 0; e < 4; ++e) {
    EXPECT_NEAR(thresholds.lambda(e), lambdas[e], 1e-14);
    for (std::size_t j = 0; j < 3; ++j) {
      const double b = orthogonal.right[j];
      const double soft = std::copysign(std::max(std::abs(b) - lambdas[e], 0.0), b);
      EXPECT_NEAR(thresholds.point(e)[j], soft / orthogonal.gram[4 * j], 1e-14);
    }
  }
}

TEST_F(Applied, SwitchingTimesHaveExactDerivativesAndFindBangBang) {
  problems::Switching problem;
  problem.modes = {-1.0, 0.0, 1.0, 0.5};
  EXPECT_LT(gradient_error(problem, {0.3, 0.4, 0.6}, 1e-5), 1e-9);
  // From rest at 1 the origin is reached at T = 2 by -1 until 1, then +1 (time-optimal).
  problems::Switching bang;
  bang.modes = {-1.0, 1.0};
  bang.horizon = 2.0;
  bang.tracking = 0.0;
  std::vector<double> f(2);
  bang.evaluate(std::vector<double>{0.5}, f);
  EXPECT_NEAR(f[0], 0.0, 1e-15);
  EXPECT_NEAR(f[1], 2.0, 1e-15);
  // Reaching the origin against effort, with a coasting phase in a longer horizon.
  problems::Switching coast;
  coast.modes = {-1.0, 0.0, 1.0, 0.0};
  coast.horizon = 4.0;
  coast.tracking = 0.0;
  FrontOptions options;
  options.spacing = 0.1;
  FrontSearch search(comm, coast, options);
  finish(search, 200);
  const auto front = search.front();
  EXPECT_GT(front.size(), 5U);
  // Known by hand: a push of length a, coasting, a brake of length a reaches 0 if a (T' - a) = 1;
  // without any effort f_1 = 1/2.
  for (std::size_t i = 0; i < front.size(); ++i) {
    EXPECT_LE(front.f[2 * i], 0.5 + 1e-9);
    const auto tau = coast.times(front.point(i));
    EXPECT_TRUE(std::is_sorted(tau.begin(), tau.end()));
    EXPECT_LE(tau.back(), 4.0 + 1e-12);
  }
}

}  // namespace
}  // namespace equipoise::pareto
