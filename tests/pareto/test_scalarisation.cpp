#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/scalarisation.hpp>
#include <equipoise/problems/pareto/smooth.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace equipoise::pareto {
namespace {

TEST(Scalarisations, WeightedSumOfDistancesIsTheWeights) {
  const problems::Distances problem{6, 3, 0.25};
  SmoothSolver solver(problem);
  const auto answer = solver.solve(weighted_sum({0.5, 0.3, 0.2}), nullptr);
  EXPECT_EQ(answer.status, ScalarStatus::converged);
  const std::vector<double> expected{0.5, 0.3, 0.2, 0.0, 0.0, 0.0};
  for (std::size_t j = 0; j < 6; ++j) EXPECT_NEAR(answer.packet.x[j], expected[j], 1e-12);
}

TEST(Scalarisations, PascolettiSerafiniMeetsTheRay) {
  // On the segment x = (s, 1 - s): f_1 = (1 - s)^2, f_2 = s^2 (mass 1); the ray z + t (1, 1)
  // through 0 hits s = 1/2.
  const problems::Distances problem{5, 2, 1.0};
  SmoothSolver solver(problem);
  const auto answer = solver.solve(pascoletti_serafini({0.0, 0.0}, {1.0, 1.0}), nullptr);
  EXPECT_EQ(answer.status, ScalarStatus::converged) << answer.message;
  EXPECT_NEAR(answer.f[0], 0.25, 1e-9);
  EXPECT_NEAR(answer.f[1], 0.25, 1e-9);
  EXPECT_NEAR(answer.weights[0], 0.5, 1e-7);
  // Direction (4, 1): sqrt(f_1) = 2 sqrt(f_2), so s = 1/3.
  const auto steep = solver.solve(pascoletti_serafini({0.0, 0.0}, {4.0, 1.0}), &answer.packet);
  EXPECT_NEAR(steep.packet.x[0], 1.0 / 3.0, 1e-7);
  const auto cheb = solver.solve(chebyshev({0.0, 0.0}, std::vector<double>{0.25, 1.0}), nullptr);
  EXPECT_NEAR(cheb.packet.x[0], 1.0 / 3.0, 1e-7);
}

TEST(Scalarisations, EpsilonConstraintAndReference) {
  const problems::Distances problem{4, 2, 1.0};
  SmoothSolver solver(problem);
  // f_2 = s^2 <= 0.09.
  const auto bounded = solver.solve(epsilon_constraint(0, {0.0, 0.09}), nullptr);
  EXPECT_EQ(bounded.status, ScalarStatus::converged) << bounded.message;
  EXPECT_NEAR(bounded.f[1], 0.09, 1e-8);
  EXPECT_NEAR(bounded.f[0], 0.49, 1e-7);
  // Stationarity of the reference problem: weights f - z, so s (f_1 - z_1) ... checked through x =
  // w.
  const auto near = solver.solve(euclidean_reference({-0.2, -0.1}), nullptr);
  EXPECT_EQ(near.status, ScalarStatus::converged) << near.message;
  EXPECT_NEAR(near.packet.x[0], near.weights[0], 1e-8);
  EXPECT_NEAR(near.weights[0] * (near.f[1] + 0.1), near.weights[1] * (near.f[0] + 0.2), 1e-8);
}

TEST(Scalarisations, ConcaveFrontsAreReached) {
  const problems::Fonseca problem{4};
  SmoothSolver solver(problem);
  const auto answer = solver.solve(pascoletti_serafini({0.0, 0.0}, {1.0, 1.0}), nullptr);
  EXPECT_EQ(answer.status, ScalarStatus::converged) << answer.message;
  EXPECT_NEAR(answer.f[0], 1.0 - std::exp(-1.0), 1e-8);
  EXPECT_NEAR(answer.f[1], 1.0 - std::exp(-1.0), 1e-8);
}

TEST(Scalarisations, BadInputIsExplained) {
  const problems::Distances problem{4, 2, 1.0};
  SmoothSolver solver(problem);
  // The two bounds f_1 <= z_1 and f_2 <= z_2 with a reference below the front cannot both hold.
  const auto impossible = solver.solve(epsilon_constraint(0, {0.0, -0.5}), nullptr);
  EXPECT_NE(impossible.status, ScalarStatus::converged);
  EXPECT_FALSE(impossible.message.empty());
  EXPECT_THROW((void)solver.solve(weighted_sum({1.0}), nullptr), ConfigurationError);
  EXPECT_THROW((void)solver.solve(weighted_sum({1.0, -1.0}), nullptr), ConfigurationError);
  EXPECT_THROW((void)solver.solve(pascoletti_serafini({0.0, 0.0}, {0.0, 0.0}), nullptr),
               ConfigurationError);
  EXPECT_THROW(SmoothSolver(problems::Zdt{1, 0}), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::pareto
