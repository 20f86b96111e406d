#include "../../src/problems/vi/program_product.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace equipoise::problems {
namespace {

using partition::Layout;
using partition::Triplet;

constexpr std::int64_t columns = 3000;

/// Row 0 has every column, rows 1 to 3 every third of a half, a quarter and an eighth, the others a
/// few; row 9 is empty. Values are small integers, so that sums are exact in any order.
std::vector<Triplet> entries(partition::Range rows) {
  std::vector<Triplet> all;
  const auto add = [&](std::int64_t i, std::int64_t j, double v) {
    if (rows.contains(i)) all.push_back({i, j, v});
  };
  for (std::int64_t j = 0; j < columns; ++j) {
    const auto value = static_cast<double>(j % 7 - 3);
    add(0, j, value);
    for (std::int64_t i = 1; i < 4; ++i) {
      if (j % 3 == 0 && j < columns >> i) add(i, columns - 1 - j, value);
    }
    if (j % 500 == 3) add(4 + j / 750, j, value + 0.5);
  }
  return all;
}

class ProgramProductTest : public testing::Test {
 protected:
  parallel::Comm comm_ = parallel::Comm::duplicate(MPI_COMM_WORLD);
  void TearDown() override { comm_.close(); }
};

Layout layout(std::int64_t size, const parallel::Comm& comm) {
  return Layout::uniform(size, partition::default_chunks(size), comm.size());
}

/// The rows in chunks of one, so that every rank has some.
Layout rows_of(const parallel::Comm& comm) { return Layout::uniform(10, 10, comm.size()); }

template <class Value>
std::vector<double> product(const parallel::Comm& comm, Value value, parallel::Traffic& traffic) {
  const Layout rows = rows_of(comm), across = layout(columns, comm);
  ProgramProduct matrix(comm, rows, across, entries(rows.owned(comm.rank())));
  const auto before = matrix.traffic();
  const auto mine = across.owned(comm.rank());
  std::vector<double> x, out(static_cast<std::size_t>(rows.owned(comm.rank()).size()), NAN);
  for (std::int64_t j = mine.begin; j < mine.end; ++j) x.push_back(value(j));
  matrix.multiply(x, out);
  traffic = matrix.traffic();
  traffic.received -= before.received;
  return out;
}

TEST_F(ProgramProductTest, EveryLineIsTheSumOfItsEntries) {
  parallel::Traffic traffic;
  const auto value = [](std::int64_t j) { return static_cast<double>(j % 11 - 5); };
  const auto out = product(comm_, value, traffic);
  const auto mine = rows_of(comm_).owned(comm_.rank());
  std::vector<double> sums(10, 0.0);
  for (const auto& e : entries({0, 10}))
    sums[static_cast<std::size_t>(e.row)] += e.value * value(e.column);
  for (std::int64_t i = mine.begin; i < mine.end; ++i)
    EXPECT_EQ(out[static_cast<std::size_t>(i - mine.begin)], sums[static_cast<std::size_t>(i)])
        << i;
}

TEST_F(ProgramProductTest, TheBitsDoNotDependOnTheNumberOfRanks) {
  parallel::Traffic traffic;
  const auto value = [](std::int64_t j) { return std::sin(static_cast<double>(j)); };
  const auto together = product(comm_, value, traffic);
  const auto alone = product(parallel::Comm(), value, traffic);
  const auto mine = rows_of(comm_).owned(comm_.rank());
  for (std::int64_t i = mine.begin; i < mine.end; ++i)
    EXPECT_EQ(together[static_cast<std::size_t>(i - mine.begin)],
              alone[static_cast<std::size_t>(i)])
        << i;
}

TEST_F(ProgramProductTest, LongLinesTravelAsSums) {
  parallel::Traffic traffic;
  product(
      comm_, [](std::int64_t) { return 1.0; }, traffic);
  // Halves of four long lines, and what the leaves at a rank's edge and the short lines need, not
  // the thousands of entries of x.
  EXPECT_LE(traffic.received, 8 * 250);
}

}  // namespace
}  // namespace equipoise::problems
