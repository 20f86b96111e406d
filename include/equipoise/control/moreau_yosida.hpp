#pragma once

#include <equipoise/control/coupled.hpp>
#include <equipoise/control/mesh_space.hpp>
#include <equipoise/control/obstacle.hpp>
#include <equipoise/control/space.hpp>
#include <equipoise/control/tracking.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <memory>
#include <vector>

namespace equipoise::control {

struct PathOptions {
  double first_weight = 1.0;    ///< gamma at the start
  double factor = 10.0;         ///< from one gamma to the next
  double last_weight = 1e12;    ///< gamma beyond which the path ends
  std::int64_t max_steps = 50;  ///< Newton steps for one gamma
  void describe(state::OptionVisitor& visit);
};

/// Path following for a bound on a state: the bound is replaced by the Moreau-Yosida penalty
/// gamma/2 |max(0, excess)|^2, solved by semismooth Newton (one linear solve with the active set of
/// the last point) until the set repeats; then gamma grows and the last point is the start. Ends
/// where the violation is below the tolerance, or at the last gamma; the multiplier of the bound is
/// gamma max(0, excess). Source: Hintermueller, Kunisch, SIOPT 17 (2006).
class PenaltyPath : public solve::Method {
 public:
  /// One linear solve. **Collective.**
  void step() override;
  /// The residual is the largest violation of the bound relative to the largest |bound|, once the
  /// set of the current gamma repeats.
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;
  /// Newton steps for every gamma so far; the violation and the gamma of the last settled one.
  [[nodiscard]] const std::vector<std::int64_t>& steps() const { return steps_; }
  [[nodiscard]] const std::vector<double>& violations() const { return violations_; }
  [[nodiscard]] double weight() const { return weight_; }
  [[nodiscard]] const std::vector<double>& state() const { return y_; }

 protected:
  /// `sign` 1 for y <= bound, -1 for y >= bound, node by node.
  PenaltyPath(const parallel::Comm& comm, const partition::Partition& rows, linalg::Vector bound,
              double sign, const PathOptions& options);
  /// y (and what belongs to it) for the current weight and active set. **Collective.**
  virtual void solve() = 0;
  /// Further functions of the solution.
  virtual void more(state::FieldVisitor& /*visit*/) {}
  [[nodiscard]] virtual double cost() const { return solve::Report::unknown; }
  void visit_array(state::FieldVisitor& visit, const char* name, std::vector<double>& values) const;

  parallel::Comm comm_;
  partition::Partition rows_;
  linalg::Vector bound_;
  double sign_;
  PathOptions options_;
  double weight_;
  std::vector<std::int64_t> active_;  // [owned]
  std::vector<double> y_;

 private:
  std::vector<std::int64_t> steps_ = {0};
  std::vector<double> violations_;
  double scale_ = 1.0, residual_ = solve::Report::unknown, cost_ = solve::Report::unknown;
  std::int64_t finished_ = 0, settled_ = 0;
  std::string trouble_;
};

/// `Tracking` with y <= bound: K y = W (u + f), K p = W (y - yd + gamma max(0, y - bound)),
/// u = -p/beta, both together by a factorisation. The grid must have the element `fd`.
class StateConstrained : public PenaltyPath {
 public:
  /// **Collective.**
  StateConstrained(std::shared_ptr<const Tracking> problem, linalg::Vector bound,
                   const PathOptions& options);

 protected:
  void solve() override;
  void more(state::FieldVisitor& visit) override;
  [[nodiscard]] double cost() const override;

 private:
  std::shared_ptr<const Tracking> problem_;
  CoupledSolver solver_;
  std::vector<double> p_, pinned_;
};

/// The same on a mesh: a symmetric linear equation K y = M (u + f), |y - yd|^2 over the whole
/// domain, the penalty by the lumped mass matrix. State, adjoint and control vanish on the
/// Dirichlet boundary. One factorisation (MUMPS) of 2 N unknowns a step; PETSc options `coupled_*`.
class MeshStateConstrained : public PenaltyPath {
 public:
  /// `stiffness` is K with the rows and columns of the identity at Dirichlet nodes. Throws
  /// ConfigurationError for beta <= 0. **Collective.**
  MeshStateConstrained(std::shared_ptr<const MeshSpace> space, linalg::Matrix stiffness,
                       double beta, linalg::Vector target, linalg::Vector source,
                       linalg::Vector bound, const PathOptions& options);

 protected:
  void solve() override;
  void more(state::FieldVisitor& visit) override;
  [[nodiscard]] double cost() const override;

 private:
  [[nodiscard]] const FiniteElements& elements() const { return space_->elements(); }
  std::shared_ptr<const MeshSpace> space_;
  linalg::Matrix stiffness_, mass_, coupling_;  // K, M without the Dirichlet nodes, M/beta
  double beta_;
  linalg::Vector target_, source_load_, target_load_, lumped_;
  std::vector<double> p_;
};

/// `Obstacle` on the finest grid: -Lap y - gamma max(0, psi - y) = f.
class PenalisedObstacle : public PenaltyPath {
 public:
  /// **Collective.**
  PenalisedObstacle(const Obstacle& problem, const PathOptions& options);

 protected:
  void solve() override;

 private:
  std::shared_ptr<const Hierarchy> hierarchy_;
  const Grid* grid_;
  linalg::Vector load_;
};

}  // namespace equipoise::control
