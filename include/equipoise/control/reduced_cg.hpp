#pragma once

#include <equipoise/control/reduced.hpp>
#include <equipoise/solve/method.hpp>

#include <memory>

namespace equipoise::control {

/// Conjugate gradients on j''  u = -j'(0) for a quadratic reduced functional, in the inner product
/// of the control space, so that the number of steps does not depend on the mesh. The residual is
/// |j'(u)| in the dual norm, relative to the start u = 0. One step is one Hessian action: a state
/// and an adjoint solve. Source: Hestenes and Stiefel; with Riesz maps, Guennel, Herzog, Sachs,
/// ETNA 41 (2014).
class ReducedCg : public solve::Method {
 public:
  explicit ReducedCg(std::shared_ptr<ReducedFunctional> functional);
  void step() override;
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override {
    return count_once(functional_->space().comm(), functional_->counters());
  }
  void fields(state::FieldVisitor& visit) override;
  /// The control, and with one state and one adjoint solve what belongs to it. **Collective.**
  void solution(state::FieldVisitor& visit) override;
  [[nodiscard]] const Primal& control() const { return control_; }

 private:
  void start();
  std::shared_ptr<ReducedFunctional> functional_;
  Primal control_, direction_, gradient_;
  Dual derivative_, start_derivative_, image_;
  double squared_ = 0.0, start_squared_ = 0.0, start_cost_ = 0.0, cost_ = solve::Report::unknown;
  std::int64_t iteration_ = -1;  // -1 until the first derivative is known
  std::string trouble_;
};

}  // namespace equipoise::control
