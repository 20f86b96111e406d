#include "generational.hpp"

#include <equipoise/pareto/dominance.hpp>

#include <algorithm>

namespace equipoise::pareto {

Generational::Generational(const Space& space, const AlgorithmOptions& options, std::uint64_t seed,
                           std::int64_t island)
    : space_(space), options_(options), seed_(seed), island_(island) {
  population_.variables = space.variables();
  population_.objectives = space.objectives;
}

double Generational::mutation_probability() const {
  return options_.mutation > 0.0 ? options_.mutation
                                 : 1.0 / static_cast<double>(space_.variables());
}

Population Generational::ask() const {
  Population children{space_.variables(), space_.objectives, {}, {}, {}};
  if (generation_ > 0) {
    vary(children);
    return children;
  }
  children.x.resize(size() * space_.variables());
  for (std::size_t i = 0; i < size(); ++i) {
    Stream draw = stream(i);
    sample(space_, draw, std::span(children.x).subspan(i * space_.variables(), space_.variables()));
  }
  return children;
}

void Generational::tell(const Population& evaluated) {
  if (generation_ == 0) {
    population_ = evaluated;
  } else {
    Population merged = population_;
    merged.append(evaluated);
    const auto keep = survive(merged);
    learn(keep, population_.size());
    population_ = merged.subset(keep);
  }
  ++generation_;
  prepare();
}

void Generational::immigrate(const Population& migrants) {
  Population merged = population_;
  merged.append(migrants);
  population_ = merged.subset(survive(merged));
  prepare();
}

std::vector<double> Generational::pack() const {
  std::vector<double> numbers{static_cast<double>(generation_),
                              static_cast<double>(population_.size())};
  const auto more = extra();
  numbers.insert(numbers.end(), more.begin(), more.end());
  for (const auto* part : {&population_.x, &population_.f, &population_.violation}) {
    numbers.insert(numbers.end(), part->begin(), part->end());
  }
  return numbers;
}

void Generational::unpack(const std::vector<double>& numbers) {
  const std::span<const double> all(numbers);
  generation_ = static_cast<std::int64_t>(all[0]);
  const auto members = static_cast<std::size_t>(all[1]);
  std::size_t at = 2;
  const auto take = [&](std::size_t count) {
    const auto part = all.subspan(at, count);
    at += count;
    return std::vector<double>(part.begin(), part.end());
  };
  set_extra(take(extra().size()));
  population_.x = take(members * population_.variables);
  population_.f = take(members * population_.objectives);
  population_.violation = take(members);
  if (generation_ > 0) prepare();
}

std::size_t crowded_tournament(std::span<const std::int64_t> rank, std::span<const double> crowding,
                               std::size_t a, std::size_t b) {
  if (rank[a] != rank[b]) return rank[a] < rank[b] ? a : b;
  return crowding[b] > crowding[a] ? b : a;
}

void recombine(const Space& space, const AlgorithmOptions& options, double mutation_probability,
               const Population& population, std::span<const std::size_t> parents,
               std::uint64_t seed, std::int64_t island, std::int64_t generation,
               Population& children) {
  const std::size_t n = space.variables();
  std::vector<double> pair(2 * n);
  const auto first = std::span(pair).first(n);
  const auto second = std::span(pair).last(n);
  // The parents' own draws use the streams of the individuals; those of the pairs come after them.
  for (std::size_t i = 0; i < parents.size(); i += 2) {
    Stream draw(seed, island, generation, 32768 + i);
    const auto a = population.point(parents[i]);
    const auto b = population.point(parents[i + 1 < parents.size() ? i + 1 : 0]);
    std::copy(a.begin(), a.end(), first.begin());
    std::copy(b.begin(), b.end(), second.begin());
    if (draw.uniform() < options.crossover) {
      simulated_binary_crossover(space, options.crossover_index, draw, first, second);
    }
    for (const auto& [child, parent] : {std::pair(first, a), std::pair(second, b)}) {
      // A copy of its parent would be evaluated for nothing: mutated until something has changed.
      for (int tries = 0; tries == 0 || (tries < 50 && std::ranges::equal(child, parent));
           ++tries) {
        polynomial_mutation(space, mutation_probability, options.mutation_index, draw, child);
        repair(space, child);
      }
    }
    const std::size_t count = i + 1 < parents.size() ? 2 * n : n;
    children.x.insert(children.x.end(), pair.begin(),
                      pair.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

std::vector<std::vector<std::size_t>> fronts_until(const Population& merged, std::size_t count) {
  const auto rank = nondominated_sort(merged.values(), merged.violation);
  std::vector<std::vector<std::size_t>> fronts;
  std::size_t held = 0;
  for (std::int64_t r = 0; held < count; ++r) {
    fronts.emplace_back();
    for (std::size_t i = 0; i < rank.size(); ++i) {
      if (rank[i] == r) fronts.back().push_back(i);
    }
    held += fronts.back().size();
  }
  return fronts;
}

}  // namespace equipoise::pareto
