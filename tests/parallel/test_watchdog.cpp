#include <equipoise/parallel/watchdog.hpp>

#include <gtest/gtest.h>

#include <chrono>

namespace equipoise::parallel {
namespace {

void compute_for(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < until) {
  }
}

// A rank that is stopped is named and ends the job: tests/command/test_watch.py.
TEST(Watchdog, RanksThatWorkAreLeftAlone) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  Watchdog watchdog(comm, 0.2, 75);
  for (int step = 0; step < 100; ++step) {
    compute_for(std::chrono::milliseconds(2));
    watchdog.beat();
  }
  // One step far beyond the limit, in which every rank computes.
  compute_for(std::chrono::milliseconds(600));
  watchdog.beat();
  comm.barrier();
}

TEST(Watchdog, EndsAtOnceAndMayBeSwitchedOff) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) {
    const Watchdog never(comm, 0.0, 75);
    const Watchdog late(comm, 1000.0, 75);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

}  // namespace
}  // namespace equipoise::parallel
