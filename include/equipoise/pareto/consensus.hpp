#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace equipoise::pareto {

/// Constants of consensus-based optimization (Pinnau, Totzeck, Tse, Martin 2017; componentwise
/// noise by Carrillo, Jin, Li, Zhu 2021): particles drift to a weighted mean v of all,
///
///     x += -drift (x - v) dt + noise (x - v) * N(0, 1) sqrt(dt)   (componentwise),
///     v = sum x_i exp(-sharpness f(x_i)) / sum exp(-sharpness f(x_i)).
///
/// The spread contracts in the mean where noise^2 < 2 drift, in any dimension.
struct ConsensusOptions {
  std::int64_t particles = 100;
  std::int64_t steps = 400;
  double drift = 1.0;
  double noise = 0.7;
  double time_step = 0.1;
  double sharpness = 10.0;  ///< at the start, values scaled to a range of 1; grows to 1e5
  std::uint64_t seed = 1;
};

struct ConsensusPoint {
  std::vector<double> x;
  double value = 0.0;
  double spread = 0.0;  ///< largest distance of a particle from x in one coordinate
  std::int64_t evaluations = 0;
};

/// min f over a box, without gradients. A value that is not finite counts as the worst there is.
/// Evaluations are shared out over the ranks, sums are taken in the order of the particles: the
/// same bits on any number of ranks. **Collective**, an allgatherv of the values a step. Throws
/// ConfigurationError for bounds that are not finite and ordered, or constants that do not
/// contract; what `f` throws on one rank is thrown on all.
[[nodiscard]] ConsensusPoint consensus_minimum(
    const parallel::Comm& comm, const std::function<double(std::span<const double>)>& f,
    std::span<const double> lower, std::span<const double> upper, const ConsensusOptions& options);

/// min over x, max over y of f(x, y), two populations that each look at the other's mean (Huang,
/// Qiu, Riedl 2024). `lower` and `upper` are those of x, then of y; x of the answer holds both.
[[nodiscard]] ConsensusPoint consensus_saddle(
    const parallel::Comm& comm,
    const std::function<double(std::span<const double>, std::span<const double>)>& f,
    std::size_t minimizing, std::span<const double> lower, std::span<const double> upper,
    const ConsensusOptions& options);

/// The consensus point of `m` particles [m n] for their values: sum of x_i exp(-sharpness (f_i -
/// min) / (max - min)) over the sum of the exponentials. Values that are not finite have no weight.
void consensus_point(std::span<const double> particles, std::span<const double> values,
                     double sharpness, std::span<double> point);

}  // namespace equipoise::pareto
