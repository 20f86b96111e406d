#include <equipoise/bilevel/alternating.hpp>
#include <equipoise/bilevel/estimator.hpp>
#include <equipoise/bilevel/federated.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view needed[] = {"hvp_yy_g", "jvp_xy_g"};

}  // namespace

void FederatedOptions::describe(state::OptionVisitor& visit) {
  visit.option("local", local, "iterations of every class of blocks between averages",
               state::at_least_one);
  visit.option("batch", batch, "samples per block and level, 0 for all", state::non_negative);
  visit.option("lower_step", lower_step, "step of y, 0 for 1 / L", state::non_negative);
  visit.option("linear_step", linear_step, "step of v, 0 for the step of y", state::non_negative);
  visit.option("outer_step", outer_step, "step of x, 0 for 0.4 times the step of y",
               state::non_negative);
  visit.option("beta", beta, "constant of STORM", state::probability);
  visit.option("decay", decay, "steps fall like (t + 1)^-decay, beta like (t + 1)^(-2 decay)",
               {0.0, 0.5});
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
  exchange.describe(visit);
}

Federated::Federated(const Setup& setup, FederatedOptions options)
    : MethodBase(setup, {}, "federated", needed),
      options_(std::move(options)),
      v_(blocks_.zeros()),
      s_(v_),
      u_(v_),
      old_y_(y_),
      old_v_(v_),
      mean_z_(x_.size()),
      averages_(blocks_, 2 * setup.oracle.dim_outer(), options_.exchange.setting(setup.seed)),
      slope_(static_cast<std::size_t>(blocks_.largest_dim())),
      upper_(x_.size()),
      change_(x_.size()),
      pair_(2 * x_.size()) {
  blocks_.work([&] { require_batches(options_.batch); });
  for (std::int64_t c = blocks_.hosted().begin; c < blocks_.hosted().end; ++c)
    xs_.insert(xs_.end(), x_.begin(), x_.end());
  old_xs_ = xs_;
  zs_.resize(xs_.size());
  for (Raw* raw : {&now_, &before_}) *raw = {slope_, slope_, upper_};
  tau_ = options_.lower_step > 0.0 ? options_.lower_step
                                   : 1.0 / largest_smoothness(blocks_, oracle_.view(), x_, y_);
  tau_v_ = options_.linear_step > 0.0 ? options_.linear_step : tau_;
  eta_ = options_.outer_step > 0.0 ? options_.outer_step : 0.4 * tau_;
  evaluates(options_.evaluate_every);
}

Out Federated::row(std::vector<double>& rows, std::int64_t number) const {
  const auto first = static_cast<std::size_t>(number - blocks_.hosted().begin) * x_.size();
  return Out(rows).subspan(first, x_.size());
}

void Federated::evaluate_at(std::int64_t i, In x, In y, In v, Raw& raw) {
  const Out linear = Out(raw.linear).first(y.size()), slope = Out(slope_).first(y.size());
  oracle_.lower_pass(i, lower_batch_, x, y, v, Out(raw.lower).first(y.size()), linear, raw.outer);
  oracle_.grad_y_f(i, upper_batch_, x, y, slope);
  axpy(-1.0, slope, linear);
  oracle_.grad_x_f(i, upper_batch_, x, y, upper_);
  for (std::size_t k = 0; k < x.size(); ++k) raw.outer[k] = upper_[k] - raw.outer[k];
}

/// The streams of block i at its class's x; adds h_x(t) - (1 - beta) h_x(t-1) to `change`.
void Federated::visit_block(std::int64_t i, double beta, Out change) {
  const std::int64_t number = blocks_.class_of(i);
  const Out y = blocks_.of(y_, i), v = blocks_.of(v_, i), s = blocks_.of(s_, i),
            u = blocks_.of(u_, i);
  const bool look_back = iteration_ > 0 && beta < 1.0;
  const Blend storm = blend(Estimator::storm, {beta, 0.0, 0.0}, iteration_ == 0, false);
  draw_batch(i, Level::lower, options_.batch, 0, lower_batch_);
  draw_batch(i, Level::upper, options_.batch, 0, upper_batch_);
  evaluate_at(i, row(xs_, number), y, v, now_);
  if (look_back)
    evaluate_at(i, row(old_xs_, number), blocks_.of(old_y_, i), blocks_.of(old_v_, i), before_);
  std::copy(y.begin(), y.end(), blocks_.of(old_y_, i).begin());
  std::copy(v.begin(), v.end(), blocks_.of(old_v_, i).begin());
  update(storm, now_.lower, before_.lower, s);
  update(storm, now_.linear, before_.linear, u);
  const double share =
      1.0 / static_cast<double>(blocks_.blocks_of_classes().range(static_cast<int>(number)).size());
  axpy(share, now_.outer, change);
  if (look_back) axpy(share * storm.previous, before_.outer, change);
}

/// One local iteration of a class; returns a block whose directions are not finite, or -1.
std::int64_t Federated::visit_class(std::int64_t number, double factor, double beta) {
  std::fill(change_.begin(), change_.end(), 0.0);
  const auto members = blocks_.blocks_of_classes().range(static_cast<int>(number));
  for (std::int64_t i = members.begin; i < members.end; ++i) {
    visit_block(i, beta, change_);
    const Out s = blocks_.of(s_, i), u = blocks_.of(u_, i), y = blocks_.of(y_, i);
    if (!all_finite(s) || !all_finite(u) || !all_finite(change_)) return i;
    axpy(-factor * tau_, s, y);
    oracle_.view().proj_y(i, y);
    axpy(-factor * tau_v_, u, blocks_.of(v_, i));
  }
  const Out x = row(xs_, number), z = row(zs_, number), old = row(old_xs_, number);
  const double keep = iteration_ == 0 ? 0.0 : 1.0 - beta;
  for (std::size_t k = 0; k < x.size(); ++k) z[k] = keep * z[k] + change_[k];
  std::copy(x.begin(), x.end(), old.begin());
  axpy(-factor * eta_, z, x);
  oracle_.view().proj_x(x);
  return -1;
}

/// x and mean z move by the means over classes of (x_c - x, z_c - mean z), through the codec; all
/// classes start from there.
void Federated::average() {
  const std::size_t n = x_.size();
  for (auto c = blocks_.hosted().begin; c < blocks_.hosted().end; ++c) {
    const Out x = row(xs_, c), z = row(zs_, c);
    for (std::size_t k = 0; k < n; ++k) {
      pair_[k] = x[k] - x_[k];
      pair_[n + k] = z[k] - mean_z_[k];
    }
    averages_.set_class(c, pair_);
  }
  averages_.mean(iteration_, pair_);
  axpy(1.0, In(pair_).first(n), x_);
  axpy(1.0, In(pair_).subspan(n), mean_z_);
  oracle_.view().proj_x(x_);
  for (auto c = blocks_.hosted().begin; c < blocks_.hosted().end; ++c) {
    std::copy(x_.begin(), x_.end(), row(xs_, c).begin());
    std::copy(mean_z_.begin(), mean_z_.end(), row(zs_, c).begin());
  }
}

void Federated::step() {
  const double t = static_cast<double>(iteration_ + 1);
  const double factor = std::pow(t, -options_.decay),
               beta = options_.beta * std::pow(t, -2.0 * options_.decay);
  std::int64_t bad = -1;
  blocks_.work([&] {
    for (auto c = blocks_.hosted().begin; c < blocks_.hosted().end && bad < 0; ++c)
      bad = visit_class(c, factor, beta);
  });
  report_.fresh = false;
  if (failed_block(bad)) return;
  if ((iteration_ + 1) % options_.local == 0) {
    average();
  }
  ++iteration_;
  if (options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0) evaluate();
}

void Federated::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "v", v_);
  block_field(visit, "s", s_);
  block_field(visit, "u", u_);
  block_field(visit, "old_y", old_y_);
  block_field(visit, "old_v", old_v_);
  const auto& comm = blocks_.comm();
  visit.partitioned("xs", blocks_.classes(), comm.rank(), std::ssize(x_), xs_);
  visit.partitioned("old_xs", blocks_.classes(), comm.rank(), std::ssize(x_), old_xs_);
  visit.partitioned("zs", blocks_.classes(), comm.rank(), std::ssize(x_), zs_);
  visit.replicated("mean_z", mean_z_);
  visit.scalar("tau", tau_);
  visit.scalar("tau_v", tau_v_);
  visit.scalar("eta", eta_);
  averages_.channel().fields(visit);
}

std::vector<std::pair<std::string, std::string>> Federated::notes() const {
  return {{"steps", fmt::format("lower {:.3g}, linear {:.3g}, outer {:.3g}, averaged every {}",
                                tau_, tau_v_, eta_, options_.local)}};
}

}  // namespace equipoise::bilevel
