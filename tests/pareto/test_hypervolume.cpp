#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/hypervolume.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace equipoise::pareto {
namespace {

const std::string data = EQUIPOISE_SOURCE_DIR "/../shared/data/multiobjective/";

/// Random points on the positive part of the unit sphere.
PointSet sphere(std::size_t k, std::size_t n, std::uint64_t seed = 7) {
  PointSet set{{}, k};
  for (std::size_t i = 0; i < n; ++i) {
    const parallel::Draw draw(seed, parallel::Purpose::problem, static_cast<std::int64_t>(i));
    std::vector<double> p(k);
    double square = 0.0;
    for (std::size_t j = 0; j < k; ++j) {
      p[j] = std::abs(draw.normal(j)) + 1e-3;
      square += p[j] * p[j];
    }
    for (double& v : p) v /= std::sqrt(square);
    set.push(p);
  }
  return set;
}

/// Volume of the union of boxes by inclusion and exclusion over all subsets.
double by_inclusion(PointView points, std::span<const double> reference) {
  double sum = 0.0;
  for (std::size_t mask = 1; mask < (std::size_t{1} << points.size()); ++mask) {
    double box = 1.0;
    for (std::size_t j = 0; j < points.objectives; ++j) {
      double low = -INFINITY;
      for (std::size_t i = 0; i < points.size(); ++i) {
        if (mask >> i & 1U) low = std::max(low, points[i][j]);
      }
      box *= std::max(0.0, reference[j] - low);
    }
    sum += (std::popcount(mask) % 2 == 1 ? box : -box);
  }
  return sum;
}

TEST(Hypervolume, UnitValuesOfTheSpecification) {
  const PointSet two{{2.3, 4.5, 3.4, 3.4, 6, 1.2}, 2};
  EXPECT_NEAR(hypervolume(two, std::vector<double>(2, 7.0)), 17.91, 1e-12 * 17.91);
  const PointSet three{{2.3, 4.5, 3.2, 3.4, 3.4, 3.4, 6, 1.2, 3.6}, 3};
  EXPECT_NEAR(hypervolume(three, std::vector<double>(3, 7.0)), 66.386, 1e-12 * 66.386);
  const PointSet five{{2.3, 4.5, 3.2, 1.9, 6, 3.4, 3.4, 3.4, 2.1, 5.8, 6, 1.2, 3.6, 3, 6}, 5};
  EXPECT_NEAR(hypervolume(five, std::vector<double>(5, 7.0)), 373.21228, 1e-12 * 373.21228);
  const PointSet corner{{1, 0, 1, 0, 1, 0}, 3};
  EXPECT_NEAR(hypervolume(corner, std::vector<double>(3, 2.0)), 5.0, 1e-12 * 5.0);
}

TEST(Hypervolume, AgreesWithInclusionAndExclusion) {
  for (std::size_t k = 2; k <= 7; ++k) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      // A coarse lattice: equal coordinates, repeated and dominated points, points on the
      // reference.
      PointSet set{{}, k};
      for (std::size_t i = 0; i < 12; ++i) {
        const parallel::Draw draw(seed, parallel::Purpose::problem, static_cast<std::int64_t>(i));
        std::vector<double> p(k);
        for (std::size_t j = 0; j < k; ++j)
          p[j] = static_cast<double>(draw.below(seed < 3 ? 4 : 1000, j));
        set.push(p);
      }
      const std::vector<double> reference(k, seed < 3 ? 3.0 : 900.0);
      const double expected = by_inclusion(set, reference);
      EXPECT_NEAR(hypervolume(set, reference), expected, 1e-11 * expected) << k << " " << seed;
    }
  }
}

TEST(Hypervolume, ManyObjectivesAndManyPoints) {
  for (const std::size_t k : {9U, 17U, 30U}) {
    const PointSet set = sphere(k, 8);
    const std::vector<double> reference(k, 1.1);
    const double expected = by_inclusion(set, reference);
    EXPECT_NEAR(hypervolume(set, reference), expected, 1e-12 * expected) << k;
  }
  // A staircase in the first two of five objectives, more steps than 16 bits count: with
  // x_i = i/n, y_i = 1 - i/n and the other three 0 the area is (1 + 1/n)/2.
  const std::size_t n = 40000;
  PointSet stairs{{}, 5};
  for (std::size_t i = 0; i < n; ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(n);
    stairs.push(std::vector<double>{t, 1.0 - t - 1.0 / static_cast<double>(n), 0.0, 0.0, 0.0});
  }
  EXPECT_NEAR(hypervolume(stairs, std::vector<double>(5, 1.0)), 0.5 + 0.5 / 40000.0, 1e-12);
}

TEST(Hypervolume, EdgesAreDefined) {
  const std::vector<double> reference{1.0, 1.0};
  EXPECT_EQ(hypervolume(PointSet{{}, 2}, reference), 0.0);
  EXPECT_EQ(hypervolume(PointSet{{1.0, 0.0, 0.0, 1.0, 2.0, -5.0}, 2}, reference), 0.0);
  const PointSet twice{{0.5, 0.5, 0.5, 0.5}, 2};
  EXPECT_EQ(hypervolume(twice, reference), 0.25);
  EXPECT_EQ(hypervolume_contributions(twice, reference), (std::vector<double>{0.0, 0.0}));
}

TEST(Hypervolume, DoesNotDependOnTheOrder) {
  for (std::size_t k = 2; k <= 6; ++k) {
    PointSet set = sphere(k, 60);
    const std::vector<double> reference(k, 1.1);
    const double value = hypervolume(set, reference);
    for (std::size_t i = 0; i < 30; ++i) {
      std::swap_ranges(set.values.begin() + static_cast<std::ptrdiff_t>(i * k),
                       set.values.begin() + static_cast<std::ptrdiff_t>((i + 1) * k),
                       set.values.begin() + static_cast<std::ptrdiff_t>((59 - i) * k));
    }
    EXPECT_NEAR(hypervolume(set, reference), value, 1e-12 * value);
  }
}

TEST(Hypervolume, ContributionsAreDifferences) {
  for (std::size_t k = 2; k <= 5; ++k) {
    PointSet set = sphere(k, 25);
    // A point that hides behind another one takes part of its share away.
    std::vector<double> behind(set[3].begin(), set[3].end());
    for (double& v : behind) v += 0.02;
    set.push(behind);
    const std::vector<double> reference(k, 1.1);
    const double whole = hypervolume(set, reference);
    const auto shares = hypervolume_contributions(set, reference);
    for (std::size_t i = 0; i < set.size(); ++i) {
      PointSet rest = set;
      rest.values.erase(rest.values.begin() + static_cast<std::ptrdiff_t>(i * k),
                        rest.values.begin() + static_cast<std::ptrdiff_t>((i + 1) * k));
      const double expected = whole - hypervolume(rest, reference);
      EXPECT_NEAR(shares[i], expected, 1e-13) << k << " " << i;
      EXPECT_NEAR(exclusive_hypervolume(set, reference, i), expected, 1e-13);
    }
  }
}

TEST(Hypervolume, RanksGiveTheSameBits) {
  const auto comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  for (std::size_t k = 3; k <= 6; ++k) {
    const PointSet set = sphere(k, 80);
    const std::vector<double> reference(k, 1.1);
    EXPECT_EQ(hypervolume(comm, set, reference), hypervolume(set, reference));
  }
  auto copy = comm;
  copy.close();
}

TEST(Hypervolume, MonteCarloIsWithinFourStandardErrors) {
  const PointSet set = sphere(5, 40);
  const std::vector<double> reference(5, 1.1);
  const Estimate estimate = estimate_hypervolume(set, reference, 20000, 3);
  EXPECT_GT(estimate.standard_error, 0.0);
  EXPECT_LT(std::abs(estimate.value - hypervolume(set, reference)), 4.0 * estimate.standard_error);
}

TEST(Hypervolume, FrontsOfTheSharedData) {
  struct Case {
    const char* file;
    std::vector<double> reference;
    double value;
  };
  // Values of data/README.md; DTLZ2 has 10000 points.
  const std::vector<Case> cases{{"ZDT1.csv", {1.1, 1.1}, 0.876160124875},
                                {"DTLZ2.3D.csv", {1.1, 1.1, 1.1}, 0.797564135748},
                                {"DTLZ7.3D.csv", {1.1, 1.1, 6.6}, 2.66387492800}};
  for (const auto& c : cases) {
    std::ifstream in(data + "fronts/" + c.file);
    if (!in) GTEST_SKIP() << "no file " << data << "fronts/" << c.file;
    PointSet set{{}, c.reference.size()};
    std::string text;
    while (std::getline(in, text)) {
      std::replace(text.begin(), text.end(), ',', ' ');
      std::istringstream line(text);
      for (double v = 0.0; line >> v;) set.values.push_back(v);
    }
    EXPECT_NEAR(hypervolume(set, c.reference), c.value, 2e-12 * c.value) << c.file;
  }
}

TEST(Hypervolume, ExclusiveCasesOfTheSharedData) {
  for (const char* name : {"e_max_d2", "e_max_d3", "e_max_d5"}) {
    std::ifstream in(data + "hypervolume/" + name);
    if (!in) GTEST_SKIP() << "no file " << data << "hypervolume/" << name;
    int cases = 0;
    in >> cases;
    for (int c = 0; c < cases; ++c) {
      std::size_t k = 0;
      std::size_t n = 0;
      std::size_t index = 0;
      double expected = 0.0;
      in >> k >> n;
      std::vector<double> reference(k);
      for (double& v : reference) in >> v;
      PointSet set{std::vector<double>(n * k), k};
      for (double& v : set.values) in >> v;
      in >> index >> expected;
      EXPECT_NEAR(exclusive_hypervolume(set, reference, index), expected, 1e-10 * (1.0 + expected))
          << name << " case " << c;
      EXPECT_NEAR(hypervolume_contributions(set, reference)[index], expected,
                  1e-10 * (1.0 + expected));
    }
  }
}

TEST(Hypervolume, BadInputIsExplained) {
  const std::vector<double> one{1.0};
  const std::vector<double> two{1.0, 1.0};
  EXPECT_THROW((void)hypervolume(PointSet{{0.5}, 1}, one), ConfigurationError);
  EXPECT_THROW((void)hypervolume(PointSet{{0.5, 0.5, 0.5}, 3}, two), ConfigurationError);
  EXPECT_THROW((void)hypervolume(PointSet{{0.5, NAN}, 2}, two), ConfigurationError);
  EXPECT_THROW((void)exclusive_hypervolume(PointSet{{0.5, 0.5}, 2}, two, 1), ConfigurationError);
  EXPECT_THROW((void)hypervolume(sphere(33, 2), std::vector<double>(33, 1.1)), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::pareto
