#include <equipoise/problems/pareto/wfg.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace equipoise::problems {
namespace {

using std::numbers::pi;
using Vector = std::vector<double>;
using View = std::span<const double>;

// The transformations of the toolkit, by their names there (Huband et al. 2006, table XI).

double unit(double v) { return std::clamp(v, 0.0, 1.0); }

double b_flat(double y, double a, double b, double c) {
  const double below = std::min(0.0, std::floor(y - b)) * a * (b - y) / b;
  const double above = std::min(0.0, std::floor(c - y)) * (1.0 - a) * (y - c) / (1.0 - c);
  return unit(a + below - above);
}

double b_param(double y, double u) {
  const double a = 0.98 / 49.98;
  const double v = a - (1.0 - 2.0 * u) * std::abs(std::floor(0.5 - u) + a);
  return unit(std::pow(y, 0.02 + (50.0 - 0.02) * v));
}

double s_linear(double y, double a = 0.35) {
  return unit(std::abs(y - a) / std::abs(std::floor(a - y) + a));
}

double s_decept(double y) {
  const double a = 0.35;
  const double b = 0.001;
  const double c = 0.05;
  const double left = std::floor(y - a + b) * (1.0 - c + (a - b) / b) / (a - b);
  const double right = std::floor(a + b - y) * (1.0 - c + (1.0 - a - b) / b) / (1.0 - a - b);
  return unit(1.0 + (std::abs(y - a) - b) * (left + right + 1.0 / b));
}

double s_multi(double y, double hills, double size) {
  const double c = 0.35;
  const double t = std::abs(y - c) / (2.0 * (std::floor(c - y) + c));
  return unit((1.0 + std::cos((4.0 * hills + 2.0) * pi * (0.5 - t)) + 4.0 * size * t * t) /
              (size + 2.0));
}

double r_sum(View y, bool rising = false, std::size_t first = 1) {
  double sum = 0.0;
  double weights = 0.0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double w = rising ? 2.0 * static_cast<double>(first + i) : 1.0;
    sum += w * y[i];
    weights += w;
  }
  return unit(sum / weights);
}

double r_nonsep(View y, std::size_t degree) {
  double sum = 0.0;
  for (std::size_t j = 0; j < y.size(); ++j) {
    sum += y[j];
    for (std::size_t k = 0; k + 1 < degree; ++k) sum += std::abs(y[j] - y[(j + k + 1) % y.size()]);
  }
  const double a = static_cast<double>(degree);
  const double half = std::ceil(0.5 * a);
  return unit(sum / (static_cast<double>(y.size()) / a * half * (1.0 + 2.0 * a - 2.0 * half)));
}

/// One number per objective: groups of position parameters, and all distance parameters.
template <class Reduce>
Vector reduce(View y, std::size_t position, std::size_t objectives, Reduce group) {
  Vector t;
  const std::size_t width = position / (objectives - 1);
  for (std::size_t m = 0; m + 1 < objectives; ++m)
    t.push_back(group(y.subspan(m * width, width), m * width + 1));
  t.push_back(group(y.subspan(position), position + 1));
  return t;
}

void shift_distance(Vector& y, std::size_t position) {
  for (std::size_t i = position; i < y.size(); ++i) y[i] = s_linear(y[i]);
}

/// Each variable bent by the mean of those after it (or before it).
void depend(Vector& y, std::size_t begin, std::size_t end, bool on_later) {
  const Vector old = y;
  const View all(old);
  for (std::size_t i = begin; i < end; ++i) {
    y[i] = b_param(old[i], r_sum(on_later ? all.subspan(i + 1) : all.first(i)));
  }
}

Vector transform(std::int64_t number, Vector y, std::size_t position, std::size_t objectives) {
  const auto plain = [](View part, std::size_t) { return r_sum(part); };
  const auto mixed = [](View part, std::size_t) { return r_nonsep(part, part.size()); };
  switch (number) {
    case 1:
      shift_distance(y, position);
      for (std::size_t i = position; i < y.size(); ++i) y[i] = b_flat(y[i], 0.8, 0.75, 0.85);
      for (double& v : y) v = std::pow(v, 0.02);
      return reduce(y, position, objectives,
                    [](View part, std::size_t first) { return r_sum(part, true, first); });
    case 2:
    case 3: {
      shift_distance(y, position);
      Vector pairs(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(position));
      for (std::size_t i = position; i + 1 < y.size(); i += 2)
        pairs.push_back(r_nonsep(View(y).subspan(i, 2), 2));
      return reduce(pairs, position, objectives, plain);
    }
    case 4:
      for (double& v : y) v = s_multi(v, 30.0, 10.0);
      return reduce(y, position, objectives, plain);
    case 5:
      for (double& v : y) v = s_decept(v);
      return reduce(y, position, objectives, plain);
    case 6:
      shift_distance(y, position);
      return reduce(y, position, objectives, mixed);
    case 7:
      depend(y, 0, position, true);
      shift_distance(y, position);
      return reduce(y, position, objectives, plain);
    case 8:
      depend(y, position, y.size(), false);
      shift_distance(y, position);
      return reduce(y, position, objectives, plain);
    default:
      depend(y, 0, y.size() - 1, true);
      for (std::size_t i = 0; i < y.size(); ++i)
        y[i] = i < position ? s_decept(y[i]) : s_multi(y[i], 30.0, 95.0);
      return reduce(y, position, objectives, mixed);
  }
}

/// Shape h_m (m from 0) at x: product over the first coordinates times a last factor.
double shape(std::int64_t number, View x, std::size_t m, std::size_t objectives) {
  const auto along = [&](double v) {
    if (number == 3) return v;
    return number <= 2 ? 1.0 - std::cos(0.5 * pi * v) : std::sin(0.5 * pi * v);
  };
  const auto across = [&](double v) {
    if (number == 3) return 1.0 - v;
    return number <= 2 ? 1.0 - std::sin(0.5 * pi * v) : std::cos(0.5 * pi * v);
  };
  if (m + 1 == objectives && number == 1) {
    return 1.0 - x[0] - std::cos(10.0 * pi * x[0] + 0.5 * pi) / (10.0 * pi);
  }
  if (m + 1 == objectives && number == 2) {
    const double wave = std::cos(5.0 * x[0] * pi);
    return 1.0 - x[0] * wave * wave;
  }
  double product = 1.0;
  for (std::size_t i = 0; i + m + 1 < objectives; ++i) product *= along(x[i]);
  return m == 0 ? product : product * across(x[objectives - 1 - m]);
}

}  // namespace

void Wfg::evaluate(std::span<const double> z, std::span<double> f) const {
  const std::size_t k = f.size();
  Vector y(z.size());
  for (std::size_t i = 0; i < z.size(); ++i) y[i] = z[i] / (2.0 * static_cast<double>(i + 1));
  const Vector t = transform(number, std::move(y), static_cast<std::size_t>(position()), k);
  Vector x(k);
  for (std::size_t m = 0; m + 1 < k; ++m) {
    // The front of WFG3 degenerates to a curve.
    const double floor = number == 3 && m > 0 ? 0.0 : 1.0;
    x[m] = std::max(t[k - 1], floor) * (t[m] - 0.5) + 0.5;
  }
  x[k - 1] = t[k - 1];
  for (std::size_t m = 0; m < k; ++m) {
    f[m] = x[k - 1] + 2.0 * static_cast<double>(m + 1) * shape(number, x, m, k);
  }
}

pareto::Yardstick Wfg::yardstick() const {
  pareto::Yardstick y;
  for (std::int64_t m = 1; m <= objective_count; ++m)
    y.reference.push_back(2.0 * static_cast<double>(m) + 1.0);
  // Quarter of an ellipse with half axes 2 and 4.
  if (objective_count == 2 && number >= 4) y.limit = 15.0 - 2.0 * pi;
  return y;
}

std::string Wfg::fingerprint() const {
  return fmt::format("WFG{}, {} objectives, {} variables", number, objective_count, dimension());
}

}  // namespace equipoise::problems
