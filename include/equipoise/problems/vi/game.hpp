#pragma once

#include <equipoise/linalg/sets.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/state/options.hpp>
#include <equipoise/vi/problem.hpp>

#include <Eigen/Dense>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

struct GameOptions {
  std::int64_t dimension = 100;
  std::int64_t agents = 20;
  double heterogeneity = 1.0;
  double strong_monotonicity = 0.1;
  double coupling = 10.0;
  double curvature = 0.0;
  double nonlinear = 0.0;
  double radius = 0.0;
  std::string structure = "dense";
  std::int64_t seed = 0;
  void describe(state::OptionVisitor& visit);
};

/// Quadratic game with dense coupling: F_m(z) = [mu I, A_m; -A_m', mu I] z + c_m, A_m = B + N_m,
/// norm2(B) = coupling, norm2(N_m) = coupling * heterogeneity, z = (x, y) in R^d.
///
/// Its data are drawn from mt19937_64 and the standard library's normals, B first and then N_m and
/// c_m agent by agent, so that the published reference table can be regenerated.
///
/// `curvature` c adds to every player's block of agent m the matrix c (S + h S_m), S and S_m
/// positive semidefinite of norm 1, so that the game is quadratic (strong_monotonicity = 0 and
/// curvature = 0: bilinear); `nonlinear` w adds w tanh(z), the gradient of w log cosh(z_i), after
/// which no solution is known. Memory: (d/2)^2 doubles per hosted agent and for the mean, three
/// times that with curvature.
class DenseGame {
 public:
  /// Keeps the operators of the agents in `hosted`. Throws ConfigurationError for an odd dimension.
  DenseGame(const GameOptions& options, partition::Range hosted);
  [[nodiscard]] std::int64_t dimension() const { return 2 * half_; }
  [[nodiscard]] std::int64_t agents() const { return agents_; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const;
  /// F_1: agent 0's operator, which every rank holds.
  void surrogate(std::span<const double> z, std::span<double> out) const;
  /// By LU of the mean operator, d up to 4000; unknown for a nonlinear game.
  bool solution(std::span<double> z) const;
  [[nodiscard]] vi::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const { return fingerprint_; }

 private:
  struct Agent {
    Eigen::MatrixXd coupling;               ///< A_m
    std::array<Eigen::MatrixXd, 2> curved;  ///< of x and of y; empty without curvature
    Eigen::VectorXd shift;                  ///< c_m
  };
  void apply_with(const Agent& agent, std::span<const double> z, std::span<double> out) const;
  void add_curvature(const GameOptions& options);

  std::int64_t half_;
  std::int64_t agents_;
  double mu_, nonlinear_;
  partition::Range hosted_;
  std::vector<Agent> agent_;  ///< of the hosted agents
  Agent first_, mean_;
  double heterogeneity_;
  std::string fingerprint_;
};

/// The game on the box [-radius, radius]^d, whose solution is not known.
class BoxedGame : public DenseGame {
 public:
  BoxedGame(const GameOptions& options, partition::Range hosted)
      : DenseGame(options, hosted), box_(options.radius) {}
  void prox(double, std::span<double> z) const { box_.project(z); }
  static bool solution(std::span<double>) { return false; }

 private:
  linalg::BallInf box_;
};

/// The same game with A_m = diag(b + h n_m) + U V' + h p_m q_m', where rank(U V') = 2: d up to 1e7
/// and beyond, one operator about 20 flops an entry. Drawn from counters, so any rank can make any
/// agent. Memory: 5 d/2 doubles shared and 4 d/2 + d per hosted agent,
/// and for agent 0, the surrogate. No closed-form solution.
class LowRankGame {
 public:
  LowRankGame(const GameOptions& options, partition::Range hosted);
  [[nodiscard]] std::int64_t dimension() const { return 2 * half_; }
  [[nodiscard]] std::int64_t agents() const { return agents_; }
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const;
  /// F_1: agent 0's operator, which every rank holds.
  void surrogate(std::span<const double> z, std::span<double> out) const;
  [[nodiscard]] vi::Constants constants() const {
    return {.flops = 20.0 * static_cast<double>(dimension())};
  }
  [[nodiscard]] vi::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const { return fingerprint_; }

 private:
  struct Agent {
    std::vector<double> diagonal, left, right, shift;
  };
  void apply_with(const Agent& agent, std::span<const double> z, std::span<double> out) const;
  std::int64_t half_;
  std::int64_t agents_;
  double mu_;
  partition::Range hosted_;
  std::vector<double> u0_, u1_, v0_, v1_;
  std::vector<Agent> agent_;
  Agent first_;
  double heterogeneity_;
  std::string fingerprint_;
};

static_assert(vi::AgentProblem<DenseGame> && vi::AgentProblem<BoxedGame> &&
              vi::AgentProblem<LowRankGame>);

solve::ProblemEntry game_problem();

}  // namespace equipoise::problems
