#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/pareto/obstacle_pair.hpp>

#include <Eigen/SparseCholesky>
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numbers>

namespace equipoise::problems {

ObstaclePair::ObstaclePair(std::int64_t cells, double cost, double obstacle)
    : cells_(cells),
      n_((cells - 1) * (cells - 1)),
      cost_(cost),
      obstacle_(obstacle),
      h_(1.0 / static_cast<double>(cells)) {
  for (std::int64_t i = 0; i < n_; ++i) {
    const double x = h_ * static_cast<double>(i % (cells - 1) + 1);
    const double y = h_ * static_cast<double>(i / (cells - 1) + 1);
    target_.push_back(std::sin(2.0 * std::numbers::pi * x) * std::sin(std::numbers::pi * y));
  }
}

double ObstaclePair::lower(std::int64_t) const { return -std::numeric_limits<double>::infinity(); }

/// -Lap v = right off the contact set, v = 0 on it and on the boundary.
std::vector<double> ObstaclePair::solve_off(const std::vector<char>& contact,
                                            std::span<const double> right) const {
  using Index = Eigen::Index;
  const auto line = cells_ - 1;
  std::vector<Index> number(static_cast<std::size_t>(n_), -1);
  Index free = 0;
  for (std::size_t i = 0; i < number.size(); ++i) {
    if (contact[i] == 0) number[i] = free++;
  }
  std::vector<double> v(number.size(), 0.0);
  if (free == 0) return v;
  std::vector<Eigen::Triplet<double>> entries;
  Eigen::VectorXd b(free);
  for (std::int64_t i = 0; i < n_; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (number[at] < 0) continue;
    b(number[at]) = right[at] * h_ * h_;
    entries.emplace_back(number[at], number[at], 4.0);
    const auto couple = [&](bool inside, std::int64_t j) {
      if (inside && number[static_cast<std::size_t>(j)] >= 0)
        entries.emplace_back(number[at], number[static_cast<std::size_t>(j)], -1.0);
    };
    couple(i % line > 0, i - 1);
    couple(i % line < line - 1, i + 1);
    couple(i >= line, i - line);
    couple(i < n_ - line, i + line);
  }
  Eigen::SparseMatrix<double> a(free, free);
  a.setFromTriplets(entries.begin(), entries.end());
  const Eigen::VectorXd x = Eigen::SimplicialLDLT<Eigen::SparseMatrix<double>>(a).solve(b);
  for (std::size_t i = 0; i < number.size(); ++i) {
    if (number[i] >= 0) v[i] = x(number[i]);
  }
  return v;
}

/// Primal-dual active set iteration for z = y - psi >= 0: -Lap z + boundary terms = u + Lap psi.
ObstaclePair::State ObstaclePair::state(std::span<const double> u) const {
  const auto line = cells_ - 1;
  const auto size = static_cast<std::size_t>(n_);
  // With psi constant, z = -psi on the boundary: its share of the five-point formula.
  std::vector<double> right(u.begin(), u.end());
  const auto laplacian = [&](const std::vector<double>& z, std::int64_t i) {
    const auto value = [&](bool inside, std::int64_t j) {
      return inside ? z[static_cast<std::size_t>(j)] : 0.0;
    };
    return (4.0 * z[static_cast<std::size_t>(i)] - value(i % line > 0, i - 1) -
            value(i % line < line - 1, i + 1) - value(i >= line, i - line) -
            value(i < n_ - line, i + line)) /
           (h_ * h_);
  };
  const std::vector<double> ones(size, obstacle_);
  for (std::int64_t i = 0; i < n_; ++i) right[static_cast<std::size_t>(i)] -= laplacian(ones, i);
  State s{std::vector<double>(size), std::vector<char>(size, 0)};
  std::vector<double> z;
  for (int iteration = 0; iteration < 200; ++iteration) {
    z = solve_off(s.contact, right);
    bool same = true;
    std::vector<char> next(size);
    for (std::int64_t i = 0; i < n_; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double force = s.contact[at] != 0 ? laplacian(z, i) - right[at] : 0.0;
      next[at] = force - z[at] > 0.0 ? 1 : 0;
      same = same && next[at] == s.contact[at];
    }
    if (same) break;
    s.contact = std::move(next);
  }
  for (std::size_t i = 0; i < size; ++i) s.y[i] = z[i] + obstacle_;
  return s;
}

double ObstaclePair::value(const State& s, std::span<const double> u, std::size_t i) const {
  const double sign = i == 0 ? 1.0 : -1.0;
  double sum = 0.0;
  for (std::size_t l = 0; l < s.y.size(); ++l) {
    const double misfit = s.y[l] - sign * target_[l];
    sum += misfit * misfit + cost_ * u[l] * u[l];
  }
  return 0.5 * h_ * h_ * sum;
}

void ObstaclePair::adjoint(const State& s, std::span<const double> u, std::size_t i,
                           std::span<double> g) const {
  const double sign = i == 0 ? 1.0 : -1.0;
  std::vector<double> misfit(s.y.size());
  for (std::size_t l = 0; l < misfit.size(); ++l) misfit[l] = s.y[l] - sign * target_[l];
  const auto p = solve_off(s.contact, misfit);
  for (std::size_t l = 0; l < p.size(); ++l) g[l] = p[l] + cost_ * u[l];
}

void ObstaclePair::evaluate(std::span<const double> u, std::span<double> f) const {
  const State s = state(u);
  f[0] = value(s, u, 0);
  f[1] = value(s, u, 1);
}

void ObstaclePair::gradients(std::span<const double> u, std::span<double> f,
                             std::span<double> g) const {
  const State s = state(u);
  const auto n = static_cast<std::size_t>(n_);
  for (std::size_t i = 0; i < 2; ++i) {
    f[i] = value(s, u, i);
    adjoint(s, u, i, g.subspan(i * n, n));
  }
}

void ObstaclePair::gradient(std::int64_t i, std::span<const double> u, std::span<double> g) const {
  adjoint(state(u), u, static_cast<std::size_t>(i), g);
}

double ObstaclePair::inner(std::span<const double> a, std::span<const double> b) const {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return h_ * h_ * sum;
}

pareto::Facts ObstaclePair::facts() const {
  return {{"cells per direction", std::to_string(cells_)}, {"inner product", "L2"}};
}
std::string ObstaclePair::fingerprint() const {
  return fmt::format("obstacle-pair cells={} cost={} obstacle={}", cells_, cost_, obstacle_);
}

void ObstaclePairOptions::describe(state::OptionVisitor& visit) {
  visit.option("cells", cells, "cells per direction", {2.0, 128.0});
  visit.option("cost", cost, "factor of |u|^2/2 in both objectives", state::positive);
  visit.option("obstacle", obstacle, "psi, below the boundary value 0", {-1e6, -1e-12});
}

}  // namespace equipoise::problems
