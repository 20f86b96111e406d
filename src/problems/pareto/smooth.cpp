#include <equipoise/problems/pareto/smooth.hpp>

#include <fmt/format.h>

#include <cmath>

namespace equipoise::problems {

void Distances::evaluate(std::span<const double> x, std::span<double> f) const {
  for (std::size_t i = 0; i < f.size(); ++i) {
    double square = 0.0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      const double d = x[j] - (i == j ? 1.0 : 0.0);
      square += d * d;
    }
    f[i] = 0.5 * mass * square;
  }
}

void Distances::gradients(std::span<const double> x, std::span<double> f,
                          std::span<double> g) const {
  evaluate(x, f);
  for (std::size_t i = 0; i < f.size(); ++i) {
    for (std::size_t j = 0; j < x.size(); ++j) g[i * x.size() + j] = x[j] - (i == j ? 1.0 : 0.0);
  }
}

double Distances::inner(std::span<const double> a, std::span<const double> b) const {
  double sum = 0.0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += a[j] * b[j];
  return mass * sum;
}

void Distances::hessian_product(std::span<const double> weights, std::span<const double>,
                                std::span<const double> v, std::span<double> out) const {
  double sum = 0.0;
  for (const double w : weights) sum += w;
  for (std::size_t j = 0; j < v.size(); ++j) out[j] = sum * v[j];
}

std::string Distances::fingerprint() const {
  return fmt::format("squared distances, {} objectives, {} variables, mass {}", objective_count,
                     variables, mass);
}

void Fonseca::evaluate(std::span<const double> x, std::span<double> f) const {
  const double a = 1.0 / std::sqrt(static_cast<double>(x.size()));
  double near = 0.0;
  double far = 0.0;
  for (const double v : x) {
    near += (v - a) * (v - a);
    far += (v + a) * (v + a);
  }
  f[0] = -std::expm1(-near);
  f[1] = -std::expm1(-far);
}

void Fonseca::gradients(std::span<const double> x, std::span<double> f, std::span<double> g) const {
  evaluate(x, f);
  const double a = 1.0 / std::sqrt(static_cast<double>(x.size()));
  for (std::size_t j = 0; j < x.size(); ++j) {
    g[j] = 2.0 * (x[j] - a) * (1.0 - f[0]);
    g[x.size() + j] = 2.0 * (x[j] + a) * (1.0 - f[1]);
  }
}

void Fonseca::start(std::span<double> x) const {
  for (std::size_t j = 0; j < x.size(); ++j) x[j] = 0.1 * (j % 2 == 0 ? 1.0 : -0.5);
}

std::string Fonseca::fingerprint() const {
  return fmt::format("Fonseca-Fleming, {} variables", variables);
}

}  // namespace equipoise::problems
