#include "base.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {

struct AcceleratedOptions {
  std::string step = "auto";
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step, "auto and theory (1/L), or a number");
  }
};

/// Accelerated projected gradient with restarts, for operators that are gradients of convex
/// functions: y = z + b (z - z_), z+ = P(y - g F(y)) (Beck and Teboulle 2009), started anew when <y
/// - z+, z+ - z> > 0 (O'Donoghue and Candes 2015, the gradient scheme), so that strong convexity
/// need not be known. O(sqrt(L/mu)) iterations, one operator each, and one more every `check`
/// iterations for the measure. Five vectors of the size of z.
class AcceleratedGradient final : public Base {
 public:
  AcceleratedGradient(const Setting& setting, const ProblemView& problem,
                      const AcceleratedOptions& options)
      : Base(setting, problem, {}),
        z_(start()),
        previous_(z_),
        y_(vector()),
        value_(vector()),
        scratch_(vector()) {
    const StepRule rule = StepRule::parse(options.step);
    f_.full(z_, value_);
    assess(z_, value_, scratch_);
    step_ = rule.kind == StepRule::Kind::number ? rule.value : 1.0 / estimate_lipschitz(f_, z_, 30);
    notes_.emplace_back("step", fmt::format("{:.4g}", step_));
  }

  void step() override {
    report_.fresh = false;
    const double next = 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * momentum_ * momentum_));
    const double beta = (momentum_ - 1.0) / next;
    for (std::size_t i = 0; i < y_.size(); ++i) y_[i] = z_[i] + beta * (z_[i] - previous_[i]);
    f_.full(y_, value_);
    previous_.swap(z_);
    linalg::add_scaled(y_, -step_, value_, z_);
    f_.prox(step_, z_);
    ++iteration_;
    momentum_ = next;
    linalg::add_scaled(y_, -1.0, z_, value_);
    linalg::add_scaled(z_, -1.0, previous_, scratch_);
    if (f_.dot(value_, scratch_) > 0.0) {
      momentum_ = 1.0;
      previous_ = z_;
    }
    if (iteration_ % check == 0 || !measure_.needs_operator()) {
      if (measure_.needs_operator()) f_.full(z_, value_);
      assess(z_, value_, scratch_);
    }
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    visit.scalar("step", step_);
    visit.scalar("momentum", momentum_);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "previous", previous_);
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }

 private:
  static constexpr std::int64_t check = 10;
  double step_ = 0.0;
  double momentum_ = 1.0;
  std::vector<double> z_, previous_, y_, value_, scratch_;
};

}  // namespace

MethodSpec accelerated_gradient_spec() {
  return {"accelerated-gradient",
          "accelerated projected gradient with restarts, for gradients of convex functions",
          [](state::OptionVisitor& visit) { AcceleratedOptions{}.describe(visit); },
          [](const ProblemView& problem) {
            return problem.symmetric()
                       ? std::string()
                       : std::string(
                             "accelerated-gradient needs an operator that is a gradient; use "
                             "extragradient");
          },
          [](const Setting& setting, const ProblemView& problem, state::Config& config) {
            AcceleratedOptions options;
            config.read("method", options);
            return std::make_unique<AcceleratedGradient>(setting, problem, options);
          }};
}

}  // namespace equipoise::vi
