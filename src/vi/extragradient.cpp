#include "base.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {

struct ExtragradientOptions {
  std::string step = "auto";
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step, "auto (backtracking), theory (0.9/L), or a number");
  }
};

/// Extragradient: y = P(z - g F(z)), z+ = P(z - g F(y)) (Korpelevich 1976), two means an iteration.
///
/// Automatic steps accept g when g norm(F(z) - F(y)) <= 0.9 norm(z - y) (Khobotov 1987), which is
/// the condition that the proof of convergence uses, so no constant is needed; the next step is
/// what the last ratio allows. Five vectors of the size of z on each rank with one agent.
class Extragradient final : public Base {
 public:
  Extragradient(const Setting& setting, const ProblemView& problem,
                const ExtragradientOptions& options)
      : Base(setting, problem, {}),
        rule_(StepRule::parse(options.step)),
        z_(start()),
        y_(vector()),
        at_z_(vector()),
        at_y_(vector()) {
    f_.full(z_, at_z_);
    assess(z_, at_z_, y_);
    first_step();
  }

  void step() override {
    predict();
    if (rule_.automatic()) backtrack();
    linalg::add_scaled(z_, -step_, at_y_, z_);
    f_.prox(step_, z_);
    ++iteration_;
    step_ = next_step_;
    if (!measure_.needs_operator()) {
      assess(z_, at_z_, y_);
      if (report_.failed) return;
    }
    f_.full(z_, at_z_);
    if (measure_.needs_operator()) assess(z_, at_z_, y_);
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    visit.scalar("step", step_);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "operator_at_z", at_z_);
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }

 private:
  void first_step() {
    if (rule_.kind == StepRule::Kind::number) {
      step_ = rule_.value;
    } else if (rule_.kind == StepRule::Kind::theory) {
      const double lipschitz = estimate_lipschitz(f_, z_, 30);
      step_ = 0.9 / lipschitz;
      notes_.emplace_back("step", fmt::format("0.9/L = {:.4g} with L = {:.4g}", step_, lipschitz));
    } else {
      const double lipschitz = f_.problem().constants().lipschitz;
      const double slope = f_.norm(at_z_);
      step_ = lipschitz > 0.0 ? 0.9 / lipschitz
                              : (slope > 0.0 ? std::max(1.0, f_.norm(z_)) / slope : 1.0);
      notes_.emplace_back("step", fmt::format("adapted by backtracking from {:.4g}", step_));
    }
    next_step_ = step_;
  }

  void predict() {
    linalg::add_scaled(z_, -step_, at_z_, y_);
    f_.prox(step_, y_);
    f_.full(y_, at_y_);
  }

  void backtrack() {
    for (int attempt = 0; attempt < 60; ++attempt) {
      const double moved = f_.distance(z_, y_, scratch());
      const double changed = f_.distance(at_z_, at_y_, scratch());
      if (!(changed > 0.0) || !(moved > 0.0)) {
        next_step_ = 1.2 * step_;
        return;
      }
      const double limit = 0.9 * moved / changed;
      if (step_ <= limit) {
        next_step_ = std::min(1.2 * step_, 0.9 * limit);
        return;
      }
      step_ = std::min(0.7 * step_, 0.9 * limit);
      predict();
    }
    next_step_ = step_;
  }

  /// Room for a difference; only a partitioned z needs it.
  std::span<double> scratch() {
    if (f_.problem().partitioned()) scratch_.resize(f_.size());
    return scratch_;
  }

  StepRule rule_;
  double step_ = 0.0;
  double next_step_ = 0.0;
  std::vector<double> z_, y_, at_z_, at_y_, scratch_;
};

}  // namespace

MethodSpec extragradient_spec() {
  return {"extragradient",
          "two exact means an iteration, step by backtracking; the uncompressed baseline",
          [](state::OptionVisitor& visit) { ExtragradientOptions{}.describe(visit); },
          [](const ProblemView&) { return std::string(); },
          [](const Setting& setting, const ProblemView& problem, state::Config& config) {
            ExtragradientOptions options;
            config.read("method", options);
            return std::make_unique<Extragradient>(setting, problem, options);
          }};
}

}  // namespace equipoise::vi
