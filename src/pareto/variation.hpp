#pragma once

#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/algorithm.hpp>

#include <cstdint>
#include <span>

namespace equipoise::pareto {

/// Draws one after the other for one individual of one generation.
class Stream {
 public:
  Stream(std::uint64_t seed, std::int64_t island, std::int64_t generation, std::size_t individual)
      : draw_(seed, parallel::Purpose::population, generation,
              island * 65536 + static_cast<std::int64_t>(individual)) {}
  double uniform() { return draw_.uniform(next_++); }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(draw_.below(n, next_++)); }

 private:
  parallel::Draw draw_;
  std::uint64_t next_ = 0;
};

/// Simulated binary crossover within bounds (Deb and Agrawal 1995): each variable with probability
/// 1/2; both children in place of the parents.
void simulated_binary_crossover(const Space& space, double index, Stream& draw, std::span<double> a,
                                std::span<double> b);
/// Polynomial mutation within bounds (Deb and Goyal 1996), in place; every variable with
/// `probability`.
void polynomial_mutation(const Space& space, double probability, double index, Stream& draw,
                         std::span<double> x);
/// Inside the box (reflected once, then clipped), whole numbers where asked for.
void repair(const Space& space, std::span<double> x);
/// Uniform in the box.
void sample(const Space& space, Stream& draw, std::span<double> x);

}  // namespace equipoise::pareto
