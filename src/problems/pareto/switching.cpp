#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/pareto/switching.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

namespace equipoise::problems {
namespace {

/// Position and speed.
using Motion = std::array<double, 2>;

Motion advance(const Motion& x, double u, double t) {
  return {x[0] + x[1] * t + 0.5 * u * t * t, x[1] + u * t};
}
/// int_0^t x^2 / 2 with x = a + b r + c r^2, c = u/2.
double running(const Motion& x, double u, double t) {
  const double a = x[0], b = x[1], c = 0.5 * u;
  return 0.5 * (a * a * t + a * b * t * t + (b * b + 2 * a * c) * t * t * t / 3 +
                b * c * t * t * t * t / 2 + c * c * t * t * t * t * t / 5);
}
/// The adjoint (p, q) at the beginning of a piece from that at its end: p' = -tracking x, q' = -p.
Motion retreat(const Motion& p, const Motion& x, double u, double t, double tracking) {
  // int_0^t x and int_0^t r x(r) dr
  const double area = x[0] * t + x[1] * t * t / 2 + u * t * t * t / 6;
  const double moment = x[0] * t * t / 2 + x[1] * t * t * t / 3 + u * t * t * t * t / 8;
  return {p[0] + tracking * area, p[1] + p[0] * t + tracking * moment};
}

struct Path {
  std::vector<double> length;  ///< of the pieces
  std::vector<Motion> at;      ///< at their beginnings, and at T
};

Path follow(const Switching& problem, std::span<const double> s) {
  Path path;
  path.at.push_back({problem.start[0], problem.start[1]});
  double left = problem.horizon;
  for (std::size_t j = 0; j < problem.modes.size(); ++j) {
    const double t = j < s.size() ? s[j] * left : left;
    left -= t;
    path.length.push_back(t);
    path.at.push_back(advance(path.at.back(), problem.modes[j], t));
  }
  return path;
}

}  // namespace

std::vector<double> Switching::times(std::span<const double> s) const {
  std::vector<double> tau;
  double now = 0.0;
  for (const double share : s) tau.push_back(now += share * (horizon - now));
  return tau;
}

void Switching::evaluate(std::span<const double> s, std::span<double> f) const {
  const Path path = follow(*this, s);
  const Motion& end = path.at.back();
  f[0] = 0.5 * (end[0] * end[0] + end[1] * end[1]);
  f[1] = 0.0;
  for (std::size_t j = 0; j < modes.size(); ++j) {
    f[0] += tracking * running(path.at[j], modes[j], path.length[j]);
    f[1] += std::abs(modes[j]) * path.length[j];
  }
}

void Switching::gradients(std::span<const double> s, std::span<double> f,
                          std::span<double> g) const {
  evaluate(s, f);
  const Path path = follow(*this, s);
  const std::size_t m = s.size();
  // By switching time: H jumps by q (u_j - u_{j+1}); the running cost of the state does not jump.
  std::vector<double> by_time(2 * m);
  Motion p = path.at.back();
  for (std::size_t j = m; j-- > 0;) {
    p = retreat(p, path.at[j + 1], modes[j + 1], path.length[j + 1], tracking);
    by_time[j] = p[1] * (modes[j] - modes[j + 1]);
    by_time[m + j] = std::abs(modes[j]) - std::abs(modes[j + 1]);
  }
  // tau_j = tau_{j-1} + s_j (T - tau_{j-1}): d tau_i / d tau_{i-1} = 1 - s_i.
  for (std::size_t o = 0; o < 2; ++o) {
    double later = 0.0;
    for (std::size_t j = m; j-- > 0;) {
      later = by_time[o * m + j] + (j + 1 < m ? (1.0 - s[j + 1]) * later : 0.0);
      double left = horizon;
      for (std::size_t i = 0; i < j; ++i) left *= 1.0 - s[i];
      g[o * m + j] = left * later;
    }
  }
}

pareto::Facts Switching::facts() const {
  return {{"modes", fmt::format("{}", fmt::join(modes, ", "))},
          {"horizon", fmt::format("{}", horizon)}};
}
std::string Switching::fingerprint() const {
  return fmt::format("switching modes={} start={},{} horizon={} tracking={}", fmt::join(modes, ","),
                     start[0], start[1], horizon, tracking);
}

void SwitchingOptions::describe(state::OptionVisitor& visit) {
  visit.option("modes", problem.modes, "acceleration between the switching times, in order");
  visit.option("start", start, "position and speed at time 0");
  visit.option("horizon", problem.horizon, "T", state::positive);
  visit.option("tracking", problem.tracking, "factor of int |x|^2/2 in the first objective",
               state::non_negative);
}

Switching SwitchingOptions::make() const {
  if (problem.modes.size() < 2)
    throw ConfigurationError("problem.modes has {} entries: nothing to switch between",
                             problem.modes.size());
  if (start.size() != 2)
    throw ConfigurationError("problem.start has {} entries: position and speed are needed",
                             start.size());
  Switching made = problem;
  made.start = {start[0], start[1]};
  return made;
}

}  // namespace equipoise::problems
