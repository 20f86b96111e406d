#pragma once

#include <equipoise/problems/pareto/pde_objectives.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace equipoise::problems {

struct RomOptions {
  /// A point is accepted where its weighted objective is within this share of its own value above a
  /// stationary one, by the bound |J'|^2/(2 cost).
  double accuracy = 1e-4;
  std::int64_t max_basis = 60;
};

/// A point that was accepted, for the record.
struct RomAcceptance {
  std::vector<double> weights;
  double value = 0.0;     ///< sum_i w_i J_i at the control of the reduced problem, exactly
  double gradient = 0.0;  ///< bound of |J'| in L2
  double bound = 0.0;     ///< of sum_i w_i J_i above its minimum: gradient^2 / (2 cost)
  bool enriched = false;  ///< a full solve was needed
};

/// Weighted sums in one reduced space that is shared along the whole front, and grows only where an
/// a-posteriori bound asks for it: then the full solver takes over at those weights and its
/// solution joins the space (a reduced basis by greedy enrichment; the trust region of Qian, Grepl,
/// Veroy, Willcox, SISC 39, 2017, with the relative bound as its radius).
///
/// kappa = 0: controls in the span of full solutions. Their states S u and S* S u come with them,
/// so that state, adjoint, objectives and J' = cost u + S*(misfit S u - ...) of every control in
/// the span are exact, without a further solve; J_w is quadratic with Hessian >= cost, so |J'|^2/(2
/// cost) bounds its excess rigorously and |J'|/cost the error of the control.
///
/// kappa > 0: states in the span of full solutions, with the control u = A y + kappa max(0, y) that
/// belongs to each exactly: pairs are feasible, objectives exact. The derivative G by y gives
/// |J'| = |(A + kappa chi)^-T G| <= |G|_{H^-1} / sqrt(lambda_1) since the max term is monotone, and
/// the H^-1 norm comes from V-cycles of measured contraction: |G|^2_{H^-1} <= (G, c)/(1 - rho), c
/// the result of a cycle. Convexity is not known there: the bound compares with the nearest
/// stationary point.
///
/// Memory: three vectors per basis function. Counters: full solves, V-cycles of the bound.
class RomSolver : public pareto::WeightedSolver {
 public:
  [[nodiscard]] virtual std::int64_t basis_size() const = 0;
  [[nodiscard]] virtual std::int64_t full_solves() const = 0;
  [[nodiscard]] virtual const std::vector<RomAcceptance>& record() const = 0;
};

/// `full` solves the same problem; the reduced solver owns it.
[[nodiscard]] std::unique_ptr<RomSolver> rom_solver(std::shared_ptr<const PdeObjectives> problem,
                                                    std::unique_ptr<pareto::WeightedSolver> full,
                                                    const RomOptions& options = {});

}  // namespace equipoise::problems
