#pragma once

#include "base.hpp"

#include <equipoise/vi/anderson.hpp>

#include <string>
#include <vector>

namespace equipoise::vi {

/// How far the agents are from the surrogate F_1 that every rank holds.
struct Similarity {
  double surrogate = 0.0;  ///< Lipschitz constant of F_1
  double max = 0.0;        ///< largest Lipschitz constant of F_m - F_1
  double rms = 0.0;        ///< sqrt(sum_m w_m delta_m^2)
};
/// By power iteration on each rank, without exchanging vectors; one allgatherv of a number per
/// agent. **Collective.**
Similarity estimate_similarity(Evaluation& f, std::span<const double> z);

/// Subtracts `first` from every row: G_m = F_m - F_1 from F_m.
void subtract_from_rows(std::span<const double> first, std::span<double> rows);

/// Why a method that solves subproblems with the surrogate cannot take this problem, or "".
std::string refuse_without_surrogate(const ProblemView& problem, const std::string& method);

/// The resolvent z = prox_{eta h}(x - eta F_1(z)) of the surrogate, computed by every rank for
/// itself with the same bits, without communication.
///
/// The inner operator H(z) = z - x + eta F_1(z) is 1-strongly monotone. Forward-backward steps are
/// extrapolated (Anderson), with the differences of earlier calls as well, for another x only
/// shifts the map; where that does not help, extragradient steps with backtracking take over.
/// Memory: 4 vectors and those of Anderson.
class Resolvent {
 public:
  /// `lipschitz` of F_1 gives the first step. `f` must outlive the resolvent.
  Resolvent(Evaluation& f, double lipschitz);
  /// Improves z until the inner residual has fallen by the factor `tolerance`, in at most 1000
  /// rounds of one F_1. `first` is F_1(z) before and after.
  void solve(double eta, std::span<const double> x, double tolerance, std::span<double> z,
             std::span<double> first);
  /// What later calls of `solve` depend on.
  void fields(state::FieldVisitor& visit);

 private:
  double forward_backward(std::span<const double> z, std::span<const double> first);
  void extragradient(std::span<double> z, std::span<double> first);
  void finish(std::span<double> z, std::span<double> first);

  Evaluation& f_;
  double lipschitz_;
  double eta_ = 0.0;
  double tau_ = 0.0;
  std::span<const double> x_;
  Anderson anderson_;
  std::vector<double> image_, residual_, best_, other_;
};

}  // namespace equipoise::vi
