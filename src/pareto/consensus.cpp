#include "variation.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/consensus.hpp>
#include <equipoise/partition/partition.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::pareto {
namespace {

void require_valid(std::span<const double> lower, std::span<const double> upper,
                   const ConsensusOptions& options) {
  if (lower.empty() || lower.size() != upper.size()) {
    throw ConfigurationError("consensus: {} lower and {} upper bounds", lower.size(), upper.size());
  }
  for (std::size_t j = 0; j < lower.size(); ++j) {
    if (!(lower[j] <= upper[j] && std::isfinite(lower[j]) && std::isfinite(upper[j]))) {
      throw ConfigurationError("consensus: variable {} needs finite bounds, not [{}, {}]", j,
                               lower[j], upper[j]);
    }
  }
  if (options.particles < 2 || options.steps < 1 || !(options.time_step > 0.0) ||
      !(options.sharpness > 0.0)) {
    throw ConfigurationError(
        "consensus: {} particles, {} steps, time step {}, sharpness {}: at least 2 particles and "
        "positive numbers are needed",
        options.particles, options.steps, options.time_step, options.sharpness);
  }
  if (!(options.noise * options.noise < 2.0 * options.drift)) {
    throw ConfigurationError("consensus: noise {} and drift {} do not contract: noise^2 < 2 drift",
                             options.noise, options.drift);
  }
}

/// Values of all particles, each computed by one rank.
std::vector<double> values_of(const parallel::Comm& comm, std::int64_t particles,
                              const std::function<double(std::size_t)>& value) {
  const auto owners = partition::Partition::uniform(particles, comm.size());
  std::vector<double> values(static_cast<std::size_t>(particles));
  parallel::agree(comm, [&] {
    const auto mine = owners.range(comm.rank());
    for (std::int64_t i = mine.begin; i < mine.end; ++i)
      values[static_cast<std::size_t>(i)] = value(static_cast<std::size_t>(i));
  });
  std::vector<int> counts;
  std::vector<int> offsets;
  for (int r = 0; r < comm.size(); ++r) {
    counts.push_back(static_cast<int>(owners.range(r).size()));
    offsets.push_back(static_cast<int>(owners.range(r).begin));
  }
  MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values.data(), counts.data(), offsets.data(),
                 MPI_DOUBLE, comm.handle());
  return values;
}

/// Particles of one population with its consensus point.
class Swarm {
 public:
  Swarm(std::span<const double> lower, std::span<const double> upper,
        const ConsensusOptions& options, std::int64_t index)
      : options_(options), index_(index), lower_(lower), upper_(upper), point_(lower.size()) {
    const auto m = static_cast<std::size_t>(options.particles);
    for (std::size_t i = 0; i < m; ++i) {
      Stream draw(options.seed, index, 0, i);
      for (std::size_t j = 0; j < n(); ++j)
        particles_.push_back(lower[j] + draw.uniform() * (upper[j] - lower[j]));
    }
  }
  [[nodiscard]] std::size_t n() const { return lower_.size(); }
  [[nodiscard]] std::span<const double> particle(std::size_t i) const {
    return std::span(particles_).subspan(i * n(), n());
  }
  /// The consensus of the last step.
  [[nodiscard]] const std::vector<double>& point() const { return point_; }
  [[nodiscard]] std::vector<double> mean() const {
    std::vector<double> sum(n(), 0.0);
    for (std::size_t i = 0; i < particles_.size(); ++i) sum[i % n()] += particles_[i];
    for (double& v : sum) v /= static_cast<double>(options_.particles);
    return sum;
  }
  /// To the consensus under these values, and on by one step.
  void step(std::int64_t step, std::span<const double> values) {
    const double sharpness =
        std::min(1e5, options_.sharpness * std::pow(1.05, static_cast<double>(step)));
    consensus_point(particles_, values, sharpness, point_);
    const auto m = static_cast<std::size_t>(options_.particles);
    for (std::size_t i = 0; i < m; ++i) {
      const parallel::Draw draw(options_.seed, parallel::Purpose::noise, step,
                                index_ * 65536 + static_cast<std::int64_t>(i));
      for (std::size_t j = 0; j < n(); ++j) {
        double& x = particles_[i * n() + j];
        const double d = x - point_[j];
        x += -options_.drift * d * options_.time_step +
             options_.noise * d * draw.normal(j) * std::sqrt(options_.time_step);
        x = std::clamp(x, lower_[j], upper_[j]);
      }
    }
  }
  [[nodiscard]] double spread() const {
    double worst = 0.0;
    for (std::size_t i = 0; i < particles_.size(); ++i)
      worst = std::max(worst, std::abs(particles_[i] - point_[i % n()]));
    return worst;
  }

 private:
  const ConsensusOptions& options_;
  std::int64_t index_;
  std::span<const double> lower_, upper_;
  std::vector<double> point_;
  std::vector<double> particles_;  ///< [m n]
};

}  // namespace

void consensus_point(std::span<const double> particles, std::span<const double> values,
                     double sharpness, std::span<double> point) {
  const std::size_t n = point.size();
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const double scale = high > low ? 1.0 / (high - low) : 0.0;
  std::fill(point.begin(), point.end(), 0.0);
  double sum = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    const double w = std::exp(-sharpness * (values[i] - low) * scale);
    sum += w;
    for (std::size_t j = 0; j < n; ++j) point[j] += w * particles[i * n + j];
  }
  if (!(sum > 0.0)) throw NotFiniteError("consensus: no particle has a finite value");
  for (double& v : point) v /= sum;
}

ConsensusPoint consensus_minimum(const parallel::Comm& comm,
                                 const std::function<double(std::span<const double>)>& f,
                                 std::span<const double> lower, std::span<const double> upper,
                                 const ConsensusOptions& options) {
  require_valid(lower, upper, options);
  Swarm swarm(lower, upper, options, 0);
  ConsensusPoint result;
  for (std::int64_t s = 0; s < options.steps; ++s) {
    swarm.step(
        s, values_of(comm, options.particles, [&](std::size_t i) { return f(swarm.particle(i)); }));
    result.evaluations += options.particles;
  }
  result.x = swarm.point();
  result.spread = swarm.spread();
  parallel::agree(comm, [&] { result.value = f(result.x); });
  return result;
}

ConsensusPoint consensus_saddle(
    const parallel::Comm& comm,
    const std::function<double(std::span<const double>, std::span<const double>)>& f,
    std::size_t minimizing, std::span<const double> lower, std::span<const double> upper,
    const ConsensusOptions& options) {
  require_valid(lower, upper, options);
  if (minimizing == 0 || minimizing >= lower.size()) {
    throw ConfigurationError("consensus: {} of {} variables minimize: both sides need one",
                             minimizing, lower.size());
  }
  const std::size_t rest = lower.size() - minimizing;
  Swarm x(lower.first(minimizing), upper.first(minimizing), options, 0);
  Swarm y(lower.last(rest), upper.last(rest), options, 1);
  ConsensusPoint result;
  for (std::int64_t s = 0; s < options.steps; ++s) {
    const auto x_mean = x.mean();
    const auto y_mean = y.mean();
    const auto down =
        values_of(comm, options.particles, [&](std::size_t i) { return f(x.particle(i), y_mean); });
    const auto up = values_of(comm, options.particles,
                              [&](std::size_t i) { return -f(x_mean, y.particle(i)); });
    x.step(s, down);
    y.step(s, up);
    result.evaluations += 2 * options.particles;
  }
  result.x = x.point();
  result.x.insert(result.x.end(), y.point().begin(), y.point().end());
  result.spread = std::max(x.spread(), y.spread());
  parallel::agree(comm, [&] { result.value = f(x.point(), y.point()); });
  return result;
}

}  // namespace equipoise::pareto
