#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/distributed_matrix.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace equipoise::partition {
namespace {

using parallel::Comm;
using Dense = std::vector<std::vector<double>>;

constexpr std::int64_t row_count = 23;
constexpr std::int64_t column_count = 17;

/// The same random matrix on every rank, with an empty row and an empty column.
Dense dense_matrix() {
  const parallel::Draw draw(21, parallel::Purpose::probe, 0);
  Dense a(row_count, std::vector<double>(column_count, 0.0));
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a[i].size(); ++j) {
      const auto index = i * a[i].size() + j;
      if (i != 4 && j != 9 && draw.uniform(2 * index) < 0.3) a[i][j] = draw.normal(2 * index + 1);
    }
  }
  return a;
}

/// This rank's share of the triplets, dealt by a rule that has nothing to do with the ownership.
std::vector<Triplet> share(const Dense& a, const Comm& comm) {
  std::vector<Triplet> mine;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a[i].size(); ++j) {
      if (a[i][j] != 0.0 && (7 * i + 3 * j) % static_cast<std::size_t>(comm.size()) ==
                                static_cast<std::size_t>(comm.rank())) {
        mine.push_back({static_cast<std::int64_t>(i), static_cast<std::int64_t>(j), a[i][j]});
      }
    }
  }
  std::reverse(mine.begin(), mine.end());
  return mine;
}

double entry_of(std::int64_t i) { return std::sin(1.0 + static_cast<double>(i)); }

std::vector<double> owned_part(Range range) {
  std::vector<double> v;
  for (std::int64_t i = range.begin; i < range.end; ++i) v.push_back(entry_of(i));
  return v;
}

/// Partitions to try: even, all on the last rank, and all on the first.
std::vector<Partition> partitions(std::int64_t items, int ranks) {
  std::vector<std::int64_t> last(static_cast<std::size_t>(ranks) + 1, 0);
  last.back() = items;
  std::vector<std::int64_t> first(static_cast<std::size_t>(ranks) + 1, items);
  first.front() = 0;
  return {Partition::uniform(items, ranks), Partition::from_offsets(last),
          Partition::from_offsets(first)};
}

TEST(DistributedMatrix, ProductsEqualTheSerialOnesToTheBit) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto a = dense_matrix();
  for (const auto& rows : partitions(row_count, comm.size())) {
    for (const auto& columns : partitions(column_count, comm.size())) {
      DistributedMatrix matrix(comm, rows, columns, share(a, comm));
      const Range my_rows = rows.range(comm.rank());
      const Range my_columns = columns.range(comm.rank());
      std::vector<double> y(static_cast<std::size_t>(my_rows.size()));
      std::vector<double> x(static_cast<std::size_t>(my_columns.size()));
      for (int repeat = 0; repeat < 2; ++repeat) {
        matrix.multiply(owned_part(my_columns), y);
        matrix.multiply_transposed(owned_part(my_rows), x);
      }
      for (std::int64_t i = my_rows.begin; i < my_rows.end; ++i) {
        double sum = 0.0;
        for (std::int64_t j = 0; j < column_count; ++j) {
          const double value = a[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
          if (value != 0.0) sum += value * entry_of(j);
        }
        EXPECT_EQ(y[static_cast<std::size_t>(i - my_rows.begin)], sum);
      }
      for (std::int64_t j = my_columns.begin; j < my_columns.end; ++j) {
        double sum = 0.0;
        for (std::int64_t i = 0; i < row_count; ++i) {
          const double value = a[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
          if (value != 0.0) sum += value * entry_of(i);
        }
        EXPECT_EQ(x[static_cast<std::size_t>(j - my_columns.begin)], sum);
      }
      EXPECT_EQ(comm.sum(matrix.traffic().sent), comm.sum(matrix.traffic().received));
      EXPECT_EQ(comm.sum(matrix.traffic().header_sent), comm.sum(matrix.traffic().header_received));
    }
  }
}

TEST(DistributedMatrix, OwnedRowsAndNorms) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto a = dense_matrix();
  const auto rows = Partition::uniform(row_count, comm.size());
  const auto columns = Partition::uniform(column_count, comm.size());
  const DistributedMatrix matrix(comm, rows, columns, share(a, comm));
  std::int64_t nonzeros = 0;
  for (const auto& row : a)
    nonzeros += std::count_if(row.begin(), row.end(), [](double v) { return v != 0.0; });
  EXPECT_EQ(matrix.nonzeros(), nonzeros);

  const Range mine = rows.range(comm.rank());
  std::size_t k = 0;
  const auto triplets = matrix.owned_rows();
  std::vector<double> one(static_cast<std::size_t>(mine.size()));
  std::vector<double> two(one.size());
  std::vector<double> max(one.size());
  matrix.row_norms(LineNorm::one, one);
  matrix.row_norms(LineNorm::two, two);
  matrix.row_norms(LineNorm::max, max);
  for (std::int64_t i = mine.begin; i < mine.end; ++i) {
    double sum = 0.0;
    double squares = 0.0;
    double largest = 0.0;
    for (std::int64_t j = 0; j < column_count; ++j) {
      const double value = a[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
      if (value == 0.0) continue;
      EXPECT_LT(k, triplets.size());
      if (k < triplets.size()) {
        EXPECT_EQ(triplets[k].row, i);
        EXPECT_EQ(triplets[k].column, j);
        EXPECT_EQ(triplets[k].value, value);
      }
      ++k;
      sum += std::abs(value);
      squares += value * value;
      largest = std::max(largest, std::abs(value));
    }
    const auto at = static_cast<std::size_t>(i - mine.begin);
    EXPECT_EQ(one[at], sum);
    EXPECT_EQ(two[at], std::sqrt(squares));
    EXPECT_EQ(max[at], largest);
  }
  EXPECT_EQ(k, triplets.size());
}

TEST(DistributedMatrix, ScalingKeepsBothHalvesEqual) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  auto a = dense_matrix();
  const auto rows = Partition::uniform(row_count, comm.size());
  const auto columns = Partition::uniform(column_count, comm.size());
  DistributedMatrix matrix(comm, rows, columns, share(a, comm));
  matrix.scale(owned_part(rows.range(comm.rank())), owned_part(columns.range(comm.rank())));
  for (std::int64_t i = 0; i < row_count; ++i) {
    for (std::int64_t j = 0; j < column_count; ++j) {
      auto& value = a[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
      value = (value * entry_of(i)) * entry_of(j);
    }
  }
  for (const auto& [row, column, value] : matrix.owned_rows()) {
    EXPECT_EQ(value, a[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)]);
  }
  const Range mine = columns.range(comm.rank());
  std::vector<double> max(static_cast<std::size_t>(mine.size()));
  matrix.column_norms(LineNorm::max, max);
  for (std::int64_t j = mine.begin; j < mine.end; ++j) {
    double largest = 0.0;
    for (const auto& row : a)
      largest = std::max(largest, std::abs(row[static_cast<std::size_t>(j)]));
    EXPECT_EQ(max[static_cast<std::size_t>(j - mine.begin)], largest);
  }
}

TEST(DistributedMatrix, RepeatedEntriesAreAddedExactly) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto line = Partition::uniform(3, comm.size());
  // Every rank adds 1 to (2, 0), and the first and last rank add numbers that cancel.
  std::vector<Triplet> mine = {{2, 0, 1.0}};
  if (comm.rank() == 0) mine.push_back({2, 0, 1e17});
  if (comm.rank() == comm.size() - 1) mine.push_back({2, 0, -1e17});
  const DistributedMatrix matrix(comm, line, line, mine);
  EXPECT_EQ(matrix.nonzeros(), 1);
  for (const auto& entry : matrix.owned_rows()) EXPECT_EQ(entry.value, comm.size());
}

TEST(DistributedMatrix, BadEntriesAreRefusedOnAllRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto line = Partition::uniform(3, comm.size());
  for (const Triplet bad : {Triplet{3, 0, 1.0}, Triplet{0, -1, 1.0},
                            Triplet{0, 0, std::numeric_limits<double>::infinity()}}) {
    std::vector<Triplet> mine;
    if (comm.rank() == comm.size() - 1) mine.push_back(bad);
    try {
      const DistributedMatrix matrix(comm, line, line, mine);
      ADD_FAILURE() << "accepted a bad entry";
    } catch (const parallel::CollectiveError& error) {
      EXPECT_EQ(error.code(), Exit::input);
      EXPECT_EQ(error.rank(), comm.size() - 1);
    }
  }
}

}  // namespace
}  // namespace equipoise::partition
