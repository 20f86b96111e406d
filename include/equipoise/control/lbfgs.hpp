#pragma once

#include <equipoise/control/reduced_method.hpp>
#include <equipoise/state/options.hpp>

#include <vector>

namespace equipoise::control {

struct LbfgsOptions {
  std::int64_t memory = 10;  ///< pairs kept
  double armijo = 1e-4;      ///< sufficient decrease
  double wolfe = 0.9;        ///< part of the slope that may remain after a step
  void describe(state::OptionVisitor& visit);
};

/// L-BFGS in the control space: differences of controls are primal, differences of derivatives
/// dual, products between them pairings, and the initial inverse Hessian is a multiple of the
/// inverse Riesz map, so that the number of steps does not depend on the mesh. Steps satisfy the
/// weak Wolfe conditions, found by a secant search safeguarded by bisection (Lewis, Overton, Math.
/// Program. 141, 2013). Source: Nocedal, Math. Comp. 35 (1980); in function space: Schwedes, Ham,
/// Funke, Piggott, Mesh Dependence in PDE-Constrained Optimisation (2017). Memory: 2 memory + 6
/// vectors of the control.
class Lbfgs : public ReducedMethod {
 public:
  Lbfgs(std::shared_ptr<ReducedFunctional> functional, Primal start, const LbfgsOptions& options);
  void step() override;
  void fields(state::FieldVisitor& visit) override;

 private:
  void find_direction();
  bool line_search(double slope);
  LbfgsOptions options_;
  // Ring of pairs: `stored_` of them, the newest at (next_ - 1) modulo the memory.
  std::vector<Primal> moves_;
  std::vector<Dual> changes_;
  std::vector<double> curvatures_, factors_;
  std::int64_t stored_ = 0, next_ = 0;
  Primal scratch_;
  Dual trial_derivative_, working_;
};

}  // namespace equipoise::control
