#include <equipoise/problems/pareto/dtlz.hpp>

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace equipoise::problems {
namespace {

using std::numbers::pi;

/// The points of a sphere of radius `radius` with the angles theta_i pi/2.
void sphere(std::span<const double> theta, double radius, std::span<double> f) {
  const std::size_t k = f.size();
  for (std::size_t i = 0; i < k; ++i) {
    double v = radius;
    for (std::size_t j = 0; j + i + 1 < k; ++j) v *= std::cos(theta[j] * 0.5 * pi);
    if (i > 0) v *= std::sin(theta[k - 1 - i] * 0.5 * pi);
    f[i] = v;
  }
}

double rastrigin(std::span<const double> tail) {
  double sum = static_cast<double>(tail.size());
  for (const double v : tail) sum += (v - 0.5) * (v - 0.5) - std::cos(20.0 * pi * (v - 0.5));
  return 100.0 * sum;
}

}  // namespace

void Dtlz::evaluate(std::span<const double> x, std::span<double> f) const {
  const std::size_t k = f.size();
  const auto head = x.first(k - 1);
  const auto tail = x.subspan(k - 1);
  if (number == 1) {
    const double g = rastrigin(tail);
    for (std::size_t i = 0; i < k; ++i) {
      double v = 0.5 * (1.0 + g);
      for (std::size_t j = 0; j + i + 1 < k; ++j) v *= head[j];
      if (i > 0) v *= 1.0 - head[k - 1 - i];
      f[i] = v;
    }
    return;
  }
  double g = 0.0;
  if (number == 7) {
    for (const double v : tail) g += v;
    g = 1.0 + 9.0 * g / static_cast<double>(tail.size());
    double h = static_cast<double>(k);
    for (std::size_t i = 0; i + 1 < k; ++i) {
      f[i] = head[i];
      h -= f[i] / (1.0 + g) * (1.0 + std::sin(3.0 * pi * f[i]));
    }
    f[k - 1] = (1.0 + g) * h;
    return;
  }
  if (number == 3) {
    g = rastrigin(tail);
  } else if (number == 6) {
    for (const double v : tail) g += std::pow(v, 0.1);
  } else {
    for (const double v : tail) g += (v - 0.5) * (v - 0.5);
  }
  std::vector<double> theta(head.begin(), head.end());
  if (number == 4) {
    for (double& t : theta) t = std::pow(t, 100.0);
  } else if (number >= 5) {
    for (std::size_t j = 1; j < theta.size(); ++j) {
      theta[j] = (1.0 + 2.0 * g * theta[j]) / (2.0 * (1.0 + g));
    }
  }
  sphere(theta, 1.0 + g, f);
}

pareto::Yardstick Dtlz::yardstick() const {
  const double k = static_cast<double>(objective_count);
  pareto::Yardstick y;
  if (number == 1) {
    y.reference.assign(static_cast<std::size_t>(objective_count), 0.55);
    y.limit = std::pow(0.55, k) - std::pow(0.5, k) / std::tgamma(k + 1.0);
  } else if (number == 7) {
    y.reference.assign(static_cast<std::size_t>(objective_count), 1.1);
    y.reference.back() = 2.2 * k;  // the last objective reaches 2k
  } else {
    y.reference.assign(static_cast<std::size_t>(objective_count), 1.1);
    if (number <= 4) {
      y.limit = std::pow(1.1, k) -
                std::pow(pi, 0.5 * k) / (std::pow(2.0, k) * std::tgamma(0.5 * k + 1.0));
    }
  }
  return y;
}

std::string Dtlz::fingerprint() const {
  return fmt::format("DTLZ{}, {} objectives, {} variables", number, objective_count, dimension());
}

}  // namespace equipoise::problems
