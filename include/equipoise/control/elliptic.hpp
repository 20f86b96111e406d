#pragma once

#include <equipoise/control/equation.hpp>
#include <equipoise/control/mesh_space.hpp>

#include <memory>

namespace equipoise::control {

/// -div(diffusion grad y) + advection . grad y + reaction y + cubic y^3 = u + f in finite elements;
/// y = 0 on the Dirichlet boundary, no flux elsewhere.
struct Elliptic {
  double diffusion = 1.0, reaction = 0.0, cubic = 0.0;
  Point advection{};
  /// Adds tau (b . grad y)(b . grad v), tau = h/(2|b|) (coth P - 1/P) for the mesh Peclet number P
  /// = |b| h/(2 diffusion): monotone for strong advection, of first order.
  bool streamline = false;
  /// Throws ConfigurationError for diffusion <= 0, negative reaction or cubic, or no number.
  void validate() const;
};

/// `Elliptic` as an `Equation`; the control is distributed and acts at all nodes of the same
/// elements. Rows of Dirichlet nodes read y = 0.
class EllipticEquation : public Equation {
 public:
  EllipticEquation(std::shared_ptr<const MeshSpace> states, std::shared_ptr<const Space> controls,
                   const Elliptic& terms, linalg::Vector source);
  [[nodiscard]] const Space& states() const override { return *states_; }
  [[nodiscard]] const Space& controls() const override { return *controls_; }
  void residual(Vec y, Vec u, Vec out) override;
  Mat linearise(Vec y, Vec u) override;
  void control_jacobian(Vec d, Vec out) override;
  void control_adjoint(Vec p, Vec out) override;
  [[nodiscard]] bool linear() const override { return terms_.cubic == 0.0; }
  [[nodiscard]] bool symmetric() const override { return terms_.advection == Point{}; }
  void second(Vec p, Vec dy, Vec du, Vec out_y, Vec out_u) override;
  [[nodiscard]] const FiniteElements& elements() const { return states_->elements(); }

 private:
  [[nodiscard]] Form form(double y) const;
  void set_point(Vec y);
  std::shared_ptr<const MeshSpace> states_;
  std::shared_ptr<const Space> controls_;
  Elliptic terms_;
  double width_ = 0.0;  // mean mesh width, for the streamline term
  linalg::Vector source_, point_, linearised_, work_, free_;
  linalg::Matrix linear_, jacobian_;
};

/// The cost of the control: beta/2 |u|^2, beta/2 (|u|^2 + |grad u|^2), or
/// beta int sqrt(|grad u|^2 + smoothing^2) + l2_share beta/2 |u|^2.
enum class ControlCost { l2, h1, bv };

/// f(y, u) = 1/2 |y - yd|^2 over part of the domain or 1/2 sum of (y(x_k) - yd(x_k))^2 over
/// observation points, plus the control cost, plus gamma/2 |max(0, y - upper)|^2 with lumped mass.
struct TrackingTerms {
  double beta = 1e-4;
  ControlCost cost = ControlCost::l2;
  double smoothing = 1e-2, l2_share = 1e-2;  ///< of the cost `bv`
  linalg::Vector target{};                   ///< yd at the nodes
  /// Where the state is tracked; everywhere if empty.
  std::function<bool(const Place&)> observed{};
  std::vector<Point> points{};  ///< observation points instead, if any
  void validate(const FiniteElements& elements) const;
};

class TrackingObjective : public Objective {
 public:
  /// **Collective.**
  TrackingObjective(std::shared_ptr<const MeshSpace> space, TrackingTerms terms);
  double value(Vec y, Vec u) override;
  void gradient(Vec out_y, Vec out_u) override;
  /// The Gauss-Newton part of the total variation is its lagged diffusivity, beta/s grad . grad.
  void hessian(Vec dy, Vec du, Vec out_y, Vec out_u, Curvature curvature) override;
  [[nodiscard]] double misfit() const { return misfit_; }
  /// Penalty for states above a bound; weight 0 switches it off. **Collective.**
  void set_bound(Vec upper, double weight);
  /// The multiplier weight max(0, y - upper) at the last state, and the largest max(0, y - upper).
  void multiplier(Vec out) const;
  [[nodiscard]] double violation() const;

 private:
  void observe(Vec v, Vec out);        // out = Q v
  Mat variation(Curvature curvature);  // of the total variation at the last control
  std::shared_ptr<const MeshSpace> space_;
  TrackingTerms terms_;
  linalg::Matrix observation_, evaluation_, regular_, lagged_, full_;
  linalg::Vector lumped_, upper_, state_, control_, misfit_vector_, work_, samples_;
  double weight_ = 0.0, misfit_ = 0.0;
};

}  // namespace equipoise::control
