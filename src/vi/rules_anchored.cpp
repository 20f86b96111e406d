#include "serial.hpp"

namespace equipoise::vi {
namespace {

/// What anchored methods remember: the anchor z0 and the number of iterations since it was set.
class Anchored : public Rule {
 public:
  explicit Anchored(Evaluation& f) : Rule(f), anchor_(z_) {}
  void restart() override { k_ = 0; }
  void memory(state::FieldVisitor& visitor) override {
    visitor.scalar("since_anchor", k_);
    visit(visitor, "anchor", anchor_);
  }

 protected:
  /// The anchor is the point where the count is 0.
  void begin_iteration() {
    if (k_ == 0) anchor_ = z_;
  }
  Vector anchor_;
  std::int64_t k_ = 0;
};

/// y = P(z + b (z0 - z) - c g F(z)), z+ = P(z + b (z0 - z) - g F(y)), with
///   EAG-C (Yoon and Ryu 2021): b = 1/(k+2), c = 1;   FEG (Lee and Kim 2021): b = 1/(k+1), c = 1-b.
class AnchoredExtragradient : public Anchored {
 public:
  AnchoredExtragradient(Evaluation& f, bool fast)
      : Anchored(f), fast_(fast), pulled_(z_), y_(z_), at_y_(z_) {}
  void advance(double g) override {
    begin_iteration();
    const double b = 1.0 / static_cast<double>(k_ + (fast_ ? 1 : 2));
    const Vector& value = operator_value();
    for (std::size_t i = 0; i < z_.size(); ++i) pulled_[i] = z_[i] + b * (anchor_[i] - z_[i]);
    project_step(pulled_, fast_ ? (1.0 - b) * g : g, value, y_);
    f_.full(y_, at_y_);
    observe(z_, value, y_, at_y_);
    project_step(pulled_, g, at_y_, z_);
    known_ = 0;
    ++k_;
  }

 private:
  bool fast_;
  Vector pulled_, y_, at_y_;
};

/// z+ = b z0 + (1-b) P(z - g F(z)), b = 1/(k+2) (Halpern 1967; rate by Lieder 2021): the residual
/// is O(1/k) where the map is nonexpansive, that is for cocoercive F and g <= 2/L.
class Halpern final : public Anchored {
 public:
  using Anchored::Anchored;
  void advance(double g) override {
    begin_iteration();
    const double b = 1.0 / static_cast<double>(k_ + 2);
    project_step(z_, g, operator_value(), z_);
    for (std::size_t i = 0; i < z_.size(); ++i) z_[i] += b * (anchor_[i] - z_[i]);
    known_ = 0;
    ++k_;
  }
};

/// y = 2z - z_ + (z0 - z)/(k+1) - (z - z_)/k, z+ = P(z - g F(y) + (z0 - z)/(k+1)) (anchored
/// reflected gradient, Cai and Zheng 2023): one evaluation.
class AnchoredReflected final : public Anchored {
 public:
  explicit AnchoredReflected(Evaluation& f) : Anchored(f), before_(z_), y_(z_), at_y_(z_) {}
  void advance(double g) override {
    begin_iteration();
    if (k_ == 0) before_ = z_;
    const double pull = 1.0 / static_cast<double>(k_ + 1);
    const double damp = k_ > 0 ? 1.0 / static_cast<double>(k_) : 0.0;
    for (std::size_t i = 0; i < z_.size(); ++i) {
      const double moved = z_[i] - before_[i];
      y_[i] = z_[i] + moved + pull * (anchor_[i] - z_[i]) - damp * moved;
    }
    f_.full(y_, at_y_);
    before_ = z_;
    for (std::size_t i = 0; i < z_.size(); ++i) y_[i] = z_[i] + pull * (anchor_[i] - z_[i]);
    project_step(y_, g, at_y_, z_);
    known_ = 0;
    ++k_;
  }
  [[nodiscard]] bool evaluates_at_z() const override { return false; }
  void memory(state::FieldVisitor& visitor) override {
    Anchored::memory(visitor);
    visit(visitor, "z_before", before_);
  }

 private:
  Vector before_, y_, at_y_;
};

/// y = z + k/(k+a) (z - z_) - g a/(k+a) F(y_), z+ = y - g (2k+a)/(k+a) (F(y) - F(y_)): the fast
/// optimistic method of Bot, Csetnek and Nguyen (2023), a = 3, for F without constraint.
class FastOptimistic final : public Anchored {
 public:
  explicit FastOptimistic(Evaluation& f) : Anchored(f), before_(z_), y_(z_), at_y_(z_), last_(z_) {}
  void advance(double g) override {
    if (k_ == 0) {
      before_ = z_;
      at_y_ = operator_value();
    }
    constexpr double a = 3.0;
    const auto k = static_cast<double>(k_ + 1);
    last_ = at_y_;
    for (std::size_t i = 0; i < z_.size(); ++i) {
      y_[i] = z_[i] + k / (k + a) * (z_[i] - before_[i]) - g * a / (k + a) * last_[i];
    }
    f_.full(y_, at_y_);
    before_ = z_;
    for (std::size_t i = 0; i < z_.size(); ++i)
      z_[i] = y_[i] - g * (2.0 * k + a) / (k + a) * (at_y_[i] - last_[i]);
    known_ = 0;
    ++k_;
  }
  [[nodiscard]] bool evaluates_at_z() const override { return false; }
  void memory(state::FieldVisitor& visitor) override {
    visitor.scalar("since_anchor", k_);
    visit(visitor, "z_before", before_);
    visit(visitor, "operator_at_y", at_y_);
  }

 private:
  Vector before_, y_, at_y_, last_;
};

template <class R>
std::unique_ptr<Rule> make(Evaluation& f) {
  return std::make_unique<R>(f);
}

}  // namespace

std::vector<RuleSpec> anchored_rules() {
  return {
      {.name = "feg",
       .help =
           "fast extragradient (anchored), restarted where the residual has fallen; the default",
       .theory = 0.9,
       .restart = "last",
       .make = [](Evaluation& f) -> std::unique_ptr<Rule> {
         return std::make_unique<AnchoredExtragradient>(f, true);
       }},
      {.name = "eag",
       .help = "extra anchored gradient, constant step",
       .theory = 0.125,
       .make = [](Evaluation& f) -> std::unique_ptr<Rule> {
         return std::make_unique<AnchoredExtragradient>(f, false);
       }},
      {.name = "anchored-reflected",
       .help = "anchored reflected gradient: one evaluation",
       .theory = 1.0 / 12.0,
       .make = make<AnchoredReflected>},
      {.name = "halpern",
       .help = "Halpern's iteration of the projected gradient map; cocoercive F",
       .theory = 1.0,
       .restart = "last",
       .make = make<Halpern>},
      {.name = "fogda",
       .help = "fast optimistic gradient descent ascent, without constraint: one evaluation",
       .theory = 0.24,
       .free_only = true,
       .make = make<FastOptimistic>},
  };
}

}  // namespace equipoise::vi
