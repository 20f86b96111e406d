#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/vi/game.hpp>
#include <equipoise/problems/vi/instance.hpp>

#include <cmath>
#include <random>

namespace equipoise::problems {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

std::int64_t checked_half(const GameOptions& options) {
  if (options.dimension < 2 || options.dimension % 2 != 0) {
    throw ConfigurationError(
        "problem.dimension = {}: a game has two players of equal size, give an even number",
        options.dimension);
  }
  return options.dimension / 2;
}

std::string print(const GameOptions& o) {
  return fmt::format("game {} d={} agents={} h={} mu={} coupling={} seed={}", o.structure,
                     o.dimension, o.agents, o.heterogeneity, o.strong_monotonicity, o.coupling,
                     o.seed);
}

double spectral_norm(const MatrixXd& a) {
  if (a.rows() <= 200) return Eigen::JacobiSVD<MatrixXd>(a).singularValues()(0);
  VectorXd v = VectorXd::Ones(a.cols()).normalized();
  double norm = 0.0;
  for (int k = 0; k < 200; ++k) {
    v = a.transpose() * (a * v);
    norm = std::sqrt(v.norm());
    v.normalize();
  }
  return norm;
}

}  // namespace

void GameOptions::describe(state::OptionVisitor& visit) {
  visit.option("dimension", dimension, "d, both players together (even)", {2.0});
  visit.option("heterogeneity", heterogeneity,
               "size of the agents' own couplings relative to the common one", state::non_negative);
  visit.option("strong_monotonicity", strong_monotonicity, "mu", state::non_negative);
  visit.option("coupling", coupling, "spectral norm of the common coupling", state::positive);
  visit.choice("structure", structure, {"dense", "low-rank"},
               "dense couplings, or a diagonal plus low rank for d up to 1e7");
  visit.option("seed", seed, "seed of the random data", state::non_negative);
}

DenseGame::DenseGame(const GameOptions& options, partition::Range hosted)
    : half_(checked_half(options)),
      agents_(options.agents),
      mu_(options.strong_monotonicity),
      hosted_(hosted),
      heterogeneity_(options.heterogeneity),
      fingerprint_(print(options)) {
  std::mt19937_64 engine(static_cast<std::uint64_t>(options.seed));
  std::normal_distribution<double> normal(0.0, 1.0);
  const auto fill = [&](auto& matrix) {
    for (Eigen::Index j = 0; j < matrix.cols(); ++j) {
      for (Eigen::Index i = 0; i < matrix.rows(); ++i) matrix(i, j) = normal(engine);
    }
  };
  MatrixXd common(half_, half_);
  fill(common);
  common *= options.coupling / spectral_norm(common);
  mean_coupling_ = MatrixXd::Zero(half_, half_);
  mean_shift_ = VectorXd::Zero(2 * half_);
  MatrixXd own(half_, half_);
  VectorXd shift(2 * half_);
  for (std::int64_t m = 0; m < agents_; ++m) {
    fill(own);
    own *= options.coupling * options.heterogeneity / spectral_norm(own);
    own += common;
    fill(shift);
    mean_coupling_ += own;
    mean_shift_ += shift;
    if (m == 0) {
      first_coupling_ = own;
      first_shift_ = shift;
    }
    if (hosted_.contains(m)) {
      coupling_.push_back(own);
      shift_.push_back(shift);
    }
  }
  mean_coupling_ /= static_cast<double>(agents_);
  mean_shift_ /= static_cast<double>(agents_);
}

void DenseGame::apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
  const auto local = static_cast<std::size_t>(agent - hosted_.begin);
  apply_with(coupling_[local], shift_[local], z, out);
}

void DenseGame::surrogate(std::span<const double> z, std::span<double> out) const {
  apply_with(first_coupling_, first_shift_, z, out);
}

void DenseGame::apply_with(const MatrixXd& a, const VectorXd& c, std::span<const double> z,
                           std::span<double> out) const {
  // Plain loops in a fixed order: the bits must not depend on the alignment of the caller's
  // vectors.
  const auto n = static_cast<std::size_t>(half_);
  const auto x = z.first(n);
  const auto y = z.last(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = mu_ * x[i] + c[static_cast<Eigen::Index>(i)];
  for (std::size_t j = 0; j < n; ++j) {
    const std::span<const double> column(a.data() + j * n, n);
    linalg::add_scaled(out.first(n), y[j], column, out.first(n));
    out[n + j] = mu_ * y[j] + c[static_cast<Eigen::Index>(n + j)] - linalg::dot(column, x);
  }
}

bool DenseGame::solution(std::span<double> z) const {
  if (half_ > 2000) return false;
  MatrixXd j = MatrixXd::Identity(2 * half_, 2 * half_) * mu_;
  j.topRightCorner(half_, half_) = mean_coupling_;
  j.bottomLeftCorner(half_, half_) = -mean_coupling_.transpose();
  const VectorXd solution = j.partialPivLu().solve(-mean_shift_);
  std::copy(solution.begin(), solution.end(), z.begin());
  return true;
}

vi::Facts DenseGame::facts() const {
  return {{"dimension", std::to_string(dimension())},
          {"agents", std::to_string(agents_)},
          {"heterogeneity", fmt::format("{}", heterogeneity_)}};
}

LowRankGame::LowRankGame(const GameOptions& options, partition::Range hosted)
    : half_(checked_half(options)),
      agents_(options.agents),
      mu_(options.strong_monotonicity),
      hosted_(hosted),
      heterogeneity_(options.heterogeneity),
      fingerprint_(print(options)) {
  const auto n = static_cast<std::size_t>(half_);
  const auto uniform = [&](std::int64_t agent, int which, double size) {
    const parallel::Draw draw(static_cast<std::uint64_t>(options.seed), parallel::Purpose::problem,
                              which, agent);
    std::vector<double> v(n);
    for (std::size_t i = 0; i < n; ++i) v[i] = size * (2.0 * draw.uniform(i) - 1.0);
    return v;
  };
  // A uniform entry has variance 1/3, so these vectors have norm about 1.
  const double unit = std::sqrt(3.0 / static_cast<double>(n));
  const double g = options.coupling;
  const double h = options.heterogeneity;
  u0_ = uniform(0, 0, unit * 0.5 * g);
  u1_ = uniform(0, 1, unit * 0.5 * g);
  v0_ = uniform(0, 2, unit);
  v1_ = uniform(0, 3, unit);
  const std::vector<double> common = uniform(0, 4, 0.5 * g);
  const auto make = [&](std::int64_t m) {
    Agent agent;
    agent.diagonal = uniform(m + 1, 5, 0.5 * g * h);
    for (std::size_t i = 0; i < n; ++i) agent.diagonal[i] += common[i];
    agent.left = uniform(m + 1, 6, unit * 0.5 * g * h);
    agent.right = uniform(m + 1, 7, unit);
    agent.shift = uniform(m + 1, 8, std::sqrt(3.0));
    const std::vector<double> second = uniform(m + 1, 9, std::sqrt(3.0));
    agent.shift.insert(agent.shift.end(), second.begin(), second.end());
    return agent;
  };
  for (std::int64_t m = hosted.begin; m < hosted.end; ++m) agent_.push_back(make(m));
  first_ = make(0);
}

void LowRankGame::apply(std::int64_t agent, std::span<const double> z,
                        std::span<double> out) const {
  apply_with(agent_[static_cast<std::size_t>(agent - hosted_.begin)], z, out);
}

void LowRankGame::surrogate(std::span<const double> z, std::span<double> out) const {
  apply_with(first_, z, out);
}

void LowRankGame::apply_with(const Agent& a, std::span<const double> z,
                             std::span<double> out) const {
  const auto n = static_cast<std::size_t>(half_);
  const double* x = z.data();
  const double* y = z.data() + n;
  // A y = d .* y + u0 (v0'y) + u1 (v1'y) + p (q'y), and A'x with the factors exchanged.
  const auto ys = z.last(n);
  const auto xs = z.first(n);
  const double v0y = linalg::dot(v0_, ys), v1y = linalg::dot(v1_, ys),
               qy = linalg::dot(a.right, ys);
  const double u0x = linalg::dot(u0_, xs), u1x = linalg::dot(u1_, xs), px = linalg::dot(a.left, xs);
  for (std::size_t i = 0; i < n; ++i) {
    const double ay = a.diagonal[i] * y[i] + u0_[i] * v0y + u1_[i] * v1y + a.left[i] * qy;
    const double ax = a.diagonal[i] * x[i] + v0_[i] * u0x + v1_[i] * u1x + a.right[i] * px;
    out[i] = mu_ * x[i] + ay + a.shift[i];
    out[n + i] = mu_ * y[i] - ax + a.shift[n + i];
  }
}

vi::Facts LowRankGame::facts() const {
  return {{"dimension", std::to_string(dimension())},
          {"agents", std::to_string(agents_)},
          {"heterogeneity", fmt::format("{}", heterogeneity_)},
          {"structure", "diagonal plus low rank"}};
}

solve::ProblemEntry game_problem() {
  return {
      "vi", "game",
      "quadratic game between two players, its operator a mean over agents (the reference problem)",
      [](state::OptionVisitor& visit) { GameOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        GameOptions options;
        config.read("problem", options);
        options.agents = read_agents(config, options.agents);
        const auto hosted =
            partition::Partition::uniform(options.agents, comm.size()).range(comm.rank());
        if (options.structure == "low-rank")
          return make_instance(comm, config, LowRankGame(options, hosted));
        return make_instance(comm, config, DenseGame(options, hosted));
      }};
}

}  // namespace equipoise::problems
