#include "support.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/front_plan.hpp>
#include <equipoise/problems/pareto/predictive.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::problems {
namespace {

class Predictive : public pareto::OnRanks {};

/// What is chosen online is the solution of the weighted quadratic program, checked through its
/// projected gradient, and the open loop follows the Riccati feedback where no bound is met.
TEST_F(Predictive, ChoicesSolveTheWeightedProgram) {
  const DoubleIntegrator plant;
  const FrontLibrary library(comm, plant, {});
  EXPECT_EQ(library.states(), 45);
  for (const std::array<double, 2> state :
       {std::array<double, 2>{0.3, 0.1}, {-1.7, 0.9}, {1.1, -1.3}, {0.0, 0.0}}) {
    for (const double w : {0.2, 0.5, 0.85}) {
      const auto choice = library.choose(state, w);
      EXPECT_LE(choice.residual, 1e-8);
      DoubleIntegrator problem = plant;
      problem.state = state;
      std::vector<double> f(2), g(24);
      problem.gradients(choice.controls, f, g);
      for (std::size_t i = 0; i < 12; ++i) {
        const double slope = w * g[i] + (1.0 - w) * g[12 + i];
        const double u = choice.controls[i];
        const double projected = u - std::clamp(u - slope, -1.0, 1.0);
        EXPECT_NEAR(projected, 0.0, 1e-8);
      }
    }
  }
  // Riccati recursion of the same horizon for the unbounded problem, near the origin.
  const double w = 0.5;
  const double dt = plant.dt;
  double p[2][2] = {{0, 0}, {0, 0}};
  double k[2] = {0, 0};
  for (int i = 0; i < 12; ++i) {
    p[0][0] += w * dt;
    p[1][1] += w * dt;
    const double b[2] = {0.5 * dt * dt, dt};
    const double pb[2] = {p[0][0] * b[0] + p[0][1] * b[1], p[1][0] * b[0] + p[1][1] * b[1]};
    const double r = (1.0 - w) * dt + b[0] * pb[0] + b[1] * pb[1];
    // B^T P A with A = [1 dt; 0 1]
    const double bpa[2] = {pb[0], pb[0] * dt + pb[1]};
    k[0] = bpa[0] / r;
    k[1] = bpa[1] / r;
    const double apa[2][2] = {
        {p[0][0], p[0][0] * dt + p[0][1]},
        {p[0][0] * dt + p[1][0], dt * (p[0][0] * dt + p[0][1]) + p[1][0] * dt + p[1][1]}};
    for (int a = 0; a < 2; ++a) {
      for (int c = 0; c < 2; ++c) p[a][c] = apa[a][c] - bpa[a] * bpa[c] / r;
    }
  }
  const auto choice = library.choose({0.05, -0.02}, w);
  EXPECT_NEAR(choice.controls[0], -(k[0] * 0.05 - k[1] * 0.02), 1e-9);
}

TEST_F(Predictive, TheClosedLoopIsTheSameOnAnyNumberOfRanks) {
  const DoubleIntegrator plant;
  const FrontLibrary library(comm, plant, {});
  const FrontLibrary alone(parallel::Comm(), plant, {});
  const auto path = library.run({1.8, 0.5}, 0.7, 40);
  EXPECT_EQ(path, alone.run({1.8, 0.5}, 0.7, 40));
  EXPECT_LT(std::hypot(path.back()[0], path.back()[1]), 1e-2);
  // More weight on effort uses less of it over the horizon.
  EXPECT_LT(library.choose({1.0, 0.0}, 0.1).f[1], library.choose({1.0, 0.0}, 0.9).f[1]);
  EXPECT_GT(library.choose({1.0, 0.0}, 0.1).f[0], library.choose({1.0, 0.0}, 0.9).f[0]);
  FrontLibraryOptions even;
  even.side = 4;
  EXPECT_THROW(FrontLibrary(comm, plant, even), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::problems

namespace equipoise::pareto {
namespace {

ScalarAnswer answer(double f1, double f2) {
  ScalarAnswer a;
  a.f = {f1, f2};
  a.weights = a.packet.multipliers = {0.5, 0.5};
  return a;
}

TEST(FrontPlans, BadEndsAreExplained) {
  FrontPlan dominated(2, {});
  dominated.store(0, answer(0.0, 1.0));
  dominated.store(1, answer(0.5, 2.0));
  EXPECT_TRUE(dominated.complete());
  EXPECT_NE(dominated.dominated_end().find("objective 2 is dominated"), std::string::npos)
      << dominated.dominated_end();
  EXPECT_EQ(dominated.front(), std::vector<std::size_t>{0});
  FrontPlan point(2, {});
  point.store(1, answer(0.0, 1.0));
  point.store(0, answer(0.0, 1.0));
  EXPECT_TRUE(point.complete());
  EXPECT_EQ(point.front().size(), 1U);
  EXPECT_TRUE(point.dominated_end().empty());
  FrontPlan broken(2, {});
  ScalarAnswer nan = answer(NAN, 0.0);
  nan.status = ScalarStatus::not_finite;
  nan.message = "an objective is not finite";
  broken.store(0, nan);
  try {
    broken.store(1, answer(1.0, 0.0));
    ADD_FAILURE() << "no exception";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::diverged);
    EXPECT_NE(std::string(error.what()).find("an objective is not finite"), std::string::npos);
  }
  EXPECT_THROW(FrontPlan(1, {}), ConfigurationError);
  FrontOptions three;
  three.scalarisation = "nbi";
  EXPECT_THROW(FrontPlan(3, three), ConfigurationError);
}

/// The ends are followed down to two smaller weights, end by end, each from its own end; an end
/// moves where its values settle, whatever the order of the answers.
TEST(FrontPlans, EndTasksComeEndByEnd) {
  FrontOptions options;
  options.anchor_weight = 1e-4;
  const auto run = [&](bool backwards) {
    FrontPlan plan(2, options);
    plan.store(0, answer(0.0, 1.0));
    plan.store(1, answer(1.0, 0.0));
    const auto tasks = plan.tasks();
    EXPECT_EQ(tasks.size(), 4U);
    for (std::size_t t = 0; t < tasks.size(); ++t) {
      const std::size_t end = t / 2;
      const double rest = options.anchor_weight * (t % 2 == 0 ? 1e-2 : 1e-4);
      EXPECT_EQ(tasks[t].parent, static_cast<std::int64_t>(end));
      EXPECT_EQ(tasks[t].place, static_cast<std::int64_t>(end));
      EXPECT_DOUBLE_EQ(tasks[t].scalarisation.weights[end], 1.0 - rest);
      EXPECT_DOUBLE_EQ(tasks[t].scalarisation.weights[1 - end], rest);
    }
    // The first end settles at (-0.001, 1.001); the second runs away and stays where it is.
    const std::vector<ScalarAnswer> answers{answer(-0.001, 1.001), answer(-0.001, 1.001),
                                            answer(2.0, -0.1), answer(5.0, -0.2)};
    for (std::size_t t = 0; t < 4; ++t)
      plan.store(backwards ? 3 - t : t, answers[backwards ? 3 - t : t]);
    return plan;
  };
  for (const bool backwards : {false, true}) {
    const FrontPlan plan = run(backwards);
    EXPECT_EQ(plan.members()[0].answer.f, (std::vector<double>{-0.001, 1.001}));
    EXPECT_EQ(plan.members()[1].answer.f, (std::vector<double>{1.0, 0.0}));
    EXPECT_EQ(plan.range().ideal, (std::vector<double>{-0.001, 0.0}));
  }
}

/// Answers in any order, and a plan that is saved between them, give the same tasks.
TEST(FrontPlans, TasksDoNotDependOnTheOrderOfAnswers) {
  FrontOptions options;
  options.anchor_weight = 0.0;  // the ends are exact: gaps are filled next
  FrontPlan a(2, options);
  FrontPlan b(2, options);
  a.store(0, answer(0.0, 1.0));
  a.store(1, answer(1.0, 0.0));
  b.store(1, answer(1.0, 0.0));
  b.store(0, answer(0.0, 1.0));
  for (int generation = 0; generation < 2; ++generation) {
    ASSERT_EQ(a.tasks().size(), b.tasks().size());
    const auto size = a.tasks().size();
    for (std::size_t t = 0; t < size; ++t)
      EXPECT_EQ(a.tasks()[t].scalarisation.reference, b.tasks()[t].scalarisation.reference);
    const auto places = a.tasks();
    for (std::size_t t = 0; t < size; ++t) {
      const auto& z = places[t].scalarisation.reference;
      a.store(t, answer(z[0] * 0.9, z[1] * 0.9));
    }
    for (std::size_t t = size; t-- > 0;) {
      const auto& z = places[t].scalarisation.reference;
      b.store(t, answer(z[0] * 0.9, z[1] * 0.9));
    }
  }
}

}  // namespace
}  // namespace equipoise::pareto
