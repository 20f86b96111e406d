#include "support.hpp"

#include <gtest/gtest.h>

namespace equipoise::control {
namespace {

TEST(AllAtOnce, ExactBlocksGiveTheTabulatedCounts) {
  // specs, computed: counts to 1e-6 for n = 16 and 32, on the three-field system.
  struct Row {
    double beta;
    std::string preconditioner;
    std::vector<int> counts;
  };
  const std::vector<Row> table = {
      {1e-2, "pearson-wathen", {15, 15}},    {1e-4, "pearson-wathen", {17, 17}},
      {1e-6, "pearson-wathen", {15, 15}},    {1e-8, "pearson-wathen", {13, 15}},
      {1e-2, "rees-dollar-wathen", {9, 9}},  {1e-4, "rees-dollar-wathen", {21, 23}},
      {1e-6, "rees-dollar-wathen", {77, 87}}};
  for (const auto& row : table) {
    for (std::size_t i = 0; i < row.counts.size(); ++i) {
      const auto problem = tracking({.cells = 16 << i}, row.beta, corner_target);
      AllAtOnce method(
          problem, {.preconditioner = row.preconditioner, .cycles = 0, .eliminate_control = false});
      EXPECT_NEAR(run(method, 1e-6), row.counts[i], 2) << row.preconditioner << " " << row.beta;
    }
  }
}

TEST(AllAtOnce, CyclesKeepTheCountsFlatInMeshAndCost) {
  for (const double beta : {1e-2, 1e-4, 1e-6, 1e-8}) {
    for (const std::int64_t cells : {32, 64}) {
      const auto problem = tracking({.cells = cells}, beta, corner_target);
      for (const bool eliminate : {false, true}) {
        AllAtOnce one(problem, {.cycles = 1, .eliminate_control = eliminate});
        AllAtOnce two(problem, {.cycles = 2, .eliminate_control = eliminate});
        EXPECT_LE(run(one, 1e-6), eliminate ? 28 : 25);
        EXPECT_LE(run(two, 1e-6), eliminate ? 28 : 20);
      }
    }
  }
}

TEST(AllAtOnce, AgreesWithReducedCgAndWithTheStatedCosts) {
  const std::vector<std::pair<double, double>> table = {
      {1e-2, 4.02726157e-3}, {1e-4, 3.40630879e-3}, {1e-6, 1.23592357e-3}};
  for (const auto& [beta, cost] : table) {
    const auto problem = tracking({.cells = 64}, beta, corner_target);
    AllAtOnce method(problem, {});
    run(method, 1e-10);
    const auto point = method.point();
    EXPECT_NEAR(problem->cost(point.state, point.control), cost, 6e-12);
    ReducedCg cg(std::make_shared<TrackingFunctional>(problem));
    run(cg, 1e-10);
    auto difference = linalg::copy(point.control);
    linalg::check(VecAXPY(difference, -1.0, cg.control().values));
    EXPECT_LT(problem->grid().norm(difference), 1e-7 * problem->grid().norm(point.control));
    // u = -p/beta
    linalg::check(VecWAXPY(difference, beta, point.control, point.adjoint));
    EXPECT_LT(problem->grid().norm(difference), 1e-7 * problem->grid().norm(point.adjoint));
  }
}

}  // namespace
}  // namespace equipoise::control
