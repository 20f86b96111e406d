#include <equipoise/bilevel/alternating.hpp>
#include <equipoise/bilevel/lvhba.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view needed[] = {"grad_x_g"};

}  // namespace

void LvhbaOptions::describe(state::OptionVisitor& visit) {
  visit.option("proximal", proximal, "gamma_1, width of the proximal term in y", state::positive);
  visit.option("dual", dual, "gamma_2, width of the proximal term in the multiplier",
               state::positive);
  visit.option("step", step, "step of x and y, over max(1, L)", state::positive);
  visit.option("centre_step", centre_step, "step of the multiplier's centre", state::positive);
  visit.option("saddle_step", saddle_step, "step of theta and lambda, over max(1, L)",
               state::positive);
  visit.option("penalty", penalty, "c_0", state::positive);
  visit.option("growth", growth, "c_k = c_0 (k + 1)^growth", {0.0, 0.5});
  visit.option("box", box, "bound on multipliers", state::positive);
  visit.option("warm_up", warm_up, "steps of theta, lambda and z alone before the first iteration",
               state::non_negative);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
  exchange.describe(visit);
}

Lvhba::Lvhba(const Setup& setup, LvhbaOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "lv-hba", needed),
      options_(std::move(options)),
      constrained_(setup.oracle.has("con")),
      theta_(y_),
      dx_(x_.size()),
      dy_(y_.size()),
      slope_(x_.size()),
      part_x_(x_.size()),
      part_y_(static_cast<std::size_t>(blocks_.largest_dim())),
      owner_(blocks_.owned().contains(0)) {
  const OracleView& view = oracle_.view();
  if (constrained_) {
    const std::string_view joint[] = {"proj_joint"};
    view.need("lv-hba with constraints", joint);
    if (blocks_.count() != 1) {
      throw ConfigurationError(
          "method lv-hba projects on the constraints jointly and takes one block with constraints, "
          "not {}",
          blocks_.count());
    }
    lambda_.resize(static_cast<std::size_t>(view.table().num_constraints(view.self(), 0)));
    z_ = con_ = lambda_;
    if (view.table().num_inequalities)
      inequalities_ = view.table().num_inequalities(view.self(), 0);
  }
  scale_ = 1.0 / std::max(1.0, largest_smoothness(blocks_, view, x_, y_));
  blocks_.work([&] {
    if (owner_ && constrained_) refuse_unstable();
  });
  evaluates(options_.evaluate_every);
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
  if (scale_ * options_.saddle_step > 3.0 * bound) {
    throw ConfigurationError(
        "method.saddle_step = {}: with constraint rows of norm {:.3g} it must be below about "
        "{:.2g}; divide each "
        "constraint by the norm of its row",
        options_.saddle_step, std::sqrt(square), bound);
  }
}

/// One step of (theta, lambda) of block i.
void Lvhba::chase(std::int64_t i) {
  const auto& t = oracle_.view().table();
  const void* const self = oracle_.view().self();
  const Out theta = blocks_.of(theta_, i), y = blocks_.of(y_, i), dy = blocks_.of(dy_, i);
  const Out part = Out(part_y_).first(y.size());
  const double step = scale_ * options_.saddle_step;
  oracle_.grad_y_g(i, {}, x_, theta, dy);
  if (constrained_) {
    t.con_jt_y(self, i, x_, theta, lambda_, part);
    t.con(self, i, x_, theta, con_);
    axpy(1.0, part, dy);
  }
  for (std::size_t k = 0; k < y.size(); ++k) dy[k] += (theta[k] - y[k]) / options_.proximal;
  axpy(-step, dy, theta);
  oracle_.view().proj_y(i, theta);
  for (std::size_t k = 0; k < lambda_.size(); ++k) {
    const bool inequality = static_cast<std::int64_t>(k) < inequalities_;
    lambda_[k] -= step * (-con_[k] + (lambda_[k] - z_[k]) / options_.dual);
    lambda_[k] = std::clamp(lambda_[k], inequality ? 0.0 : -options_.box, options_.box);
  }
}

/// One step of the multiplier's centre.
void Lvhba::move_centre() {
  for (std::size_t k = 0; k < z_.size(); ++k) {
    const bool inequality = static_cast<std::int64_t>(k) < inequalities_;
    z_[k] += options_.centre_step * (lambda_[k] - z_[k]) / options_.dual;
    z_[k] = std::clamp(z_[k], inequality ? 0.0 : -options_.box, options_.box);
  }
}

/// One step of (theta, lambda) of block i, and its share of the direction of x.
void Lvhba::follow(std::int64_t i, double c) {
  const auto& t = oracle_.view().table();
  const Out theta = blocks_.of(theta_, i), y = blocks_.of(y_, i);
  for (std::int64_t round = 0; iteration_ == 0 && round < options_.warm_up; ++round) {
    chase(i);
    move_centre();
  }
  chase(i);
  oracle_.grad_x_f(i, {}, x_, y, slope_);
  for (double& entry : slope_) entry /= c;
  oracle_.grad_x_g(i, {}, x_, y, part_x_);
  axpy(1.0, part_x_, slope_);
  oracle_.grad_x_g(i, {}, x_, theta, part_x_);
  axpy(-1.0, part_x_, slope_);
  if (constrained_) {
    t.con_jt_x(oracle_.view().self(), i, x_, theta, lambda_, part_x_);
    axpy(-1.0, part_x_, slope_);
  }
}

/// One step of y of block i along grad_y f / c + grad_y g - (y - theta) / gamma_1.
void Lvhba::lift(std::int64_t i, double c) {
  const Out theta = blocks_.of(theta_, i), y = blocks_.of(y_, i), dy = blocks_.of(dy_, i);
  const Out part = Out(part_y_).first(y.size());
  oracle_.grad_y_f(i, {}, x_, y, dy);
  oracle_.grad_y_g(i, {}, x_, y, part);
  for (std::size_t k = 0; k < y.size(); ++k)
    dy[k] = dy[k] / c + part[k] - (y[k] - theta[k]) / options_.proximal;
}

/// Brings (x, y) back on its set; with constraints the block's owner does, and tells.
void Lvhba::project() {
  const OracleView& view = oracle_.view();
  if (!constrained_) {
    view.proj_x(x_);
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i)
      view.proj_y(i, blocks_.of(y_, i));
    return;
  }
  blocks_.work([&] {
    if (owner_) view.table().proj_joint(view.self(), x_, y_);
    if (owner_) move_centre();
  });
  const int root = blocks_.over_ranks().owner(0);
  blocks_.comm().broadcast(std::span(x_), root);
  blocks_.comm().broadcast(std::span(lambda_), root);
  blocks_.comm().broadcast(std::span(z_), root);
}

void Lvhba::step() {
  const double c =
      options_.penalty * std::pow(static_cast<double>(iteration_ + 1), options_.growth);
  exchange_.clear();
  std::int64_t bad = -1;
  blocks_.work([&] {
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      follow(i, c);
      lift(i, c);
      if (!constrained_) exchange_.add(i, 1.0, slope_);
      if (bad < 0 && !(all_finite(slope_) && all_finite(blocks_.of(dy_, i)))) bad = i;
    }
  });
  report_.fresh = false;
  if (failed_block(bad)) return;
  // One constrained block: its owner moves x, and tells.
  if (constrained_) {
    dx_ = slope_;
  } else {
    exchange_.mean(iteration_, dx_);
  }
  axpy(-scale_ * options_.step, dx_, x_);
  axpy(-scale_ * options_.step, dy_, y_);
  project();
  ++iteration_;
  if (options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0) evaluate();
}

void Lvhba::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "theta", theta_);
  visit.replicated("lambda", lambda_);
  visit.replicated("z", z_);
  visit.scalar("scale", scale_);
}

}  // namespace equipoise::bilevel
