#include "complementarity_games.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace equipoise::problems {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using In = Complementarity::In;
using Out = Complementarity::Out;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Numbers in (1, 2).
std::vector<double> draws(std::int64_t size, std::int64_t seed, std::int64_t kind) {
  const parallel::Draw draw(static_cast<std::uint64_t>(seed), parallel::Purpose::problem, kind);
  std::vector<double> out(at(size));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = 1.0 + draw.uniform(i);
  return out;
}

double sum(In z) { return std::accumulate(z.begin(), z.end(), 0.0); }

/// Keeps a total off 0, where shares are not defined.
constexpr double least = 1e-9;

/// Price of the shared-capacity game: intercept - slope * supply.
constexpr double intercept = 10.0, slope = 1.0;

std::vector<double> kelly_equilibrium(const std::vector<double>& a) {
  std::vector<double> sorted = a;
  std::sort(sorted.rbegin(), sorted.rend());
  double total = 0.0, inverse = 0.0;
  for (std::size_t k = 0; k < sorted.size() && sorted[k] > total; ++k) {
    inverse += 1.0 / sorted[k];
    total = static_cast<double>(k) / inverse;
  }
  std::vector<double> z;
  for (const double v : a) z.push_back(std::max(0.0, total - total * total / v));
  return z;
}

}  // namespace

Complementarity kelly_auction(std::int64_t bidders, std::int64_t seed) {
  if (bidders < 2) throw ConfigurationError("problem.dimension = {}: an auction needs 2", bidders);
  Complementarity p;
  const std::vector<double> a = draws(bidders, seed, 40);
  p.name = fmt::format("kelly seed={}", seed);
  p.first.assign(at(bidders), 0.25);
  p.exact = {kelly_equilibrium(a)};
  p.f = [a](In z, Out out) {
    const double total = std::max(sum(z), least);
    for (std::size_t i = 0; i < z.size(); ++i)
      out[i] = 1.0 - a[i] * (total - z[i]) / (total * total);
  };
  p.jacobian = [a](In z, MatrixXd& out) {
    const double total = std::max(sum(z), least);
    const auto n = static_cast<Index>(z.size());
    out.resize(n, n);
    for (Index i = 0; i < n; ++i) {
      const double v = a[at(i)], own = z[at(i)];
      out.row(i).setConstant(v * (total - 2.0 * own) / (total * total * total));
      out(i, i) = 2.0 * v * (total - own) / (total * total * total);
    }
  };
  return p;
}

Complementarity fisher_market(std::int64_t n, std::int64_t seed) {
  Complementarity p;
  const std::vector<double> budget = draws(n, seed, 41), worth = draws(n * n, seed, 42);
  p.name = fmt::format("fisher seed={} {} buyers", seed, n);
  p.first.assign(at(n * n), 1.0 / static_cast<double>(n));
  p.first.insert(p.first.end(), at(n), sum(budget) / static_cast<double>(n));
  const auto utility = [worth, n](In z, std::int64_t i) {
    double u = 0.0;
    for (std::int64_t j = 0; j < n; ++j) u += worth[at(i * n + j)] * z[at(i * n + j)];
    return std::max(u, least);
  };
  p.f = [budget, worth, utility, n](In z, Out out) {
    std::fill(out.begin() + n * n, out.end(), 1.0);
    for (std::int64_t i = 0; i < n; ++i) {
      const double u = utility(z, i);
      for (std::int64_t j = 0; j < n; ++j) {
        out[at(i * n + j)] = z[at(n * n + j)] - budget[at(i)] * worth[at(i * n + j)] / u;
        out[at(n * n + j)] -= z[at(i * n + j)];
      }
    }
  };
  p.jacobian = [budget, worth, utility, n](In z, MatrixXd& out) {
    out = MatrixXd::Zero(n * n + n, n * n + n);
    for (std::int64_t i = 0; i < n; ++i) {
      const double u = utility(z, i);
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t k = 0; k < n; ++k) {
          out(i * n + j, i * n + k) =
              budget[at(i)] * worth[at(i * n + j)] * worth[at(i * n + k)] / (u * u);
        }
        out(i * n + j, n * n + j) = 1.0;
        out(n * n + j, i * n + j) = -1.0;
      }
    }
  };
  return p;
}

Complementarity shared_capacity(std::int64_t firms, std::int64_t seed) {
  Complementarity p;
  const std::vector<double> c = draws(firms, seed, 43);
  const auto n = static_cast<double>(firms);
  // Without the capacity: slope (Q + q_i) = intercept - c_i for every firm; summed up.
  const double capacity = 0.5 * (n * intercept - sum(c)) / (slope * (n + 1.0));
  // q_i = max(0, level - c_i) / slope, the level being where these use up the capacity.
  std::vector<double> sorted = c;
  std::sort(sorted.begin(), sorted.end());
  double level = 0.0, spent = slope * capacity;
  for (std::size_t k = 0; k < sorted.size() && (k == 0 || sorted[k] < level); ++k) {
    spent += sorted[k];
    level = spent / static_cast<double>(k + 1);
  }
  p.name = fmt::format("shared-capacity seed={}", seed);
  p.first.assign(at(firms + 1), 0.0);
  std::vector<double> exact;
  for (const double cost : c) exact.push_back(std::max(0.0, level - cost) / slope);
  exact.push_back(intercept - slope * capacity - level);
  p.exact = {exact};
  p.f = [c, capacity](In z, Out out) {
    const std::size_t m = c.size();
    const double total = sum(z.first(m));
    for (std::size_t i = 0; i < m; ++i) out[i] = c[i] - intercept + slope * (total + z[i]) + z[m];
    out[m] = capacity - total;
  };
  p.jacobian = [firms](In, MatrixXd& out) {
    out = MatrixXd::Constant(firms + 1, firms + 1, slope);
    for (Index i = 0; i < firms; ++i) {
      out(i, i) = 2.0 * slope;
      out(i, firms) = 1.0;
      out(firms, i) = -1.0;
    }
    out(firms, firms) = 0.0;
  };
  return p;
}

}  // namespace equipoise::problems
