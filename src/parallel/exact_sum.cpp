#include <equipoise/parallel/exact_sum.hpp>

#include <bit>
#include <cassert>
#include <cmath>
#include <limits>

namespace equipoise::parallel {
namespace {

constexpr std::int64_t base = std::int64_t{1} << 32U;
constexpr std::int64_t low_mask = base - 1;
// A term adds less than 2^32 to a limb; a carry is due long before 2^63.
constexpr std::int64_t carry_after = std::int64_t{1} << 29U;
constexpr int unit_exponent = -1074;  // exponent of the smallest subnormal, the unit of limb 0

}  // namespace

void ExactSum::add(double term) {
  const auto bits = std::bit_cast<std::uint64_t>(term);
  const auto exponent = static_cast<unsigned>(bits >> 52U & 0x7ffU);
  const bool minus = (bits >> 63U) != 0;
  std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52U) - 1);
  if (exponent == 0x7ffU) {
    ++words_[mantissa != 0 ? nan : (minus ? negative : positive)];
    return;
  }
  if (exponent != 0) mantissa |= std::uint64_t{1} << 52U;
  const unsigned position = exponent != 0 ? exponent - 1 : 0;
  const unsigned shift = position % 32;
  const std::size_t limb = position / 32;
  // mantissa << shift has up to 84 bits: split it into three pieces of 32.
  const std::uint64_t low = (mantissa & 0xffffffffU) << shift;
  const std::uint64_t high = (mantissa >> 32U) << shift;
  const std::uint64_t middle = (low >> 32U) + (high & 0xffffffffU);
  const std::int64_t sign = minus ? -1 : 1;
  words_[limb] += sign * static_cast<std::int64_t>(low & 0xffffffffU);
  words_[limb + 1] += sign * static_cast<std::int64_t>(middle);
  words_[limb + 2] += sign * static_cast<std::int64_t>(high >> 32U);
  if (++words_[pending] >= carry_after) carry();
}

void ExactSum::carry() {
  std::int64_t over = 0;
  for (std::size_t i = 0; i + 1 < limbs; ++i) {
    const std::int64_t value = words_[i] + over;
    words_[i] = value & low_mask;
    over = (value - words_[i]) / base;
  }
  words_[limbs - 1] += over;
  words_[pending] = 1;
}

void ExactSum::merge(const ExactSum& other) {
  for (std::size_t i = 0; i < words; ++i) words_[i] += other.words_[i];
  if (words_[pending] >= carry_after) carry();
}

double ExactSum::round() const {
  if (words_[nan] > 0 || (words_[positive] > 0 && words_[negative] > 0)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (words_[positive] > 0) return std::numeric_limits<double>::infinity();
  if (words_[negative] > 0) return -std::numeric_limits<double>::infinity();

  ExactSum magnitude = *this;
  magnitude.carry();
  const bool minus = magnitude.words_[limbs - 1] < 0;
  if (minus) {
    for (std::size_t i = 0; i < limbs; ++i) magnitude.words_[i] = -magnitude.words_[i];
    magnitude.carry();
  }
  const auto& limb = magnitude.words_;
  std::size_t top = limbs;
  while (top > 0 && limb[top - 1] == 0) --top;
  if (top == 0) return 0.0;
  const auto bit = [&](std::size_t i) { return (limb[i / 32] >> (i % 32) & 1) != 0; };
  const std::size_t highest =
      32 * (top - 1) +
      static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(limb[top - 1]))) - 1;

  std::uint64_t mantissa = 0;
  const std::size_t lowest = highest > 52 ? highest - 52 : 0;
  for (std::size_t i = highest + 1; i-- > lowest;) mantissa = mantissa << 1U | (bit(i) ? 1U : 0U);
  if (lowest > 0 && bit(lowest - 1)) {
    bool beyond_half = (mantissa & 1U) != 0;  // ties go to even
    for (std::size_t i = 0; i + 1 < lowest && !beyond_half; ++i) beyond_half = bit(i);
    if (beyond_half) ++mantissa;
  }
  const double value =
      std::ldexp(static_cast<double>(mantissa), static_cast<int>(lowest) + unit_exponent);
  return minus ? -value : value;
}

void exact_sums(const Comm& comm, std::span<ExactSum> sums, std::span<double> out) {
  assert(sums.size() == out.size());
  static_assert(sizeof(ExactSum) == ExactSum::words * sizeof(std::int64_t));
  for (auto& sum : sums) sum.carry();
  if (comm.size() > 1 && !sums.empty()) {
    MPI_Allreduce(MPI_IN_PLACE, sums.data(), static_cast<int>(sums.size() * ExactSum::words),
                  MPI_INT64_T, MPI_SUM, comm.handle());
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    sums[i].carry();
    out[i] = sums[i].round();
  }
}

double exact_sum(const Comm& comm, std::span<const double> local_terms) {
  ExactSum sum;
  for (const double term : local_terms) sum.add(term);
  double result = 0.0;
  exact_sums(comm, {&sum, 1}, {&result, 1});
  return result;
}

}  // namespace equipoise::parallel
