#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace equipoise::bilevel {

/// <a, b> with four interleaved accumulators: the same bits wherever it is compiled.
inline double dot(std::span<const double> a, std::span<const double> b) {
  double sums[4] = {};
  const std::size_t whole = a.size() / 4 * 4;
  for (std::size_t i = 0; i < whole; i += 4) {
    for (std::size_t j = 0; j < 4; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (std::size_t i = whole; i < a.size(); ++i) sums[i - whole] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

inline double norm(std::span<const double> a) { return std::sqrt(dot(a, a)); }

inline bool all_finite(std::span<const double> a) {
  return std::all_of(a.begin(), a.end(), [](double entry) { return std::isfinite(entry); });
}

/// y += a x.
inline void axpy(double a, std::span<const double> x, std::span<double> y) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += a * x[i];
}

/// Scales v back onto the ball of this radius if it lies outside.
inline void project_ball(double radius, std::span<double> v) {
  const double length = norm(v);
  if (length > radius) {
    for (double& entry : v) entry *= radius / length;
  }
}

}  // namespace equipoise::bilevel
