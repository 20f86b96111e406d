#include "generational.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace equipoise::pareto {

std::int64_t fitting_divisions(std::size_t objectives, std::int64_t population) {
  std::int64_t divisions = 1;
  while (static_cast<std::int64_t>(simplex_lattice(objectives, divisions + 1).size()) <=
         population) {
    ++divisions;
  }
  return divisions;
}

namespace {

/// NSGA-III (Deb and Jain 2014): the last front is thinned by niches around reference directions.
class Nsga3 final : public Generational {
 public:
  Nsga3(const Space& space, const AlgorithmOptions& options, std::uint64_t seed,
        std::int64_t island)
      : Generational(space, options, seed, island) {
    const std::int64_t divisions = options.divisions > 0
                                       ? options.divisions
                                       : fitting_divisions(space.objectives, options.population);
    directions_ = simplex_lattice(space.objectives, divisions);
  }

 protected:
  void vary(Population& children) const override {
    std::vector<std::size_t> parents(population_.size());
    std::iota(parents.begin(), parents.end(), std::size_t{0});
    Stream draw = stream(0);
    for (std::size_t i = parents.size(); i > 1; --i)
      std::swap(parents[i - 1], parents[draw.below(i)]);
    recombine(space_, options_, mutation_probability(), population_, parents, seed_, island_,
              generation_, children);
  }

  std::vector<std::size_t> survive(const Population& merged) override {
    const auto fronts = fronts_until(merged, size());
    std::vector<std::size_t> keep;
    for (std::size_t r = 0; r + 1 < fronts.size(); ++r) {
      keep.insert(keep.end(), fronts[r].begin(), fronts[r].end());
    }
    const auto& last = fronts.back();
    if (keep.size() + last.size() == size() || std::isinf(merged.value(last[0])[0])) {
      keep.insert(keep.end(), last.begin(),
                  last.begin() + static_cast<std::ptrdiff_t>(size() - keep.size()));
      return keep;
    }
    niche(merged, fronts, keep);
    return keep;
  }

 private:
  /// Ideal point and intercepts of the hyperplane through the extreme points; the nadir of the
  /// first front where there is no such plane.
  void scale(const Population& merged, const std::vector<std::vector<std::size_t>>& fronts,
             std::vector<double>& ideal, std::vector<double>& width) const {
    const std::size_t k = merged.objectives;
    ideal.assign(k, std::numeric_limits<double>::infinity());
    std::vector<double> nadir(k, -std::numeric_limits<double>::infinity());
    for (const auto& front : fronts) {
      for (const std::size_t i : front) {
        for (std::size_t j = 0; j < k; ++j) {
          ideal[j] = std::min(ideal[j], merged.value(i)[j]);
          if (&front == &fronts.front()) nadir[j] = std::max(nadir[j], merged.value(i)[j]);
        }
      }
    }
    const auto size = static_cast<Eigen::Index>(k);
    Eigen::MatrixXd extremes(size, size);
    for (std::size_t axis = 0; axis < k; ++axis) {
      double best = std::numeric_limits<double>::infinity();
      for (const std::size_t i : fronts.front()) {
        double worst = 0.0;
        for (std::size_t j = 0; j < k; ++j) {
          worst = std::max(worst, (merged.value(i)[j] - ideal[j]) / (j == axis ? 1.0 : 1e-6));
        }
        if (worst >= best) continue;
        best = worst;
        for (std::size_t j = 0; j < k; ++j) {
          extremes(static_cast<Eigen::Index>(axis), static_cast<Eigen::Index>(j)) =
              merged.value(i)[j] - ideal[j];
        }
      }
    }
    const Eigen::VectorXd plane = extremes.fullPivLu().solve(Eigen::VectorXd::Ones(size));
    width.assign(k, 1.0);
    for (std::size_t j = 0; j < k; ++j) {
      const double intercept = 1.0 / plane(static_cast<Eigen::Index>(j));
      const bool usable = std::isfinite(intercept) && intercept > 1e-6;
      width[j] = usable ? std::min(intercept, 2.0 * (nadir[j] - ideal[j])) : nadir[j] - ideal[j];
      if (!(width[j] > 1e-12)) width[j] = 1.0;
    }
  }

  struct Association {
    std::size_t direction = 0;
    double distance = 0.0;
  };
  [[nodiscard]] Association associate(std::span<const double> f, const std::vector<double>& ideal,
                                      const std::vector<double>& width) const {
    Association best{0, std::numeric_limits<double>::infinity()};
    for (std::size_t d = 0; d < directions_.size(); ++d) {
      double along = 0.0;
      double length = 0.0;
      double square = 0.0;
      for (std::size_t j = 0; j < f.size(); ++j) {
        const double v = (f[j] - ideal[j]) / width[j];
        along += v * directions_[d][j];
        length += directions_[d][j] * directions_[d][j];
        square += v * v;
      }
      const double distance = std::max(0.0, square - along * along / length);
      if (distance < best.distance) best = {d, distance};
    }
    return best;
  }

  void niche(const Population& merged, const std::vector<std::vector<std::size_t>>& fronts,
             std::vector<std::size_t>& keep) const {
    std::vector<double> ideal;
    std::vector<double> width;
    scale(merged, fronts, ideal, width);
    std::vector<std::size_t> count(directions_.size(), 0);
    for (const std::size_t i : keep) ++count[associate(merged.value(i), ideal, width).direction];
    std::vector<std::vector<std::pair<double, std::size_t>>> waiting(directions_.size());
    for (const std::size_t i : fronts.back()) {
      const auto [direction, distance] = associate(merged.value(i), ideal, width);
      waiting[direction].emplace_back(distance, i);
    }
    for (auto& list : waiting) std::sort(list.rbegin(), list.rend());
    Stream draw = stream(16384);
    while (keep.size() < size()) {
      std::size_t fewest = std::numeric_limits<std::size_t>::max();
      std::vector<std::size_t> candidates;
      for (std::size_t d = 0; d < waiting.size(); ++d) {
        if (waiting[d].empty() || count[d] > fewest) continue;
        if (count[d] < fewest) candidates.clear();
        fewest = count[d];
        candidates.push_back(d);
      }
      const std::size_t d = candidates[draw.below(candidates.size())];
      // An empty niche takes its nearest point, a taken one any.
      auto& list = waiting[d];
      const std::size_t which = count[d] == 0 ? list.size() - 1 : draw.below(list.size());
      keep.push_back(list[which].second);
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(which));
      ++count[d];
    }
  }

  PointSet directions_;
};

}  // namespace

std::unique_ptr<Algorithm> make_nsga3(const Space& space, const AlgorithmOptions& options,
                                      std::uint64_t seed, std::int64_t island) {
  return std::make_unique<Nsga3>(space, options, seed, island);
}

}  // namespace equipoise::pareto
