#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/problems/vi/matching.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

std::int64_t checked_slopes(const MatchingOptions& o) {
  if (o.components > o.points - 1) {
    throw ConfigurationError(
        "problem.components = {}: {} points have {} slopes, which tell at most as many components "
        "apart",
        o.components, o.points, o.points - 1);
  }
  return o.points - 1;
}

linalg::Product product(std::int64_t components, std::int64_t slopes, double bound) {
  return linalg::Product({{static_cast<std::size_t>(components), linalg::Simplex(1.0)},
                          {static_cast<std::size_t>(slopes), linalg::BallInf(bound)}});
}

/// Bumps at the middles of `components` equal intervals, as columns that sum to 1, seen through
/// noise: every entry times 1 + h uniform(-1, 1).
MatrixXd distributions(const MatchingOptions& o, std::int64_t agent) {
  const parallel::Draw draw(static_cast<std::uint64_t>(o.seed), parallel::Purpose::problem, 0,
                            agent);
  MatrixXd h(o.points, o.components);
  for (Eigen::Index k = 0; k < h.cols(); ++k) {
    const double centre = (static_cast<double>(k) + 0.5) / static_cast<double>(o.components);
    const double width = 0.5 / static_cast<double>(o.components);
    for (Eigen::Index i = 0; i < h.rows(); ++i) {
      const double t =
          (static_cast<double>(i) / static_cast<double>(o.points - 1) - centre) / width;
      const auto key = static_cast<std::uint64_t>(k * h.rows() + i);
      h(i, k) = std::exp(-0.5 * t * t) * (1.0 + o.heterogeneity * (2.0 * draw.uniform(key) - 1.0));
    }
    h.col(k) /= h.col(k).sum();
  }
  return h;
}

/// The cumulated sums of the columns without the last row, which is 1.
MatrixXd cumulated(const MatrixXd& h) {
  MatrixXd c(h.rows() - 1, h.cols());
  for (Eigen::Index k = 0; k < h.cols(); ++k) {
    double sum = 0.0;
    for (Eigen::Index i = 0; i < c.rows(); ++i) c(i, k) = sum += h(i, k);
  }
  return c;
}

}  // namespace

void MatchingOptions::describe(state::OptionVisitor& visit) {
  visit.option("points", points, "points of the line", {2.0});
  visit.option("components", components, "distributions that the generator mixes", {1.0});
  visit.option("heterogeneity", heterogeneity,
               "noise through which an agent sees distributions and data", {0.0, 1.0});
  visit.option("beta", beta, "weight of the critic's squared slopes", state::positive);
  visit.option("seed", seed, "seed of the random data", state::non_negative);
}

MatchingGame::MatchingGame(const MatchingOptions& o, partition::Range hosted)
    : components_(o.components),
      slopes_(checked_slopes(o)),
      agents_(o.agents),
      spacing_(1.0 / static_cast<double>(slopes_)),
      beta_(o.beta),
      hosted_(hosted),
      set_(product(components_, slopes_, std::sqrt(spacing_))),
      heterogeneity_(o.heterogeneity),
      fingerprint_(fmt::format("matching points={} components={} agents={} h={} beta={} seed={}",
                               o.points, o.components, o.agents, o.heterogeneity, o.beta, o.seed)) {
  const double root = std::sqrt(spacing_);
  const auto seed = static_cast<std::uint64_t>(o.seed);
  const parallel::Draw draw(seed, parallel::Purpose::problem, 1);
  double sum = 0.0;
  for (std::int64_t k = 0; k < components_; ++k) {
    weights_.push_back(0.2 + draw.uniform(static_cast<std::uint64_t>(k)));
    sum += weights_.back();
  }
  for (double& w : weights_) w /= sum;
  const Eigen::Map<const VectorXd> theta(weights_.data(), components_);
  const auto noise = [&](std::int64_t m) {
    const parallel::Draw own(seed, parallel::Purpose::problem, 2, m);
    VectorXd e(slopes_);
    for (Eigen::Index i = 0; i < e.size(); ++i) {
      e[i] = 0.1 * o.heterogeneity * (2.0 * own.uniform(static_cast<std::uint64_t>(i)) - 1.0);
    }
    return e;
  };
  VectorXd mean_noise = VectorXd::Zero(slopes_);
  for (std::int64_t m = 0; m < agents_; ++m) mean_noise += noise(m);
  mean_noise /= static_cast<double>(agents_);
  mean_ = {MatrixXd::Zero(slopes_, components_), VectorXd::Zero(slopes_)};
  for (std::int64_t m = 0; m < agents_; ++m) {
    Agent agent;
    agent.mixture = root * cumulated(distributions(o, m));
    agent.data = agent.mixture * theta + root * (noise(m) - mean_noise);
    mean_.mixture += agent.mixture / static_cast<double>(agents_);
    mean_.data += agent.data / static_cast<double>(agents_);
    if (m == 0) first_ = agent;
    if (hosted_.contains(m)) agent_.push_back(std::move(agent));
  }
}

void MatchingGame::apply(std::int64_t agent, std::span<const double> z,
                         std::span<double> out) const {
  apply_with(agent_[static_cast<std::size_t>(agent - hosted_.begin)], z, out);
}

void MatchingGame::surrogate(std::span<const double> z, std::span<double> out) const {
  apply_with(first_, z, out);
}

void MatchingGame::apply_with(const Agent& agent, std::span<const double> z,
                              std::span<double> out) const {
  const auto k = static_cast<std::size_t>(components_);
  const auto n = static_cast<std::size_t>(slopes_);
  const auto v = z.subspan(k);
  const auto critic = out.subspan(k);
  for (std::size_t i = 0; i < n; ++i) {
    critic[i] = beta_ * v[i] + agent.data[static_cast<Eigen::Index>(i)];
  }
  for (std::size_t j = 0; j < k; ++j) {
    const std::span<const double> column(agent.mixture.data() + j * n, n);
    linalg::add_scaled(critic, -z[j], column, critic);
    out[j] = linalg::dot(column, v);
  }
}

void MatchingGame::start(std::span<double> z) const {
  std::fill(z.begin(), z.end(), 0.0);
  for (double& w : z.first(static_cast<std::size_t>(components_))) {
    w = 1.0 / static_cast<double>(components_);
  }
}

bool MatchingGame::solution(std::span<double> z) const {
  std::fill(z.begin(), z.end(), 0.0);
  std::copy(weights_.begin(), weights_.end(), z.begin());
  return true;
}

vi::Facts MatchingGame::facts() const {
  return {{"dimension", std::to_string(dimension())},
          {"agents", std::to_string(agents_)},
          {"components", std::to_string(components_)},
          {"heterogeneity", fmt::format("{}", heterogeneity_)}};
}

vi::Facts MatchingGame::check(std::span<const double> z) const {
  const Eigen::Map<const VectorXd> theta(z.data(), components_);
  const double distance = std::sqrt(spacing_) * (mean_.mixture * theta - mean_.data).lpNorm<1>();
  return {{"wasserstein_distance", fmt::format("{:.6g}", distance)},
          {"sum_of_weights", fmt::format("{:.15g}", theta.sum())}};
}

solve::ProblemEntry matching_problem() {
  return {
      "vi", "matching",
      "a mixture matched to data against a critic of bounded slope (Wasserstein distance)",
      [](state::OptionVisitor& visit) { MatchingOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        MatchingOptions options;
        config.read("problem", options);
        options.agents = read_agents(config, options.agents);
        const auto hosted =
            partition::Partition::uniform(options.agents, comm.size()).range(comm.rank());
        return make_instance(comm, config, MatchingGame(options, hosted));
      }};
}

}  // namespace equipoise::problems
