#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/problems/vi/matrix_game.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/field_map.hpp>

#include <gtest/gtest.h>

#include <cstdlib>

namespace equipoise::problems {
namespace {

class Stored : public state::Stateful {
 public:
  explicit Stored(solve::Method& m) : method_(m) {}
  void fields(state::FieldVisitor& visit) override { method_.solution(visit); }

 private:
  solve::Method& method_;
};

struct Result {
  solve::Summary summary;
  std::vector<double> z;
  double low = 0.0, high = 0.0;
};

Result solve(const MatrixGame& game, const std::string& method) {
  const auto comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  state::Config config;
  const auto instance = make_instance(comm, config, game);
  const auto made = instance->make_method(method, config);
  solve::StopOptions stop;
  stop.tolerance = 1e-10;
  stop.max_iterations = 20000;
  Result r;
  r.summary = solve::run(comm, *made, stop, {}, {}, {true, {}});
  Stored stored(*made);
  state::FieldMap map;
  stored.fields(map);
  const auto z = map.doubles("z");
  r.z.assign(z.begin(), z.end());
  const vi::Facts facts = game.check(r.z);
  r.low = std::strtod(facts[0].second.c_str(), nullptr);
  r.high = std::strtod(facts[1].second.c_str(), nullptr);
  return r;
}

TEST(MatrixGame, RockPaperScissorsIsWorthNothing) {
  // From a corner: the start of the problem is the solution.
  const MatrixGame game(3, 3, {0, 2, -1, -1, 0, 1, 2, -1, 0});
  const Result r = solve(game, "feg");
  EXPECT_EQ(r.summary.stop, solve::Stop::converged);
  EXPECT_LE(r.high - r.low, 1e-8);
  MatrixGameOptions options;
  options.payoff = "rock-paper-scissors";
  const MatrixGame known(options);
  std::vector<double> z(6, 1.0 / 3.0);
  const vi::Facts facts = known.check(z);
  EXPECT_LE(std::abs(std::strtod(facts[2].second.c_str(), nullptr)), 1e-15);
}

/// [[1, 3], [4, 0]]: x = (2/3, 1/3), y = (1/2, 1/2), value 2.
TEST(MatrixGame, TwoByTwoByHand) {
  const Result r = solve(MatrixGame(2, 2, {1, 3, 4, 0}), "feg");
  EXPECT_NEAR(r.z.at(0), 2.0 / 3.0, 1e-7);
  EXPECT_NEAR(r.z.at(2), 0.5, 1e-7);
  EXPECT_NEAR(r.low, 2.0, 1e-7);
  EXPECT_NEAR(r.high, 2.0, 1e-7);
}

TEST(MatrixGame, RandomGamesCloseTheDualityGap) {
  for (const std::int64_t seed : {0, 1}) {
    MatrixGameOptions options;
    options.rows = 20;
    options.columns = 30;
    options.seed = seed;
    const Result r = solve(MatrixGame(options), "feg");
    EXPECT_EQ(r.summary.stop, solve::Stop::converged);
    EXPECT_GE(r.high - r.low, -1e-15);
    EXPECT_LE(r.high - r.low, 1e-8);
  }
}

}  // namespace
}  // namespace equipoise::problems
