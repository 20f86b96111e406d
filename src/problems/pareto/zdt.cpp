#include <equipoise/problems/pareto/zdt.hpp>

#include <fmt/format.h>

#include <cmath>
#include <numbers>

namespace equipoise::problems {

void Zdt::evaluate(std::span<const double> x, std::span<double> f) const {
  using std::numbers::pi;
  const auto rest = x.subspan(1);
  const double count = static_cast<double>(rest.size());
  double sum = 0.0;
  double g = 1.0;
  f[0] = x[0];
  if (number == 4) {
    for (const double v : rest) sum += v * v - 10.0 * std::cos(4.0 * pi * v);
    g = 1.0 + 10.0 * count + sum;
  } else if (number == 6) {
    for (const double v : rest) sum += v;
    g = 1.0 + 9.0 * std::pow(sum / count, 0.25);
    f[0] = 1.0 - std::exp(-4.0 * x[0]) * std::pow(std::sin(6.0 * pi * x[0]), 6);
  } else {
    for (const double v : rest) sum += v;
    g = 1.0 + 9.0 * sum / count;
  }
  const double ratio = f[0] / g;
  switch (number) {
    case 2:
    case 6:
      f[1] = g * (1.0 - ratio * ratio);
      break;
    case 3:
      f[1] = g * (1.0 - std::sqrt(ratio) - ratio * std::sin(10.0 * pi * f[0]));
      break;
    default:
      f[1] = g * (1.0 - std::sqrt(ratio));
  }
}

pareto::Yardstick Zdt::yardstick() const {
  pareto::Yardstick y{{1.1, 1.1}, 0.0, {}};
  switch (number) {
    case 1:
    case 4:
      y.limit = 0.21 + 2.0 / 3.0;
      break;
    case 2:
      y.limit = 0.21 + 1.0 / 3.0;
      break;
    case 3:
      y.limit = 1.3317627198;
      break;
    default:
      y.limit = 0.5078775146;
  }
  return y;
}

std::string Zdt::fingerprint() const {
  return fmt::format("ZDT{}, {} variables", number, dimension());
}

}  // namespace equipoise::problems
