#include "generational.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/algorithm.hpp>

namespace equipoise::pareto {

void AlgorithmOptions::describe(state::OptionVisitor& visit) {
  visit.option("population", population, "members of one island", {4.0, 32768.0});
  visit.option("crossover", crossover, "probability of simulated binary crossover", {0.0, 1.0});
  visit.option("crossover_index", crossover_index, "distribution index of the crossover",
               state::non_negative);
  visit.option("mutation", mutation, "mutation probability per variable, 0: 1/n", {0.0, 1.0});
  visit.option("mutation_index", mutation_index, "distribution index of polynomial mutation",
               state::non_negative);
  visit.option("divisions", divisions,
               "nsga3, moead: divisions of the weight lattice, 0: as the population allows",
               state::non_negative);
  visit.option("neighbours", neighbours, "moead: size of a neighbourhood", {2.0});
  visit.option("scale", scale, "moead: F of differential evolution", state::positive);
  visit.option("offspring", offspring,
               "hypervolume: children per step, 0: a tenth of the population", {0.0, 32768.0});
  visit.option("reference", reference, "hypervolume: reference point where the front spans [0, 1]",
               {1.0});
}

std::vector<std::string> algorithm_names() {
  return {"hypervolume", "nsga2", "nsga3", "moead", "cbo"};
}

std::unique_ptr<Algorithm> make_algorithm(const std::string& name, const Space& space,
                                          const AlgorithmOptions& options, std::uint64_t seed,
                                          std::int64_t island) {
  if (options.population < 4) {
    throw ConfigurationError("method.population = {}: at least 4 members are needed",
                             options.population);
  }
  if (name == "hypervolume") return make_hypervolume(space, options, seed, island);
  if (name == "nsga2") return make_nsga2(space, options, seed, island);
  if (name == "nsga3") return make_nsga3(space, options, seed, island);
  if (name == "moead") return make_moead(space, options, seed, island);
  if (name == "cbo") return make_cbo(space, options, seed, island);
  throw ConfigurationError(
      "unknown population method `{}`; there are hypervolume, nsga2, nsga3, moead and cbo", name);
}

PointSet simplex_lattice(std::size_t objectives, std::int64_t divisions) {
  PointSet lattice{{}, objectives};
  if (objectives == 0 || divisions < 1) return lattice;
  // Compositions of `divisions` into `objectives` parts, in lexicographic order.
  std::vector<std::int64_t> parts(objectives, 0);
  parts.back() = divisions;
  while (true) {
    for (const std::int64_t part : parts) {
      lattice.values.push_back(static_cast<double>(part) / static_cast<double>(divisions));
    }
    std::size_t last = objectives - 1;
    while (last > 0 && parts[last] == 0) --last;
    if (last == 0) return lattice;
    const std::int64_t rest = parts[last] - 1;
    parts[last] = 0;
    ++parts[last - 1];
    parts[objectives - 1] = rest;
  }
}

}  // namespace equipoise::pareto
