#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/solve/method.hpp>

#include <gtest/gtest.h>

namespace equipoise::pareto {

/// A test on all ranks.
class OnRanks : public testing::Test {
 protected:
  void TearDown() override { comm.close(); }
  parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
};

/// Steps to the end, which must come within 10,000 steps.
inline void finish(solve::Method& method) {
  for (int i = 0; i < 10000 && !method.report().finished; ++i) method.step();
  EXPECT_TRUE(method.report().finished);
}

}  // namespace equipoise::pareto
