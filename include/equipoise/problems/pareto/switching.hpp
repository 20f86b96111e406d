#pragma once

#include <equipoise/pareto/problem.hpp>
#include <equipoise/state/options.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// When to switch: a double integrator x'' = u with u constant between switching times 0 <= tau_1
/// <=
/// ... <= tau_m <= T, its values the given mode sequence, two objectives
///
///     f_1 = |(x, x')(T)|^2/2 + tracking * int |x|^2/2 dt,   f_2 = int |u| dt.
///
/// Variables are s in [0, 1]^m with tau_j = tau_{j-1} + s_j (T - tau_{j-1}): ordered times under
/// plain bounds. Motion and costs are polynomials between switches, so both are exact; the
/// derivative by tau_j is the adjoint paired with the jump of the right-hand side there (Egerstedt,
/// Wardi, Axelsson, IEEE TAC 51, 2006), plus the jump of the running cost.
struct Switching {
  std::vector<double> modes = {-1.0, 0.0, 1.0, 0.0};
  std::array<double, 2> start = {1.0, 0.0};
  double horizon = 3.0;
  double tracking = 0.1;

  [[nodiscard]] std::int64_t dimension() const {
    return static_cast<std::int64_t>(modes.size()) - 1;
  }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t) const { return 0.0; }
  [[nodiscard]] double upper(std::int64_t) const { return 1.0; }
  void evaluate(std::span<const double> s, std::span<double> f) const;
  void gradients(std::span<const double> s, std::span<double> f, std::span<double> g) const;
  /// tau_1 .. tau_m
  [[nodiscard]] std::vector<double> times(std::span<const double> s) const;
  [[nodiscard]] pareto::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const;
};
static_assert(pareto::DifferentiableProblem<Switching>);

struct SwitchingOptions {
  Switching problem;
  std::vector<double> start = {1.0, 0.0};
  void describe(state::OptionVisitor& visit);
  [[nodiscard]] Switching make() const;
};

}  // namespace equipoise::problems
