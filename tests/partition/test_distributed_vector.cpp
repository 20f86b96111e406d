#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/distributed_vector.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace equipoise::partition {
namespace {

using parallel::Comm;

double entry(std::int64_t i, std::int64_t which) {
  const parallel::Draw draw(99, parallel::Purpose::probe, which);
  return draw.normal(static_cast<std::uint64_t>(i)) *
         std::exp(3.0 * draw.normal(static_cast<std::uint64_t>(i) + 100000));
}

DistributedVector random_vector(const Comm& comm, const Layout& layout, std::int64_t which) {
  DistributedVector v(comm, layout);
  for (std::int64_t i = v.range().begin; i < v.range().end; ++i) {
    v.owned()[static_cast<std::size_t>(i - v.range().begin)] = entry(i, which);
  }
  return v;
}

TEST(DistributedVector, BitsDoNotDependOnTheNumberOfRanks) {
  const auto world = Comm::duplicate(MPI_COMM_WORLD);
  const Comm alone;
  for (const std::int64_t dimension : {1, 7, 64, 1001}) {
    const int chunks = default_chunks(dimension);
    const auto layout = Layout::uniform(dimension, chunks, world.size());
    const auto serial = Layout::uniform(dimension, chunks, 1);
    const auto a = random_vector(world, layout, 0);
    const auto b = random_vector(world, layout, 1);
    const auto a1 = random_vector(alone, serial, 0);
    const auto b1 = random_vector(alone, serial, 1);
    EXPECT_EQ(a.dot(b), a1.dot(b1));
    EXPECT_EQ(a.norm(), a1.norm());
    EXPECT_EQ(sum(world, layout, a.owned()), sum(alone, serial, a1.owned()));
    double plain = 0.0;
    double scale = 0.0;
    for (std::size_t i = 0; i < a1.owned().size(); ++i) {
      plain += a1.owned()[i] * b1.owned()[i];
      scale += std::abs(a1.owned()[i] * b1.owned()[i]);
    }
    EXPECT_NEAR(a.dot(b), plain, 1e-13 * scale);
  }
}

TEST(DistributedVector, ClosedForms) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const std::int64_t n = 1000;
  DistributedVector v(comm, Layout::uniform(n, 13, comm.size()));
  EXPECT_EQ(v.norm(), 0.0);
  for (std::int64_t i = v.range().begin; i < v.range().end; ++i) {
    v.owned()[static_cast<std::size_t>(i - v.range().begin)] = static_cast<double>(i + 1);
  }
  EXPECT_EQ(sum(comm, v.layout(), v.owned()), 0.5 * n * (n + 1));
  EXPECT_EQ(v.dot(v), static_cast<double>(n * (n + 1) * (2 * n + 1) / 6));
}

TEST(DistributedVector, ManyPairsInOneCallEqualSingleCalls) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto layout = Layout::uniform(300, 5, comm.size());
  std::vector<DistributedVector> vectors;
  for (std::int64_t k = 0; k < 20; ++k) vectors.push_back(random_vector(comm, layout, k));
  std::vector<DotPair> pairs;
  for (std::size_t k = 0; k < 20; ++k)
    pairs.push_back({vectors[k].owned(), vectors[(7 * k) % 20].owned()});
  std::vector<double> out(20);
  dots(comm, layout, pairs, out);
  for (std::size_t k = 0; k < 20; ++k) EXPECT_EQ(out[k], vectors[k].dot(vectors[(7 * k) % 20]));
  dots(comm, layout, {}, {});
}

TEST(DistributedVector, AlignmentDoesNotChangeBits) {
  const Comm alone;
  const auto layout = Layout::uniform(997, 3, 1);
  const auto a = random_vector(alone, layout, 4);
  const auto b = random_vector(alone, layout, 5);
  const double expected = a.dot(b);
  std::vector<double> buffer_a(997 + 8);
  std::vector<double> buffer_b(997 + 8);
  for (std::size_t shift = 0; shift < 8; ++shift) {
    const auto x = std::span(buffer_a).subspan(shift, 997);
    const auto y = std::span(buffer_b).subspan(7 - shift, 997);
    std::copy(a.owned().begin(), a.owned().end(), x.begin());
    std::copy(b.owned().begin(), b.owned().end(), y.begin());
    EXPECT_EQ(dot(alone, layout, x, y), expected);
  }
}

TEST(DistributedVector, NotFiniteEntriesReachEveryRank) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  DistributedVector v(comm, Layout::uniform(40, 8, comm.size()));
  if (comm.rank() == comm.size() - 1) v.owned().back() = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(v.norm()));
  if (comm.rank() == comm.size() - 1) v.owned().back() = -std::numeric_limits<double>::infinity();
  EXPECT_TRUE(std::isinf(v.norm()));
}

TEST(DistributedVector, LayoutForOtherRanksIsRefused) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  EXPECT_THROW(DistributedVector(comm, Layout::uniform(10, 2, comm.size() + 1)),
               ConfigurationError);
}

}  // namespace
}  // namespace equipoise::partition
