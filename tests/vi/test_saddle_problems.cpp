#include "support.hpp"

#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/dataset.hpp>
#include <equipoise/problems/vi/adversarial_digits.hpp>
#include <equipoise/problems/vi/matching.hpp>
#include <equipoise/problems/vi/robust_classification.hpp>
#include <equipoise/problems/vi/robust_regression.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

// Quadratic, constrained and non-linear games, robust classification, matching, digits.
namespace equipoise::vi {
namespace {

using partition::SparseRows;
using problems::AdversarialDigits;
using problems::AdversarialDigitsOptions;
using problems::MatchingGame;
using problems::RobustClassification;
using problems::RobustClassificationOptions;

Vector random_vector(std::size_t n, std::int64_t key) {
  const parallel::Draw draw(77, parallel::Purpose::problem, key);
  Vector v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = draw.normal(i);
  return v;
}

/// sum_m w_m F_m(z) of a problem that holds all its agents.
template <class P>
Vector mean_operator(const P& problem, const Vector& z) {
  const ProblemView view(problem);
  Vector value(z.size()), sum(z.size(), 0.0);
  for (std::int64_t m = 0; m < view.agents(); ++m) {
    view.apply(m, z, value);
    for (std::size_t i = 0; i < z.size(); ++i) sum[i] += view.weight(m) * value[i];
  }
  return sum;
}

/// norm(z - prox(z - F(z))), by sums that share nothing with the methods.
template <class P>
double plain_residual(const P& problem, const Vector& z) {
  const Vector value = mean_operator(problem, z);
  Vector moved(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) moved[i] = z[i] - value[i];
  ProblemView(problem).prox(1.0, {0, std::ssize(z)}, moved);
  double sum = 0.0;
  for (std::size_t i = 0; i < z.size(); ++i) sum += (z[i] - moved[i]) * (z[i] - moved[i]);
  return std::sqrt(sum);
}

/// The solution that a method finds, with its residual checked.
template <class P>
Vector solve_alone(const P& problem, const char* name, double tolerance,
                   const std::vector<const char*>& options = {}) {
  auto config = config_of(options);
  auto setting = setting_of(Comm());
  setting.tolerance = tolerance;
  const auto method = make_method(name, setting, ProblemView(problem), config);
  solve::StopOptions stop;
  stop.tolerance = tolerance;
  stop.max_iterations = 50'000;
  const auto summary = solve::run(Comm(), *method, stop, {}, {}, {true, {}});
  EXPECT_EQ(summary.stop, solve::Stop::converged) << name << " " << summary.residual;
  struct Solution final : state::Stateful {
    solve::Method* of = nullptr;
    void fields(state::FieldVisitor& visit) override { of->solution(visit); }
  } solution;
  solution.of = method.get();
  return field(solution, "z");
}

TEST(QuadraticGame, ItsBlocksAreTheDerivativesOfAConvexConcaveFunction) {
  GameOptions options = small_game(8, 3);
  options.curvature = 2.0;
  options.heterogeneity = 0.5;
  const DenseGame game(options, {0, 3});
  const Vector zero(8, 0.0);
  for (std::int64_t m = 0; m < 3; ++m) {
    Vector shift(8), value(8);
    game.apply(m, zero, shift);
    double jacobian[8][8];
    for (std::size_t j = 0; j < 8; ++j) {
      Vector unit(8, 0.0);
      unit[j] = 1.0;
      game.apply(m, unit, value);
      for (std::size_t i = 0; i < 8; ++i) jacobian[i][j] = value[i] - shift[i];
    }
    // Own blocks symmetric, couplings opposite: then F = (f_x, -f_y).
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t j = 0; j < 8; ++j) {
        const double sign = (i < 4) == (j < 4) ? 1.0 : -1.0;
        EXPECT_NEAR(jacobian[i][j], sign * jacobian[j][i], 1e-12);
      }
    }
    for (std::int64_t key = 0; key < 5; ++key) {
      const Vector v = random_vector(8, key);
      game.apply(m, v, value);
      double product = 0.0, square = 0.0;
      for (std::size_t i = 0; i < 8; ++i) {
        product += v[i] * (value[i] - shift[i]);
        square += v[i] * v[i];
      }
      EXPECT_GT(product, options.strong_monotonicity * square);
      // norm(S + h S_m) <= 1 + h.
      EXPECT_LE(product, (options.strong_monotonicity + 3.0) * square);
    }
  }
  Vector solution(8);
  EXPECT_TRUE(game.solution(solution));
  for (const double f : mean_operator(game, solution)) EXPECT_NEAR(f, 0.0, 1e-10);
}

TEST(QuadraticGame, WithoutCurvatureNothingChanges) {
  const DenseGame plain(small_game(), {0, 5});
  GameOptions options = small_game();
  options.curvature = 1e-300;
  const DenseGame curved(options, {0, 5});
  const Vector z = random_vector(30, 1);
  EXPECT_TRUE(same_bits(mean_operator(plain, z), mean_operator(curved, z)));
}

TEST(QuadraticGame, BoxedAndNonlinearGamesAreSolvedByEveryKindOfMethod) {
  GameOptions options = small_game(20, 5);
  options.heterogeneity = 0.3;
  options.curvature = 1.0;
  options.nonlinear = 3.0;
  const DenseGame nonlinear(options, {0, 5});
  Vector unknown(20);
  EXPECT_FALSE(nonlinear.solution(unknown));
  options.radius = 0.1;
  const problems::BoxedGame boxed(options, {0, 5});
  for (const char* name : {"auto", "extragradient", "masha1", "svogs", "proxskip"}) {
    const Vector z = solve_alone(nonlinear, name, 1e-7);
    EXPECT_LE(plain_residual(nonlinear, z), 1e-5) << name;
    const Vector inside = solve_alone(boxed, name, 1e-7);
    EXPECT_LE(plain_residual(boxed, inside), 1e-5) << name;
    EXPECT_EQ(*std::max_element(inside.begin(), inside.end()), 0.1) << name;
  }
}

/// Rows with five features and labels 3 and 7, sharded over agents.
partition::DistributedDataset classification_rows(const Comm& comm, std::int64_t agents) {
  constexpr std::int64_t rows = 23;
  const auto mine = Partition::uniform(rows, comm.size()).range(comm.rank());
  SparseRows local;
  local.first = mine.begin;
  for (std::int64_t r = mine.begin; r < mine.end; ++r) {
    const Vector a = random_vector(6, 100 + r);
    const std::vector<std::int32_t> index = {0, 2, static_cast<std::int32_t>(3 + r % 2)};
    local.append(a[5] + a[0] > 0.0 ? 7.0 : 3.0, index, std::vector<double>{a[0], a[1], a[2]});
  }
  auto data = partition::distribute(comm, local, Partition::uniform(agents, comm.size()), 5);
  problems::make_labels_binary(comm, data, "test");
  return data;
}

RobustClassification classification(const Comm& comm, std::int64_t agents, std::int64_t groups,
                                    double lambda = 0.4) {
  RobustClassificationOptions options;
  options.groups = groups;
  options.lambda = lambda;
  options.regularisation = 0.2;
  return {classification_rows(comm, agents), options, "synthetic"};
}

/// f(x, q) in full, row by row.
double saddle_value(const partition::DistributedDataset& data, std::int64_t groups, double lambda,
                    const Vector& z) {
  const auto cut = Partition::uniform(23, static_cast<int>(groups));
  const double root = std::sqrt(static_cast<double>(groups));
  double value = 0.0;
  for (const SparseRows& shard : data.shards) {
    for (std::int64_t r = 0; r < shard.rows(); ++r) {
      double product = 0.0;
      for (std::size_t k = 0; k < 3; ++k) {
        product += shard.row_values(r)[k] * z[static_cast<std::size_t>(shard.row_index(r)[k])];
      }
      const int g = cut.owner(shard.first + r);
      const double loss = std::log1p(std::exp(-shard.labels[std::size_t(r)] * product));
      value += z[5 + std::size_t(g)] / root * loss / static_cast<double>(cut.range(g).size());
    }
  }
  for (std::size_t j = 0; j < 5; ++j) value += 0.1 * z[j] * z[j];
  for (std::size_t g = 5; g < z.size(); ++g) {
    value -= 0.5 * lambda * (z[g] - 1.0 / root) * (z[g] - 1.0 / root);
  }
  return value;
}

TEST(RobustClassificationProblem, ItsOperatorIsTheDerivativeOfTheSaddleFunction) {
  for (const std::int64_t groups : {1, 4, 23}) {
    const auto data = classification_rows(Comm(), 5);
    const RobustClassification problem = classification(Comm(), 5, groups);
    Vector z = random_vector(std::size_t(5 + groups), 3);
    for (std::size_t g = 5; g < z.size(); ++g) z[g] = std::fabs(z[g]);
    const Vector value = mean_operator(problem, z);
    for (std::size_t i = 0; i < z.size(); ++i) {
      Vector up = z, down = z;
      up[i] += 1e-5;
      down[i] -= 1e-5;
      const double slope =
          (saddle_value(data, groups, 0.4, up) - saddle_value(data, groups, 0.4, down)) / 2e-5;
      EXPECT_NEAR(value[i], i < 5 ? slope : -slope, 1e-9) << groups << " " << i;
    }
  }
}

TEST(RobustClassificationProblem, AFullBatchIsTheWholeOperator) {
  const RobustClassification problem = classification(Comm(), 3, 4);
  const Vector z = random_vector(9, 5);
  for (std::int64_t m = 0; m < 3; ++m) {
    Vector whole(9), batch(9);
    problem.apply(m, z, whole);
    std::vector<std::int64_t> all(std::size_t(problem.samples(m)));
    std::iota(all.begin(), all.end(), 0);
    problem.apply_batch(m, z, all, batch);
    EXPECT_TRUE(same_bits(whole, batch));
  }
}

// max over q has a closed form, a projection; so x solves the minimisation of phi(x) = max_q f(x,
// q), found here by plain gradient descent (Danskin), which shares nothing with the methods.
TEST(RobustClassificationProblem, SolutionMinimisesTheWorstCase) {
  constexpr std::int64_t groups = 4;
  const RobustClassification problem = classification(Comm(), 5, groups);
  const Vector z = solve_alone(problem, "auto", 1e-9);
  Vector reference(9, 0.0);
  problem.start(reference);
  for (int k = 0; k < 4000; ++k) {
    // q = the projection of q - F_q / lambda at any q: F_q is linear in q with slope lambda.
    Vector value = mean_operator(problem, reference);
    for (std::size_t g = 5; g < 9; ++g) reference[g] -= value[g] / 0.4;
    problem.prox(1.0, reference);
    value = mean_operator(problem, reference);
    for (std::size_t i = 0; i < 5; ++i) reference[i] -= 0.5 * value[i];
  }
  for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(z[i], reference[i], 1e-7);
  EXPECT_GT(*std::max_element(z.begin() + 5, z.end()), 0.55);  // weights are far from equal
}

TEST(RobustClassificationProblem, AStiffPenaltyGivesPlainLogisticRegression) {
  // The weights move from 1/G in proportion to 1/lambda, and x with them.
  const Vector plain = solve_alone(classification(Comm(), 5, 1), "auto", 1e-10);
  const auto largest = [&](double lambda) {
    const Vector stiff = solve_alone(classification(Comm(), 5, 23, lambda), "auto", 1e-10);
    double error = 0.0;
    for (std::size_t i = 0; i < 5; ++i) error = std::max(error, std::fabs(stiff[i] - plain[i]));
    return error;
  };
  const double error = largest(100.0);
  EXPECT_LT(error, 0.01);
  EXPECT_NEAR(largest(50.0) / error, 2.0, 0.1);
}

TEST(RobustClassificationProblem, SameBitsAndRefusals) {
  Vector reference;
  const auto play = [&](const Comm& comm) {
    const RobustClassification problem = classification(comm, 5, 7);
    auto config = config_of({});
    const auto method = make_method("auto", setting_of(comm), ProblemView(problem), config);
    for (int k = 0; k < 20; ++k) method->step();
    return field(*method, "z");
  };
  reference = play(Comm());
  on_every_size([&](const Comm& comm) { EXPECT_TRUE(same_bits(play(comm), reference)); });
  EXPECT_THROW(classification(Comm(), 5, 24), ConfigurationError);
  auto data = classification_rows(Comm(), 2);
  data.shards[1].labels[0] = 0.5;
  EXPECT_THROW(problems::make_labels_binary(Comm(), data, "x"), InputError);
}

TEST(BallRegressionProblem, BoundsTheNormAndMatchesTheFreeProblemWhereItDoesNotBind) {
  const auto make = [](double radius) {
    auto data = classification_rows(Comm(), 5);
    SparseRows first = data.shards[0];
    return problems::BallRegression(
        problems::RobustRegression(std::move(data), std::move(first), {}, "synthetic"), radius);
  };
  const auto narrow = make(0.2);
  const auto norm1 = [](const Vector& z) {
    double sum = 0.0;
    for (std::size_t i = 0; i < 5; ++i) sum += std::fabs(z[i]);
    return sum;
  };
  for (const char* name : {"auto", "extragradient", "masha1", "three-pillars"}) {
    const Vector z = solve_alone(narrow, name, 1e-9);
    EXPECT_NEAR(norm1(z), 0.2, 1e-12) << name;
    EXPECT_LE(plain_residual(narrow, z), 1e-8) << name;
  }
  const auto wide = make(100.0);
  const Vector free_solution =
      solve_alone(static_cast<const problems::RobustRegression&>(wide), "extragradient", 1e-10);
  const Vector z = solve_alone(wide, "extragradient", 1e-10);
  EXPECT_GT(norm1(z), 0.2);
  for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(z[i], free_solution[i], 1e-8);
  auto config = config_of({});
  EXPECT_THROW(make_method("masha2", setting_of(Comm()), ProblemView(narrow), config),
               ConfigurationError);
}

TEST(Matching, TheGivenWeightsSolveIt) {
  problems::MatchingOptions options;
  options.agents = 7;
  const MatchingGame game(options, {0, 7});
  Vector exact(std::size_t(game.dimension()));
  EXPECT_TRUE(game.solution(exact));
  EXPECT_NEAR(std::accumulate(exact.begin(), exact.end(), 0.0), 1.0, 1e-14);
  for (const double f : mean_operator(game, exact)) EXPECT_NEAR(f, 0.0, 1e-14);
  EXPECT_LE(plain_residual(game, exact), 1e-14);
  for (const char* name : {"auto", "masha1", "cogs"}) {
    const Vector z = solve_alone(game, name, 1e-9);
    for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(z[i], exact[i], 1e-5) << name;
  }
}

// On a line W1 is the area between the cumulated distributions; two points a distance of 1 apart
// move the mass that differs.
TEST(Matching, TheCertificateIsTheWassersteinDistance) {
  problems::MatchingOptions options;
  options.agents = 1;
  options.points = 2;
  options.components = 1;
  options.heterogeneity = 0.0;
  EXPECT_EQ(MatchingGame(options, {0, 1}).check(Vector{1.0, 0.0})[0].second, "0");
  options.points = 60;
  options.components = 2;
  const MatchingGame game(options, {0, 1});
  Vector exact(61);
  game.solution(exact);
  const auto distance = [&](double first) {
    Vector z(61, 0.0);
    z[0] = first;
    z[1] = 1.0 - first;
    return std::stod(game.check(z)[0].second);
  };
  // Two mirrored bumps: W1 between mixtures is the difference of weights times the distance of
  // their means, and twice as much for twice the difference.
  const double unit = distance(exact[0] + 0.1);
  EXPECT_GT(unit, 0.03);
  EXPECT_LT(unit, 0.06);
  EXPECT_NEAR(distance(exact[0] - 0.2), 2.0 * unit, 1e-5);
  // The inner maximum over slopes at their bounds, sum s |difference|, is what the critic's F says.
  Vector z(61, 0.0);
  z[0] = exact[0] + 0.1;
  z[1] = exact[1] - 0.1;
  Vector value(61);
  game.apply(0, z, value);
  double best = 0.0;
  for (std::size_t i = 2; i < 61; ++i) best += std::sqrt(1.0 / 59.0) * std::fabs(value[i]);
  EXPECT_NEAR(best, unit, 1e-6);
}

AdversarialDigits digits(std::int64_t agents, partition::Range hosted, double radius) {
  AdversarialDigitsOptions options;
  options.hidden = 12;
  options.radius = radius;
  options.train = 161;
  const auto shards = Partition::uniform(options.train, static_cast<int>(agents));
  std::vector<problems::Images> train;
  for (std::int64_t m = hosted.begin; m < hosted.end; ++m) {
    const auto range = shards.range(static_cast<int>(m));
    train.push_back(problems::generate_images(1, range.begin, range.size(), 6));
  }
  auto test = std::make_shared<const problems::Images>(problems::generate_images(2, 0, 300, 6));
  return {options, shards, hosted, std::move(train), test, 0};
}

// With the signs of the attack fixed, the operator is the derivative of the attacked loss.
TEST(Digits, OperatorIsTheDerivativeOfTheAttackedLoss) {
  for (const double radius : {0.0, 0.03}) {
    const AdversarialDigits problem = digits(3, {0, 3}, radius);
    Vector z(std::size_t(problem.dimension()));
    problem.start(z);
    Vector value(z.size());
    problem.apply(1, z, value);
    const Vector v = random_vector(z.size(), 8);
    double product = 0.0;
    for (std::size_t i = 0; i < z.size(); ++i) product += v[i] * value[i];
    const auto at = [&](double t) {
      Vector moved = z;
      for (std::size_t i = 0; i < z.size(); ++i) moved[i] += t * v[i];
      return problem.loss(1, moved);
    };
    EXPECT_NEAR((at(1e-6) - at(-1e-6)) / 2e-6, product, 1e-4 * (1.0 + std::fabs(product)))
        << radius;
  }
}

TEST(Digits, AgentsOfAnyNumberMakeTheSameProblem) {
  Vector z(std::size_t(digits(1, {0, 1}, 0.1).dimension()));
  digits(1, {0, 1}, 0.1).start(z);
  const Vector one = mean_operator(digits(1, {0, 1}, 0.1), z);
  const Vector four = mean_operator(digits(4, {0, 4}, 0.1), z);
  for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(one[i], four[i], 1e-12);
}

TEST(Digits, CompressedTrainingIsAsRobustAsDense) {
  const auto accuracy = [](const std::vector<const char*>& options, std::int64_t* sent,
                           const Comm& comm) {
    const AdversarialDigits problem =
        digits(4, Partition::uniform(4, comm.size()).range(comm.rank()), 0.05);
    auto config = config_of(options);
    const auto method = make_method("sgda", setting_of(comm), ProblemView(problem), config);
    while (!method->report().finished) method->step();
    *sent = method->traffic().uplink_per_agent;
    return std::pair(std::stod(problem.check(field(*method, "z"))[0].second), field(*method, "z"));
  };
  std::int64_t dense = 0, compressed = 0;
  const auto all = accuracy({"method.horizon=300", "method.codec=identity"}, &dense, Comm());
  const std::vector<const char*> sparse = {"method.horizon=300", "method.codec=topk:0.05",
                                           "method.server_codec=topk:0.1"};
  const auto few = accuracy(sparse, &compressed, Comm());
  EXPECT_GT(all.first, 0.8);
  EXPECT_GT(few.first, all.first - 0.03);
  EXPECT_LE(10 * compressed, dense);
  on_every_size([&](const Comm& comm) {
    EXPECT_TRUE(same_bits(accuracy(sparse, &compressed, comm).second, few.second));
  });
}

}  // namespace
}  // namespace equipoise::vi
