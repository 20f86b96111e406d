#include "serial.hpp"

#include "serial_acceleration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace equipoise::vi {

void Rule::observe(const Vector& a, const Vector& value_a, const Vector& b, const Vector& value_b) {
  if (!watching_) return;
  if (f_.problem().partitioned()) scratch_.resize(f_.size());
  const double moved = f_.distance(a, b, scratch_);
  const double changed = f_.distance(value_a, value_b, scratch_);
  if (moved > 0.0) lipschitz_ = std::max(lipschitz_, changed / moved);
}

namespace {

struct SerialOptions {
  std::string step = "auto";
  std::string restart = "none";
  std::int64_t anderson = 0;
  std::int64_t check_every = 10;
  void describe(state::OptionVisitor& visit) {
    visit.option(
        "step", step,
        "auto (theory's, smaller where F varies faster than estimated), theory, or a number");
    visit.choice("restart", restart, {"none", "last", "average"},
                 "begin anew at the last point or at the average once its residual has fallen to "
                 "0.37 of that at the last restart");
    visit.option("anderson", anderson,
                 "memory of Anderson acceleration, 0 for none; methods without memory of their own",
                 {0.0, 50.0});
    visit.option(
        "check_every", check_every,
        "iterations between evaluations of the measure where these cost a call of F, and of "
        "averages",
        state::at_least_one);
  }
};

constexpr double sufficient_decrease = 0.37;

/// Any rule with step rule, restarts and acceleration: one iteration is one of the rule.
class Serial final : public Base {
 public:
  Serial(const Setting& setting, const ProblemView& problem, const RuleSpec& spec,
         const SerialOptions& options)
      : Base(setting, problem, {}),
        options_(options),
        theory_(spec.theory),
        rule_(spec.make(f_)),
        scratch_(vector()),
        before_(vector()),
        average_(vector()) {
    if (options.anderson > 0) anderson_.emplace(f_, options.anderson);
    const auto z = start();
    rule_->jump(z);
    assess(z, rule_->operator_value(), scratch_);
    reference_ = report_.residual;
    choose_step(spec);
  }

  void step() override {
    report_.fresh = false;
    if (anderson_) before_ = rule_->z();
    rule_->advance(current_step());
    ++iteration_;
    if (anderson_) {
      next_ = rule_->z();
      if (anderson_->accelerate(before_, next_)) {
        f_.prox(current_step(), next_);
        rule_->jump(next_);
      }
    }
    if (options_.restart == "average") add_to_average();
    if (!measure_.needs_operator()) {
      assess(rule_->z(), {}, scratch_);
    } else if (rule_->evaluates_at_z() || iteration_ % options_.check_every == 0) {
      assess(rule_->z(), rule_->operator_value(), scratch_);
    }
    if (report_.fresh && !report_.failed) maybe_restart();
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    visit.scalar("step", step_);
    visit.scalar("restart/reference", reference_);
    visit.scalar("restart/averaged", averaged_);
    f_.visit(visit, "restart/average", average_);
    rule_->fields(visit);
    if (anderson_) anderson_->fields(visit);
  }
  void solution(state::FieldVisitor& visit) override {
    next_ = rule_->z();
    f_.visit(visit, "z", next_);
  }

 private:
  void choose_step(const RuleSpec& spec) {
    const StepRule rule = StepRule::parse(options_.step);
    if (rule.kind == StepRule::Kind::number) {
      step_ = rule.value;
      return;
    }
    double lipschitz = f_.problem().constants().lipschitz;
    if (!(lipschitz > 0.0)) lipschitz = estimate_lipschitz(f_, rule_->z(), 10);
    const double mu = f_.problem().constants().strong_monotonicity;
    // A gradient step needs mu / L^2 where F is only strongly monotone.
    if (spec.name == "projected-gradient" && mu > 0.0 && !f_.problem().symmetric()) {
      theory_ = std::min(1.0, mu / lipschitz);
    }
    step_ = lipschitz > 0.0 ? theory_ / lipschitz : 1.0;
    notes_.emplace_back("step", fmt::format("{:.3g}/L = {:.4g} with L = {:.4g}{}", theory_, step_,
                                            lipschitz, rule.automatic() ? ", followed" : ""));
    if (rule.automatic()) rule_->watch(lipschitz);
  }

  /// Never above theory's step for the largest Lipschitz ratio met.
  [[nodiscard]] double current_step() const {
    const double seen = rule_->lipschitz();
    return seen > 0.0 ? std::min(step_, theory_ / seen) : step_;
  }

  void add_to_average() {
    const auto& y = rule_->averaged();
    ++averaged_;
    const double share = 1.0 / static_cast<double>(averaged_);
    for (std::size_t i = 0; i < y.size(); ++i) average_[i] += share * (y[i] - average_[i]);
  }

  void maybe_restart() {
    if (options_.restart == "last") {
      if (report_.residual > sufficient_decrease * reference_) return;
      rule_->restart();
      reference_ = report_.residual;
      if (anderson_) anderson_->clear();
    } else if (options_.restart == "average" && averaged_ > 0 &&
               iteration_ % options_.check_every == 0) {
      restart_at_average();
    }
  }

  void restart_at_average() {
    value_.resize(average_.size());
    f_.full(average_, value_);
    const double there = measure_.at(average_, value_, scratch_);
    if (!(there <= sufficient_decrease * reference_)) return;
    rule_->jump(average_);
    reference_ = report_.residual = there;
    averaged_ = 0;
    if (anderson_) anderson_->clear();
  }

  SerialOptions options_;
  double theory_;
  std::unique_ptr<Rule> rule_;
  std::optional<Acceleration> anderson_;
  double step_ = 1.0;
  double reference_ = 0.0;
  std::int64_t averaged_ = 0;
  std::vector<double> scratch_, before_, next_, average_, value_;
};

MethodSpec to_method(const RuleSpec& spec) {
  SerialOptions defaults;
  defaults.restart = spec.restart;
  return {spec.name, spec.help,
          [defaults](state::OptionVisitor& visit) { SerialOptions(defaults).describe(visit); },
          [spec](const ProblemView& problem) {
            return spec.free_only && problem.constrained()
                       ? std::string("it is a method for problems without constraint; use feg")
                       : std::string();
          },
          [spec, defaults](const Setting& setting, const ProblemView& problem,
                           state::Config& config) -> std::unique_ptr<solve::Method> {
            SerialOptions options = defaults;
            config.read("method", options);
            if (options.anderson > 0 && !spec.memoryless) {
              throw ConfigurationError(
                  "method.anderson = {}: {} remembers earlier points, which acceleration would "
                  "mix up; use it with mirror-prox, fbf or projected-gradient",
                  options.anderson, spec.name);
            }
            return std::make_unique<Serial>(setting, problem, spec, options);
          }};
}

}  // namespace

std::vector<MethodSpec> serial_specs() {
  std::vector<MethodSpec> specs;
  for (const auto& rules : {anchored_rules(), gradient_rules(), adaptive_rules()}) {
    for (const RuleSpec& rule : rules) specs.push_back(to_method(rule));
  }
  return specs;
}

}  // namespace equipoise::vi
