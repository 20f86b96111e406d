#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/pareto/nonsmooth.hpp>

#include <array>
#include <cmath>
#include <limits>

namespace equipoise::problems {
namespace {

struct Piece {
  double value, dx, dy;
};

template <std::size_t N>
double largest(const std::array<Piece, N>& pieces, std::span<double> gradient) {
  const Piece* top = &pieces[0];
  for (const Piece& piece : pieces) {
    if (piece.value > top->value) top = &piece;
  }
  gradient[0] = top->dx;
  gradient[1] = top->dy;
  return top->value;
}

}  // namespace

double nonsmooth_value(const std::string& name, std::span<const double> p,
                       std::span<double> gradient) {
  const double x = p[0];
  const double y = p[1];
  const double q = x * x + y * y;
  if (name == "CB3") {
    const double e = 2.0 * std::exp(y - x);
    return largest<3>(
        {{{x * x * x * x + y * y, 4.0 * x * x * x, 2.0 * y},
          {(2.0 - x) * (2.0 - x) + (2.0 - y) * (2.0 - y), 2.0 * (x - 2.0), 2.0 * (y - 2.0)},
          {e, -e, e}}},
        gradient);
  }
  if (name == "DEM") {
    return largest<3>({{{5.0 * x + y, 5.0, 1.0},
                        {-5.0 * x + y, -5.0, 1.0},
                        {q + 4.0 * y, 2.0 * x, 2.0 * y + 4.0}}},
                      gradient);
  }
  if (name == "QL") {
    return largest<3>({{{q, 2.0 * x, 2.0 * y},
                        {q + 10.0 * (-4.0 * x - y + 4.0), 2.0 * x - 40.0, 2.0 * y - 10.0},
                        {q + 10.0 * (-x - 2.0 * y + 6.0), 2.0 * x - 10.0, 2.0 * y - 20.0}}},
                      gradient);
  }
  if (name == "LQ") {
    return largest<2>({{{-x - y, -1.0, -1.0}, {-x - y + q - 1.0, 2.0 * x - 1.0, 2.0 * y - 1.0}}},
                      gradient);
  }
  if (name == "Mifflin1") {
    return largest<2>({{{-x, -1.0, 0.0}, {-x + 20.0 * (q - 1.0), 40.0 * x - 1.0, 40.0 * y}}},
                      gradient);
  }
  throw ConfigurationError("unknown function `{}`; there are CB3, DEM, QL, LQ and Mifflin1", name);
}

double NonsmoothPair::lower(std::int64_t) const { return -std::numeric_limits<double>::infinity(); }

void NonsmoothPair::evaluate(std::span<const double> x, std::span<double> f) const {
  std::array<double, 2> g{};
  f[0] = nonsmooth_value(first, x, g);
  f[1] = nonsmooth_value(second, x, g);
}

void NonsmoothPair::gradients(std::span<const double> x, std::span<double> f,
                              std::span<double> g) const {
  f[0] = nonsmooth_value(first, x, g.first(2));
  f[1] = nonsmooth_value(second, x, g.last(2));
}

void NonsmoothPair::gradient(std::int64_t i, std::span<const double> x, std::span<double> g) const {
  (void)nonsmooth_value(i == 0 ? first : second, x, g);
}

}  // namespace equipoise::problems
