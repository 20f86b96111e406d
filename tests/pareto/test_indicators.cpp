#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/indicators.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace equipoise::pareto {
namespace {

struct Row {
  PointSet z;
  PointSet a;
  double gd, igd, gd_plus, igd_plus, epsilon;
};

// Values computed by an independent program.
const std::vector<Row> table{
    {{{1, 0, 0, 10}, 2}, {{2, 5}, 2}, 5.099020, 5.242092, 2.0, 3.549510, 5.0},
    {{{1, 0, 0, 10}, 2}, {{3, 9}, 2}, 3.162278, 6.190911, 3.0, 6.109772, 9.0},
    {{{0, 1, 10, 0}, 2}, {{5, 2}, 2}, 5.099020, 5.242092, 2.0, 3.549510, 5.0},
    {{{0, 1, 10, 0}, 2}, {{11, 3}, 2}, 3.162278, 7.171309, 3.162278, 7.171309, 11.0}};

TEST(Indicators, TableOfTheSpecification) {
  for (const auto& row : table) {
    EXPECT_NEAR(gd(row.a, row.z), row.gd, 1e-6);
    EXPECT_NEAR(igd(row.a, row.z), row.igd, 1e-6);
    EXPECT_NEAR(gd_plus(row.a, row.z), row.gd_plus, 1e-6);
    EXPECT_NEAR(igd_plus(row.a, row.z), row.igd_plus, 1e-6);
    EXPECT_NEAR(epsilon_plus(row.a, row.z), row.epsilon, 1e-6);
  }
}

TEST(Indicators, BadInputIsExplained) {
  const PointSet none{{}, 2};
  const PointSet two{{1, 2}, 2};
  const PointSet three{{1, 2, 3}, 3};
  EXPECT_THROW((void)igd(none, two), ConfigurationError);
  EXPECT_THROW((void)gd(two, three), ConfigurationError);
  EXPECT_THROW((void)range_of(none), ConfigurationError);
}

TEST(Indicators, KneeAndPreference) {
  // Two segments that meet at (0.2, 0.2): the corner is the knee.
  const PointSet front{{0.0, 1.0, 0.1, 0.6, 0.2, 0.2, 0.6, 0.1, 1.0, 0.0}, 2};
  EXPECT_EQ(knee(front), 2U);
  const std::vector<double> aspiration{0.0, 0.0};
  EXPECT_EQ(preferred(front, aspiration, std::vector<double>{5.0, 1.0}), 1U);
  EXPECT_EQ(preferred(front, aspiration, std::vector<double>{1.0, 1.0}), 2U);
  EXPECT_THROW((void)preferred(front, aspiration, std::vector<double>{1.0}), ConfigurationError);
  EXPECT_THROW((void)preferred(front, aspiration, std::vector<double>{1.0, -1.0}),
               ConfigurationError);
}

/// Ranks by definition: peel off what nobody left dominates.
std::vector<std::int64_t> peel(PointView points) {
  std::vector<std::int64_t> rank(points.size(), -1);
  for (std::int64_t front = 0, left = static_cast<std::int64_t>(points.size()); left > 0; ++front) {
    std::vector<std::size_t> members;
    for (std::size_t i = 0; i < points.size(); ++i) {
      bool free = rank[i] < 0;
      for (std::size_t j = 0; j < points.size(); ++j)
        free = free && !(rank[j] < 0 && dominates(points[j], points[i]));
      if (free) members.push_back(i);
    }
    for (const std::size_t i : members) rank[i] = front;
    left -= static_cast<std::int64_t>(members.size());
  }
  return rank;
}

TEST(Dominance, SortingPeelsFronts) {
  for (std::size_t k = 2; k <= 4; ++k) {
    for (std::uint64_t levels : {6, 1000}) {
      PointSet set{{}, k};
      const parallel::Draw draw(k, parallel::Purpose::problem, static_cast<std::int64_t>(levels));
      for (std::size_t i = 0; i < 120 * k; ++i)
        set.values.push_back(static_cast<double>(draw.below(levels, i)));
      const auto expected = peel(set);
      EXPECT_EQ(nondominated_sort(set), expected);
      // The filter keeps one of equal points.
      const auto kept = nondominated(set);
      for (const std::size_t i : kept) EXPECT_EQ(expected[i], 0);
      for (std::size_t i = 0; i < set.size(); ++i) {
        if (expected[i] != 0) continue;
        const auto same = std::count_if(kept.begin(), kept.end(), [&](std::size_t j) {
          return std::equal(set[i].begin(), set[i].end(), set[j].begin());
        });
        EXPECT_EQ(same, 1);
      }
    }
  }
}

TEST(Dominance, FeasibleComesBeforeInfeasible) {
  const PointSet set{{5, 5, 1, 1, 0, 0, 2, 2}, 2};
  const std::vector<double> violation{0.0, 0.5, 2.0, 0.5};
  EXPECT_EQ(nondominated_sort(set, violation), (std::vector<std::int64_t>{0, 1, 2, 1}));
}

TEST(Dominance, CrowdingDistanceOfAnEvenFront) {
  const PointSet set{{0, 4, 1, 3, 2, 2, 4, 0}, 2};
  const std::vector<std::size_t> members{0, 1, 2, 3};
  const auto distance = crowding_distance(set, members);
  EXPECT_TRUE(std::isinf(distance[0]));
  EXPECT_TRUE(std::isinf(distance[3]));
  EXPECT_DOUBLE_EQ(distance[1], 2.0 / 4.0 + 2.0 / 4.0);
  EXPECT_DOUBLE_EQ(distance[2], 3.0 / 4.0 + 3.0 / 4.0);
}

TEST(Dominance, ThinningTakesOneOfACloseGroupOnly) {
  // Three points close together in the middle: all have small distances, but once the first of them
  // is gone, its neighbours are no longer the most crowded.
  const PointSet set{{0, 10, 3, 7, 4.9, 5.1, 5, 5, 5.1, 4.9, 7, 3, 10, 0}, 2};
  const std::vector<std::size_t> members{0, 1, 2, 3, 4, 5, 6};
  EXPECT_EQ(thin_out(set, members, 6), (std::vector<std::size_t>{0, 1, 2, 4, 5, 6}));
  EXPECT_EQ(thin_out(set, members, 5).size(), 5U);
  EXPECT_EQ(thin_out(set, members, 9), members);
  const auto four = thin_out(set, members, 4);
  EXPECT_EQ(four.front(), 0U);
  EXPECT_EQ(four.back(), 6U);
}

/// Three objectives: a pair of points that are close in all of them loses one, though each is far
/// from its neighbours in the order of single objectives.
TEST(Dominance, ThinningInSpaceLooksAtTrueNeighbours) {
  const PointSet set{{1, 0, 0, 0, 1, 0, 0, 0, 1, .5, .3, .2, .51, .29, .2, .2, .4, .4, .3, .2, .5},
                     3};
  const std::vector<std::size_t> members{0, 1, 2, 3, 4, 5, 6};
  const auto six = thin_out(set, members, 6);
  EXPECT_EQ(six.size(), 6U);
  EXPECT_NE(std::count(six.begin(), six.end(), 3U) + std::count(six.begin(), six.end(), 4U), 2);
  const auto distance = vicinity_distance(set, members);
  EXPECT_TRUE(std::isinf(distance[0]) && std::isinf(distance[1]) && std::isinf(distance[2]));
  EXPECT_LT(distance[3], distance[5]);
  EXPECT_EQ(thin_out(set, members, 3), (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_TRUE(vicinity_distance(set, {}).empty());
}

}  // namespace
}  // namespace equipoise::pareto
