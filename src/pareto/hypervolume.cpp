#include "hypervolume_kernels.hpp"
#include "sliced_volume.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/hypervolume.hpp>
#include <equipoise/partition/partition.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace equipoise::pareto {
namespace {

void check(PointView points, std::span<const double> reference) {
  const std::size_t k = reference.size();
  if (k < 2) {
    throw ConfigurationError(
        "hypervolume: the reference point has {} entries, at least 2 objectives are needed; with "
        "one "
        "objective compare the best values instead",
        k);
  }
  if (points.size() > 0 && points.objectives != k) {
    throw ConfigurationError("hypervolume: points with {} objectives, reference point with {}",
                             points.objectives, k);
  }
  const auto nan = [](double v) { return std::isnan(v); };
  if (std::any_of(points.values.begin(), points.values.end(), nan) ||
      std::any_of(reference.begin(), reference.end(), nan)) {
    throw ConfigurationError("hypervolume: a coordinate is NaN; remove failed evaluations first");
  }
}

/// The points strictly better than the reference, and their indices.
detail::Rows inside(PointView points, std::span<const double> reference,
                    std::vector<std::size_t>* indices = nullptr) {
  detail::Rows rows(reference.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto p = points[i];
    bool better = true;
    for (std::size_t j = 0; j < reference.size(); ++j) better = better && p[j] < reference[j];
    if (!better) continue;
    rows.push(p);
    if (indices) indices->push_back(i);
  }
  return rows;
}

}  // namespace

double hypervolume(PointView points, std::span<const double> reference) {
  check(points, reference);
  detail::Rows rows = inside(points, reference);
  if (reference.size() < 5) return detail::Workspace(reference).volume(std::move(rows));
  const auto terms = detail::sliced_volume(rows, reference)->terms(0, 1);
  return std::accumulate(terms.begin(), terms.end(), 0.0);
}

double hypervolume(const parallel::Comm& comm, PointView points,
                   std::span<const double> reference) {
  if (reference.size() < 5 || comm.size() == 1) return hypervolume(points, reference);
  check(points, reference);
  // Later terms have more points to be limited: dealing them in turn balances the ranks.
  auto terms =
      detail::sliced_volume(inside(points, reference), reference)
          ->terms(static_cast<std::size_t>(comm.rank()), static_cast<std::size_t>(comm.size()));
  comm.max(terms);
  return std::accumulate(terms.begin(), terms.end(), 0.0);
}

double exclusive_hypervolume(PointView points, std::span<const double> reference,
                             std::size_t index) {
  check(points, reference);
  if (index >= points.size()) {
    throw ConfigurationError("exclusive hypervolume: index {} of {} points", index, points.size());
  }
  std::vector<std::size_t> indices;
  const detail::Rows rows = inside(points, reference, &indices);
  const auto found = std::lower_bound(indices.begin(), indices.end(), index);
  if (found == indices.end() || *found != index) return 0.0;
  const auto at = static_cast<std::size_t>(found - indices.begin());
  return reference.size() < 4 ? detail::Workspace(reference).exclusive(rows, at)
                              : detail::sliced_volume(rows, reference)->exclusive(at);
}

std::vector<double> hypervolume_contributions(PointView points, std::span<const double> reference) {
  check(points, reference);
  std::vector<std::size_t> indices;
  const detail::Rows rows = inside(points, reference, &indices);
  std::vector<double> parts;
  if (reference.size() == 2) {
    parts = detail::contributions_2d(rows, reference);
  } else if (reference.size() == 3) {
    parts = detail::Workspace(reference).contributions_3d(rows);
  } else {
    const auto sliced = detail::sliced_volume(rows, reference);
    for (std::size_t i = 0; i < rows.size(); ++i) parts.push_back(sliced->exclusive(i));
  }
  std::vector<double> result(points.size(), 0.0);
  for (std::size_t i = 0; i < indices.size(); ++i) result[indices[i]] = parts[i];
  return result;
}

Estimate estimate_hypervolume(PointView points, std::span<const double> reference,
                              std::int64_t samples, std::uint64_t seed) {
  check(points, reference);
  if (samples < 2)
    throw ConfigurationError("hypervolume: {} samples, at least 2 are needed", samples);
  const detail::Rows rows = inside(points, reference);
  if (rows.size() == 0) return {};
  const std::size_t k = reference.size();
  std::vector<double> ideal(reference.begin(), reference.end());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t j = 0; j < k; ++j) ideal[j] = std::min(ideal[j], rows[i][j]);
  }
  double box = 1.0;
  for (std::size_t j = 0; j < k; ++j) box *= reference[j] - ideal[j];
  std::int64_t hits = 0;
  std::vector<double> sample(k);
  for (std::int64_t s = 0; s < samples; ++s) {
    const parallel::Draw draw(seed, parallel::Purpose::probe, s);
    for (std::size_t j = 0; j < k; ++j)
      sample[j] = ideal[j] + (reference[j] - ideal[j]) * draw.uniform(j);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double* row = rows[i];
      if (std::equal(sample.begin(), sample.end(), row,
                     [](double a, double b) { return a >= b; })) {
        ++hits;
        break;
      }
    }
  }
  const double count = static_cast<double>(samples);
  const double share = static_cast<double>(hits) / count;
  return {box * share, box * std::sqrt(share * (1.0 - share) / (count - 1.0))};
}

}  // namespace equipoise::pareto
