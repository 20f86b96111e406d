#include "serial.hpp"

namespace equipoise::vi {
namespace {

/// z+ = P(z - g F(z)).
class ProjectedGradient final : public Rule {
 public:
  using Rule::Rule;
  void advance(double g) override {
    const Vector value = operator_value();
    before_ = z_;
    project_step(z_, g, value, z_);
    known_ = 0;
    observe(before_, value, z_, operator_value());
  }

 private:
  Vector before_;
};

/// y = P(z - g F(z)), z+ = P(z - g F(y)) (Korpelevich 1976).
class Korpelevich final : public Rule {
 public:
  explicit Korpelevich(Evaluation& f) : Rule(f), y_(z_), at_y_(z_) {}
  void advance(double g) override {
    const Vector& value = operator_value();
    project_step(z_, g, value, y_);
    f_.full(y_, at_y_);
    observe(z_, value, y_, at_y_);
    project_step(z_, g, at_y_, z_);
    known_ = 0;
  }
  [[nodiscard]] const Vector& averaged() const override { return y_; }

 private:
  Vector y_, at_y_;
};

/// y = P(z - g F(z)), z+ = y - g (F(y) - F(z)) (Tseng 2000); leaves Z.
class ForwardBackwardForward final : public Rule {
 public:
  explicit ForwardBackwardForward(Evaluation& f) : Rule(f), y_(z_), at_y_(z_) {}
  void advance(double g) override {
    const Vector& value = operator_value();
    project_step(z_, g, value, y_);
    f_.full(y_, at_y_);
    observe(z_, value, y_, at_y_);
    for (std::size_t i = 0; i < z_.size(); ++i) z_[i] = y_[i] - g * (at_y_[i] - value[i]);
    known_ = 0;
  }
  [[nodiscard]] const Vector& averaged() const override { return y_; }

 private:
  Vector y_, at_y_;
};

/// y = P(z - g F(y_)), z+ = P(z - g F(y)), y_ being the last y (Popov 1980).
class Popov final : public Rule {
 public:
  explicit Popov(Evaluation& f) : Rule(f), y_(z_), at_y_(z_), last_(z_), at_last_(z_) {}
  void advance(double g) override {
    if (begun_ == 0) {
      at_y_ = operator_value();
      y_ = z_;
      begun_ = 1;
    }
    last_ = y_;
    at_last_ = at_y_;
    project_step(z_, g, at_last_, y_);
    f_.full(y_, at_y_);
    observe(last_, at_last_, y_, at_y_);
    project_step(z_, g, at_y_, z_);
    known_ = 0;
  }
  void restart() override { begun_ = 0; }
  [[nodiscard]] const Vector& averaged() const override { return y_; }
  [[nodiscard]] bool evaluates_at_z() const override { return false; }
  void memory(state::FieldVisitor& visitor) override {
    visitor.scalar("begun", begun_);
    visit(visitor, "y", y_);
    visit(visitor, "operator_at_y", at_y_);
  }

 private:
  Vector y_, at_y_, last_, at_last_;
  std::int64_t begun_ = 0;
};

/// z+ = P(z - g F(w)) at w = z + extrapolation in the points or in the values of F:
///   reflection:     w = 2z - z_ (Malitsky 2015);
///   extrapolation:  F(z) + lam (F(z) - F(z_)), lam = L / (L + mu) (Kotsalis, Lan, Li 2022).
class ReflectedGradient final : public Rule {
 public:
  explicit ReflectedGradient(Evaluation& f) : Rule(f), before_(z_), w_(z_), at_w_(z_) {}
  void advance(double g) override {
    if (begun_ == 0) before_ = z_;
    const Vector last_w = w_, at_last = at_w_;
    for (std::size_t i = 0; i < z_.size(); ++i) w_[i] = 2.0 * z_[i] - before_[i];
    f_.full(w_, at_w_);
    if (begun_ != 0) observe(last_w, at_last, w_, at_w_);
    begun_ = 1;
    before_ = z_;
    project_step(z_, g, at_w_, z_);
    known_ = 0;
  }
  void restart() override { begun_ = 0; }
  [[nodiscard]] bool evaluates_at_z() const override { return false; }
  void memory(state::FieldVisitor& visitor) override {
    visitor.scalar("begun", begun_);
    visit(visitor, "z_before", before_);
    visit(visitor, "reflected", w_);
    visit(visitor, "operator_at_reflected", at_w_);
  }

 private:
  Vector before_, w_, at_w_;
  std::int64_t begun_ = 0;
};

class OperatorExtrapolation final : public Rule {
 public:
  explicit OperatorExtrapolation(Evaluation& f) : Rule(f), before_(z_), at_before_(z_), step_(z_) {
    mu_ = f.problem().constants().strong_monotonicity;
  }
  void advance(double g) override {
    const Vector& value = operator_value();
    if (begun_ == 0) at_before_ = value;
    if (begun_ != 0) observe(before_, at_before_, z_, value);
    begun_ = 1;
    const double lipschitz = 0.5 / g;
    const double lam = lipschitz / (lipschitz + mu_);
    for (std::size_t i = 0; i < z_.size(); ++i)
      step_[i] = value[i] + lam * (value[i] - at_before_[i]);
    before_ = z_;
    at_before_ = value;
    project_step(z_, g, step_, z_);
    known_ = 0;
  }
  void restart() override { begun_ = 0; }
  void memory(state::FieldVisitor& visitor) override {
    visitor.scalar("begun", begun_);
    visit(visitor, "z_before", before_);
    visit(visitor, "operator_before", at_before_);
  }

 private:
  Vector before_, at_before_, step_;
  double mu_ = 0.0;
  std::int64_t begun_ = 0;
};

template <class R>
std::unique_ptr<Rule> make(Evaluation& f) {
  return std::make_unique<R>(f);
}

}  // namespace

std::vector<RuleSpec> gradient_rules() {
  return {
      {.name = "projected-gradient",
       .help = "one step along -F and a projection; cocoercive or strongly monotone F",
       .theory = 1.0,
       .memoryless = true,
       .make = make<ProjectedGradient>},
      {.name = "mirror-prox",
       .help = "extragradient with the options of restarts on the average and acceleration",
       .theory = 0.9,
       .memoryless = true,
       .make = make<Korpelevich>},
      {.name = "fbf",
       .help = "Tseng's forward-backward-forward: two evaluations, one projection",
       .theory = 0.9,
       .memoryless = true,
       .make = make<ForwardBackwardForward>},
      {.name = "popov",
       .help = "extragradient with the last midpoint's value: one evaluation",
       .theory = 0.45,
       .make = make<Popov>},
      {.name = "reflected-gradient",
       .help = "F at the reflected point 2z - z_: one evaluation, one projection",
       .theory = 0.4,
       .make = make<ReflectedGradient>},
      {.name = "operator-extrapolation",
       .help = "extrapolates the values of F, for strongly monotone F",
       .theory = 0.5,
       .make = make<OperatorExtrapolation>},
  };
}

}  // namespace equipoise::vi
