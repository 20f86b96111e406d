#pragma once

#include <equipoise/pareto/population.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::pareto {

/// Options of the population methods; each name of `algorithm_names()` reads those it uses.
struct AlgorithmOptions {
  std::int64_t population = 100;  ///< members of one island
  double crossover = 0.9;         ///< probability of simulated binary crossover
  double crossover_index = 15.0;  ///< distribution index of the crossover
  double mutation = 0.0;          ///< probability per variable; 0: 1/n
  double mutation_index = 20.0;   ///< distribution index of polynomial mutation
  std::int64_t divisions =
      0;  ///< NSGA-III and MOEA/D: Das-Dennis divisions; 0: as the population allows
  std::int64_t neighbours = 20;  ///< MOEA/D: T
  double scale = 0.5;            ///< MOEA/D: F of differential evolution
  std::int64_t offspring = 0;    ///< hypervolume: children per step; 0: a tenth of the population
  double reference = 1.1;        ///< hypervolume: reference point, objectives scaled to [0, 1]

  void describe(state::OptionVisitor& visit);
};

/// An evolutionary algorithm that asks for candidates and is told their values. It has no random
/// state: draws are functions of (seed, island, generation, individual). Without communication.
class Algorithm {
 public:
  virtual ~Algorithm() = default;
  /// The candidates of the next generation, without values. Asking twice gives the same.
  [[nodiscard]] virtual Population ask() const = 0;
  /// Takes the candidates of the last `ask` with their values, and moves on by one generation.
  virtual void tell(const Population& evaluated) = 0;
  [[nodiscard]] virtual const Population& population() const = 0;
  /// Takes in migrants in place of its worst members; the size stays.
  virtual void immigrate(const Population& migrants) = 0;
  /// All state as numbers: a fresh algorithm of the same options that unpacks them continues bit by
  /// bit.
  [[nodiscard]] virtual std::vector<double> pack() const = 0;
  virtual void unpack(const std::vector<double>& numbers) = 0;
};

/// "hypervolume" (the default), "nsga2", "nsga3", "moead", "cbo".
[[nodiscard]] std::vector<std::string> algorithm_names();
/// Throws ConfigurationError for an unknown name or options that do not fit.
[[nodiscard]] std::unique_ptr<Algorithm> make_algorithm(const std::string& name, const Space& space,
                                                        const AlgorithmOptions& options,
                                                        std::uint64_t seed, std::int64_t island);

/// The weights of the simplex lattice {w >= 0, sum w = 1, w a multiple of 1/divisions} (Das and
/// Dennis 1998), C(k + divisions - 1, divisions) rows of k.
[[nodiscard]] PointSet simplex_lattice(std::size_t objectives, std::int64_t divisions);

}  // namespace equipoise::pareto
