#pragma once

#include <equipoise/pareto/problem.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// Control of an obstacle problem with two targets, in a Hilbert space of controls (L2 by the
/// lumped mass of finite differences on the unit square):
///
///     f_i(u) = |y - d_i|^2/2 + cost/2 |u|^2,   y >= psi,  -Lap y >= u,  (-Lap y - u)(y - psi) = 0,
///
/// d_1 = sin 2 pi x sin pi y, d_2 = -d_1, psi = `obstacle` < 0, y = 0 on the boundary. The solution
/// operator is not differentiable where y touches psi without a force; a subgradient is p + cost u
/// with -Lap p = y - d_i off the contact set and p = 0 on it (Rauls and Ulbrich 2019; several
/// objectives: Bernreuther, Mueller, Volkwein, arXiv:2402.06376). Mirroring x swaps the objectives.
/// Every rank solves the whole state equation, by a primal-dual active set method with a sparse
/// factorisation: meant for some thousand unknowns.
class ObstaclePair {
 public:
  ObstaclePair(std::int64_t cells, double cost, double obstacle);
  [[nodiscard]] std::int64_t dimension() const { return n_; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const;
  [[nodiscard]] double upper(std::int64_t i) const { return -lower(i); }
  void evaluate(std::span<const double> u, std::span<double> f) const;
  void gradients(std::span<const double> u, std::span<double> f, std::span<double> g) const;
  void gradient(std::int64_t i, std::span<const double> u, std::span<double> g) const;
  [[nodiscard]] bool smooth() const { return false; }
  [[nodiscard]] double inner(std::span<const double> a, std::span<const double> b) const;
  [[nodiscard]] pareto::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const;

  /// The state of a control, and the nodes in contact.
  struct State {
    std::vector<double> y;
    std::vector<char> contact;
  };
  [[nodiscard]] State state(std::span<const double> u) const;

 private:
  [[nodiscard]] std::vector<double> solve_off(const std::vector<char>& contact,
                                              std::span<const double> right) const;
  [[nodiscard]] double value(const State& s, std::span<const double> u, std::size_t i) const;
  void adjoint(const State& s, std::span<const double> u, std::size_t i, std::span<double> g) const;

  std::int64_t cells_, n_;
  double cost_, obstacle_, h_;
  std::vector<double> target_;
};
static_assert(pareto::DifferentiableProblem<ObstaclePair>);

struct ObstaclePairOptions {
  std::int64_t cells = 8;
  double cost = 1e-2;
  double obstacle = -0.05;
  void describe(state::OptionVisitor& visit);
  [[nodiscard]] ObstaclePair make() const { return {cells, cost, obstacle}; }
};

}  // namespace equipoise::problems
