#include <equipoise/bilevel/lvhba.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view needed[] = {"grad_x_g", "con", "proj_joint"};

}  // namespace

void LvhbaOptions::describe(state::OptionVisitor& visit) {
  visit.option("proximal", proximal, "gamma_1, width of the proximal term in y", state::positive);
  visit.option("dual", dual, "gamma_2, width of the proximal term in the multiplier",
               state::positive);
  visit.option("step", step, "step of x and y", state::positive);
  visit.option("centre_step", centre_step, "step of the multiplier's centre", state::positive);
  visit.option("saddle_step", saddle_step, "step of theta and lambda", state::positive);
  visit.option("penalty", penalty, "c_0", state::positive);
  visit.option("growth", growth, "c_k = c_0 (k + 1)^growth", {0.0, 0.5});
  visit.option("box", box, "bound on multipliers", state::positive);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
}

Lvhba::Lvhba(const Setup& setup, LvhbaOptions options)
    : MethodBase(setup, {}, "lv-hba", needed),
      options_(std::move(options)),
      theta_(y_),
      dx_(x_.size()),
      dy_(y_.size()),
      part_x_(x_.size()),
      part_y_(y_.size()),
      owner_(blocks_.owned().contains(0)) {
  if (blocks_.count() != 1) {
    throw ConfigurationError(
        "method lv-hba projects on the constraints jointly and takes one block, not {}",
        blocks_.count());
  }
  const auto& t = oracle_.view().table();
  lambda_.resize(static_cast<std::size_t>(t.num_constraints(oracle_.view().self(), 0)));
  z_ = con_ = lambda_;
  parallel::agree(blocks_.comm(), [&] {
    if (owner_) refuse_unstable();
  });
}

/// The norm of the constraints' Jacobian in y by power iteration, and the stability bound of the
/// saddle step.
void Lvhba::refuse_unstable() const {
  const auto& t = oracle_.view().table();
  const void* const self = oracle_.view().self();
  std::vector<double> l(lambda_.size(), 1.0), up(y_.size()), moved(y_.size()), base(l.size()),
      c(l.size());
  double square = 0.0;
  t.con(self, 0, x_, y_, base);
  for (int round = 0; round < 30; ++round) {
    const double length = norm(l);
    if (length == 0.0) return;
    for (double& entry : l) entry /= length;
    t.con_jt_y(self, 0, x_, y_, l, up);
    square = dot(up, up);
    for (std::size_t k = 0; k < up.size(); ++k) moved[k] = y_[k] + 1e-4 * up[k];
    t.con(self, 0, x_, moved, c);
    for (std::size_t k = 0; k < l.size(); ++k) l[k] = (c[k] - base[k]) / 1e-4;
  }
  const double k = std::min(1.0 / options_.proximal, 1.0 / options_.dual);
  const double bound = 2.0 * k / (k * k + square);
  // The estimate 2 k / (k^2 + |J|^2) is for the pure coupling; the objective's own curvature damps,
  // hence the margin.
  if (options_.saddle_step > 3.0 * bound) {
    throw ConfigurationError(
        "method.saddle_step = {}: with constraint rows of norm {:.3g} it must be below about "
        "{:.2g}; divide each "
        "constraint by the norm of its row",
        options_.saddle_step, std::sqrt(square), bound);
  }
}

void Lvhba::step() {
  const auto& t = oracle_.view().table();
  const void* const self = oracle_.view().self();
  parallel::agree(blocks_.comm(), [&] {
    if (!owner_) return;
    oracle_.grad_y_g(0, {}, x_, theta_, dy_);
    t.con_jt_y(self, 0, x_, theta_, lambda_, part_y_);
    t.con(self, 0, x_, theta_, con_);
    for (std::size_t k = 0; k < theta_.size(); ++k) {
      dy_[k] += part_y_[k] + (theta_[k] - y_[k]) / options_.proximal;
    }
    axpy(-options_.saddle_step, dy_, theta_);
    oracle_.view().proj_y(0, theta_);
    for (std::size_t k = 0; k < lambda_.size(); ++k) {
      lambda_[k] -= options_.saddle_step * (-con_[k] + (lambda_[k] - z_[k]) / options_.dual);
      lambda_[k] = std::clamp(lambda_[k], -options_.box, options_.box);
    }
    const double c =
        options_.penalty * std::pow(static_cast<double>(iteration_ + 1), options_.growth);
    oracle_.grad_x_f(0, {}, x_, y_, dx_);
    for (double& entry : dx_) entry /= c;
    oracle_.grad_x_g(0, {}, x_, y_, part_x_);
    axpy(1.0, part_x_, dx_);
    oracle_.grad_x_g(0, {}, x_, theta_, part_x_);
    axpy(-1.0, part_x_, dx_);
    t.con_jt_x(self, 0, x_, theta_, lambda_, part_x_);
    axpy(-1.0, part_x_, dx_);
    oracle_.grad_y_f(0, {}, x_, y_, dy_);
    for (double& entry : dy_) entry /= c;
    oracle_.grad_y_g(0, {}, x_, y_, part_y_);
    axpy(1.0, part_y_, dy_);
    for (std::size_t k = 0; k < y_.size(); ++k) dy_[k] -= (y_[k] - theta_[k]) / options_.proximal;
    axpy(-options_.step, dx_, x_);
    axpy(-options_.step, dy_, y_);
    t.proj_joint(self, x_, y_);
    for (std::size_t k = 0; k < z_.size(); ++k) {
      z_[k] += options_.centre_step * (lambda_[k] - z_[k]) / options_.dual;
      z_[k] = std::clamp(z_[k], -options_.box, options_.box);
    }
  });
  share();
  ++iteration_;
  report_.fresh = false;
  report_.failed = !std::isfinite(norm(x_));
  if (report_.failed) report_.message = "x left the finite numbers; take smaller steps";
  if (!report_.failed && options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0)
    evaluate();
}

/// The owner's x on every rank.
void Lvhba::share() {
  const int root = blocks_.over_ranks().owner(0);
  blocks_.comm().broadcast(std::span(x_), root);
  blocks_.comm().broadcast(std::span(lambda_), root);
  blocks_.comm().broadcast(std::span(z_), root);
}

void Lvhba::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "theta", theta_);
  visit.replicated("lambda", lambda_);
  visit.replicated("z", z_);
}

}  // namespace equipoise::bilevel
