#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/scalarisation.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// The open-loop problem of a bicriteria predictive controller for a double integrator from one
/// state: controls u_0 .. u_{N-1} in [-limit, limit], held over steps of length dt,
///
///     f_1 = dt sum_{i=1..N} (x_i^2 + v_i^2)/2   (tracking 0),    f_2 = dt sum u_i^2/2   (effort).
struct DoubleIntegrator {
  std::array<double, 2> state = {1.0, 0.0};  ///< position and speed now
  std::int64_t steps = 12;                   ///< N
  double dt = 0.25;
  double limit = 1.0;

  [[nodiscard]] std::int64_t dimension() const { return steps; }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const { return -limit; }
  [[nodiscard]] double upper(std::int64_t) const { return limit; }
  void evaluate(std::span<const double> u, std::span<double> f) const;
  void gradients(std::span<const double> u, std::span<double> f, std::span<double> g) const;
  void hessian_product(std::span<const double> weights, std::span<const double> u,
                       std::span<const double> v, std::span<double> out) const;
  /// The state after one step of control u.
  [[nodiscard]] std::array<double, 2> next(const std::array<double, 2>& x, double u) const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::DifferentiableProblem<DoubleIntegrator>);

struct FrontLibraryOptions {
  double radius = 2.0;    ///< states with |position|, |speed| up to this are covered
  std::int64_t side = 9;  ///< grid points from -radius to radius, odd
  std::vector<double> weights = {0.1, 0.3, 0.5, 0.7, 0.9};  ///< of tracking
};

/// Multiobjective model predictive control: fronts for a grid of states offline, the choice among
/// their points online.
///
/// Mirroring the state mirrors the controls, so only half of the grid is stored. Online the
/// controls of the nearest state and the nearest weight are looked up, shifted into the bounds, and
/// improved by a few corrector steps of sequential quadratic programming at the decision maker's
/// weights, so that the criticality of what is applied is known. Fronts are computed by all ranks
/// together, state i by rank i mod P, and are the same bits on any number of ranks. Memory: states
/// x weights x N numbers.
class FrontLibrary {
 public:
  /// Computes the fronts. **Collective**, one allreduce.
  FrontLibrary(const parallel::Comm& comm, const DoubleIntegrator& plant,
               const FrontLibraryOptions& options);

  struct Choice {
    std::vector<double> controls;  ///< [N] over the horizon
    std::vector<double> f;         ///< [2]
    double looked_up = 0.0;        ///< criticality of the entry before the corrector
    double residual = 0.0;         ///< and after
    std::int64_t corrections = 0;  ///< gradients of the corrector
  };
  /// What to do at a state with weight `tracking` on the first objective. Without communication.
  [[nodiscard]] Choice choose(const std::array<double, 2>& state, double tracking,
                              std::int64_t max_corrections = 20) const;
  /// The closed loop: the first control is applied, the state moves on. [moves + 1] states.
  [[nodiscard]] std::vector<std::array<double, 2>> run(std::array<double, 2> state, double tracking,
                                                       std::int64_t moves) const;
  [[nodiscard]] std::int64_t states() const { return states_; }

 private:
  [[nodiscard]] std::array<double, 2> grid_state(std::int64_t i) const;
  DoubleIntegrator plant_;
  FrontLibraryOptions options_;
  std::int64_t states_ = 0;
  std::vector<double> controls_;  ///< [states, weights, N]
};

}  // namespace equipoise::problems
