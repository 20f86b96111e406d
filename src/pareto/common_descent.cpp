#include <equipoise/linalg/min_norm.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/descent.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {
namespace {

using Vectors = std::vector<std::vector<double>>;

/// The Gram matrix grows by one row and column.
void extend_gram(const ProblemView& problem, const Vectors& vectors, std::vector<double>& gram) {
  const std::size_t m = vectors.size();
  std::vector<double> larger(m * m);
  for (std::size_t i = 0; i + 1 < m; ++i) {
    for (std::size_t j = 0; j + 1 < m; ++j) larger[i * m + j] = gram[i * (m - 1) + j];
  }
  for (std::size_t i = 0; i < m; ++i) {
    larger[i * m + m - 1] = larger[(m - 1) * m + i] = problem.inner(vectors[i], vectors.back());
  }
  gram.swap(larger);
}

std::vector<double> minus_combination(const Vectors& vectors, std::span<const double> weights) {
  std::vector<double> v(vectors.front().size(), 0.0);
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    if (weights[i] == 0.0) continue;
    for (std::size_t j = 0; j < v.size(); ++j) v[j] -= weights[i] * vectors[i][j];
  }
  return v;
}

std::vector<double> along(std::span<const double> x, double t, std::span<const double> v) {
  std::vector<double> y(x.begin(), x.end());
  for (std::size_t j = 0; j < y.size(); ++j) y[j] += t * v[j];
  return y;
}

std::vector<double> evaluate_at(const ProblemView& problem, std::span<const double> x,
                                DescentCounts& counts) {
  std::vector<double> f(problem.objectives());
  std::vector<double> c(problem.constraints());
  problem.evaluate(x, f, c);
  counts.values += static_cast<std::int64_t>(f.size());
  return f;
}

/// A subgradient of objective i on the segment towards eps v/|v| that is not yet seen by the hull:
/// a point where f_i(x + t v) - f_i(x) + c t |v|^2 rises. `top` is that at the end of the segment.
std::vector<double> bisect(const ProblemView& problem, std::span<const double> x, double value,
                           double top, std::size_t i, std::span<const double> v, double norm,
                           const GoldsteinOptions& options, DescentCounts& counts) {
  const double square = norm * norm;
  double a = 0.0;
  double b = options.radius / norm;
  std::vector<double> xi(x.size());
  std::vector<double> c(problem.constraints());
  const auto rise = [&](double t) {
    std::vector<double> f(problem.objectives());
    problem.evaluate(along(x, t, v), f, c);
    ++counts.values;
    return f[i] - value + options.decrease * t * square;
  };
  for (int round = 0; round < 60; ++round) {
    const double t = 0.5 * (a + b);
    problem.gradient(i, along(x, t, v), xi);
    ++counts.gradients;
    if (problem.inner(v, xi) > -options.decrease * square) return xi;
    const double middle = rise(t);
    if (top > middle) {
      a = t;
    } else {
      b = t;
      top = middle;
    }
  }
  return xi;
}

}  // namespace

CommonDescent steepest_common_descent(const ProblemView& problem, std::span<const double> x,
                                      std::span<const double> gradients) {
  const std::size_t n = problem.dimension();
  const std::size_t k = problem.objectives();
  Vectors g;
  for (std::size_t i = 0; i < k; ++i) {
    const auto row = gradients.subspan(i * n, n);
    g.emplace_back(row.begin(), row.end());
  }
  CommonDescent result;
  // Held variables drop out of the gradients; each round holds one more, so at most n rounds.
  for (std::size_t round = 0; round <= n; ++round) {
    std::vector<double> gram;
    Vectors seen;
    for (const auto& vector : g) {
      seen.push_back(vector);
      extend_gram(problem, seen, gram);
    }
    const auto least = linalg::min_norm_point(gram);
    result.weights = least.weights;
    result.direction = minus_combination(g, least.weights);
    // From the vector itself: the Gram matrix loses half the digits near a critical point.
    result.criticality = std::sqrt(problem.inner(result.direction, result.direction));
    bool leaves = false;
    for (std::size_t j = 0; j < n; ++j) {
      const double d = result.direction[j];
      if ((d < 0.0 && x[j] <= problem.lower(j)) || (d > 0.0 && x[j] >= problem.upper(j))) {
        for (auto& vector : g) vector[j] = 0.0;
        leaves = true;
      }
    }
    if (!leaves) break;
  }
  return result;
}

CommonDescent goldstein_descent(const ProblemView& problem, std::span<const double> x,
                                const GoldsteinOptions& options, DescentCounts& counts) {
  const std::size_t n = problem.dimension();
  const std::size_t k = problem.objectives();
  const auto f = evaluate_at(problem, x, counts);
  std::vector<double> values(k);
  std::vector<double> all(k * n);
  problem.gradients(x, values, all);
  counts.gradients += static_cast<std::int64_t>(k);
  Vectors hull;
  std::vector<std::size_t> objective;  // of each vector of the hull
  std::vector<double> gram;
  for (std::size_t i = 0; i < k; ++i) {
    objective.push_back(i);
    hull.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(i * n),
                      all.begin() + static_cast<std::ptrdiff_t>((i + 1) * n));
    extend_gram(problem, hull, gram);
  }
  CommonDescent result;
  result.values = f;
  // The inner approximation is finite in theory; the bound guards against subgradients that are
  // wrong.
  for (std::size_t round = 0; round < 1000; ++round) {
    const auto least = linalg::min_norm_point(gram);
    result.criticality = std::sqrt(std::max(0.0, least.norm_squared));
    result.weights.assign(k, 0.0);
    for (std::size_t h = 0; h < hull.size(); ++h) result.weights[objective[h]] += least.weights[h];
    result.direction = minus_combination(hull, least.weights);
    const double norm = result.criticality;
    if (norm <= options.tolerance) return result;
    const auto g = evaluate_at(problem, along(x, options.radius / norm, result.direction), counts);
    bool enough = true;
    for (std::size_t i = 0; i < k; ++i) {
      if (g[i] <= f[i] - options.decrease * options.radius * norm) continue;
      enough = false;
      const double top = g[i] - f[i] + options.decrease * options.radius * norm;
      objective.push_back(i);
      hull.push_back(bisect(problem, x, f[i], top, i, result.direction, norm, options, counts));
      extend_gram(problem, hull, gram);
    }
    if (enough) return result;
  }
  throw NotFiniteError(
      "gebken-peitz: no common descent after 1000 subgradients at one point; the subgradients do "
      "not belong to "
      "the objectives");
}

}  // namespace equipoise::pareto
