#include "support.hpp"

#include <equipoise/control/obstacle.hpp>

#include <gtest/gtest.h>

namespace equipoise::control {
namespace {

constexpr double contact_radius = 0.6979651482;

double obstacle(const Point& x) {
  const double r2 = x[0] * x[0] + x[1] * x[1];
  return r2 < 1.0 ? std::sqrt(1.0 - r2) : -1.0;
}

double exact(const Point& x) {
  const double r = std::hypot(x[0], x[1]);
  const double c = contact_radius * contact_radius;
  if (r <= contact_radius) return std::sqrt(1.0 - r * r);
  return -c * std::log(r / 2.0) / std::sqrt(1.0 - c);
}

Obstacle problem(std::int64_t cells) {
  const GridShape shape{.cells = cells, .element = Element::fd, .lower = -2.0, .upper = 2.0};
  return {std::make_shared<Hierarchy>(world(), shape), obstacle, [](const Point&) { return 0.0; },
          exact};
}

int settle(ObstacleMethod& method) {
  for (int step = 1; step <= 60; ++step) {
    method.step();
    if (method.done()) return step;
  }
  return -1;
}

struct Row {
  std::int64_t cells;
  double error;
  std::int64_t active, cold;
};

TEST(Obstacle, NestedSolvesStayAtFiveAndActiveCountsAreExact) {
  // specs: max error and active nodes of the ball under a membrane on (-2,2)^2.
  for (const Row& row : {Row{16, 1.43e-2, 29, 3}, Row{32, 5.75e-3, 109, 6},
                         Row{64, 5.99e-4, 421, 8}, Row{128, 2.15e-4, 1609, 15}}) {
    if (world().size() > 2 && row.cells > 64) continue;  // small machines are shared
    const auto data = problem(row.cells);
    ObstacleMethod method(data, {});
    EXPECT_GT(settle(method), 0);
    for (const auto count : method.solves_per_grid()) EXPECT_LE(count, 5);
    EXPECT_EQ(method.active_nodes(), row.active);
    const Grid& grid = data.hierarchy->finest();
    double error = 0.0;
    for (std::int64_t i = 0; i < grid.owned().size(); ++i) {
      error = std::max(error, std::abs(method.state()[static_cast<std::size_t>(i)] -
                                       exact(grid.point(grid.owned().begin + i))));
      EXPECT_GE(method.multiplier()[static_cast<std::size_t>(i)], 0.0);
    }
    EXPECT_NEAR(world().max(error), row.error, 0.01 * row.error);
    EXPECT_EQ(method.report().residual, 0.0);
  }
}

TEST(Obstacle, ColdStartsGrowWithTheMesh) {
  for (const Row& row : {Row{16, 0, 29, 3}, Row{32, 0, 109, 6}, Row{64, 0, 421, 8}}) {
    ObstacleMethod method(problem(row.cells), {.nested = false});
    EXPECT_NEAR(settle(method), row.cold, 2);
    EXPECT_EQ(method.active_nodes(), row.active);
  }
}

TEST(Obstacle, NeedsFiniteDifferences) {
  auto data = problem(16);
  data.hierarchy = std::make_shared<Hierarchy>(world(), GridShape{.cells = 16});
  EXPECT_THROW(ObstacleMethod(data, {}), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::control
