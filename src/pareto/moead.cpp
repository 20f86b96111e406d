#include "generational.hpp"

#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace equipoise::pareto {
namespace {

/// MOEA/D with differential evolution (Li and Zhang 2009): one Chebyshev problem per weight. The
/// children of a generation are made and evaluated together and replace members in the order of
/// their index.
class Moead final : public Algorithm {
 public:
  Moead(const Space& space, const AlgorithmOptions& options, std::uint64_t seed,
        std::int64_t island)
      : space_(space), options_(options), seed_(seed), island_(island) {
    const std::int64_t divisions = options.divisions > 0
                                       ? options.divisions
                                       : fitting_divisions(space.objectives, options.population);
    weights_ = simplex_lattice(space.objectives, divisions);
    population_.variables = space.variables();
    population_.objectives = space.objectives;
    ideal_.assign(space.objectives, std::numeric_limits<double>::infinity());
    const auto size =
        std::min<std::size_t>(static_cast<std::size_t>(options.neighbours), weights_.size());
    if (size < 3) {
      throw ConfigurationError(
          "moead: {} weights are too few for differential evolution, raise "
          "method.population or method.divisions",
          weights_.size());
    }
    for (std::size_t i = 0; i < weights_.size(); ++i) neighbours_.push_back(nearest(i, size));
  }

  [[nodiscard]] Population ask() const override {
    const std::size_t n = space_.variables();
    Population children{n, space_.objectives, {}, {}, {}};
    children.x.resize(weights_.size() * n);
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      Stream draw(seed_, island_, generation_, i);
      const auto child = std::span(children.x).subspan(i * n, n);
      if (generation_ == 0) {
        sample(space_, draw, child);
        continue;
      }
      const bool local = draw.uniform() < 0.9;
      const auto mate = [&] {
        return local ? neighbours_[i][draw.below(neighbours_[i].size())]
                     : draw.below(weights_.size());
      };
      const auto base = population_.point(i);
      const auto b = population_.point(mate());
      const auto c = population_.point(mate());
      for (std::size_t j = 0; j < n; ++j) child[j] = base[j] + options_.scale * (b[j] - c[j]);
      repair(space_, child);
      const double probability =
          options_.mutation > 0.0 ? options_.mutation : 1.0 / static_cast<double>(n);
      polynomial_mutation(space_, probability, options_.mutation_index, draw, child);
      repair(space_, child);
    }
    return children;
  }

  void tell(const Population& evaluated) override {
    for (std::size_t i = 0; i < evaluated.size(); ++i) {
      for (std::size_t j = 0; j < ideal_.size(); ++j) {
        ideal_[j] = std::min(ideal_[j], evaluated.value(i)[j]);
      }
    }
    if (generation_ == 0) {
      population_ = evaluated;
    } else {
      for (std::size_t i = 0; i < evaluated.size(); ++i) {
        Stream draw(seed_, island_, generation_, i);
        const bool local = draw.uniform() < 0.9;
        replace(evaluated, i, local ? neighbours_[i] : everyone(), 2, draw);
      }
    }
    ++generation_;
  }

  [[nodiscard]] const Population& population() const override { return population_; }

  void immigrate(const Population& migrants) override {
    for (std::size_t i = 0; i < migrants.size(); ++i) {
      for (std::size_t j = 0; j < ideal_.size(); ++j)
        ideal_[j] = std::min(ideal_[j], migrants.value(i)[j]);
      Stream draw(seed_, island_, generation_, 32768 + i);
      replace(migrants, i, everyone(), 2, draw);
    }
  }

  [[nodiscard]] std::vector<double> pack() const override {
    std::vector<double> numbers{static_cast<double>(generation_),
                                static_cast<double>(population_.size())};
    for (const auto* part : {&ideal_, &population_.x, &population_.f, &population_.violation}) {
      numbers.insert(numbers.end(), part->begin(), part->end());
    }
    return numbers;
  }

  void unpack(const std::vector<double>& numbers) override {
    generation_ = static_cast<std::int64_t>(numbers[0]);
    const auto members = static_cast<std::size_t>(numbers[1]);
    auto at = numbers.begin() + 2;
    const auto take = [&](std::vector<double>& part, std::size_t count) {
      part.assign(at, at + static_cast<std::ptrdiff_t>(count));
      at += static_cast<std::ptrdiff_t>(count);
    };
    take(ideal_, space_.objectives);
    take(population_.x, members * space_.variables());
    take(population_.f, members * space_.objectives);
    take(population_.violation, members);
  }

 private:
  [[nodiscard]] std::vector<std::size_t> nearest(std::size_t i, std::size_t count) const {
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t other = 0; other < weights_.size(); ++other) {
      double square = 0.0;
      for (std::size_t j = 0; j < weights_.objectives; ++j) {
        square += (weights_[i][j] - weights_[other][j]) * (weights_[i][j] - weights_[other][j]);
      }
      order.emplace_back(square, other);
    }
    std::sort(order.begin(), order.end());
    std::vector<std::size_t> result;
    for (std::size_t s = 0; s < count; ++s) result.push_back(order[s].second);
    return result;
  }

  [[nodiscard]] std::vector<std::size_t> everyone() const {
    std::vector<std::size_t> all(weights_.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
  }

  [[nodiscard]] double chebyshev(std::span<const double> f, std::size_t weight) const {
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < f.size(); ++j) {
      largest = std::max(largest, std::max(weights_[weight][j], 1e-4) * (f[j] - ideal_[j]));
    }
    return largest;
  }

  [[nodiscard]] bool better(const Population& from, std::size_t i, std::size_t member) const {
    if (from.violation[i] != population_.violation[member]) {
      return from.violation[i] < population_.violation[member];
    }
    return chebyshev(from.value(i), member) < chebyshev(population_.value(member), member);
  }

  /// The child takes at most `limit` places among `members`, visited in random order.
  void replace(const Population& from, std::size_t i, std::vector<std::size_t> members, int limit,
               Stream& draw) {
    if (std::isinf(from.violation[i])) return;
    for (std::size_t left = members.size(); left > 0 && limit > 0; --left) {
      const std::size_t pick = draw.below(left);
      const std::size_t member = members[pick];
      members[pick] = members[left - 1];
      if (!better(from, i, member)) continue;
      population_.assign(member, from, i);
      --limit;
    }
  }

  Space space_;
  AlgorithmOptions options_;
  std::uint64_t seed_;
  std::int64_t island_;
  std::int64_t generation_ = 0;
  PointSet weights_;
  std::vector<std::vector<std::size_t>> neighbours_;
  std::vector<double> ideal_;
  Population population_;
};

}  // namespace

std::unique_ptr<Algorithm> make_moead(const Space& space, const AlgorithmOptions& options,
                                      std::uint64_t seed, std::int64_t island) {
  return std::make_unique<Moead>(space, options, seed, island);
}

}  // namespace equipoise::pareto
