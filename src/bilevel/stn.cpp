#include <equipoise/bilevel/alternating.hpp>
#include <equipoise/bilevel/stn.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
double softplus(double s) { return s > 30.0 ? s : std::log1p(std::exp(s)); }
double sigmoid(double s) { return 1.0 / (1.0 + std::exp(-s)); }

}  // namespace

void StnOptions::describe(state::OptionVisitor& visit) {
  visit.option("train", train, "steps on the response model before x moves", state::at_least_one);
  visit.option("warm_up", warm_up, "steps on the model before the first iteration",
               state::non_negative);
  visit.option("batch", batch, "samples per block and level, 0 for all", state::non_negative);
  visit.option("model_step", model_step,
               "step of the model, as a share of the lower step 1 / L it amounts to",
               {0.0, 1.9, true});
  visit.option("outer_step", outer_step, "step of x, 0 for 0.4 / L", state::non_negative);
  visit.option("width", width, "standard deviation of the perturbations of x at the start",
               state::positive);
  visit.option("width_step", width_step, "step of the widths, 0 keeps them", state::non_negative);
  visit.option("entropy", entropy, "weight of the perturbations' entropy", state::non_negative);
  visit.option("table_limit", table_limit, "bytes of affine models that a rank may hold",
               state::positive);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
  exchange.describe(visit);
}

SelfTuning::SelfTuning(const Setup& setup, StnOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "stn", {}),
      options_(std::move(options)),
      own_(setup.oracle.has("response")),
      s_(x_.size(), std::log(std::expm1(options_.width))),
      models_(at(blocks_.owned().size())),
      differences_(blocks_, setup.oracle.dim_outer(), {}),
      z_(x_.size()),
      moved_(x_.size()),
      response_(at(blocks_.largest_dim())),
      slope_(response_),
      upper_(x_.size()),
      next_(x_.size()),
      back_(x_.size()),
      step_x_(x_.size()) {
  const OracleView& view = oracle_.view();
  blocks_.work([&] {
    require_batches(options_.batch);
    double bytes = 0.0;
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end && !own_; ++i)
      bytes += 8.0 * static_cast<double>(view.dim_inner(i) * view.dim_outer());
    if (bytes > options_.table_limit) {
      throw ConfigurationError(
          "affine response models would take {:.2g} GB on one rank (limit {:.2g}); give the oracle "
          "a model of its own (`response`), take more ranks, or another method",
          bytes / 1e9, options_.table_limit / 1e9);
    }
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      auto& model = models_[at(i - blocks_.owned().begin)];
      if (own_) {
        model.resize(at(view.table().dim_response(view.self(), i)));
        view.table().start_response(view.self(), i, x_, model);
        pulled_.resize(std::max(pulled_.size(), model.size()));
      } else {
        model.resize(at(view.dim_inner(i) * view.dim_outer()));
      }
    }
  });
  tau_ = options_.model_step / largest_smoothness(blocks_, view, x_, y_);
  eta_ = options_.outer_step > 0.0 ? options_.outer_step : 0.4 * tau_ / options_.model_step;
  evaluates(options_.evaluate_every);
}

double SelfTuning::width(std::size_t k) const { return softplus(s_[k]); }

/// z of a block (or -1, common to all) and a round of this iteration.
void SelfTuning::draw(std::int64_t block, std::int64_t round) {
  const parallel::Draw numbers(seed_, parallel::Purpose::noise, iteration_, block + 1);
  const auto first = static_cast<std::uint64_t>(round) * z_.size();
  for (std::size_t k = 0; k < z_.size(); ++k) z_[k] = numbers.normal(first + k);
}

/// The perturbed outer variable x + sign e.
void SelfTuning::shift(double sign) {
  for (std::size_t k = 0; k < x_.size(); ++k) moved_[k] = x_[k] + sign * width(k) * z_[k];
}

/// The model's y at x + sign e.
void SelfTuning::respond(std::int64_t i, double sign) {
  const auto& model = models_[at(i - blocks_.owned().begin)];
  const In w = blocks_.of(std::as_const(y_), i);
  const Out y = Out(response_).first(w.size());
  const OracleView& view = oracle_.view();
  if (own_) {
    view.table().response(view.self(), i, model, moved_, y);
    return;
  }
  const std::size_t n = x_.size();
  for (std::size_t k = 0; k < y.size(); ++k) {
    double sum = w[k];
    for (std::size_t l = 0; l < n; ++l) sum += sign * model[k * n + l] * width(l) * z_[l];
    y[k] = sum;
  }
}

/// One step on the model of block i at a perturbed x.
void SelfTuning::train(std::int64_t i, std::int64_t round) {
  auto& model = models_[at(i - blocks_.owned().begin)];
  const Out w = blocks_.of(y_, i);
  const Out y = Out(response_).first(w.size()), g = Out(slope_).first(w.size());
  draw(i, round);
  shift(1.0);
  respond(i, 1.0);
  draw_batch(i, Level::lower, options_.batch, round, lower_batch_);
  oracle_.grad_y_g(i, lower_batch_, moved_, y, g);
  const OracleView& view = oracle_.view();
  if (own_) {
    const Out pulled = Out(pulled_).first(model.size());
    view.table().response_phi(view.self(), i, model, moved_, g, pulled);
    const double square = dot(pulled, pulled);
    if (square > 0.0) axpy(-tau_ * dot(g, g) / square, pulled, model);
    return;
  }
  // In the coordinates U width the Jacobian is (1, z): its square is 1 + |z|^2.
  const double step = tau_ / (1.0 + dot(z_, z_));
  const std::size_t n = x_.size();
  axpy(-step, g, w);
  for (std::size_t k = 0; k < g.size(); ++k) {
    for (std::size_t l = 0; l < n; ++l) model[k * n + l] -= step * g[k] * z_[l] / width(l);
  }
}

/// out = grad_x f + J_x^T grad_y f at x + sign e.
void SelfTuning::pull_outer(std::int64_t i, double sign, Out out) {
  const auto& model = models_[at(i - blocks_.owned().begin)];
  respond(i, sign);
  const auto dy = at(oracle_.view().dim_inner(i));
  const Out y = Out(response_).first(dy), g = Out(slope_).first(dy);
  oracle_.grad_y_f(i, upper_batch_, moved_, y, g);
  oracle_.grad_x_f(i, upper_batch_, moved_, y, out);
  const OracleView& view = oracle_.view();
  if (own_) {
    view.table().response_x(view.self(), i, model, moved_, g, back_);
    axpy(1.0, back_, out);
    return;
  }
  const std::size_t n = x_.size();
  for (std::size_t k = 0; k < dy; ++k) axpy(g[k], In(model).subspan(k * n, n), out);
}

/// The affine model is about the present x: after a step of x, w moves along U.
void SelfTuning::move_model(std::int64_t i) {
  const auto& model = models_[at(i - blocks_.owned().begin)];
  const Out w = blocks_.of(y_, i);
  const std::size_t n = x_.size();
  for (std::size_t k = 0; k < w.size(); ++k) w[k] += dot(In(model).subspan(k * n, n), step_x_);
}

void SelfTuning::step() {
  exchange_.clear();
  differences_.clear();
  std::int64_t bad = -1;
  blocks_.work([&] {
    const std::int64_t rounds = options_.train + (iteration_ == 0 ? options_.warm_up : 0);
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      for (std::int64_t round = 1; round <= rounds; ++round) train(i, round);
    }
    draw(-1, 0);
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      draw_batch(i, Level::upper, options_.batch, 0, upper_batch_);
      for (const double sign : {1.0, -1.0}) {
        shift(sign);
        pull_outer(i, sign, upper_);
        exchange_.add(i, 0.5, upper_);
        if (options_.width_step > 0.0) differences_.add(i, 0.5 * sign, upper_);
        if (bad < 0 && !all_finite(upper_)) bad = i;
      }
    }
  });
  exchange_.mean(iteration_, next_);
  if (options_.width_step > 0.0) differences_.dense(back_);
  report_.fresh = false;
  if (!all_finite(next_) || !all_finite(back_)) {
    failed_block(bad);
    report_.failed = true;
    return;
  }
  step_x_ = x_;
  for (std::size_t k = 0; k < x_.size(); ++k) {
    x_[k] -= eta_ * next_[k];
    const double slope = back_[k] * z_[k] - options_.entropy / width(k);
    s_[k] -= options_.width_step * sigmoid(s_[k]) * slope;
  }
  oracle_.view().proj_x(x_);
  for (std::size_t k = 0; k < x_.size(); ++k) step_x_[k] = x_[k] - step_x_[k];
  for (auto i = blocks_.owned().begin; i < blocks_.owned().end && !own_; ++i) move_model(i);
  ++iteration_;
  if (options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0) evaluate();
}

const std::vector<double>& SelfTuning::inner() {
  const OracleView& view = oracle_.view();
  for (auto i = blocks_.owned().begin; i < blocks_.owned().end && own_; ++i) {
    view.table().response(view.self(), i, models_[at(i - blocks_.owned().begin)], x_,
                          blocks_.of(y_, i));
  }
  return y_;
}

parallel::Traffic SelfTuning::traffic() const {
  auto sum = exchange_.traffic();
  sum += differences_.traffic();
  return sum;
}

void SelfTuning::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  visit.replicated("s", s_);
  visit.ragged("models", blocks_.over_ranks(), blocks_.comm().rank(), models_);
  visit.scalar("tau", tau_);
  visit.scalar("eta", eta_);
}

std::vector<std::pair<std::string, std::string>> SelfTuning::notes() const {
  return {{"model", own_ ? "the problem's own" : "affine about the present x"},
          {"steps", fmt::format("lower {:.3g}, outer {:.3g}", tau_, eta_)}};
}

}  // namespace equipoise::bilevel
