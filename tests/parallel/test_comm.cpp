#include <equipoise/parallel/comm.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace equipoise::parallel {
namespace {

class CommTest : public testing::Test {
 protected:
  Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm.close(); }
};

TEST_F(CommTest, ReductionsFollowTheRankCount) {
  const std::int64_t p = comm.size();
  const std::int64_t r = comm.rank();
  EXPECT_EQ(comm.sum(r + 1), p * (p + 1) / 2);
  EXPECT_EQ(comm.max(r), p - 1);
  EXPECT_EQ(comm.min(-r), 1 - p);
  EXPECT_EQ(comm.max(-0.5 - static_cast<double>(r)), -0.5);
  EXPECT_EQ(comm.any(r == p - 1), true);
  EXPECT_EQ(comm.any(false), false);
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max() - p;
  EXPECT_EQ(comm.max(huge + r), huge + p - 1);
}

TEST_F(CommTest, ElementWiseMaximum) {
  std::vector<double> values(static_cast<std::size_t>(comm.size()), -1.0);
  values[static_cast<std::size_t>(comm.rank())] = comm.rank();
  comm.max(values);
  for (int r = 0; r < comm.size(); ++r) EXPECT_EQ(values[static_cast<std::size_t>(r)], r);
}

TEST_F(CommTest, BroadcastsFromEveryRoot) {
  for (int root = 0; root < comm.size(); ++root) {
    std::vector<double> numbers = {comm.rank() + 0.25, 1.0};
    comm.broadcast(std::span(numbers), root);
    EXPECT_EQ(numbers[0], root + 0.25);
    std::vector<std::int64_t> integers = {comm.rank() * 1'000'000'000'007};
    comm.broadcast(std::span(integers), root);
    EXPECT_EQ(integers[0], root * 1'000'000'000'007);
    const std::string text(static_cast<std::size_t>(3 * comm.rank()), 'a');
    EXPECT_EQ(comm.broadcast(text, root), std::string(static_cast<std::size_t>(3 * root), 'a'));
  }
}

TEST_F(CommTest, SplitOrdersByKeyAndGroupsByColor) {
  Comm turned = comm.split(0, -comm.rank());
  EXPECT_EQ(turned.rank(), comm.size() - 1 - comm.rank());
  Comm half = comm.split(comm.rank() % 2);
  const int even = (comm.size() + 1) / 2;
  EXPECT_EQ(half.size(), comm.rank() % 2 == 0 ? even : comm.size() - even);
  EXPECT_EQ(half.rank(), comm.rank() / 2);
  half.close();
  turned.close();
}

TEST_F(CommTest, CopiesAreTheSameCommunicator) {
  const Comm copy = comm;
  EXPECT_EQ(copy.handle(), comm.handle());
  Comm other = Comm::duplicate(comm.handle());
  EXPECT_NE(other.handle(), comm.handle());
  const Comm shared = other;
  other.close();
  other.close();  // a second time is harmless
  EXPECT_EQ(shared.handle(), MPI_COMM_NULL);
}

TEST(CommSelf, TheDefaultIsThisProcessAlone) {
  Comm self;
  EXPECT_EQ(self.size(), 1);
  EXPECT_EQ(self.rank(), 0);
  EXPECT_EQ(self.sum(std::int64_t{7}), 7);
  self.close();
  EXPECT_EQ(self.handle(), MPI_COMM_SELF);
}

}  // namespace
}  // namespace equipoise::parallel
