#include "variation.hpp"

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {
namespace {

/// Spread factor of the crossover for a relative distance `beta` to the bound.
double spread(double u, double beta, double index) {
  const double alpha = 2.0 - std::pow(beta, -(index + 1.0));
  if (u <= 1.0 / alpha) return std::pow(u * alpha, 1.0 / (index + 1.0));
  return std::pow(1.0 / (2.0 - u * alpha), 1.0 / (index + 1.0));
}

}  // namespace

void simulated_binary_crossover(const Space& space, double index, Stream& draw, std::span<double> a,
                                std::span<double> b) {
  for (std::size_t j = 0; j < a.size(); ++j) {
    if (draw.uniform() > 0.5 || std::abs(a[j] - b[j]) < 1e-14) continue;
    const double low = std::min(a[j], b[j]);
    const double high = std::max(a[j], b[j]);
    const double u = draw.uniform();
    const double below = 1.0 + 2.0 * (low - space.lower[j]) / (high - low);
    const double above = 1.0 + 2.0 * (space.upper[j] - high) / (high - low);
    double first = 0.5 * (low + high - spread(u, below, index) * (high - low));
    double second = 0.5 * (low + high + spread(u, above, index) * (high - low));
    if (draw.uniform() < 0.5) std::swap(first, second);
    a[j] = std::clamp(first, space.lower[j], space.upper[j]);
    b[j] = std::clamp(second, space.lower[j], space.upper[j]);
  }
}

void polynomial_mutation(const Space& space, double probability, double index, Stream& draw,
                         std::span<double> x) {
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double width = space.upper[j] - space.lower[j];
    if (draw.uniform() >= probability || !(width > 0.0)) continue;
    const double u = draw.uniform();
    const double power = 1.0 / (index + 1.0);
    double step = 0.0;
    if (u < 0.5) {
      const double gap = 1.0 - (x[j] - space.lower[j]) / width;
      step = std::pow(2.0 * u + (1.0 - 2.0 * u) * std::pow(gap, index + 1.0), power) - 1.0;
    } else {
      const double gap = 1.0 - (space.upper[j] - x[j]) / width;
      step = 1.0 - std::pow(2.0 * (1.0 - u) + 2.0 * (u - 0.5) * std::pow(gap, index + 1.0), power);
    }
    double move = step * width;
    // A whole number moves by one at least: the steps of a binary variable would all round to zero.
    if (space.integer[j] && std::abs(move) < 1.0) {
      move = std::copysign(1.0, u - 0.5);
      if (x[j] + move < space.lower[j] || x[j] + move > space.upper[j]) move = -move;
    }
    x[j] = std::clamp(x[j] + move, space.lower[j], space.upper[j]);
  }
}

void repair(const Space& space, std::span<double> x) {
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (x[j] < space.lower[j]) x[j] = 2.0 * space.lower[j] - x[j];
    if (x[j] > space.upper[j]) x[j] = 2.0 * space.upper[j] - x[j];
    x[j] = std::clamp(x[j], space.lower[j], space.upper[j]);
    if (!space.integer[j]) continue;
    // Bounds need not be whole.
    x[j] = std::clamp(std::round(x[j]), std::ceil(space.lower[j]), std::floor(space.upper[j]));
  }
}

void sample(const Space& space, Stream& draw, std::span<double> x) {
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double u = draw.uniform();
    if (space.integer[j]) {
      const double count = std::floor(space.upper[j]) - std::ceil(space.lower[j]) + 1.0;
      x[j] =
          std::min(std::ceil(space.lower[j]) + std::floor(u * count), std::floor(space.upper[j]));
    } else {
      x[j] = space.lower[j] + u * (space.upper[j] - space.lower[j]);
    }
  }
}

}  // namespace equipoise::pareto
