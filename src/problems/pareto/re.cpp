#include <equipoise/problems/pareto/re.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace equipoise::problems {
namespace {

using std::numbers::sqrt2;

struct Box {
  std::vector<double> lower, upper;
};

const Box& box(std::int64_t number) {
  static const Box truss4{{1.0, sqrt2, sqrt2, 1.0}, {3.0, 3.0, 3.0, 3.0}};
  static const Box cover{{0.5, 0.5}, {4.0, 50.0}};
  static const Box truss2{{1e-5, 1e-5, 1.0}, {100.0, 100.0, 3.0}};
  static const Box brake{{55.0, 75.0, 1000.0, 11.0}, {80.0, 110.0, 3000.0, 20.0}};
  static const Box injector{{0.0, 0.0, 0.0, 0.0}, {1.0, 1.0, 1.0, 1.0}};
  switch (number) {
    case 21:
      return truss4;
    case 24:
      return cover;
    case 31:
      return truss2;
    case 33:
      return brake;
    default:
      return injector;
  }
}

/// What is missing to g >= 0.
double missing(double g) { return std::max(-g, 0.0); }

void hatch_cover(std::span<const double> x, std::span<double> f) {
  const double modulus = 700000.0;
  const double bending = 4500.0 / (x[0] * x[1]);
  const double buckling = modulus * x[0] * x[0] / 100.0;
  const double shear = 1800.0 / x[1];
  const double deflection = 562000.0 / (modulus * x[0] * x[1] * x[1]);
  f[0] = x[0] + 120.0 * x[1];
  f[1] = missing(1.0 - bending / 700.0) + missing(1.0 - shear / 450.0) +
         missing(1.0 - deflection / 1.5) + missing(1.0 - bending / buckling);
}

void two_bar_truss(std::span<const double> x, std::span<double> f) {
  const double long_bar = std::sqrt(16.0 + x[2] * x[2]);
  const double short_bar = std::sqrt(1.0 + x[2] * x[2]);
  f[0] = x[0] * long_bar + x[1] * short_bar;
  f[1] = 20.0 * long_bar / (x[0] * x[2]);
  f[2] =
      missing(0.1 - f[0]) + missing(1e5 - f[1]) + missing(1e5 - 80.0 * short_bar / (x[2] * x[1]));
}

void disc_brake(std::span<const double> x, std::span<double> f) {
  const double square = x[1] * x[1] - x[0] * x[0];
  const double cube = x[1] * x[1] * x[1] - x[0] * x[0] * x[0];
  f[0] = 4.9e-5 * square * (x[3] - 1.0);
  f[1] = 9.82e6 * square / (x[2] * x[3] * cube);
  f[2] = missing(x[1] - x[0] - 20.0) + missing(0.4 - x[2] / (3.14 * square)) +
         missing(1.0 - 2.22e-3 * x[2] * cube / (square * square)) +
         missing(2.66e-2 * x[2] * x[3] * cube / square - 900.0);
}

/// Coefficients of 1, the four variables, and the ten products in the order aa, ba, bb, ca, cb, cc,
/// da, db, dc, dd.
using Quadratic = std::array<double, 15>;
double quadratic(const Quadratic& c, std::span<const double> x) {
  double sum = c[0];
  for (std::size_t i = 0; i < 4; ++i) sum += c[i + 1] * x[i];
  std::size_t at = 5;
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j <= i; ++j) sum += c[at++] * x[i] * x[j];
  }
  return sum;
}

void rocket_injector(std::span<const double> x, std::span<double> f) {
  static const Quadratic temperature{0.692,  0.477,   -0.687,  -0.080,  -0.0650,
                                     -0.167, -0.0129, 0.0796,  -0.0634, -0.0257,
                                     0.0877, -0.0521, 0.00156, 0.00198, 0.0184};
  static const Quadratic distance{0.153,  -0.322, 0.396,  0.424,  0.0226, 0.175,  0.0185, -0.0701,
                                  -0.251, 0.179,  0.0150, 0.0134, 0.0296, 0.0752, 0.0192};
  static const Quadratic tip{0.370, -0.205,  0.0307, 0.108, 1.019, -0.135,  0.0141, 0.0998,
                             0.208, -0.0301, -0.226, 0.353, 0.0,   -0.0497, -0.423};
  const double a = x[0];
  const double b = x[1];
  const double c = x[2];
  const double d = x[3];
  f[0] = quadratic(temperature, x);
  f[1] = quadratic(distance, x);
  f[2] = quadratic(tip, x) + 0.202 * b * a * a - 0.281 * c * a * a - 0.342 * b * b * a -
         0.245 * b * b * c + 0.281 * c * c * b - 0.184 * d * d * a - 0.281 * b * a * c;
}

}  // namespace

std::int64_t Re::dimension() const { return static_cast<std::int64_t>(box(number).lower.size()); }
double Re::lower(std::int64_t i) const { return box(number).lower[static_cast<std::size_t>(i)]; }
double Re::upper(std::int64_t i) const { return box(number).upper[static_cast<std::size_t>(i)]; }

void Re::evaluate(std::span<const double> x, std::span<double> f) const {
  switch (number) {
    case 21:
      f[0] = 200.0 * (2.0 * x[0] + sqrt2 * x[1] + std::sqrt(x[2]) + x[3]);
      f[1] = 0.01 * (2.0 / x[0] + 2.0 * sqrt2 / x[1] - 2.0 * sqrt2 / x[2] + 2.0 / x[3]);
      break;
    case 24:
      hatch_cover(x, f);
      break;
    case 31:
      two_bar_truss(x, f);
      break;
    case 33:
      disc_brake(x, f);
      break;
    default:
      rocket_injector(x, f);
  }
}

pareto::Yardstick Re::yardstick() const {
  pareto::Yardstick y{std::vector<double>(static_cast<std::size_t>(objectives()), 1.1), 0.0, {}};
  switch (number) {
    case 21:
      y.scale = {{1237.8414230005742, 0.0027614237491584192}, {2886.3695604236013, 0.04}};
      break;
    case 24:
      y.scale = {{60.5, 0.0}, {481.608088535, 44.2819047619}};
      break;
    case 31:
      y.scale = {{5.53731918799e-05, 0.333333333333, 0.0},
                 {500.002668442, 8246211.25124, 19359919.7502}};
      break;
    case 33:
      y.scale = {{-0.721525, 1.13907203907, 0.0}, {5.3067, 3.12833430979, 25.0}};
      break;
    default:
      y.scale = {{0.00889341391106, 0.00488, -0.431499999825},
                 {0.98949120096, 0.956587924661, 0.987530948586}};
  }
  return y;
}

std::string Re::fingerprint() const { return fmt::format("RE{}", number); }

}  // namespace equipoise::problems
