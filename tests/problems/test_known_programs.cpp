#include "known_programs.hpp"

#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/state/config.hpp>
#include <equipoise/state/field_map.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace equipoise::problems {
namespace {

constexpr std::uint64_t programs = 40;

class KnownProgramsTest : public testing::Test {
 protected:
  parallel::Comm comm_ = parallel::Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm_.close(); }
};

// The settings are the defaults: what a user gets for a badly scaled file.
TEST_F(KnownProgramsTest, EveryAnswerIsFoundAndProved) {
  for (std::uint64_t number = 0; number < programs; ++number) {
    const KnownProgram known = KnownProgramMaker(number).make();
    const formats::MpsProgram held = comm_.rank() == 0 ? known.program : formats::MpsProgram();
    LinearProgramInstance instance(comm_, DistributedProgram::spread(comm_, held, "known"));
    state::Config config;
    const auto method = instance.make_method("halpern-pdhg", config);
    solve::StopOptions stop;
    stop.tolerance = 1e-8;
    stop.max_iterations = 20000;
    const solve::Summary summary = solve::run(comm_, *method, stop, {}, {}, {true, {}});
    state::FieldMap map;
    method->solution(map);
    EXPECT_EQ(summary.stop, solve::Stop::converged) << number;
    EXPECT_EQ(map.integers("status")[0], static_cast<std::int64_t>(known.answer)) << number;
    if (known.answer == KnownAnswer::optimum) {
      EXPECT_LE(summary.residual, 1e-8) << number;
      EXPECT_NEAR(summary.objective, known.optimum, 1e-6 * (1.0 + std::abs(known.optimum)))
          << number;
    }
  }
}

}  // namespace
}  // namespace equipoise::problems
