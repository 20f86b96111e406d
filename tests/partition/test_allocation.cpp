// Exchanges, products and inner products run inside the steps of methods: after construction they
// must not allocate. This program counts every operator new.
#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/partition/distributed_vector.hpp>
#include <equipoise/partition/halo.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

namespace {
std::atomic<std::int64_t> allocations{0};
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace equipoise::partition {
namespace {

TEST(Allocation, NoneInWhatStepsCall) {
  const auto comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  const std::int64_t n = 40;
  const auto layout = Layout::uniform(n, 5, comm.size());
  const Range owned = layout.owned(comm.rank());
  // A tridiagonal matrix, and as ghosts the last and the first entry.
  std::vector<Triplet> entries;
  for (std::int64_t i = owned.begin; i < owned.end; ++i) {
    for (std::int64_t j = std::max<std::int64_t>(i - 1, 0); j < std::min(i + 2, n); ++j) {
      entries.push_back({i, j, i == j ? 2.0 : -1.0});
    }
  }
  DistributedMatrix matrix(comm, layout.coordinates(), layout.coordinates(), entries);
  std::vector<std::int64_t> ghosts;
  for (const std::int64_t i : {std::int64_t{0}, n - 1}) {
    if (!owned.contains(i)) ghosts.push_back(i);
  }
  Halo halo(comm, layout.coordinates(), ghosts);
  std::vector<double> x(static_cast<std::size_t>(owned.size()), 1.0);
  std::vector<double> y(x.size());
  const std::array<DotPair, 2> pairs = {{{x, y}, {y, y}}};
  std::array<double, 2> out{};

  const std::int64_t before = allocations;
  for (int round = 0; round < 3; ++round) {
    (void)halo.exchange(x);
    matrix.multiply(x, y);
    matrix.multiply_transposed(x, y);
    dots(comm, layout, pairs, out);
    (void)norm(comm, layout, x);
  }
  EXPECT_EQ(allocations, before);
  EXPECT_GT(before, 0);
  // The row sums are 1 at both ends and 0 between.
  EXPECT_EQ(out[0], 2.0);
  EXPECT_EQ(out[1], 2.0);
}

}  // namespace
}  // namespace equipoise::partition
