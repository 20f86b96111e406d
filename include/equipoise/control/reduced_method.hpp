#pragma once

#include <equipoise/control/reduced.hpp>
#include <equipoise/solve/method.hpp>

#include <memory>
#include <string>

namespace equipoise::control {

/// What descent methods for a reduced functional share: the control, cost and derivative there, and
/// the report: the residual is |j'| in the dual norm of the control space relative to the start.
class ReducedMethod : public solve::Method {
 public:
  [[nodiscard]] solve::Report report() const override;
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  /// The control, and what belongs to it. **Collective.**
  void solution(state::FieldVisitor& visit) override;
  [[nodiscard]] const Primal& control() const { return control_; }
  /// Brings the functional back to the control, where derivatives are then taken. **Collective.**
  void stand_at_control() {
    if (!current_) evaluate(false);
  }

 protected:
  ReducedMethod(std::shared_ptr<ReducedFunctional> functional, Primal start);
  /// Cost (unless the functional stands at the control) and derivative. **Collective.**
  void evaluate(bool stands_there);
  /// Evaluates where that is due; false once there is nothing left to do. **Collective.**
  bool ready();
  [[nodiscard]] const Space& space() const { return functional_->space(); }
  /// v for a control, named in the fields of a method. **Collective.**
  void visit(state::FieldVisitor& visitor, const std::string& name, Vec v) const;

  std::shared_ptr<ReducedFunctional> functional_;
  Primal control_, trial_, direction_;
  Dual derivative_;
  double cost_ = solve::Report::unknown, norm_ = 0.0, start_norm_ = -1.0;
  std::int64_t iteration_ = 0, finished_ = 0;
  bool current_ = false;  // cost, derivative and functional belong to control_
  std::string trouble_;
};

}  // namespace equipoise::control
