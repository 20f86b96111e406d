#include "checked.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {

struct DianaOptions {
  std::string step = "auto";
  std::string operand = "optimistic";
  double shift_step = 0.0;
  std::int64_t check_every = 100;
  Compression compression{.codec = "bf16s+permk"};
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step,
                 "auto (0.2/(L (1 + omega/M)), halved where it fails), theory (the same, kept), or "
                 "a number");
    visit.choice("operator", operand, {"optimistic", "plain"},
                 "what is shifted and compressed: 2 F(z) - F(z before), or F(z), which turns away "
                 "from the solution where F rotates");
    visit.option("shift_step", shift_step, "a of the shifts; 0 takes 1/(1 + omega)", {0.0, 1.0});
    visit.option("check_every", check_every,
                 "iterations between evaluations of the residual, one exact mean each",
                 state::at_least_one);
    visit.option("codec", compression.codec, "codec from agents to owners, unbiased");
    visit.option("server_codec", compression.server_codec,
                 "codec from owners to all, who keep what it drops for the next message");
    visit.option("collective", compression.collective, compress::collective_choices);
  }
};

/// DIANA-SGDA (Beznosikov et al., Stochastic gradient descent-ascent: unified theory, 2022): every
/// agent learns a shift h_m that tends to F_m(z*), and compresses the difference to it.
///
///     D_m = Q(G_m - h_m),  g = h + mean D_m,  z+ = prox(z - s g)      G_m = F_m(z), or optimistic
///     h_m += a D_m,        h += a mean D_m                            2 F_m(z) - F_m(z_)
///
/// With a server codec all ranks receive S(mean D_m + e) and the owners keep e, so that h stays the
/// mean of the h_m up to a e, which vanishes with D_m.
///
/// The theory asks for cocoercivity; the optimistic operand, for which there is none, works on
/// rotations. A baseline: no snapshots, and many iterations. Vectors on each rank: z, h, D, F(z),
/// scratch, the best z, and four per hosted agent.
class Diana final : public Checked {
 public:
  Diana(const Setting& setting, const ProblemView& problem, const DianaOptions& options)
      : Checked(setting, problem, with_messages(options.compression), options.step),
        optimistic_(options.operand == "optimistic"),
        check_every_(options.check_every),
        shift_step_(options.shift_step),
        z_(start()),
        shift_(vector()),
        mean_(vector()),
        rows_(f_.rows_size()),
        before_(f_.rows_size()),
        shifts_(f_.rows_size(), 0.0) {
    require_unbiased(f_, "diana-sgda", options.compression, true);
    require_contractive(f_, options.compression, true);
    const double omega = f_.mean().device().omega;
    if (shift_step_ == 0.0) shift_step_ = 1.0 / (1.0 + omega);
    f_.agents(z_, before_);
    begin(first_step(omega), z_, 4.0);
  }

  void step() override {
    report_.fresh = false;
    f_.agents(z_, rows_);
    const double ahead = optimistic_ ? 1.0 : 0.0;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const double now = rows_[i];
      rows_[i] += ahead * (now - before_[i]) - shifts_[i];
      before_[i] = now;
    }
    f_.mean().reset_agents();  // the error feedback then holds v - Q(v), which tells Q(v)
    f_.compressed(iteration_, rows_, mean_);
    const auto lost = f_.mean().agent_errors();
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      shifts_[i] += shift_step_ * (rows_[i] - lost[i]);
    }
    for (std::size_t i = 0; i < z_.size(); ++i) z_[i] -= guard_.step * (shift_[i] + mean_[i]);
    f_.prox(guard_.step, z_);
    linalg::add_scaled(shift_, shift_step_, mean_, shift_);
    ++iteration_;
    observe(z_);
    if (iteration_ % check_every_ == 0 && check(z_)) {
      z_ = best_;
      f_.agents(z_, before_);
    }
  }

  void fields(state::FieldVisitor& visit) override {
    checked_fields(visit);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "shift", shift_);
    f_.visit_rows(visit, "shifts", shifts_);
    if (optimistic_) f_.visit_rows(visit, "agents_before", before_);
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }

 private:
  static Compression with_messages(Compression compression) {
    compression.error_feedback = true;
    return compression;
  }

  double first_step(double omega) {
    if (rule_.kind == StepRule::Kind::number) return rule_.value;
    const double lipschitz = estimate_lipschitz(f_, z_, 8);
    const auto agents = static_cast<double>(f_.problem().agents());
    const double step = 0.2 / (lipschitz * (1.0 + omega / agents));
    notes_.emplace_back("step", fmt::format("{:.4g}, L = {:.4g}, shifts move by {:.4g}", step,
                                            lipschitz, shift_step_));
    return step;
  }

  bool optimistic_;
  std::int64_t check_every_;
  double shift_step_;
  std::vector<double> z_, shift_, mean_, rows_, before_, shifts_;
};

}  // namespace

MethodSpec diana_spec() {
  return spec_of<Diana, DianaOptions>(
      "diana-sgda",
      "compressed differences to learnt shifts, no snapshots (default bf16s+permk): a baseline",
      refuse_partitioned);
}

}  // namespace equipoise::vi
