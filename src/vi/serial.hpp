#pragma once

#include "base.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace equipoise::vi {

/// One iteration of a method that evaluates F exactly, with what it remembers from earlier ones.
/// Restarts, acceleration, measure and stepsize rule are the same for all of them (class Serial).
class Rule {
 public:
  using Vector = std::vector<double>;
  explicit Rule(Evaluation& f) : f_(f), z_(f.size()), value_(f.size()) {}
  virtual ~Rule() = default;
  Rule(const Rule&) = delete;
  Rule& operator=(const Rule&) = delete;

  /// One iteration with the step g. **Collective.**
  virtual void advance(double g) = 0;
  /// Begins anew at the current point: anchors move here, earlier points are forgotten.
  virtual void restart() {}
  /// The point whose averages converge.
  [[nodiscard]] virtual const Vector& averaged() const { return z_; }
  /// The next iteration needs F at the current point anyway, so measuring there costs nothing.
  [[nodiscard]] virtual bool evaluates_at_z() const { return true; }
  /// What the next step depends on, besides the current point.
  virtual void memory(state::FieldVisitor&) {}

  void fields(state::FieldVisitor& visit) {
    f_.visit(visit, "z", z_);
    f_.visit(visit, "operator_at_z", value_);
    visit.scalar("operator_known", known_);
    visit.scalar("lipschitz_seen", lipschitz_);
    memory(visit);
  }
  /// Moves to z and begins anew there.
  void jump(const Vector& z) {
    z_ = z;
    known_ = 0;
    restart();
  }
  [[nodiscard]] const Vector& z() const { return z_; }
  /// F(z), evaluated once for every point. **Collective.**
  const Vector& operator_value() {
    if (known_ == 0) f_.full(z_, value_);
    known_ = 1;
    return value_;
  }
  /// Follow the Lipschitz ratios between points that are evaluated anyway, from `lipschitz` up.
  void watch(double lipschitz) {
    watching_ = true;
    lipschitz_ = lipschitz;
  }
  [[nodiscard]] double lipschitz() const { return lipschitz_; }

 protected:
  /// Replaces z, F(z) being unknown.
  void set(const Vector& z) {
    z_ = z;
    known_ = 0;
  }
  /// out := P(from - g direction); `out` may be `from`.
  void project_step(const Vector& from, double g, const Vector& direction, Vector& out) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = from[i] - g * direction[i];
    f_.prox(g, out);
  }
  void observe(const Vector& a, const Vector& value_a, const Vector& b, const Vector& value_b);
  void visit(state::FieldVisitor& visitor, std::string_view name, Vector& v) const {
    f_.visit(visitor, name, v);
  }

  Evaluation& f_;
  Vector z_, value_;
  std::int64_t known_ = 0;

 private:
  Vector scratch_;
  bool watching_ = false;
  double lipschitz_ = 0.0;
};

/// What `equipoise list` shows of a rule, and how it is made.
struct RuleSpec {
  std::string name, help;
  double theory = 0.0;           ///< the step that theory allows, times L
  bool free_only = false;        ///< no constraint is possible
  bool memoryless = false;       ///< z+ depends on z alone: Anderson acceleration is possible
  std::string restart = "none";  ///< default of method.restart
  bool own_step = false;         ///< adapts its step itself, unless a number is given
  std::unique_ptr<Rule> (*make)(Evaluation&) = nullptr;
};

std::vector<RuleSpec> gradient_rules();
std::vector<RuleSpec> anchored_rules();
std::vector<RuleSpec> adaptive_rules();
/// The methods of all rules, in the order of lists.
std::vector<MethodSpec> serial_specs();

}  // namespace equipoise::vi
