#pragma once

#include <equipoise/control/elements.hpp>
#include <equipoise/control/space.hpp>

#include <memory>

namespace equipoise::control {

/// M^-1 by a fixed number of Chebyshev steps, Jacobi scaled: a linear, symmetric map, to rounding.
/// The spectrum of diag(M)^-1 M is that of the reference cell whatever the mesh, so the number (33
/// for P1 triangles, 37 for tetrahedra) never changes. Source: Wathen, Rees, ETNA 34 (2009).
class MassSolver {
 public:
  MassSolver(const FiniteElements& elements, Mat mass, double tolerance = 1e-15);
  /// x = M^-1 b, `steps` products with M. b and x must differ. **Collective.**
  void solve(Vec b, Vec x) const;
  [[nodiscard]] int steps() const { return steps_; }

 private:
  Mat mass_;
  double lower_, upper_;
  int steps_ = 0;
  linalg::Vector inverse_diagonal_, residual_, direction_;
};

/// Nodal functions on a mesh under the inner product of `mass` (L2), `h1` (K + M, inverse by
/// multigrid CG to 1e-12) or `identity`.
class MeshSpace : public Space {
 public:
  /// **Collective.**
  MeshSpace(std::shared_ptr<const FiniteElements> elements, Riesz riesz);
  [[nodiscard]] Primal primal() const override { return {elements_->vector()}; }
  [[nodiscard]] Dual dual() const override { return {elements_->vector()}; }
  void to_dual(const Primal& v, Dual& out) const override;
  void to_primal(const Dual& f, Primal& out) const override;
  [[nodiscard]] const partition::Partition& partition() const override {
    return elements_->partition();
  }
  [[nodiscard]] const parallel::Comm& comm() const override { return elements_->comm(); }
  [[nodiscard]] const FiniteElements& elements() const { return *elements_; }
  [[nodiscard]] Mat mass() const { return mass_; }

 private:
  std::shared_ptr<const FiniteElements> elements_;
  Riesz riesz_;
  linalg::Matrix mass_, h1_;
  MassSolver mass_solver_;
  linalg::Solver h1_solver_;
};

/// CG preconditioned by one cycle of hypre's BoomerAMG, to `tolerance` on the true residual; PETSc
/// options start with `prefix`. **Collective.**
[[nodiscard]] linalg::Solver multigrid_cg(Mat matrix, const std::string& prefix, double tolerance);

}  // namespace equipoise::control
