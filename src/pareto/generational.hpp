#pragma once

#include "variation.hpp"

#include <equipoise/pareto/algorithm.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// What the (mu + lambda) algorithms share: sampling the first generation, merging, packing.
class Generational : public Algorithm {
 public:
  Generational(const Space& space, const AlgorithmOptions& options, std::uint64_t seed,
               std::int64_t island);

  [[nodiscard]] Population ask() const final;
  void tell(const Population& evaluated) final;
  [[nodiscard]] const Population& population() const final { return population_; }
  void immigrate(const Population& migrants) final;
  [[nodiscard]] std::vector<double> pack() const final;
  void unpack(const std::vector<double>& numbers) final;

 protected:
  /// Children of the current population.
  virtual void vary(Population& children) const = 0;
  /// The members of `merged` that make the next population.
  virtual std::vector<std::size_t> survive(const Population& merged) = 0;
  /// Called with who of `merged` stays; children start at `first_child`.
  virtual void learn(std::span<const std::size_t>, std::size_t) {}
  /// Called whenever the population has changed.
  virtual void prepare() {}
  /// State of the algorithm beyond population and generation, same length at any time.
  [[nodiscard]] virtual std::vector<double> extra() const { return {}; }
  virtual void set_extra(std::span<const double>) {}

  [[nodiscard]] Stream stream(std::size_t individual) const {
    return {seed_, island_, generation_, individual};
  }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(options_.population); }
  [[nodiscard]] double mutation_probability() const;

  Space space_;
  AlgorithmOptions options_;
  std::uint64_t seed_;
  std::int64_t island_;
  std::int64_t generation_ = 0;
  Population population_;
};

/// Crowded comparison of two members drawn at random: the one of lower rank, then of larger
/// distance.
std::size_t crowded_tournament(std::span<const std::int64_t> rank, std::span<const double> crowding,
                               std::size_t a, std::size_t b);
/// Children by simulated binary crossover of the `parents` taken two by two, then polynomial
/// mutation.
void recombine(const Space& space, const AlgorithmOptions& options, double mutation_probability,
               const Population& population, std::span<const std::size_t> parents,
               std::uint64_t seed, std::int64_t island, std::int64_t generation,
               Population& children);

/// Fronts of a set as lists of members, best first, until they hold `count` members.
std::vector<std::vector<std::size_t>> fronts_until(const Population& merged, std::size_t count);

/// The most divisions whose lattice fits into a population.
std::int64_t fitting_divisions(std::size_t objectives, std::int64_t population);

std::unique_ptr<Algorithm> make_nsga2(const Space&, const AlgorithmOptions&, std::uint64_t,
                                      std::int64_t);
std::unique_ptr<Algorithm> make_nsga3(const Space&, const AlgorithmOptions&, std::uint64_t,
                                      std::int64_t);
std::unique_ptr<Algorithm> make_moead(const Space&, const AlgorithmOptions&, std::uint64_t,
                                      std::int64_t);
std::unique_ptr<Algorithm> make_cbo(const Space&, const AlgorithmOptions&, std::uint64_t,
                                    std::int64_t);
std::unique_ptr<Algorithm> make_hypervolume(const Space&, const AlgorithmOptions&, std::uint64_t,
                                            std::int64_t);

}  // namespace equipoise::pareto
