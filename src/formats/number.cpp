#include <equipoise/formats/number.hpp>

#include <charconv>
#include <cmath>

namespace equipoise::formats {
namespace {

constexpr double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                             1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool digit(const char* at, const char* last) { return at != last && *at >= '0' && *at <= '9'; }

const char* parse_long_number(const char* first, const char* last, double& value) {
  const auto [end, error] = std::from_chars(first, last, value);
  return error == std::errc() && std::isfinite(value) ? end : nullptr;
}

}  // namespace

const char* parse_number(const char* first, const char* last, double& value) {
  // One digit and a blank: what binary features look like.
  if (last - first >= 2 && *first >= '0' && *first <= '9' &&
      (first[1] == ' ' || first[1] == '\n')) {
    value = *first - '0';
    return first + 1;
  }
  if (first != last && *first == '+') {
    ++first;
    if (first != last && *first == '-') return nullptr;
  }
  const char* at = first;
  const bool negative = at != last && *at == '-';
  if (negative) ++at;
  std::uint64_t mantissa = 0;
  const char* const whole = at;
  for (; digit(at, last); ++at) mantissa = 10 * mantissa + static_cast<std::uint64_t>(*at - '0');
  auto digits = at - whole;
  std::ptrdiff_t fraction = 0;
  if (at != last && *at == '.') {
    const char* const point = ++at;
    for (; digit(at, last); ++at) mantissa = 10 * mantissa + static_cast<std::uint64_t>(*at - '0');
    fraction = at - point;
    digits += fraction;
  }
  // Both operands are exact below these limits, so one operation rounds correctly.
  const bool exponent = at != last && (*at == 'e' || *at == 'E');
  if (digits == 0 || digits > 19 || exponent || fraction > 22 || mantissa > (1ULL << 53U)) {
    return parse_long_number(first, last, value);
  }
  const double magnitude = static_cast<double>(mantissa) / powers[fraction];
  value = negative ? -magnitude : magnitude;
  return at;
}

const char* parse_integer(const char* first, const char* last, std::int64_t& value) {
  if (first != last && *first == '+') {
    ++first;
    if (first != last && *first == '-') return nullptr;
  }
  const auto [end, error] = std::from_chars(first, last, value);
  return error == std::errc() ? end : nullptr;
}

}  // namespace equipoise::formats
