#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/pareto/indicators.hpp>
#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/dtlz.hpp>
#include <equipoise/problems/pareto/re.hpp>
#include <equipoise/problems/pareto/uf.hpp>
#include <equipoise/problems/pareto/wfg.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numbers>
#include <sstream>
#include <string>
#include <vector>

namespace equipoise::problems {
namespace {

using std::numbers::pi;
const std::string data = EQUIPOISE_SOURCE_DIR "/../shared/data/multiobjective/";

template <class P>
std::vector<double> value(const P& problem, const std::vector<double>& x) {
  std::vector<double> f(static_cast<std::size_t>(problem.objectives()));
  problem.evaluate(x, f);
  return f;
}

pareto::PointSet read_points(const std::string& path, std::size_t k) {
  std::ifstream in(path);
  pareto::PointSet set{{}, k};
  for (std::string text; std::getline(in, text);) {
    std::replace(text.begin(), text.end(), ',', ' ');
    if (!text.empty() && text[0] == '#') continue;
    std::istringstream line(text);
    for (double v = 0.0; line >> v;) set.values.push_back(v);
  }
  return set;
}

TEST(Zdt, FrontIsReachedAtZeroDistance) {
  for (const double a : {0.0, 0.1, 0.37, 0.9, 1.0}) {
    std::vector<double> x(30, 0.0);
    x[0] = a;
    EXPECT_NEAR(value(Zdt{1, 0}, x)[1], 1.0 - std::sqrt(a), 1e-15);
    EXPECT_NEAR(value(Zdt{2, 0}, x)[1], 1.0 - a * a, 1e-15);
    EXPECT_NEAR(value(Zdt{3, 0}, x)[1], 1.0 - std::sqrt(a) - a * std::sin(10.0 * pi * a), 1e-15);
    x.resize(10);
    EXPECT_NEAR(value(Zdt{4, 0}, x)[1], 1.0 - std::sqrt(a), 1e-13);
    const auto f = value(Zdt{6, 0}, x);
    EXPECT_NEAR(f[1], 1.0 - f[0] * f[0], 1e-15);
  }
  // Off the front: g = 1 + 9 * 0.5 for ZDT1 at the middle of the box.
  EXPECT_NEAR(value(Zdt{1, 0}, std::vector<double>(30, 0.5))[1], 5.5 * (1.0 - std::sqrt(0.5 / 5.5)),
              1e-14);
}

TEST(Dtlz, FrontsAreSimplexAndSphere) {
  for (std::int64_t k = 2; k <= 5; ++k) {
    for (std::int64_t number = 1; number <= 4; ++number) {
      const Dtlz problem{number, k, 0};
      std::vector<double> x(static_cast<std::size_t>(problem.dimension()), 0.5);
      for (std::size_t i = 0; i + 1 < static_cast<std::size_t>(k); ++i)
        x[i] = 0.3 + 0.1 * static_cast<double>(i);
      const auto f = value(problem, x);
      double sum = 0.0;
      double square = 0.0;
      for (const double v : f) {
        sum += v;
        square += v * v;
      }
      EXPECT_NEAR(number == 1 ? sum : std::sqrt(square), number == 1 ? 0.5 : 1.0, 1e-12) << number;
    }
  }
  // DTLZ7 at zero distance: g = 1, f_3 = 2 (3 - sum f_i / 2 (1 + sin 3 pi f_i)).
  std::vector<double> x(22, 0.0);
  x[0] = 0.25;
  x[1] = 0.8;
  const double h = 3.0 - 0.125 * (1.0 + std::sin(0.75 * pi)) - 0.4 * (1.0 + std::sin(2.4 * pi));
  EXPECT_NEAR(value(Dtlz{7, 3, 0}, x)[2], 2.0 * h, 1e-14);
}

TEST(Wfg, OptimalDistancesLieOnTheFront) {
  for (const std::int64_t k : {2, 3}) {
    for (std::int64_t number = 4; number <= 7; ++number) {
      const Wfg problem{number, k, 20};
      const auto n = static_cast<std::size_t>(problem.dimension());
      std::vector<double> z(n);
      for (std::size_t i = 0; i < n; ++i) {
        const double y = i < static_cast<std::size_t>(problem.position())
                             ? 0.2 + 0.1 * static_cast<double>(i)
                             : 0.35;
        z[i] = 2.0 * static_cast<double>(i + 1) * y;
      }
      const auto f = value(problem, z);
      double ellipse = 0.0;
      for (std::size_t m = 0; m < f.size(); ++m)
        ellipse += std::pow(f[m] / (2.0 * static_cast<double>(m + 1)), 2);
      EXPECT_NEAR(ellipse, 1.0, 1e-12) << "WFG" << number << " " << k;
      z.back() *= 1.5;
      const auto g = value(problem, z);
      double outside = 0.0;
      for (std::size_t m = 0; m < g.size(); ++m) {
        outside += std::pow(g[m] / (2.0 * static_cast<double>(m + 1)), 2);
      }
      EXPECT_GT(outside, 1.0 + 1e-6) << "WFG" << number;
    }
    // WFG3 lies on the plane sum f_m / (2m) = 1.
    for (const std::int64_t number : {1, 2, 3}) {
      const Wfg problem{number, k, 20};
      const auto n = static_cast<std::size_t>(problem.dimension());
      std::vector<double> z(n);
      for (std::size_t i = 0; i < n; ++i) {
        z[i] = 2.0 * static_cast<double>(i + 1) *
               (i < static_cast<std::size_t>(problem.position()) ? 0.4 : 0.35);
      }
      const auto f = value(problem, z);
      double plane = 0.0;
      for (std::size_t m = 0; m < f.size(); ++m) plane += f[m] / (2.0 * static_cast<double>(m + 1));
      if (number == 3) {
        EXPECT_NEAR(plane, 1.0, 1e-12);
      }
      EXPECT_LT(plane, static_cast<double>(k));
    }
  }
}

TEST(Wfg, NothingIsBetterThanTheFrontOfTheSharedData) {
  const auto front = read_points(data + "fronts/WFG4.2D.csv", 2);
  if (front.size() == 0) GTEST_SKIP() << "no file " << data << "fronts/WFG4.2D.csv";
  EXPECT_EQ(front.size(), 1326U);
  const Wfg problem{4, 2, 20};
  std::vector<double> z(22);
  for (std::int64_t s = 0; s < 200; ++s) {
    const parallel::Draw draw(1, parallel::Purpose::problem, s);
    for (std::size_t i = 0; i < z.size(); ++i)
      z[i] = 2.0 * static_cast<double>(i + 1) * draw.uniform(i);
    const auto f = value(problem, z);
    for (std::size_t i = 0; i < front.size(); ++i) {
      const std::vector<double> moved{front[i][0] - 1e-6, front[i][1] - 1e-6};
      EXPECT_FALSE(pareto::dominates(f, moved));
    }
  }
}

TEST(Uf, ParetoSetsGiveTheFronts) {
  for (std::int64_t number = 1; number <= 10; ++number) {
    const Uf problem{number, 30};
    std::vector<double> x(30);
    x[0] = 0.25;
    x[1] = 0.6;
    const std::size_t first = number <= 7 ? 2 : 3;
    for (std::size_t j = first; j <= 30; ++j) {
      const double p = static_cast<double>(j);
      const double wave = 6.0 * pi * x[0] + p * pi / 30.0;
      double& v = x[j - 1];
      if (number == 2) {
        v = (0.3 * 0.0625 * std::cos(24.0 * pi * 0.25 + 4.0 * p * pi / 30.0) + 0.15) *
            (j % 2 == 1 ? std::cos(wave) : std::sin(wave));
      } else if (number == 3) {
        v = std::pow(0.25, 0.5 * (1.0 + 3.0 * (p - 2.0) / 28.0));
      } else if (number >= 8) {
        v = 2.0 * x[1] * std::sin(2.0 * pi * x[0] + p * pi / 30.0);
      } else {
        v = std::sin(wave);
      }
    }
    const auto f = value(problem, x);
    if (number <= 3) {
      EXPECT_NEAR(f[1], 1.0 - std::sqrt(f[0]), 1e-12) << number;
    }
    if (number == 4) {
      EXPECT_NEAR(f[1], 1.0 - f[0] * f[0], 1e-12);
    }
    if (number == 5 || number == 6) {
      const double bump = number == 5 ? 0.15 * std::abs(std::sin(20.0 * pi * 0.25)) : 0.0;
      EXPECT_NEAR(f[0] + f[1], 1.0 + 2.0 * bump, 1e-12) << number;
    }
    if (number == 7) {
      EXPECT_NEAR(f[0] + f[1], 1.0, 1e-12);
    }
    if (number == 8 || number == 10) {
      EXPECT_NEAR(f[0] * f[0] + f[1] * f[1] + f[2] * f[2], 1.0, 1e-12);
    }
    if (number == 9) {
      EXPECT_NEAR(f[0] + f[1] + f[2], 1.0 + 0.6 * std::max(0.0, 1.1 * (1.0 - 4.0 * 0.25)), 1e-12);
    }
    x[9] += 0.1;
    const auto g = value(problem, x);
    double sum = 0.0;
    for (std::size_t m = 0; m < f.size(); ++m) sum += g[m] - f[m];
    EXPECT_GT(sum, 1e-4) << number;
  }
}

TEST(Re, ReferenceFrontsOfTheSharedData) {
  struct Case {
    std::int64_t number;
    std::size_t points;
    double volume;  // data/README.md
  };
  const std::vector<Case> cases{{21, 1000, 0.8885553882},
                                {24, 1000, 1.1712564344},
                                {31, 1500, 1.3309988287},
                                {33, 1500, 1.0143137405},
                                {37, 1500, 0.8471959082}};
  for (const auto& c : cases) {
    const Re problem{c.number};
    const auto k = static_cast<std::size_t>(problem.objectives());
    const auto front =
        read_points(data + "reproblems/reference_points_RE" + std::to_string(c.number) + ".dat", k);
    if (front.size() == 0) GTEST_SKIP() << "no reference points in " << data << "reproblems";
    EXPECT_EQ(front.size(), c.points);
    const auto y = problem.yardstick();
    EXPECT_NEAR(pareto::hypervolume(pareto::normalized(front, y.scale), y.reference), c.volume,
                1e-9);
    // Our evaluation must reach that front and must not pass it by more than its resolution.
    const pareto::ProblemView view(problem);
    pareto::IslandOptions options;
    options.evaluations = 10000;
    pareto::Islands islands(parallel::Comm(), view, "hypervolume", {}, options, 3);
    while (!islands.report().finished) islands.step();
    const auto found = islands.front();
    const double share =
        pareto::hypervolume(pareto::normalized(found.values(), y.scale), y.reference) / c.volume;
    EXPECT_GT(share, 0.97) << "RE" << c.number;
    EXPECT_LT(share, 1.01) << "RE" << c.number;
  }
}

}  // namespace
}  // namespace equipoise::problems
