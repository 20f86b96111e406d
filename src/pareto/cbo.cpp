#include "generational.hpp"

#include <equipoise/pareto/consensus.hpp>
#include <equipoise/pareto/dominance.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::pareto {
namespace {

constexpr double drift = 1.0;
constexpr double noise = 0.7;
constexpr double time_step = 0.1;
constexpr double weight_step = 0.1;  // of the adaptation of the weights

/// Consensus-based multiobjective optimization (Borghi, Herty, Pareschi 2023) with memory: every
/// particle owns a weight and moves towards the consensus of all best points under its own
/// Chebyshev problem, with componentwise noise; weights move so that the best points repel each
/// other. The population holds the best point of each particle.
class Consensus final : public Algorithm {
 public:
  Consensus(const Space& space, const AlgorithmOptions& options, std::uint64_t seed,
            std::int64_t island)
      : space_(space), options_(options), seed_(seed), island_(island) {
    best_.variables = space.variables();
    best_.objectives = space.objectives;
    const std::size_t k = space.objectives;
    for (std::size_t i = 0; i < size(); ++i) {
      // Uniform on the simplex.
      Stream draw(seed, island, 0, 32768 + i);
      double sum = 0.0;
      std::vector<double> w(k);
      for (double& v : w) sum += v = -std::log1p(-draw.uniform()) + 1e-12;
      for (const double v : w) weights_.push_back(v / sum);
    }
  }

  [[nodiscard]] Population ask() const override {
    const std::size_t n = space_.variables();
    Population moved{n, space_.objectives, {}, {}, {}};
    moved.x.resize(size() * n);
    std::vector<double> level(size());
    std::vector<double> point(n);
    const auto range = generation_ > 0 ? scale() : Range{};
    const double least =
        generation_ > 0 ? *std::min_element(best_.violation.begin(), best_.violation.end()) : 0.0;
    const double sharpness = std::min(1e5, 10.0 * std::pow(1.05, static_cast<double>(generation_)));
    for (std::size_t i = 0; i < size(); ++i) {
      Stream draw(seed_, island_, generation_, i);
      const auto x = std::span(moved.x).subspan(i * n, n);
      if (generation_ == 0) {
        sample(space_, draw, x);
        continue;
      }
      for (std::size_t j = 0; j < size(); ++j) {
        // Feasible points count by their values; where there is none, by their violation.
        level[j] = least > 0.0                ? best_.violation[j]
                   : best_.violation[j] > 0.0 ? std::numeric_limits<double>::infinity()
                                              : chebyshev(best_.value(j), i, range);
      }
      consensus_point(best_.x, level, sharpness, point);
      const parallel::Draw normal(seed_, parallel::Purpose::noise, generation_,
                                  island_ * 65536 + static_cast<std::int64_t>(i));
      for (std::size_t j = 0; j < n; ++j) {
        const double d = particles_[i * n + j] - point[j];
        x[j] = particles_[i * n + j] - drift * d * time_step +
               noise * d * normal.normal(j) * std::sqrt(time_step);
      }
      const double probability =
          options_.mutation > 0.0 ? options_.mutation : 1.0 / static_cast<double>(n);
      repair(space_, x);
      polynomial_mutation(space_, probability, options_.mutation_index, draw, x);
      repair(space_, x);
    }
    return moved;
  }

  void tell(const Population& evaluated) override {
    particles_ = evaluated.x;
    if (generation_ == 0) {
      best_ = evaluated;
    } else {
      const auto range = scale();
      for (std::size_t i = 0; i < size(); ++i) {
        if (better(evaluated, i, i, range)) best_.assign(i, evaluated, i);
      }
    }
    adapt();
    ++generation_;
  }

  [[nodiscard]] const Population& population() const override { return best_; }

  void immigrate(const Population& migrants) override {
    const auto range = scale();
    for (std::size_t m = 0; m < migrants.size(); ++m) {
      // Where a migrant gains most.
      std::size_t place = size();
      double gain = 0.0;
      for (std::size_t i = 0; i < size(); ++i) {
        if (!better(migrants, m, i, range)) continue;
        const double now = chebyshev(best_.value(i), i, range);
        const double won = now - chebyshev(migrants.value(m), i, range);
        if (place == size() || won > gain) place = i, gain = won;
      }
      if (place < size()) best_.assign(place, migrants, m);
    }
  }

  [[nodiscard]] std::vector<double> pack() const override {
    std::vector<double> numbers{static_cast<double>(generation_)};
    numbers.insert(numbers.end(), weights_.begin(), weights_.end());
    if (generation_ == 0) return numbers;
    for (const auto* part : {&particles_, &best_.x, &best_.f, &best_.violation})
      numbers.insert(numbers.end(), part->begin(), part->end());
    return numbers;
  }

  void unpack(const std::vector<double>& numbers) override {
    generation_ = static_cast<std::int64_t>(numbers[0]);
    auto at = numbers.begin() + 1;
    const auto take = [&](std::vector<double>& part, std::size_t count) {
      part.assign(at, at + static_cast<std::ptrdiff_t>(count));
      at += static_cast<std::ptrdiff_t>(count);
    };
    take(weights_, size() * space_.objectives);
    if (generation_ == 0) return;
    take(particles_, size() * space_.variables());
    take(best_.x, size() * space_.variables());
    take(best_.f, size() * space_.objectives);
    take(best_.violation, size());
  }

 private:
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(options_.population); }

  /// Ideal and largest values of the best points that did not fail.
  [[nodiscard]] Range scale() const {
    PointSet sound{{}, space_.objectives};
    for (std::size_t i = 0; i < best_.size(); ++i) {
      if (std::isfinite(best_.violation[i])) sound.push(best_.value(i));
    }
    if (sound.size() == 0) sound.push(std::vector<double>(space_.objectives, 0.0));
    return range_of(select(sound, nondominated(sound)));
  }

  [[nodiscard]] double chebyshev(std::span<const double> f, std::size_t particle,
                                 const Range& range) const {
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < f.size(); ++j) {
      const double width = std::max(range.nadir[j] - range.ideal[j], 1e-300);
      const double w = std::max(weights_[particle * f.size() + j], 1e-4);
      largest = std::max(largest, w * (f[j] - range.ideal[j]) / width);
    }
    return largest;
  }

  [[nodiscard]] bool better(const Population& from, std::size_t i, std::size_t particle,
                            const Range& range) const {
    if (from.violation[i] != best_.violation[particle])
      return from.violation[i] < best_.violation[particle];
    if (std::isinf(from.violation[i])) return false;
    return chebyshev(from.value(i), particle, range) <
           chebyshev(best_.value(particle), particle, range);
  }

  /// Every weight moves so that its best point leaves its neighbours: more weight on an objective
  /// makes its value fall.
  void adapt() {
    const std::size_t k = space_.objectives;
    const auto range = scale();
    const double reach = 1.0 / static_cast<double>(size());
    std::vector<double> next = weights_;
    std::vector<double> push(k);
    for (std::size_t i = 0; i < size(); ++i) {
      if (!std::isfinite(best_.violation[i])) continue;
      std::fill(push.begin(), push.end(), 0.0);
      for (std::size_t o = 0; o < size(); ++o) {
        if (o == i || !std::isfinite(best_.violation[o])) continue;
        double square = 0.0;
        for (std::size_t j = 0; j < k; ++j) {
          const double width = std::max(range.nadir[j] - range.ideal[j], 1e-300);
          square += std::pow((best_.value(i)[j] - best_.value(o)[j]) / width, 2);
        }
        const double length = std::sqrt(square);
        if (!(length > 0.0)) continue;
        const double force = std::exp(-length / reach) / length;
        for (std::size_t j = 0; j < k; ++j) {
          const double width = std::max(range.nadir[j] - range.ideal[j], 1e-300);
          push[j] += force * (best_.value(i)[j] - best_.value(o)[j]) / width;
        }
      }
      double mean = 0.0;
      for (const double p : push) mean += p / static_cast<double>(k);
      double sum = 0.0;
      for (std::size_t j = 0; j < k; ++j) {
        double& w = next[i * k + j];
        w = std::max(w - weight_step * reach * (push[j] - mean), 1e-6);
        sum += w;
      }
      for (std::size_t j = 0; j < k; ++j) next[i * k + j] /= sum;
    }
    weights_ = std::move(next);
  }

  Space space_;
  AlgorithmOptions options_;
  std::uint64_t seed_;
  std::int64_t island_;
  std::int64_t generation_ = 0;
  std::vector<double> weights_;    ///< [m k] of the simplex
  std::vector<double> particles_;  ///< [m n] where the particles are
  Population best_;                ///< the best point of each particle
};

}  // namespace

std::unique_ptr<Algorithm> make_cbo(const Space& space, const AlgorithmOptions& options,
                                    std::uint64_t seed, std::int64_t island) {
  return std::make_unique<Consensus>(space, options, seed, island);
}

}  // namespace equipoise::pareto
