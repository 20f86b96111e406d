#pragma once

#include <array>
#include <cstddef>
#include <span>

/// Loops over contiguous vectors held in full by one rank. Sums run over eight fixed accumulators,
/// so that they vectorise and yet have the same bits for any alignment.
namespace equipoise::linalg {

namespace detail {
template <class Term>
double fixed_order_sum(std::size_t n, Term term) {
  std::array<double, 8> lane{};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t k = 0; k < 8; ++k) lane[k] += term(i + k);
  }
  double tail = 0.0;
  for (; i < n; ++i) tail += term(i);
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7])) +
         tail;
}
}  // namespace detail

/// Inner product, [n] x [n] -> 1.
inline double dot(std::span<const double> a, std::span<const double> b) {
  return detail::fixed_order_sum(
      a.size(), [p = a.data(), q = b.data()](std::size_t i) { return p[i] * q[i]; });
}
/// Squared Euclidean distance.
inline double squared_distance(std::span<const double> a, std::span<const double> b) {
  return detail::fixed_order_sum(a.size(), [p = a.data(), q = b.data()](std::size_t i) {
    const double t = p[i] - q[i];
    return t * t;
  });
}
/// True if every entry is a finite number.
inline bool all_finite(std::span<const double> a) {
  return detail::fixed_order_sum(a.size(), [p = a.data()](std::size_t i) { return p[i] * 0.0; }) ==
         0.0;
}
/// out = x + scale * y; `out` may be `x` or `y`.
inline void add_scaled(std::span<const double> x, double scale, std::span<const double> y,
                       std::span<double> out) {
  const double* p = x.data();
  const double* q = y.data();
  double* to = out.data();
  const std::size_t n = out.size();
  for (std::size_t i = 0; i < n; ++i) to[i] = p[i] + scale * q[i];
}

}  // namespace equipoise::linalg
