#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/session.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>

namespace equipoise::parallel {
namespace {

struct Caught {
  int rank = -1;
  Exit code = Exit::ok;
  std::string message;
};

/// What `agree` throws on this rank, or rank -1.
template <class Work>
Caught caught(const Comm& comm, Work&& work) {
  try {
    agree(comm, work);
  } catch (const CollectiveError& error) {
    return {error.rank(), error.code(), error.what()};
  }
  return {};
}

class Agree : public testing::Test {
 protected:
  Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm.close(); }
};

TEST_F(Agree, PassesResultsThroughWhereNobodyFails) {
  EXPECT_EQ(agree(comm, [&] { return 10 * comm.rank(); }), 10 * comm.rank());
  const auto moved = agree(comm, [&] { return std::make_unique<int>(comm.rank()); });
  EXPECT_EQ(*moved, comm.rank());
  int runs = 0;
  agree(comm, [&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST_F(Agree, OneRankFailsAndAllThrowItsError) {
  for (int bad = 0; bad < comm.size(); ++bad) {
    const Caught error = caught(comm, [&] {
      if (comm.rank() == bad) throw InputError("data.txt:{}: a bad row", bad + 7);
    });
    EXPECT_EQ(error.rank, bad);
    EXPECT_EQ(error.code, Exit::input);
    EXPECT_EQ(error.message, "data.txt:" + std::to_string(bad + 7) + ": a bad row");
  }
  EXPECT_EQ(comm.sum(std::int64_t{1}), comm.size());  // the communicator still works
}

TEST_F(Agree, TheLowestFailingRankSpeaks) {
  const int lowest = comm.size() / 2;
  const Caught error = caught(comm, [&] {
    if (comm.rank() == lowest) throw CheckpointError("from {}", comm.rank());
    if (comm.rank() > lowest) throw ConfigurationError("from {}", comm.rank());
  });
  EXPECT_EQ(error.rank, lowest);
  EXPECT_EQ(error.code, Exit::checkpoint);
  EXPECT_EQ(error.message, "from " + std::to_string(lowest));
}

TEST_F(Agree, OneRankFailsWhereAResultIsWanted) {
  const int bad = comm.size() - 1;
  const Caught error = caught(comm, [&]() -> std::string {
    if (comm.rank() == bad) throw NotFiniteError("no number");
    return "fine";
  });
  EXPECT_EQ(error.rank, bad);
  EXPECT_EQ(error.code, Exit::diverged);
}

TEST_F(Agree, ForeignExceptionsAreDefects) {
  const Caught foreign = caught(comm, [] { throw std::out_of_range("index 9 of 3"); });
  EXPECT_EQ(foreign.code, Exit::defect);
  EXPECT_EQ(foreign.message, "index 9 of 3");
  const int bad = comm.size() - 1;
  const Caught memory = caught(comm, [&] {
    if (comm.rank() == bad) throw std::bad_alloc();
  });
  EXPECT_EQ(memory.rank, bad);
  EXPECT_NE(memory.message.find("rank " + std::to_string(bad) + ": out of memory"),
            std::string::npos);
  const Caught unknown = caught(comm, [] { throw 3; });
  EXPECT_EQ(unknown.code, Exit::defect);
  EXPECT_FALSE(unknown.message.empty());
}

TEST_F(Agree, NestedKeepsMessageAndCode) {
  const int bad = comm.size() - 1;
  const Caught error = caught(comm, [&] {
    agree(comm, [&] {
      if (comm.rank() == bad) throw InputError("inner {}", bad);
    });
  });
  EXPECT_EQ(error.rank, bad);
  EXPECT_EQ(error.code, Exit::input);
  EXPECT_EQ(error.message, "inner " + std::to_string(bad));
}

TEST(Session, TheStopFlagIsSetAndCleared) {
  EXPECT_FALSE(stop_requested());
  request_stop();
  EXPECT_TRUE(stop_requested());
  request_stop(false);
  EXPECT_FALSE(stop_requested());
}

}  // namespace
}  // namespace equipoise::parallel
