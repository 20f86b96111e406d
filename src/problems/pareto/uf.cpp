#include <equipoise/problems/pareto/uf.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

using std::numbers::pi;

/// Distance of variable j (counted from 1) to the Pareto set.
double offset(std::int64_t number, std::span<const double> x, std::size_t j) {
  const double n = static_cast<double>(x.size());
  const double position = static_cast<double>(j);
  const double wave = 6.0 * pi * x[0] + position * pi / n;
  switch (number) {
    case 2: {
      const double amplitude =
          0.3 * x[0] * x[0] * std::cos(24.0 * pi * x[0] + 4.0 * position * pi / n) + 0.6 * x[0];
      return x[j - 1] - amplitude * (j % 2 == 1 ? std::cos(wave) : std::sin(wave));
    }
    case 3:
      return x[j - 1] - std::pow(x[0], 0.5 * (1.0 + 3.0 * (position - 2.0) / (n - 2.0)));
    case 8:
    case 9:
    case 10:
      return x[j - 1] - 2.0 * x[1] * std::sin(2.0 * pi * x[0] + position * pi / n);
    default:
      return x[j - 1] - std::sin(wave);
  }
}

/// The penalty of one offset, where penalties add.
double penalty(std::int64_t number, double y) {
  switch (number) {
    case 4:
      return std::abs(y) / (1.0 + std::exp(2.0 * std::abs(y)));
    case 5:
      return 2.0 * y * y - std::cos(4.0 * pi * y) + 1.0;
    case 10:
      return 4.0 * y * y - std::cos(8.0 * pi * y) + 1.0;
    default:
      return y * y;
  }
}

/// The points of the front at x_1 (and x_2).
void front(std::int64_t number, std::span<const double> x, std::span<double> f) {
  const double a = x[0];
  switch (number) {
    case 4:
      f[0] = a, f[1] = 1.0 - a * a;
      return;
    case 5: {
      const double bump = (0.05 + 0.1) * std::abs(std::sin(20.0 * pi * a));
      f[0] = a + bump, f[1] = 1.0 - a + bump;
      return;
    }
    case 6: {
      const double bump = std::max(0.0, 2.0 * (0.25 + 0.1) * std::sin(4.0 * pi * a));
      f[0] = a + bump, f[1] = 1.0 - a + bump;
      return;
    }
    case 7:
      f[0] = std::pow(a, 0.2), f[1] = 1.0 - f[0];
      return;
    case 9: {
      const double bump = std::max(0.0, 1.1 * (1.0 - 4.0 * (2.0 * a - 1.0) * (2.0 * a - 1.0)));
      f[0] = 0.5 * (bump + 2.0 * a) * x[1];
      f[1] = 0.5 * (bump - 2.0 * a + 2.0) * x[1];
      f[2] = 1.0 - x[1];
      return;
    }
    case 8:
    case 10:
      f[0] = std::cos(0.5 * pi * a) * std::cos(0.5 * pi * x[1]);
      f[1] = std::cos(0.5 * pi * a) * std::sin(0.5 * pi * x[1]);
      f[2] = std::sin(0.5 * pi * a);
      return;
    default:
      f[0] = a, f[1] = 1.0 - std::sqrt(a);
  }
}

}  // namespace

void Uf::evaluate(std::span<const double> x, std::span<double> f) const {
  const std::size_t k = f.size();
  std::array<double, 3> sum{};
  std::array<double, 3> product{1.0, 1.0, 1.0};
  std::array<double, 3> count{};
  for (std::size_t j = k; j <= x.size(); ++j) {
    // Two objectives: odd variables to the first, even to the second; three: by j mod 3.
    const std::size_t to = k == 2 ? (j + 1) % 2 : (j + 2) % 3;
    const double y = offset(number, x, j);
    sum[to] += penalty(number, y);
    product[to] *= std::cos(20.0 * y * pi / std::sqrt(static_cast<double>(j)));
    count[to] += 1.0;
  }
  front(number, x, f);
  for (std::size_t i = 0; i < k; ++i) {
    const bool rugged = number == 3 || number == 6;
    f[i] += 2.0 / count[i] * (rugged ? 4.0 * sum[i] - 2.0 * product[i] + 2.0 : sum[i]);
  }
}

pareto::Yardstick Uf::yardstick() const {
  pareto::Yardstick y{std::vector<double>(static_cast<std::size_t>(objectives()), 1.1), 0.0, {}};
  switch (number) {
    case 1:
    case 2:
    case 3:
      y.limit = 0.21 + 2.0 / 3.0;
      break;
    case 4:
      y.limit = 0.21 + 1.0 / 3.0;
      break;
    case 7:
      y.limit = 0.21 + 0.5;
      break;
    case 8:
    case 10:
      y.limit = 1.331 - pi / 6.0;
      break;
    default:
      break;
  }
  return y;
}

std::string Uf::fingerprint() const { return fmt::format("UF{}, {} variables", number, variables); }

}  // namespace equipoise::problems
