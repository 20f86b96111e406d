#include "checked.hpp"

#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {

struct LocalOptions {
  std::string step = "auto";
  double probability = 0.2;
  std::string local = "extragradient";
  std::int64_t check_every = 10;
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step,
                 "auto (0.5/L of the agents, halved where it fails), theory (the same, kept), or a "
                 "number");
    visit.option("p", probability, "probability that an iteration ends with a synchronisation",
                 {1e-6, 1.0});
    visit.choice("local", local, {"extragradient", "forward"},
                 "an agent's own step; forward is the published one and needs cocoercivity");
    visit.option("check_every", check_every,
                 "synchronisations between evaluations of the residual, one exact mean each",
                 state::at_least_one);
  }
};

/// ProxSkip for variational inequalities (Zhang, Choudhury, Stich and Loizou, Communication-
/// efficient gradient descent-ascent methods for distributed variational inequalities, 2023): the
/// agents step by themselves, each corrected by a control h_m that tends to F_m(z*), and meet with
/// probability p.
///
///     zh_m = z_m - s (F_m(z_m) - h_m)
///     with probability p, for all agents together:
///       z = prox_{(s/p) h}(mean(zh_m - (s/p) h_m)),   h_m += (p/s)(z - zh_m),   z_m = z
///     else z_m = zh_m
///
/// The weighted sum of the h_m stays 0 where there is no constraint. `local = extragradient`
/// evaluates F_m at the end of a trial step, which rotations need; the fixed points are the same,
/// and there is no proof. Between meetings iterates may leave Z, so F must be defined there.
/// Vectors on each rank: z, F(z), scratch, the best z, and four per hosted agent.
class ProxSkip final : public Checked {
 public:
  ProxSkip(const Setting& setting, const ProblemView& problem, const LocalOptions& options)
      : Checked(setting, problem, {}, options.step),
        p_(options.probability),
        extragradient_(options.local == "extragradient"),
        check_every_(options.check_every),
        z_(start()),
        rows_(f_.rows_size()),
        controls_(f_.rows_size()),
        values_(f_.rows_size()),
        trial_(vector()) {
    const double step = first_step();
    begin(step, z_, 2.0);
    meet_at(z_);
  }

  void step() override {
    report_.fresh = false;
    for (std::int64_t m = f_.hosted().begin; m < f_.hosted().end; ++m) local_step(m);
    const parallel::Draw coin(f_.setting().seed, parallel::Purpose::coin, iteration_);
    ++iteration_;
    if (coin.uniform(0) < p_) synchronise();
    observe(z_);
  }

  void fields(state::FieldVisitor& visit) override {
    checked_fields(visit);
    visit.scalar("meetings", meetings_);
    f_.visit(visit, "z", z_);
    f_.visit_rows(visit, "agents_z", rows_);
    f_.visit_rows(visit, "controls", controls_);
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }

 private:
  double first_step() {
    if (rule_.kind == StepRule::Kind::number) return rule_.value;
    const double rms = estimate_lipschitz_rms(f_, z_);
    const double step = 0.5 / (rms > 0.0 ? rms : 1.0);
    notes_.emplace_back(
        "step", fmt::format("{:.4g}, p = {:.4g}, rms of the agents' L = {:.4g}", step, p_, rms));
    return step;
  }

  [[nodiscard]] std::span<double> row(std::vector<double>& rows, std::int64_t agent) const {
    const std::size_t d = z_.size();
    return std::span(rows).subspan(static_cast<std::size_t>(agent - f_.hosted().begin) * d, d);
  }

  /// z_m := z_m - s (F_m(z_m) - h_m), F_m taken at the end of a trial step for extragradient.
  void local_step(std::int64_t agent) {
    const auto z = row(rows_, agent);
    const auto h = row(controls_, agent);
    const auto value = row(values_, agent);
    f_.agent(agent, z, value);
    if (extragradient_) {
      for (std::size_t i = 0; i < z.size(); ++i) trial_[i] = z[i] - guard_.step * (value[i] - h[i]);
      f_.agent(agent, trial_, value);
    }
    for (std::size_t i = 0; i < z.size(); ++i) z[i] -= guard_.step * (value[i] - h[i]);
  }

  void synchronise() {
    const double long_step = guard_.step / p_;
    linalg::add_scaled(rows_, -long_step, controls_, values_);
    f_.average(values_, z_);
    f_.prox(long_step, z_);
    for (std::int64_t m = f_.hosted().begin; m < f_.hosted().end; ++m) {
      const auto z = row(rows_, m);
      const auto h = row(controls_, m);
      for (std::size_t i = 0; i < z.size(); ++i) {
        h[i] += (z_[i] - z[i]) / long_step;
        z[i] = z_[i];
      }
    }
    if (++meetings_ % check_every_ == 0 && check(z_)) {
      z_ = best_;
      meet_at(z_);
    }
  }

  /// All agents at z, with the controls F_m(z) - F(z) (`value_`), whose mean is 0.
  void meet_at(const std::vector<double>& z) {
    f_.agents(z, controls_);
    for (std::int64_t m = f_.hosted().begin; m < f_.hosted().end; ++m) {
      const auto h = row(controls_, m);
      linalg::add_scaled(h, -1.0, value_, h);
      std::copy(z.begin(), z.end(), row(rows_, m).begin());
    }
  }

  double p_;
  bool extragradient_;
  std::int64_t check_every_;
  std::int64_t meetings_ = 0;
  std::vector<double> z_, rows_, controls_, values_, trial_;
};

}  // namespace

MethodSpec proxskip_spec() {
  return spec_of<ProxSkip, LocalOptions>(
      "proxskip",
      "agents step by themselves and meet with a probability; controls remove the drift",
      refuse_partitioned);
}

}  // namespace equipoise::vi
