#include <equipoise/parallel/exact_sum.hpp>
#include <equipoise/parallel/random.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace equipoise::parallel {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double largest = std::numeric_limits<double>::max();
constexpr double smallest = std::numeric_limits<double>::denorm_min();

double sum_of(std::span<const double> terms) {
  ExactSum sum;
  for (const double term : terms) sum.add(term);
  return sum.round();
}
double sum_of(std::initializer_list<double> terms) {
  return sum_of(std::span<const double>(terms.begin(), terms.size()));
}

TEST(ExactSum, OneTermComesBack) {
  for (const double term : {0.0, 1.0, -1.0, 0.1, -1e300, smallest, -smallest, largest, -largest,
                            std::numeric_limits<double>::min(), 0x1.fffffffffffffp-1022}) {
    EXPECT_EQ(sum_of({term}), term);
  }
  const Draw draw(7, Purpose::probe, 0);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const auto term = std::bit_cast<double>(draw.bits(i));
    if (!std::isfinite(term)) continue;
    EXPECT_EQ(sum_of({term}), term) << term;
  }
}

TEST(ExactSum, CancellationLosesNothing) {
  EXPECT_EQ(sum_of({1e308, 1.0, smallest, -1e308, -1.0}), smallest);
  EXPECT_EQ(sum_of({largest, largest, -largest, -largest, 3.0}),
            3.0);  // passes the range in between
  EXPECT_EQ(sum_of({1.0, 1e100, 1.0, -1e100}), 2.0);
  EXPECT_EQ(sum_of({smallest, -3 * smallest}), -2 * smallest);
}

TEST(ExactSum, RoundsToNearestTiesToEven) {
  const double half_ulp = 0x1p-53;
  EXPECT_EQ(sum_of({1.0, half_ulp}), 1.0);
  EXPECT_EQ(sum_of({1.0, half_ulp, smallest}), 1.0 + 2 * half_ulp);
  EXPECT_EQ(sum_of({1.0 + 2 * half_ulp, half_ulp}), 1.0 + 4 * half_ulp);
  EXPECT_EQ(sum_of({-1.0, -half_ulp, smallest}), -1.0);
  EXPECT_EQ(sum_of({2.0, -half_ulp / 2}), 2.0);  // the spacing halves below a power of two
  EXPECT_EQ(sum_of({2.0, -half_ulp / 2, -half_ulp / 2, -smallest}), 2.0 - 2 * half_ulp);
  EXPECT_EQ(sum_of({2.0, -half_ulp}), 2.0);
  // Two terms: IEEE addition is itself the correctly rounded sum.
  const Draw draw(3, Purpose::probe, 0);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double a = std::ldexp(draw.normal(2 * i), static_cast<int>(draw.below(80, 2 * i)) - 40);
    const double b =
        std::ldexp(draw.normal(2 * i + 1), static_cast<int>(draw.below(80, 2 * i + 1)) - 40);
    EXPECT_EQ(sum_of({a, b}), a + b);
    EXPECT_EQ(sum_of({a * 0x1p-1050, b * 0x1p-1050}), a * 0x1p-1050 + b * 0x1p-1050);
  }
}

TEST(ExactSum, OverflowAndSpecialValues) {
  EXPECT_EQ(sum_of({largest, largest}), infinity);
  EXPECT_EQ(sum_of({-largest, -largest}), -infinity);
  EXPECT_EQ(sum_of({1.0, infinity, -largest}), infinity);
  EXPECT_EQ(sum_of({-infinity, largest}), -infinity);
  EXPECT_TRUE(std::isnan(sum_of({infinity, -infinity})));
  EXPECT_TRUE(std::isnan(sum_of({1.0, std::numeric_limits<double>::quiet_NaN()})));
  EXPECT_EQ(sum_of({}), 0.0);
  EXPECT_FALSE(std::signbit(sum_of({1.0, -1.0})));
}

TEST(ExactSum, MergeEqualsAddingAll) {
  ExactSum a;
  ExactSum b;
  a.add(1e200);
  a.add(0.1);
  b.add(-1e200);
  b.add(0.2);
  a.merge(b);
  EXPECT_EQ(a.round(), 0.1 + 0.2);
  a.clear();
  EXPECT_EQ(a.round(), 0.0);
}

/// Terms of very different size, with every large one also subtracted: the rest is known exactly.
std::vector<double> adversarial() {
  std::vector<double> terms;
  const Draw draw(11, Purpose::probe, 0);
  for (std::uint64_t i = 0; i < 500; ++i) {
    const double term = std::ldexp(draw.normal(i), static_cast<int>(draw.below(1900, i)) - 950);
    terms.insert(terms.end(), {term, -term, 1.0});
  }
  return terms;
}

TEST(ExactSum, IndependentOfOrder) {
  auto terms = adversarial();
  const Draw draw(5, Purpose::probe, 1);
  std::uint64_t index = 0;
  for (int round = 0; round < 20; ++round) {
    for (std::size_t i = terms.size(); i > 1; --i)
      std::swap(terms[i - 1], terms[draw.below(i, index++)]);
    EXPECT_EQ(sum_of(terms), 500.0);
  }
}

TEST(ExactSum, IndependentOfRanks) {
  const auto comm = Comm::duplicate(MPI_COMM_WORLD);
  const auto terms = adversarial();
  const auto size = static_cast<std::size_t>(comm.size());
  const auto rank = static_cast<std::size_t>(comm.rank());
  std::vector<double> mine;  // dealt like cards
  for (std::size_t i = rank; i < terms.size(); i += size) mine.push_back(terms[i]);
  EXPECT_EQ(exact_sum(comm, mine), 500.0);

  // Rank r adds r + 1 and the special values of rank 0 reach everyone; ranks without terms take
  // part.
  std::vector<ExactSum> sums(4);
  std::vector<double> out(4);
  sums[0].add(comm.rank() + 1.0);
  if (comm.rank() == 0) sums[1].add(infinity);
  if (comm.rank() == comm.size() - 1) sums[2].add(std::numeric_limits<double>::quiet_NaN());
  if (comm.rank() == 0) sums[3].add(1e300);
  if (comm.rank() == comm.size() - 1) sums[3].add(-1e300);
  exact_sums(comm, sums, out);
  EXPECT_EQ(out[0], 0.5 * comm.size() * (comm.size() + 1));
  EXPECT_EQ(out[1], infinity);
  EXPECT_TRUE(std::isnan(out[2]));
  EXPECT_EQ(out[3], 0.0);
  // The totals stay usable.
  sums[0].add(-1.0);
  EXPECT_EQ(sums[0].round(), 0.5 * comm.size() * (comm.size() + 1) - 1.0);
}

}  // namespace
}  // namespace equipoise::parallel
