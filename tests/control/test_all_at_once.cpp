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
      AllAtOnce method(problem,
                       {.preconditioner = row.preconditioner, .cycles = 0, .nested = false});
      EXPECT_NEAR(run(method, 1e-6), row.counts[i], 2) << row.preconditioner << " " << row.beta;
    }
  }
}

TEST(AllAtOnce, CyclesKeepTheCountsFlatInMeshAndCost) {
  for (const double beta : {1e-2, 1e-4, 1e-6, 1e-8}) {
    for (const std::int64_t cells : {32, 64}) {
      const auto problem = tracking({.cells = cells}, beta, corner_target);
      for (const bool eliminate : {false, true}) {
        for (const bool nested : {false, true}) {
          AllAtOnce one(problem, {.cycles = 1, .eliminate_control = eliminate, .nested = nested});
          AllAtOnce two(problem, {.cycles = 2, .eliminate_control = eliminate, .nested = nested});
          EXPECT_LE(run(one, 1e-6), eliminate ? 28 : 25);
          EXPECT_LE(run(two, 1e-6), eliminate ? 28 : 20);
        }
      }
    }
  }
}

TEST(AllAtOnce, CubicInterpolationIsExactForCubicsThatVanishOnTheBoundary) {
  // x (1 - x) (1 + x) in every direction, uniform and graded, from as few as 3 cells.
  for (int dimension = 1; dimension <= 3; ++dimension) {
    for (const double grading : {0.0, 0.7}) {
      for (const std::int64_t cells : {3, 5, 8}) {
        const Grid coarse(world(), {.dimension = dimension, .cells = cells, .grading = grading});
        const Grid fine(world(), {.dimension = dimension, .cells = 2 * cells, .grading = grading});
        const auto cubic = [&](const Point& x) {
          double value = 1.0;
          for (int d = 0; d < dimension; ++d) {
            const double t = x[static_cast<std::size_t>(d)];
            value *= t * (1.0 - t) * (1.0 + t);
          }
          return value;
        };
        auto found = fine.vector();
        CubicInterpolation(coarse, fine).apply(coarse.interpolate(cubic), found);
        linalg::check(VecAXPY(found, -1.0, fine.interpolate(cubic)));
        double error = 0.0;
        linalg::check(VecNorm(found, NORM_INFINITY, &error));
        EXPECT_LT(error, 1e-14) << dimension << " " << grading << " " << cells;
      }
    }
  }
  const Grid grid(world(), {.cells = 8});
  EXPECT_THROW(CubicInterpolation(grid, grid), ConfigurationError);
}

TEST(AllAtOnce, ANestedStartSavesIterationsAndKeepsTheAnswer) {
  struct Case {
    GridShape shape;
    double beta;
  };
  for (const auto& [shape, beta] : {Case{{.cells = 64}, 1e-2}, Case{{.cells = 64}, 1e-6},
                                    Case{{.cells = 48, .grading = 0.5}, 1e-4},
                                    Case{{.cells = 64, .element = Element::fd}, 1e-4},
                                    Case{{.dimension = 3, .cells = 16}, 1e-4}}) {
    const auto problem = tracking(shape, beta, corner_target);
    AllAtOnce nested(problem, {}), plain(problem, {.nested = false});
    const int fewer = run(nested, 1e-9);
    EXPECT_GT(fewer, 0);
    EXPECT_LT(fewer, run(plain, 1e-9)) << shape.cells << " " << beta;
    auto difference = nested.point().control;
    const auto control = plain.point().control;
    linalg::check(VecAXPY(difference, -1.0, control));
    EXPECT_LT(problem->grid().norm(difference), 1e-6 * problem->grid().norm(control));
  }
  // Seven cells cannot be halved: there is nothing to start from.
  const auto odd = tracking({.cells = 7}, 1e-4, corner_target);
  AllAtOnce method(odd, {});
  EXPECT_GT(run(method, 1e-8), 0);
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
