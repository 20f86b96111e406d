#pragma once

#include "base.hpp"
#include "safeguard.hpp"

#include <string>
#include <vector>

namespace equipoise::vi {

/// A method that sees F itself only now and then: `check` makes one exact mean, which gives the
/// measure, and automatic steps are judged there. Vectors: F(z), scratch, and the best point.
class Checked : public Base {
 protected:
  Checked(const Setting& setting, const ProblemView& problem, const Compression& compression,
          const std::string& step)
      : Base(setting, problem, compression), rule_(StepRule::parse(step)) {
    value_ = vector();
    scratch_ = vector();
  }

  /// Evaluates and keeps the start. `growth` caps how far the step may grow. **Collective.**
  void begin(double step, const std::vector<double>& z, double growth) {
    guard_.begin(step, evaluate(z), growth);
    guard_.tolerated = 5.0;  // a compressed method is far from monotone
    if (rule_.automatic()) best_ = z;
  }
  /// Evaluates F(z) into `value_`. True where the step was too long: it has been halved, and the
  /// method should start again from `best_`. **Collective.**
  [[nodiscard]] bool check(const std::vector<double>& z) {
    const double residual = evaluate(z);
    if (!rule_.automatic()) return false;
    const Safeguard::Verdict verdict = guard_.judge(residual);
    if (verdict == Safeguard::Verdict::best) best_ = z;
    if (verdict != Safeguard::Verdict::back) return false;
    evaluate(best_);
    return true;
  }
  /// value = F(z), exactly, and the report at z; returns the residual. **Collective.**
  double evaluate(std::span<const double> z) {
    report_.failed = false;
    f_.full(z, value_);
    assess(z, value_, scratch_);
    report_.fresh = true;
    return measure_.needs_operator() ? report_.residual : f_.natural_residual(z, value_, scratch_);
  }
  /// With the distance as the measure every iterate has a figure, though no progress is judged by
  /// it.
  void observe(std::span<const double> z) {
    if (measure_.needs_operator()) return;
    assess(z, value_, scratch_);
    report_.fresh = false;
  }
  void checked_fields(state::FieldVisitor& visit) {
    base_fields(visit);
    guard_.fields(visit);
    if (rule_.automatic()) f_.visit(visit, "best", best_);
  }

  StepRule rule_;
  Safeguard guard_;
  std::vector<double> value_, scratch_, best_;
};

}  // namespace equipoise::vi
