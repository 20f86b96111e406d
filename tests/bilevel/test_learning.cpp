// Problems of learning: digits (softmax and networks), total variation, ranking, support vectors.
#include <equipoise/bilevel/check.hpp>
#include <equipoise/bilevel/implicit.hpp>
#include <equipoise/bilevel/lvhba.hpp>
#include <equipoise/bilevel/maid.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/denoising.hpp>
#include <equipoise/problems/bilevel/multinomial.hpp>
#include <equipoise/problems/bilevel/network.hpp>
#include <equipoise/problems/bilevel/ranking.hpp>
#include <equipoise/problems/bilevel/svm.hpp>

#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>

namespace {

using namespace equipoise;
using bilevel::In;
using bilevel::Out;

parallel::Comm world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

std::vector<double> random(std::int64_t n, double scale, std::int64_t stream) {
  std::vector<double> out(static_cast<std::size_t>(n));
  const parallel::Draw draw(11, parallel::Purpose::problem, stream);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = scale * draw.normal(k);
  return out;
}

problems::ClassRows digits(std::int64_t rows, std::int64_t dimension, std::int64_t stream) {
  problems::ClassRows out;
  out.dimension = dimension;
  for (const double value : random(rows * dimension, 1.0, stream))
    out.features.push_back(static_cast<float>(value));
  for (std::int64_t r = 0; r < rows; ++r) out.labels.push_back(static_cast<std::int32_t>(r % 10));
  return out;
}

problems::DigitRows digit_rows() { return {digits(40, 7, 1), digits(30, 7, 2), digits(20, 7, 3)}; }

void expect_promises(bilevel::OracleView oracle, std::int64_t block, In x, In y, std::size_t least,
                     bool convex = true) {
  const auto checks = bilevel::check_oracle(oracle, block, x, y);
  EXPECT_GE(checks.size(), least);
  for (const auto& check : checks) {
    if (!convex && check.name.starts_with("curvature")) continue;
    EXPECT_TRUE(check.passed()) << check.name << " " << check.error;
  }
}

/// F and its gradient by implicit differentiation with accurate solves.
struct Evaluated {
  double value;
  std::vector<double> gradient;
  bilevel::Hypergradient report;
};
Evaluated evaluate(bilevel::OracleView oracle, const std::vector<double>& x) {
  const parallel::Comm alone;
  const bilevel::Blocks blocks(alone, oracle, 64);
  bilevel::CountedOracle counted(oracle);
  bilevel::Exchange exchange(blocks, oracle.dim_outer(), {});
  bilevel::Implicit implicit(blocks, counted, exchange, {});
  auto y = blocks.zeros(), q = blocks.zeros();
  for (std::int64_t i = 0; i < blocks.count(); ++i) oracle.start_inner(i, blocks.of(y, i));
  Evaluated out{0.0, std::vector<double>(x.size()), {}};
  out.report = implicit.gradient(x, y, q, 1e-12, 1e-12, out.gradient);
  out.value = out.report.value;
  return out;
}

/// The hypergradient along a direction against differences of F with every lower problem solved
/// anew.
void expect_hypergradient(bilevel::OracleView oracle, const std::vector<double>& x, double h,
                          double tolerance) {
  const auto at = evaluate(oracle, x);
  EXPECT_TRUE(at.report.reached);
  const auto u = random(std::ssize(x), 1.0, 77);
  auto up = x, down = x;
  bilevel::axpy(h, u, up);
  bilevel::axpy(-h, u, down);
  const double slope = (evaluate(oracle, up).value - evaluate(oracle, down).value) / (2.0 * h);
  const double along = bilevel::dot(at.gradient, u);
  EXPECT_NEAR(along, slope, tolerance * std::max(1e-6, std::abs(slope)));
}

TEST(Multinomial, KeepsItsPromisesAndItsHypergradient) {
  const problems::MultinomialSelection problem(digit_rows(), {});
  const bilevel::OracleView view(problem);
  const std::vector<double> x = random(70, 0.3, 5), y = random(70, 0.5, 6);
  expect_promises(view, 0, x, y, 20);
  expect_hypergradient(view, x, 1e-4, 1e-5);
  const auto at = evaluate(view, std::vector<double>(70, -2.0));
  EXPECT_TRUE(at.report.certified);
  // With enormous penalties the weights vanish and every class is as likely.
  EXPECT_NEAR(evaluate(view, std::vector<double>(70, 25.0)).value, std::log(10.0), 1e-6);
}

TEST(Network, KeepsItsPromises) {
  problems::NetworkOptions options;
  options.hidden = 4;
  const problems::DeepCleaning problem(problems::NetworkCleaning(digit_rows(), options, 3));
  const bilevel::OracleView view(problem);
  EXPECT_FALSE(view.lower_convex());
  std::vector<double> y(static_cast<std::size_t>(problem.dim_inner(0)));
  problem.start_inner(0, y);
  expect_promises(view, 0, random(40, 0.5, 8), y, 18, false);
  // A network whose first layer is 0 is the softmax of its last bias: the same loss for all rows.
  std::fill(y.begin(), y.end(), 0.0);
  EXPECT_NEAR(problem.f(0, {}, random(40, 1.0, 9), y), std::log(10.0), 1e-12);
}

/// specs, one-dimensional total variation: N = 64, 1 on 20..39, 1/2 on 50..63, with .1 sqrt2
/// cos(1.7 i + .9 i^2) added.
problems::Denoising line(double start) {
  problems::NoisyImage image;
  image.clean = {1, 64, {}};
  for (int i = 0; i < 64; ++i) {
    const double clean = i >= 20 && i < 40 ? 1.0 : i >= 50 ? 0.5 : 0.0;
    image.clean.levels.push_back(clean);
    image.seen.push_back(clean + 0.1 * std::sqrt(2.0) * std::cos(1.7 * i + 0.9 * i * i));
  }
  problems::DenoisingOptions options;
  options.blocks = 1;
  options.size = 8;
  options.start = start;
  return problems::Denoising(problems::TotalVariation({image}, options, {0, 1}));
}

TEST(Denoising, OneDimensionHasThePublishedFigures) {
  const auto problem = line(-5.0);
  const bilevel::OracleView view(problem);
  expect_promises(view, 0, std::vector<double>{-2.0, -1.0}, random(64, 1.0, 12), 14);
  const auto first = evaluate(view, {-5.0, -5.0});
  EXPECT_NEAR(first.value, .00460248600966, 1e-13);
  EXPECT_NEAR(first.gradient[0], -6.07641169e-4, 1e-11);
  EXPECT_NEAR(first.gradient[1], 3.05904e-6, 1e-10);
  EXPECT_TRUE(first.report.certified);
  const auto second = evaluate(view, {-2.0, -3.0});
  EXPECT_NEAR(second.value, .00255734657838, 1e-13);
  EXPECT_NEAR(second.gradient[0], 3.26646794e-4, 1e-11);
  EXPECT_NEAR(second.gradient[1], 3.57977134e-4, 1e-11);
}

// The minimum on the box, where th_2 is at its bound and F is flat along it.
TEST(Denoising, MaidReachesTheMinimumOnTheBox) {
  if (world().size() > 1) GTEST_SKIP() << "one block: one rank does all the work";
  for (const double start : {-5.0, -3.0, -2.0}) {
    const auto problem = line(start);
    bilevel::Maid maid({parallel::Comm(), bilevel::OracleView(problem)}, {});
    int steps = 0;
    while (steps < 300 && !maid.report().finished) {
      maid.step();
      ++steps;
    }
    EXPECT_NEAR(maid.report().objective, .00218365933402, 1e-8)
        << steps << " " << maid.report().message << " " << maid.outer()[0] << " " << maid.outer()[1]
        << " " << maid.report().residual;
  }
}

TEST(Denoising, ImagesAreDrawnReadAndCut) {
  problems::DenoisingOptions options;
  options.size = 10;
  options.blocks = 3;
  const auto all = problems::noisy_images(options, {0, 3}, 4);
  const auto last = problems::noisy_images(options, {2, 3}, 4);
  EXPECT_EQ(all[2].seen, last[0].seen);  // an image does not depend on who draws it
  EXPECT_NE(all[0].seen, all[1].seen);
  const problems::Denoising problem(problems::TotalVariation(all, options, {0, 3}));
  expect_hypergradient(bilevel::OracleView(problem), {-3.0, -2.0}, 1e-4, 1e-5);
  const std::string path =
      testing::TempDir() + "equipoise_png_" + std::to_string(world().rank()) + ".png";
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = 4;
  image.height = 3;
  image.format = PNG_FORMAT_GRAY;
  const std::vector<png_byte> bytes = {0, 51, 102, 153, 204, 255, 0, 1, 2, 3, 4, 5};
  png_image_write_to_file(&image, path.c_str(), 0, bytes.data(), 0, nullptr);
  const auto grey = formats::read_png(path);
  EXPECT_EQ(grey.rows, 3);
  EXPECT_EQ(grey.columns, 4);
  EXPECT_EQ(grey.levels[1], 0.2);
  EXPECT_EQ(grey.levels[5], 1.0);
  options.images = {path};
  EXPECT_THROW((void)problems::noisy_images(options, {0, 1}, 0), ConfigurationError);  // too small
  options.size = 2;
  EXPECT_EQ(problems::noisy_images(options, {0, 1}, 0)[0].clean.levels[0], 0.2);
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  std::fputs("not a picture", file);
  std::fclose(file);
  EXPECT_THROW((void)formats::read_png(path), InputError);
  std::filesystem::remove(path);
}

problems::RankingData rated(std::int64_t users, std::int64_t items) {
  problems::RankingData data;
  data.features = 3;
  for (std::int64_t u = 0; u < users; ++u) {
    problems::RatedItems one;
    one.features = random(items * 3, 1.0, 40 + u);
    for (std::int64_t j = 0; j < items; ++j) {
      // Mostly the first feature, with a wobble.
      const double liking = one.features[static_cast<std::size_t>(3 * j)] +
                            0.3 * std::sin(static_cast<double>(7 * j + u));
      one.gains.push_back(std::exp2(std::clamp(2.5 + 1.5 * liking, 0.0, 5.0)) - 1.0);
    }
    data.users.push_back(std::move(one));
  }
  return data;
}

TEST(Ranking, KeepsItsPromisesAndLearnsWhatRanks) {
  problems::RankingOptions options;
  options.top = 3;
  const problems::Ranking problem(rated(6, 15), options);
  const bilevel::OracleView view(problem);
  expect_promises(view, 1, random(3, 0.5, 13), random(1, 0.5, 14), 20);
  expect_hypergradient(view, random(3, 0.5, 15), 1e-5, 1e-5);
  // Scores by the true gains give NDCG 1; the threshold lets about K items through.
  bilevel::Maid maid({world(), view}, {});
  const auto mean_gain = [&](In x) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < 6; ++i) sum += problem.gain_at_top(i, x) / 6.0;
    return sum;
  };
  const double before = mean_gain(std::vector<double>{0.0, 0.0, 0.0});
  for (int k = 0; k < 30 && !maid.report().finished; ++k) maid.step();
  EXPECT_GE(mean_gain(maid.outer()), std::max(0.9, before + 0.1)) << before;
  EXPECT_GT(maid.outer()[0], 2.0 * std::abs(maid.outer()[1]));
  for (auto i = maid.blocks().owned().begin; i < maid.blocks().owned().end; ++i) {
    bilevel::Figures figures;
    problem.figures(i, maid.outer(), maid.blocks().of(maid.inner(), i), figures);
    EXPECT_NEAR(figures[1].second, 3.0, 2.0) << figures[1].first;
  }
  options.top = 15;
  EXPECT_THROW(problems::Ranking(rated(1, 15), options), ConfigurationError);
}

problems::LabelledRows two_classes(std::int64_t rows, std::int64_t features) {
  problems::LabelledRows out;
  out.features = features;
  const auto values = random(rows * features, 1.0, 60);
  const auto noise = random(rows, 1.0, 61);
  for (std::int64_t r = 0; r < rows; ++r) {
    double sum = 1.2 * noise[static_cast<std::size_t>(r)];
    for (std::int64_t j = 0; j < features; ++j) {
      out.columns.push_back(static_cast<std::int32_t>(j));
      out.values.push_back(j == 0 ? 1.0 : values[static_cast<std::size_t>(r * features + j)]);
      sum += j % 2 == 1 ? out.values.back() : 0.0;
    }
    out.labels.push_back(sum > 0.0 ? 1.0 : -1.0);
    out.offsets.push_back(std::ssize(out.columns));
  }
  return out;
}

TEST(SupportVector, SolvesItsLowerProblemAndDifferentiatesIt) {
  problems::SvmOptions options;
  options.train = 30;
  options.validation = 50;
  options.groups = 3;
  const problems::SupportVector problem(two_classes(80, 6), options);
  const std::vector<double> x = {0.3, -0.4, 0.1};
  std::vector<double> y(36), c(30), gradient(36), pull(36), p(3), q(3);
  problem.solve(x, y);
  problem.con(0, x, y, c);
  // KKT: with multipliers lambda = e^x xi |row| the gradient of the Lagrangian vanishes.
  std::vector<double> lambda(30), unit(30), column(36);
  for (std::size_t r = 0; r < 30; ++r) {
    EXPECT_LE(c[r], 1e-12);
    std::fill(unit.begin(), unit.end(), 0.0);
    unit[r] = 1.0;
    problem.con_jt_y(0, x, y, unit, column);
    lambda[r] = std::exp(x[r % 3]) * y[6 + r] / -column[6 + r];
    EXPECT_GE(lambda[r], 0.0);
    EXPECT_NEAR(lambda[r] * c[r], 0.0, 1e-12);
  }
  problem.grad_y_g(0, {}, x, y, gradient);
  problem.con_jt_y(0, x, y, lambda, pull);
  bilevel::axpy(1.0, pull, gradient);
  EXPECT_LE(bilevel::norm(gradient), 1e-11);
  // Gradient of F against differences.
  double value = 0.0, up = 0.0, down = 0.0;
  problem.exact(x, p, value);
  for (std::size_t k = 0; k < 3; ++k) {
    auto moved = x;
    moved[k] += 1e-5;
    problem.exact(moved, q, up);
    moved[k] -= 2e-5;
    problem.exact(moved, q, down);
    EXPECT_NEAR(p[k], (up - down) / 2e-5, 1e-7);
  }
  // The projection is feasible, keeps feasible points, and its residual is normal to the set.
  std::vector<double> far = random(36, 1.0, 62), moved_x = {5.0, -9.0, 0.0};
  const auto before = far;
  problem.proj_joint(moved_x, far);
  EXPECT_EQ(moved_x, (std::vector<double>{2.0, -6.0, 0.0}));
  problem.con(0, x, far, c);
  EXPECT_LE(*std::max_element(c.begin(), c.end()), 1e-12);
  double inner = 0.0;  // <before - far, y - far> <= 0 for the feasible y
  for (std::size_t k = 0; k < 36; ++k) inner += (before[k] - far[k]) * (y[k] - far[k]);
  EXPECT_LE(inner, 1e-10);
  auto again = far;
  problem.proj_joint(moved_x, again);
  for (std::size_t k = 0; k < 36; ++k) EXPECT_NEAR(again[k], far[k], 1e-12);
}

TEST(SupportVector, ValueFunctionMethodFindsThePenalty) {
  if (world().size() > 1) GTEST_SKIP() << "one block";
  problems::SvmOptions options;
  options.train = 30;
  options.validation = 50;
  options.start = -1.5;
  options.high = 1.0;
  const problems::SupportVector problem(two_classes(80, 6), options);
  std::vector<double> p(1);
  double best = 1e300, first = 0.0, value = 0.0;
  for (double at = -6.0; at <= 1.0; at += 0.01) {
    problem.exact(std::vector<double>{at}, p, value);
    best = std::min(best, value);
  }
  problem.exact(std::vector<double>{-1.5}, p, first);
  bilevel::LvhbaOptions choice;
  choice.evaluate_every = 0;
  choice.growth = 0.1;
  bilevel::Lvhba method({parallel::Comm(), bilevel::OracleView(problem)}, choice);
  std::vector<double> c(30);
  for (int k = 0; k < 40000; ++k) {
    method.step();
    if (k % 1000 != 0) continue;
    problem.con(0, {}, method.inner(), c);
    EXPECT_LE(*std::max_element(c.begin(), c.end()), 1e-12);
    for (const double multiplier : method.multipliers()) EXPECT_GE(multiplier, 0.0);
  }
  problem.exact(method.outer(), p, value);
  // c_k = 3 (k + 1)^0.1 moves x slowly: half of the way to the best of the scan.
  EXPECT_LE(value - best, 0.5 * (first - best)) << method.outer()[0] << " " << best << " " << first;
}

}  // namespace
