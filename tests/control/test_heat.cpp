#include "support.hpp"

#include <equipoise/control/heat.hpp>
#include <equipoise/parallel/agree.hpp>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <map>

namespace equipoise::control {
namespace {

/// Checks that steps are visited from states that really were computed.
class Recorder : public ReversibleSteps {
 public:
  std::vector<std::int64_t> adjoints;
  bool consistent = true;
  void advance(std::int64_t from, std::int64_t to) override {
    consistent = consistent && state_ == from && to > from;
    state_ = to;
  }
  void save(std::int64_t snapshot) override { snapshots_[snapshot] = state_; }
  void load(std::int64_t snapshot) override { state_ = snapshots_.at(snapshot); }
  void adjoint(std::int64_t step) override {
    consistent = consistent && state_ == step;
    state_ = step + 1;
    adjoints.push_back(step);
  }
  [[nodiscard]] std::size_t snapshots() const { return snapshots_.size(); }

 private:
  std::int64_t state_ = 0;
  std::map<std::int64_t, std::int64_t> snapshots_;
};

TEST(Revolve, AdvancesAreThoseOfTheFormula) {
  // Griewank and Walther; also the dynamic programme D(l,s) = min_j j + D(l-j,s-1) + D(j,s).
  const std::vector<std::array<std::int64_t, 3>> table = {
      {10, 3, 15},   {56, 3, 210}, {64, 4, 200}, {100, 5, 316}, {100, 10, 222},
      {126, 5, 420}, {7, 1, 21},   {9, 9, 8},    {9, 20, 8}};
  for (const auto& [l, s, t] : table) EXPECT_EQ(reversal_advances(l, s), t) << l << " " << s;
  const std::int64_t most = 60;
  std::vector<std::vector<std::int64_t>> best(9, std::vector<std::int64_t>(most + 1, 0));
  for (std::int64_t l = 1; l <= most; ++l) best[1][static_cast<std::size_t>(l)] = l * (l - 1) / 2;
  for (std::size_t s = 2; s < best.size(); ++s) {
    for (std::size_t l = 2; l <= most; ++l) {
      best[s][l] = 1 << 30;
      for (std::size_t j = 1; j < l; ++j) {
        best[s][l] =
            std::min(best[s][l], static_cast<std::int64_t>(j) + best[s - 1][l - j] + best[s][j]);
      }
    }
  }
  for (std::size_t s = 1; s < best.size(); ++s) {
    for (std::size_t l = 1; l <= most; ++l) {
      Recorder recorder;
      const auto count =
          reverse(static_cast<std::int64_t>(l), static_cast<std::int64_t>(s), recorder);
      EXPECT_EQ(count.advances, best[s][l]) << l << " " << s;
      EXPECT_EQ(count.advances,
                reversal_advances(static_cast<std::int64_t>(l), static_cast<std::int64_t>(s)));
      EXPECT_EQ(count.live, static_cast<std::int64_t>(std::min(s, l))) << l << " " << s;
      EXPECT_EQ(recorder.snapshots(), std::min(s, l));
      EXPECT_TRUE(recorder.consistent);
      EXPECT_EQ(recorder.adjoints.size(), l);
      for (std::size_t i = 0; i < recorder.adjoints.size(); ++i) {
        EXPECT_EQ(recorder.adjoints[i], static_cast<std::int64_t>(l - 1 - i));
      }
    }
  }
}

TEST(Revolve, BadNumbersAreRefused) {
  Recorder recorder;
  EXPECT_THROW(reverse(-1, 3, recorder), ConfigurationError);
  EXPECT_THROW(reverse(5, 0, recorder), ConfigurationError);
  EXPECT_EQ(reverse(0, 3, recorder).advances, 0);
}

std::shared_ptr<Heat> heat(std::int64_t cells, std::int64_t steps, double beta, int dimension = 1) {
  auto problem = std::make_shared<Heat>();
  problem->hierarchy = std::make_shared<Hierarchy>(
      world(), GridShape{.dimension = dimension, .cells = cells, .element = Element::fd});
  problem->steps = steps;
  problem->beta = beta;
  problem->target = [](const Point& x, double t) {
    return std::sin(std::numbers::pi * t) * std::sin(std::numbers::pi * x[0]);
  };
  return problem;
}

TEST(Heat, ReducedCgReachesTheTabulatedCostsAndCounts) {
  // specs: nx = nt = 16, 32, CG to 1e-8.
  struct Row {
    std::int64_t cells;
    double beta;
    int count;
    double cost;
  };
  for (const Row& row : {Row{16, 1e-2, 7, .0658209834}, Row{32, 1e-2, 8, .0651944240},
                         Row{16, 1e-4, 13, .0013917750}, Row{32, 1e-4, 19, .0013607825}}) {
    ReducedCg cg(
        std::make_shared<HeatFunctional>(heat(row.cells, row.cells, row.beta), Snapshots{4}));
    EXPECT_NEAR(run(cg, 1e-8, 60), row.count, 1) << row.cells << " " << row.beta;
    EXPECT_NEAR(cg.report().objective, row.cost, 6e-11);
  }
}

TEST(Heat, DerivativesHaveTheSameBitsForAnyNumberOfSnapshots) {
  const auto problem = heat(8, 30, 1e-3, 2);
  HeatFunctional all(problem, {30});
  const Primal u = all.space().primal();
  {
    linalg::Entries values(u.values);
    const auto begin = all.space().partition().range(world().rank()).begin;
    for (std::int64_t i = 0; i < values.size(); ++i) values[i] = scrambled(begin + i);
  }
  Dual expected = all.space().dual(), expected_action = all.space().dual();
  const double cost = all.value(u);
  all.derivative(expected);
  all.hessian(u, expected_action);
  EXPECT_EQ(all.last_reversal().advances, 29);
  for (const std::int64_t snapshots : {1, 2, 3, 5, 100}) {
    HeatFunctional few(problem, {snapshots});
    Dual derivative = few.space().dual();
    EXPECT_EQ(few.value(u), cost);
    for (int repeat = 0; repeat < 2; ++repeat) {
      few.derivative(derivative);
      EXPECT_EQ(few.last_reversal().advances, reversal_advances(30, snapshots));
      PetscBool equal = PETSC_FALSE;
      linalg::check(VecEqual(derivative.values, expected.values, &equal));
      EXPECT_EQ(equal, PETSC_TRUE) << snapshots;
      few.hessian(u, derivative);
      linalg::check(VecEqual(derivative.values, expected_action.values, &equal));
      EXPECT_EQ(equal, PETSC_TRUE) << snapshots;
    }
  }
}

TEST(Heat, StatesOnDiskGiveTheSameBits) {
  auto problem = heat(8, 30, 1e-3, 2);
  for (const double theta : {1.0, 0.5}) {
    problem->theta = theta;
    HeatFunctional all(problem, {30});
    const Primal u = all.space().primal();
    {
      linalg::Entries values(u.values);
      const auto begin = all.space().partition().range(world().rank()).begin;
      for (std::int64_t i = 0; i < values.size(); ++i) values[i] = scrambled(begin + i);
    }
    Dual expected = all.space().dual(), derivative = all.space().dual();
    all.value(u);
    all.derivative(expected);
    for (const Snapshots& where : {Snapshots{2, 3, "."}, Snapshots{0, 4, "."}}) {
      HeatFunctional few(problem, where);
      few.value(u);
      few.derivative(derivative);
      EXPECT_EQ(few.last_reversal().advances, reversal_advances(30, where.memory + where.disk));
      PetscBool equal = PETSC_FALSE;
      linalg::check(VecEqual(derivative.values, expected.values, &equal));
      EXPECT_EQ(equal, PETSC_TRUE);
    }
  }
  for (const auto& file : std::filesystem::directory_iterator(".")) {
    EXPECT_EQ(file.path().string().find(fmt::format("equipoise-states-{}-", getpid())),
              std::string::npos);
  }
}

TEST(Heat, MemoryStaysFlatOverFiftyGradients) {
  HeatFunctional functional(heat(32, 40, 1e-3, 2), {4});
  const Primal u = functional.space().primal();
  linalg::check(VecSet(u.values, 1.0));
  Dual derivative = functional.space().dual();
  const auto in_use = [] {
    const auto info = mallinfo2();
    return static_cast<double>(info.uordblks + info.hblkhd);
  };
  double after_two = 0.0;
  for (int gradient = 1; gradient <= 52; ++gradient) {
    functional.value(u);
    functional.derivative(derivative);
    functional.hessian(u, derivative);
    if (gradient == 2) after_two = in_use();
  }
  // Less than a thousandth of a state more, per gradient.
  EXPECT_LT(in_use() - after_two, 50.0 * 8.0);
}

TEST(Heat, CrankNicolsonIsOfSecondOrder) {
  // On the first mode of space, u(t) = c gives y' + lambda y = c: y = c/lambda (1 - exp(-lambda
  // t)).
  double previous = 0.0;
  for (const std::int64_t steps : {20, 40, 80}) {
    auto problem = heat(8, steps, 1.0);
    problem->theta = 0.5;
    problem->target = [](const Point&, double) { return 0.0; };
    HeatFunctional functional(problem, {3});
    const Grid& grid = problem->grid();
    const double pi = std::numbers::pi;
    const auto mode = grid.interpolate([&](const Point& x) { return std::sin(pi * x[0]); });
    const double lambda = 4.0 * 64.0 * std::pow(std::sin(pi / 16.0), 2);
    const Primal u = functional.space().primal();
    const SpaceTime& space = dynamic_cast<const SpaceTime&>(functional.space());
    for (std::int64_t k = 0; k < steps; ++k) space.write(mode, k, u.values);
    // 1/2 int y^2 + 1/2 int u^2, both times |mode|^2.
    const double e1 = (1.0 - std::exp(-lambda)) / lambda;
    const double e2 = (1.0 - std::exp(-2.0 * lambda)) / (2.0 * lambda);
    const double exact =
        0.5 * grid.inner(mode, mode) * ((1.0 - 2.0 * e1 + e2) / (lambda * lambda) + 1.0);
    const double error = std::abs(functional.value(u) - exact);
    if (previous > 0.0) {
      EXPECT_NEAR(std::log2(previous / error), 2.0, 0.1);
    }
    previous = error;
  }
}

TEST(Heat, BadInputIsRefused) {
  EXPECT_THROW(HeatFunctional(heat(8, 0, 1.0), {1}), ConfigurationError);
  EXPECT_THROW(HeatFunctional(heat(8, 4, 0.0), {1}), ConfigurationError);
  EXPECT_THROW(HeatFunctional(heat(8, 4, 1.0), {0}), ConfigurationError);
  EXPECT_THROW(HeatFunctional(heat(8, 4, 1.0), {1, 1}), ConfigurationError);
  EXPECT_THROW(HeatFunctional(heat(8, 4, 1.0), {1, 1, "/no/such/directory"}),
               parallel::CollectiveError);
  auto unstable = heat(8, 4, 1.0);
  unstable->theta = 0.4;
  EXPECT_THROW(HeatFunctional(unstable, {1}), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::control
