#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/vi/game.hpp>
#include <equipoise/problems/vi/instance.hpp>

#include <algorithm>
#include <array>
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
  std::string text =
      fmt::format("game {} d={} agents={} h={} mu={} coupling={} seed={}", o.structure, o.dimension,
                  o.agents, o.heterogeneity, o.strong_monotonicity, o.coupling, o.seed);
  const auto add = [&](const char* name, double value) {
    if (value > 0.0) text += fmt::format(" {}={}", name, value);
  };
  add("curvature", o.curvature);
  add("nonlinear", o.nonlinear);
  add("radius", o.radius);
  return text;
}

/// Standard normals, column by column.
template <class Matrix>
void fill(Matrix& matrix, std::mt19937_64& engine, std::normal_distribution<double>& normal) {
  for (Eigen::Index j = 0; j < matrix.cols(); ++j) {
    for (Eigen::Index i = 0; i < matrix.rows(); ++i) matrix(i, j) = normal(engine);
  }
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

/// Inner products of three vectors with one, block by block: one pass over each.
std::array<double, 3> three_dots(std::span<const double> a, std::span<const double> b,
                                 std::span<const double> c, std::span<const double> x) {
  constexpr std::size_t block = 1024;
  std::array<double, 3> sums{};
  for (std::size_t begin = 0; begin < x.size(); begin += block) {
    const std::size_t n = std::min(block, x.size() - begin);
    const auto part = x.subspan(begin, n);
    sums[0] += linalg::dot(a.subspan(begin, n), part);
    sums[1] += linalg::dot(b.subspan(begin, n), part);
    sums[2] += linalg::dot(c.subspan(begin, n), part);
  }
  return sums;
}

}  // namespace

void GameOptions::describe(state::OptionVisitor& visit) {
  visit.option("dimension", dimension, "d, both players together (even)", {2.0});
  visit.option("heterogeneity", heterogeneity,
               "size of the agents' own couplings relative to the common one", state::non_negative);
  visit.option("strong_monotonicity", strong_monotonicity, "mu", state::non_negative);
  visit.option("coupling", coupling, "spectral norm of the common coupling", state::positive);
  visit.option("curvature", curvature, "size of the players' own quadratic terms, dense games only",
               state::non_negative);
  visit.option("nonlinear", nonlinear, "weight of log cosh of every entry, dense games only",
               state::non_negative);
  visit.option("radius", radius, "a box [-radius, radius]^d, dense games only; 0 for none",
               state::non_negative);
  visit.choice("structure", structure, {"dense", "low-rank"},
               "dense couplings, or a diagonal plus low rank for d up to 1e7");
  visit.option("seed", seed, "seed of the random data", state::non_negative);
}

DenseGame::DenseGame(const GameOptions& options, partition::Range hosted)
    : half_(checked_half(options)),
      agents_(options.agents),
      mu_(options.strong_monotonicity),
      nonlinear_(options.nonlinear),
      hosted_(hosted),
      heterogeneity_(options.heterogeneity),
      fingerprint_(print(options)) {
  std::mt19937_64 engine(static_cast<std::uint64_t>(options.seed));
  MatrixXd common(half_, half_);
  std::normal_distribution<double> normal(0.0, 1.0);
  fill(common, engine, normal);
  common *= options.coupling / spectral_norm(common);
  mean_.coupling = MatrixXd::Zero(half_, half_);
  mean_.shift = VectorXd::Zero(2 * half_);
  MatrixXd own(half_, half_);
  VectorXd shift(2 * half_);
  for (std::int64_t m = 0; m < agents_; ++m) {
    fill(own, engine, normal);
    own *= options.coupling * options.heterogeneity / spectral_norm(own);
    own += common;
    fill(shift, engine, normal);
    mean_.coupling += own;
    mean_.shift += shift;
    if (m == 0) first_ = {own, {}, shift};
    if (hosted_.contains(m)) agent_.push_back({own, {}, shift});
  }
  mean_.coupling /= static_cast<double>(agents_);
  mean_.shift /= static_cast<double>(agents_);
  if (options.curvature > 0.0) add_curvature(options);
}

/// From a generator of its own, so that the rest of the game stays as it is without curvature.
void DenseGame::add_curvature(const GameOptions& options) {
  std::mt19937_64 engine(static_cast<std::uint64_t>(options.seed) + 0x9e3779b97f4a7c15U);
  std::normal_distribution<double> normal(0.0, 1.0);
  MatrixXd root(half_, half_);
  const auto square = [&](double size) -> MatrixXd {
    fill(root, engine, normal);
    const double norm = spectral_norm(root);
    return size / (norm * norm) * root * root.transpose();
  };
  const std::array<MatrixXd, 2> common = {square(options.curvature), square(options.curvature)};
  for (auto& block : mean_.curved) block = MatrixXd::Zero(half_, half_);
  for (std::int64_t m = 0; m < agents_; ++m) {
    std::array<MatrixXd, 2> own;
    for (std::size_t player = 0; player < 2; ++player) {
      own[player] = common[player] + square(options.curvature * options.heterogeneity);
      mean_.curved[player] += own[player] / static_cast<double>(agents_);
    }
    if (m == 0) first_.curved = own;
    if (hosted_.contains(m)) agent_[static_cast<std::size_t>(m - hosted_.begin)].curved = own;
  }
}

void DenseGame::apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const {
  apply_with(agent_[static_cast<std::size_t>(agent - hosted_.begin)], z, out);
}

void DenseGame::surrogate(std::span<const double> z, std::span<double> out) const {
  apply_with(first_, z, out);
}

void DenseGame::apply_with(const Agent& agent, std::span<const double> z,
                           std::span<double> out) const {
  // Plain loops in a fixed order: the bits must not depend on the alignment of the caller's
  // vectors.
  const auto n = static_cast<std::size_t>(half_);
  const auto x = z.first(n);
  const auto y = z.last(n);
  const auto column = [n](const MatrixXd& matrix, std::size_t j) {
    return std::span<const double>(matrix.data() + j * n, n);
  };
  const VectorXd& c = agent.shift;
  for (std::size_t i = 0; i < n; ++i) out[i] = mu_ * x[i] + c[static_cast<Eigen::Index>(i)];
  for (std::size_t j = 0; j < n; ++j) {
    linalg::add_scaled(out.first(n), y[j], column(agent.coupling, j), out.first(n));
    out[n + j] = mu_ * y[j] + c[static_cast<Eigen::Index>(n + j)] -
                 linalg::dot(column(agent.coupling, j), x);
  }
  if (agent.curved[0].size() > 0) {
    for (std::size_t j = 0; j < n; ++j) {
      linalg::add_scaled(out.first(n), x[j], column(agent.curved[0], j), out.first(n));
      linalg::add_scaled(out.last(n), y[j], column(agent.curved[1], j), out.last(n));
    }
  }
  if (nonlinear_ > 0.0) {
    for (std::size_t i = 0; i < 2 * n; ++i) out[i] += nonlinear_ * std::tanh(z[i]);
  }
}

bool DenseGame::solution(std::span<double> z) const {
  if (half_ > 2000 || nonlinear_ > 0.0) return false;
  MatrixXd j = MatrixXd::Identity(2 * half_, 2 * half_) * mu_;
  j.topRightCorner(half_, half_) = mean_.coupling;
  j.bottomLeftCorner(half_, half_) = -mean_.coupling.transpose();
  if (mean_.curved[0].size() > 0) {
    j.topLeftCorner(half_, half_) += mean_.curved[0];
    j.bottomRightCorner(half_, half_) += mean_.curved[1];
  }
  const VectorXd solution = j.partialPivLu().solve(-mean_.shift);
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
  const auto [v0y, v1y, qy] = three_dots(v0_, v1_, a.right, ys);
  const auto [u0x, u1x, px] = three_dots(u0_, u1_, a.left, xs);
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
        if (options.structure == "low-rank") {
          if (options.curvature + options.nonlinear + options.radius > 0.0) {
            throw ConfigurationError(
                "problem.structure = low-rank has no curvature, nonlinear or radius; use dense");
          }
          return make_instance(comm, config, LowRankGame(options, hosted));
        }
        if (options.radius > 0.0) return make_instance(comm, config, BoxedGame(options, hosted));
        return make_instance(comm, config, DenseGame(options, hosted));
      }};
}

}  // namespace equipoise::problems
