#pragma once
// Symmetric tridiagonal systems along the axes of an array: the factors of a mass matrix of tensor
// products.

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::control {

/// T = L D L^T of a tridiagonal matrix: factor[i] = L(i, i-1), inverse[i] = 1 / D(i).
inline void factor_tridiagonal(std::span<const double> diagonal, std::span<const double> next,
                               std::vector<double>& factor, std::vector<double>& inverse) {
  factor.assign(diagonal.size(), 0.0);
  inverse.assign(diagonal.size(), 0.0);
  for (std::size_t i = 0; i < diagonal.size(); ++i) {
    double pivot = diagonal[i];
    if (i > 0) {
      factor[i] = next[i - 1] * inverse[i - 1];
      pivot -= factor[i] * next[i - 1];
    }
    inverse[i] = 1.0 / pivot;
  }
}

/// Solves along an axis of `count` entries that lie `stride` apart, for `stride` neighbouring lines
/// at once.
inline void solve_along(std::span<const double> factor, std::span<const double> inverse,
                        std::int64_t stride, double* data) {
  const auto count = static_cast<std::int64_t>(factor.size());
  for (std::int64_t i = 1; i < count; ++i) {
    double* row = data + i * stride;
    const double f = factor[static_cast<std::size_t>(i)];
    for (std::int64_t k = 0; k < stride; ++k) row[k] -= f * row[k - stride];
  }
  for (std::int64_t i = count - 1; i >= 0; --i) {
    double* row = data + i * stride;
    const double d = inverse[static_cast<std::size_t>(i)];
    if (i + 1 < count) {
      const double f = factor[static_cast<std::size_t>(i + 1)];
      for (std::int64_t k = 0; k < stride; ++k) row[k] = d * row[k] - f * row[k + stride];
    } else {
      for (std::int64_t k = 0; k < stride; ++k) row[k] *= d;
    }
  }
}

/// Solves `lines` lines of entries that lie side by side, four at a time: one alone waits for its
/// own last entry.
inline void solve_lines(std::span<const double> factor, std::span<const double> inverse,
                        std::int64_t lines, double* data) {
  const std::size_t n = factor.size();
  std::int64_t line = 0;
  for (; line + 4 <= lines; line += 4) {
    double* a = data + line * static_cast<std::int64_t>(n);
    double *b = a + n, *c = b + n, *d = c + n;
    for (std::size_t i = 1; i < n; ++i) {
      const double f = factor[i];
      a[i] -= f * a[i - 1], b[i] -= f * b[i - 1], c[i] -= f * c[i - 1], d[i] -= f * d[i - 1];
    }
    for (double* row : {a, b, c, d}) row[n - 1] *= inverse[n - 1];
    for (std::size_t i = n - 1; i-- > 0;) {
      const double v = inverse[i], f = factor[i + 1];
      a[i] = v * a[i] - f * a[i + 1], b[i] = v * b[i] - f * b[i + 1];
      c[i] = v * c[i] - f * c[i + 1], d[i] = v * d[i] - f * d[i + 1];
    }
  }
  for (; line < lines; ++line) {
    solve_along(factor, inverse, 1, data + line * static_cast<std::int64_t>(n));
  }
}

}  // namespace equipoise::control
