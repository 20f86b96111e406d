#include "base.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <cmath>

namespace equipoise::vi {
namespace {

struct CegOptions {
  std::string step = "auto";
  std::int64_t check_every = 100;
  Compression compression{.codec = "randk:0.05"};
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step, "auto and theory (0.3/L), or a number");
    visit.option("check_every", check_every,
                 "iterations between evaluations of the residual, one exact mean each",
                 state::at_least_one);
    visit.option("codec", compression.codec, "codec from agents to owners");
    visit.option("server_codec", compression.server_codec, "codec from owners to all");
    visit.option("collective", compression.collective, compress::collective_choices);
  }
};

/// Compressed extragradient: both half-steps use compressed means of the F_m themselves. Shipped as
/// the baseline that must fail: F_m does not vanish at the solution, so a noise floor in proportion
/// to the step remains.
class CompressedExtragradient final : public Base {
 public:
  CompressedExtragradient(const Setting& setting, const ProblemView& problem,
                          const CegOptions& options)
      : Base(setting, problem, options.compression),
        check_every_(options.check_every),
        z_(start()),
        y_(vector()),
        value_(vector()),
        rows_(f_.rows_size()) {
    require_unbiased(f_, "ceg", options.compression);
    const StepRule rule = StepRule::parse(options.step);
    f_.full(z_, value_);
    assess(z_, value_, y_);
    if (rule.kind == StepRule::Kind::number) {
      step_ = rule.value;
    } else {
      step_ = 0.3 / estimate_lipschitz(f_, z_, 8);
      notes_.emplace_back("step", fmt::format("{:.4g}, constant", step_));
    }
  }

  void step() override {
    report_.fresh = false;
    evaluate(z_, 2 * iteration_);
    linalg::add_scaled(z_, -step_, value_, y_);
    f_.prox(step_, y_);
    evaluate(y_, 2 * iteration_ + 1);
    linalg::add_scaled(z_, -step_, value_, z_);
    f_.prox(step_, z_);
    ++iteration_;
    if (!measure_.needs_operator()) {
      assess(z_, value_, y_);
    } else if (iteration_ % check_every_ == 0) {
      f_.full(z_, value_);
      assess(z_, value_, y_);
    }
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    visit.scalar("step", step_);
    f_.visit(visit, "z", z_);
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }

 private:
  void evaluate(std::span<const double> at, std::int64_t draw) {
    f_.agents(at, rows_);
    f_.compressed(draw, rows_, value_);
  }

  std::int64_t check_every_;
  double step_ = 0.0;
  std::vector<double> z_, y_, value_, rows_;
};

}  // namespace

MethodSpec compressed_extragradient_spec() {
  return spec_of<CompressedExtragradient, CegOptions>(
      "ceg", "extragradient on compressed operators: the baseline that stalls at a noise floor",
      refuse_partitioned);
}

}  // namespace equipoise::vi
