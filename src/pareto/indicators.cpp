#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/indicators.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::pareto {
namespace {

void check(PointView a, PointView z) {
  if (a.size() == 0 || z.size() == 0) {
    throw ConfigurationError(
        "an indicator needs points: approximation has {}, reference front has {}", a.size(),
        z.size());
  }
  if (a.objectives != z.objectives) {
    throw ConfigurationError("approximation has {} objectives, reference front has {}",
                             a.objectives, z.objectives);
  }
}

double distance(std::span<const double> a, std::span<const double> z) {
  double sum = 0.0;
  for (std::size_t j = 0; j < a.size(); ++j) sum += (a[j] - z[j]) * (a[j] - z[j]);
  return std::sqrt(sum);
}

double distance_plus(std::span<const double> a, std::span<const double> z) {
  double sum = 0.0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double worse = std::max(a[j] - z[j], 0.0);
    sum += worse * worse;
  }
  return std::sqrt(sum);
}

double worst(std::span<const double> a, std::span<const double> z) {
  double result = -std::numeric_limits<double>::infinity();
  for (std::size_t j = 0; j < a.size(); ++j) result = std::max(result, a[j] - z[j]);
  return result;
}

/// For every point of `from`, the least d(point of `to`, it).
template <class Distance>
std::vector<double> nearest(PointView from, PointView to, Distance d) {
  std::vector<double> result(from.size(), std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < from.size(); ++i) {
    for (std::size_t j = 0; j < to.size(); ++j) result[i] = std::min(result[i], d(from[i], to[j]));
  }
  return result;
}

double mean(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

constexpr auto swapped = [](auto d) {
  return [d](std::span<const double> z, std::span<const double> a) { return d(a, z); };
};

}  // namespace

double gd(PointView a, PointView z) {
  check(a, z);
  return mean(nearest(a, z, distance));
}

double igd(PointView a, PointView z) {
  check(a, z);
  return mean(nearest(z, a, distance));
}

double gd_plus(PointView a, PointView z) {
  check(a, z);
  return mean(nearest(a, z, distance_plus));
}

double igd_plus(PointView a, PointView z) {
  check(a, z);
  return mean(nearest(z, a, swapped(distance_plus)));
}

double epsilon_plus(PointView a, PointView z) {
  check(a, z);
  const auto gaps = nearest(z, a, swapped(worst));
  return *std::max_element(gaps.begin(), gaps.end());
}

std::size_t knee(PointView front) {
  const PointSet scaled = normalized(front, range_of(front));
  const auto k = static_cast<Eigen::Index>(front.objectives);
  Eigen::MatrixXd extremes(k, k);
  for (Eigen::Index j = 0; j < k; ++j) {
    std::size_t far = 0;
    for (std::size_t i = 1; i < scaled.size(); ++i) {
      if (scaled[i][static_cast<std::size_t>(j)] > scaled[far][static_cast<std::size_t>(j)])
        far = i;
    }
    for (Eigen::Index c = 0; c < k; ++c) extremes(j, c) = scaled[far][static_cast<std::size_t>(c)];
  }
  // The plane a^T f = 1 through the extremes; where it has no positive normal, the sum takes over.
  Eigen::VectorXd normal = extremes.fullPivLu().solve(Eigen::VectorXd::Ones(k));
  const bool plane =
      (extremes * normal - Eigen::VectorXd::Ones(k)).norm() < 1e-8 && normal.minCoeff() > 0.0;
  if (!plane) normal = Eigen::VectorXd::Ones(k);
  std::size_t best = 0;
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    double height = 0.0;
    for (Eigen::Index j = 0; j < k; ++j)
      height += normal(j) * scaled[i][static_cast<std::size_t>(j)];
    if (height < lowest) {
      lowest = height;
      best = i;
    }
  }
  return best;
}

std::size_t preferred(PointView front, std::span<const double> aspiration,
                      std::span<const double> weights) {
  const Range range = range_of(front);
  if (aspiration.size() != front.objectives || weights.size() != front.objectives) {
    throw ConfigurationError("preference: {} aspirations and {} weights for {} objectives",
                             aspiration.size(), weights.size(), front.objectives);
  }
  for (const double w : weights) {
    if (!(w >= 0.0 && std::isfinite(w)))
      throw ConfigurationError("preference: weight {} is not a non-negative number", w);
  }
  const PointSet scaled = normalized(front, range);
  const PointSet target = normalized({aspiration, front.objectives}, range);
  std::size_t best = 0;
  double lowest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    double largest = -std::numeric_limits<double>::infinity();
    double sum = 0.0;
    for (std::size_t j = 0; j < front.objectives; ++j) {
      const double term = weights[j] * (scaled[i][j] - target[0][j]);
      largest = std::max(largest, term);
      sum += term;
    }
    if (largest + 1e-6 * sum < lowest) {
      lowest = largest + 1e-6 * sum;
      best = i;
    }
  }
  return best;
}

}  // namespace equipoise::pareto
