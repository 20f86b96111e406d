#pragma once

#include <cmath>

namespace equipoise::bilevel {

/// A number a + b eps with eps^2 = 0: a function evaluated on it returns its value and its
/// derivative along b. What templated gradients are called with to give second derivatives.
/// Comparisons look at values only.
struct Dual {
  double value = 0.0, slope = 0.0;
  Dual() = default;
  Dual(double v, double s = 0.0) : value(v), slope(s) {}  // NOLINT(google-explicit-constructor)
  Dual& operator+=(const Dual& b) { return value += b.value, slope += b.slope, *this; }
  Dual& operator-=(const Dual& b) { return value -= b.value, slope -= b.slope, *this; }
  Dual& operator*=(const Dual& b) {
    slope = slope * b.value + value * b.slope;
    value *= b.value;
    return *this;
  }
  Dual& operator/=(const Dual& b) {
    value /= b.value;
    slope = (slope - value * b.slope) / b.value;
    return *this;
  }
};

inline Dual operator+(Dual a, const Dual& b) { return a += b; }
inline Dual operator-(Dual a, const Dual& b) { return a -= b; }
inline Dual operator*(Dual a, const Dual& b) { return a *= b; }
inline Dual operator/(Dual a, const Dual& b) { return a /= b; }
inline Dual operator-(const Dual& a) { return {-a.value, -a.slope}; }
inline bool operator<(const Dual& a, const Dual& b) { return a.value < b.value; }
inline bool operator>(const Dual& a, const Dual& b) { return a.value > b.value; }

inline Dual exp(const Dual& a) {
  const double e = std::exp(a.value);
  return {e, e * a.slope};
}
inline Dual log(const Dual& a) { return {std::log(a.value), a.slope / a.value}; }
inline Dual log1p(const Dual& a) { return {std::log1p(a.value), a.slope / (1.0 + a.value)}; }
inline Dual sqrt(const Dual& a) {
  const double root = std::sqrt(a.value);
  return {root, 0.5 * a.slope / root};
}
inline Dual tanh(const Dual& a) {
  const double t = std::tanh(a.value);
  return {t, (1.0 - t * t) * a.slope};
}
inline Dual sin(const Dual& a) { return {std::sin(a.value), std::cos(a.value) * a.slope}; }
inline Dual cos(const Dual& a) { return {std::cos(a.value), -std::sin(a.value) * a.slope}; }

}  // namespace equipoise::bilevel
