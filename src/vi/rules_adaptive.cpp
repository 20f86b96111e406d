#include "serial.hpp"

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {

/// z+ = P(z - g F(z) - g_ (F(z) - F(z_))) (Malitsky and Tam 2020). With its own step:
/// g norm(F(z) - F(z_)) <= 0.45 norm(z - z_), growing by at most a tenth.
class ForwardReflectedBackward final : public Rule {
 public:
  explicit ForwardReflectedBackward(Evaluation& f, bool adaptive)
      : Rule(f), adaptive_(adaptive), before_(z_), at_before_(z_), step_(z_), scratch_(z_) {}
  void advance(double g) override {
    const Vector& value = operator_value();
    if (begun_ == 0) {
      at_before_ = value;
      last_step_ = g;
      g_ = g_ > 0.0 && adaptive_ ? g_ : g;
    } else if (adaptive_) {
      const double moved = f_.distance(z_, before_, scratch_);
      const double changed = f_.distance(value, at_before_, scratch_);
      g_ = 1.1 * g_;
      if (changed > 0.0) g_ = std::min(g_, 0.45 * moved / changed);
    } else {
      g_ = g;
    }
    begun_ = 1;
    for (std::size_t i = 0; i < z_.size(); ++i) {
      step_[i] = value[i] + last_step_ / g_ * (value[i] - at_before_[i]);
    }
    before_ = z_;
    at_before_ = value;
    last_step_ = g_;
    project_step(z_, g_, step_, z_);
    known_ = 0;
  }
  void restart() override { begun_ = 0; }
  void memory(state::FieldVisitor& visitor) override {
    visitor.scalar("begun", begun_);
    visitor.scalar("step_now", g_);
    visitor.scalar("step_before", last_step_);
    visit(visitor, "z_before", before_);
    visit(visitor, "operator_before", at_before_);
  }

 private:
  bool adaptive_;
  Vector before_, at_before_, step_, scratch_;
  double g_ = 0.0, last_step_ = 0.0;
  std::int64_t begun_ = 0;
};

/// y = ((f-1) z + y_)/f, z+ = P(y - g F(z)), f = 1.5 (Malitsky 2020, golden ratio). With its own
/// step (aGRAAL): g_k = min{ rho g_{k-1}, f theta_{k-1} norm(z-z_)^2 / (4 g_{k-1} norm(F-F_)^2) },
/// theta_k = f g_k / g_{k-1}, rho = 1/f + 1/f^2.
class GoldenRatio final : public Rule {
 public:
  GoldenRatio(Evaluation& f, bool adaptive)
      : Rule(f), adaptive_(adaptive), y_(z_), before_(z_), at_before_(z_), scratch_(z_) {}
  void advance(double g) override {
    const Vector& value = operator_value();
    if (begun_ == 0) {
      y_ = z_;
      if (!adaptive_ || !(g_ > 0.0)) g_ = g;
      theta_ = 1.0;
    } else if (adaptive_) {
      adapt(value);
    } else {
      g_ = g;
    }
    begun_ = 1;
    before_ = z_;
    at_before_ = value;
    for (std::size_t i = 0; i < z_.size(); ++i) y_[i] = ((ratio - 1.0) * z_[i] + y_[i]) / ratio;
    project_step(y_, g_, value, z_);
    known_ = 0;
  }
  void restart() override { begun_ = 0; }
  void memory(state::FieldVisitor& visitor) override {
    visitor.scalar("begun", begun_);
    visitor.scalar("step_now", g_);
    visitor.scalar("theta", theta_);
    visit(visitor, "y", y_);
    visit(visitor, "z_before", before_);
    visit(visitor, "operator_before", at_before_);
  }

 private:
  void adapt(const Vector& value) {
    constexpr double rho = 1.0 / ratio + 1.0 / (ratio * ratio);
    constexpr double largest = 1e7;
    const double moved = f_.distance(z_, before_, scratch_);
    const double changed = f_.distance(value, at_before_, scratch_);
    double next = std::min(rho * g_, largest);
    if (changed > 0.0) {
      next = std::min(next, ratio * theta_ * moved * moved / (4.0 * g_ * changed * changed));
    }
    if (!(next > 0.0)) return;
    theta_ = ratio * next / g_;
    g_ = next;
  }

  static constexpr double ratio = 1.5;
  bool adaptive_;
  Vector y_, before_, at_before_, scratch_;
  double g_ = 0.0, theta_ = 1.0;
  std::int64_t begun_ = 0;
};

/// Projection on the hyperplane that parts z from the solutions (Solodov and Svaiter 1999), for F
/// that is pseudomonotone and merely continuous: r = z - P(z - F(z)), the smallest j with
/// <F(z - b^j r), r> >= s norm(r)^2 (b = 0.5, s = 0.3), y = z - b^j r,
/// z+ = P(z - <F(y), z - y> / norm(F(y))^2 F(y)).
class Hyperplane final : public Rule {
 public:
  explicit Hyperplane(Evaluation& f) : Rule(f), r_(z_), y_(z_), at_y_(z_) {}
  void advance(double) override {
    const Vector& value = operator_value();
    project_step(z_, 1.0, value, r_);
    for (std::size_t i = 0; i < z_.size(); ++i) r_[i] = z_[i] - r_[i];
    const double size = f_.dot(r_, r_);
    if (!(size > 0.0)) return;
    double length = 1.0;
    double slope = 0.0;
    for (int j = 0; j < 60; ++j, length *= 0.5) {
      for (std::size_t i = 0; i < z_.size(); ++i) y_[i] = z_[i] - length * r_[i];
      f_.full(y_, at_y_);
      slope = f_.dot(at_y_, r_);
      if (slope >= 0.3 * size) break;
    }
    const double square = f_.dot(at_y_, at_y_);
    if (!(square > 0.0)) return set(y_);
    project_step(z_, length * slope / square, at_y_, z_);
    known_ = 0;
  }

 private:
  Vector r_, y_, at_y_;
};

/// EG+ for weak Minty inequalities without constraint (Diakonikolas, Daskalakis and Jordan 2021):
/// y = z - g F(z), z+ = z - a g F(y), with the curvature form of a (Pethick et al. 2022):
/// a = <F(y), z - y> / (g norm(F(y))^2).
class ExtragradientPlus final : public Rule {
 public:
  explicit ExtragradientPlus(Evaluation& f) : Rule(f), y_(z_), at_y_(z_) {}
  void advance(double g) override {
    const Vector& value = operator_value();
    for (std::size_t i = 0; i < z_.size(); ++i) y_[i] = z_[i] - g * value[i];
    f_.full(y_, at_y_);
    observe(z_, value, y_, at_y_);
    const double square = f_.dot(at_y_, at_y_);
    if (!(square > 0.0)) return set(y_);
    const double a = f_.dot(at_y_, value) / square;  // z - y = g F(z)
    const double move = g * (a > 0.0 ? a : 0.5);
    for (std::size_t i = 0; i < z_.size(); ++i) z_[i] -= move * at_y_[i];
    known_ = 0;
  }

 private:
  Vector y_, at_y_;
};

template <class R, bool... flags>
std::unique_ptr<Rule> make(Evaluation& f) {
  return std::make_unique<R>(f, flags...);
}

}  // namespace

std::vector<RuleSpec> adaptive_rules() {
  return {
      {.name = "agraal",
       .help = "adaptive golden ratio: one evaluation, the step from local differences of F",
       .theory = 0.75,
       .own_step = true,
       .make = make<GoldenRatio, true>},
      {.name = "graal",
       .help = "golden ratio with a constant step: one evaluation",
       .theory = 0.75,
       .make = make<GoldenRatio, false>},
      {.name = "frb",
       .help = "forward-reflected-backward with its own step: one evaluation",
       .theory = 0.45,
       .own_step = true,
       .make = make<ForwardReflectedBackward, true>},
      {.name = "frb-constant",
       .help = "forward-reflected-backward (optimistic gradient) with a constant step",
       .theory = 0.45,
       .make = make<ForwardReflectedBackward, false>},
      {.name = "hyperplane",
       .help = "projection on separating hyperplanes; F continuous and pseudomonotone",
       .theory = 1.0,
       .memoryless = true,
       .own_step = true,
       .make = make<Hyperplane>},
      {.name = "eg+",
       .help = "extragradient with a short second step, for weak Minty inequalities",
       .theory = 0.9,
       .free_only = true,
       .memoryless = true,
       .make = make<ExtragradientPlus>},
  };
}

}  // namespace equipoise::vi
