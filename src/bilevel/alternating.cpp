#include <equipoise/bilevel/alternating.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/exact_sum.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view second_order[] = {"hvp_yy_g", "jvp_xy_g"};
constexpr std::string_view first_order[] = {"grad_x_g"};

}  // namespace

double largest_smoothness(const Blocks& blocks, OracleView oracle, In x,
                          const std::vector<double>& y) {
  double largest = 0.0;
  blocks.work([&] {
    CountedOracle counted(oracle);
    for (auto i = blocks.owned().begin; i < blocks.owned().end; ++i) {
      const In yi = blocks.of(y, i);
      double smoothness = oracle.bounds(i, x, yi).smoothness;
      if (smoothness == 0.0) {
        const std::size_t n = yi.size();
        std::vector<double> base(n), moved(n), probe(n), along(n);
        const parallel::Draw draw(0, parallel::Purpose::probe, 3, i);
        for (std::size_t k = 0; k < n; ++k) along[k] = draw.normal(k);
        counted.grad_y_g(i, {}, x, yi, base);
        for (int round = 0; round < 20 && norm(along) > 0.0; ++round) {
          const double length = norm(along), h = 1e-5 * (1.0 + norm(yi)) / length;
          for (std::size_t k = 0; k < n; ++k) probe[k] = yi[k] + h * along[k];
          counted.grad_y_g(i, {}, x, probe, moved);
          for (std::size_t k = 0; k < n; ++k) along[k] = (moved[k] - base[k]) / h;
          smoothness = std::max(smoothness, 1.2 * norm(along) / length);
        }
      }
      largest = std::max(largest, smoothness);
    }
  });
  return blocks.comm().max(largest);
}

void AlternatingOptions::describe(state::OptionVisitor& visit) {
  visit.option("inner", inner, "steps on y, then on v, before x moves", state::at_least_one);
  visit.option("period", period, "y moves every so many iterations", state::at_least_one);
  visit.option("batch", batch, "samples per block and level, 0 for all", state::non_negative);
  visit.option("lower_step", lower_step, "step of y, 0 for 1 / L", state::non_negative);
  visit.option("linear_step", linear_step, "step of v, 0 for the step of y", state::non_negative);
  visit.option("outer_step", outer_step, "step of x, 0 for 0.4 times the step of y",
               state::non_negative);
  visit.option("beta", beta, "weight of the newest hypergradient in the moving average",
               state::probability);
  visit.option("normalised", normalised, "divide the step of x by the norm of the average");
  visit.option("from_zero", from_zero, "start v at 0 in every iteration");
  visit.option("warm_up", warm_up, "steps on y before the first iteration", state::non_negative);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
  exchange.describe(visit);
}

Alternating::Alternating(const Setup& setup, AlternatingOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "of alternating type", second_order),
      options_(std::move(options)),
      v_(blocks_.zeros()),
      average_(x_.size()),
      a_(static_cast<std::size_t>(blocks_.largest_dim())),
      b_(a_),
      h_(x_.size()),
      j_(x_.size()),
      next_(x_.size()) {
  evaluates(options_.evaluate_every);
  blocks_.work([&] { require_batches(options_.batch); });
  tau_ = options_.lower_step > 0.0 ? options_.lower_step
                                   : 1.0 / largest_smoothness(blocks_, oracle_.view(), x_, y_);
  tau_v_ = options_.linear_step > 0.0 ? options_.linear_step : tau_;
  eta_ = options_.outer_step > 0.0 ? options_.outer_step : 0.4 * tau_;
}

void Alternating::descend(std::int64_t i, std::int64_t steps) {
  const Out y = blocks_.of(y_, i), a = Out(a_).first(y.size());
  for (std::int64_t round = 1; round <= steps; ++round) {
    draw_batch(i, Level::lower, options_.batch, round, lower_);
    oracle_.grad_y_g(i, lower_, x_, y, a);
    axpy(-tau_, a, y);
    oracle_.view().proj_y(i, y);
  }
}

void Alternating::solve(std::int64_t i) {
  const Out y = blocks_.of(y_, i), v = blocks_.of(v_, i);
  const Out a = Out(a_).first(y.size()), b = Out(b_).first(y.size());
  if (options_.from_zero) std::fill(v.begin(), v.end(), 0.0);
  for (std::int64_t round = 1; round <= options_.inner; ++round) {
    draw_batch(i, Level::lower, options_.batch, options_.inner + round, lower_);
    draw_batch(i, Level::upper, options_.batch, round, upper_);
    oracle_.hvp_yy_g(i, lower_, x_, y, v, a);
    oracle_.grad_y_f(i, upper_, x_, y, b);
    axpy(-tau_v_, a, v);
    axpy(tau_v_, b, v);
  }
}

void Alternating::step() {
  exchange_.clear();
  std::int64_t bad = -1;
  blocks_.work([&] {
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      if (iteration_ == 0) descend(i, options_.warm_up);
      if (iteration_ % options_.period == 0) descend(i, options_.inner);
      solve(i);
      draw_batch(i, Level::lower, options_.batch, 0, lower_);
      draw_batch(i, Level::upper, options_.batch, 0, upper_);
      oracle_.grad_x_f(i, upper_, x_, blocks_.of(y_, i), h_);
      oracle_.jvp_xy_g(i, lower_, x_, blocks_.of(y_, i), blocks_.of(v_, i), j_);
      axpy(-1.0, j_, h_);
      exchange_.add(i, 1.0, h_);
      if (bad < 0 && !all_finite(h_)) bad = i;
    }
  });
  exchange_.mean(iteration_, next_);
  report_.fresh = false;
  if (!all_finite(next_)) {
    failed_block(bad);
    report_.failed = true;
    return;
  }
  for (std::size_t k = 0; k < x_.size(); ++k) {
    average_[k] = (1.0 - options_.beta) * average_[k] + options_.beta * next_[k];
  }
  const double length = options_.normalised ? norm(average_) : 1.0;
  if (length > 0.0) axpy(-eta_ / length, average_, x_);
  oracle_.view().proj_x(x_);
  ++iteration_;
  if (options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0) evaluate();
}

void Alternating::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "v", v_);
  visit.replicated("average", average_);
  visit.scalar("tau", tau_);
  visit.scalar("tau_v", tau_v_);
  visit.scalar("eta", eta_);
}

void BomeOptions::describe(state::OptionVisitor& visit) {
  visit.option("inner", inner, "gradient steps towards the lower minimum", state::at_least_one);
  visit.option("barrier", barrier, "eta of the dynamic barrier", state::positive);
  visit.option("step", step, "step of y, 0 for 0.2 / L", state::non_negative);
  visit.option("outer_step", outer_step, "step of x, 0 for the step of y", state::non_negative);
  visit.option("inner_step", inner_step, "step towards the lower minimum, 0 for 1 / L",
               state::non_negative);
  visit.option("evaluate_every", evaluate_every,
               "iterations between evaluations of the hypergradient, 0 for never",
               state::non_negative);
}

Bome::Bome(const Setup& setup, BomeOptions options)
    : MethodBase(setup, {}, "bome", first_order),
      options_(std::move(options)),
      slope_(y_),
      fall_(y_),
      slope_x_(x_.size()),
      fall_x_(x_.size()),
      part_(x_.size()),
      there_(x_.size()),
      low_(static_cast<std::size_t>(blocks_.largest_dim())),
      gradient_(low_) {
  const double smoothness = largest_smoothness(blocks_, oracle_.view(), x_, y_);
  inner_step_ = options_.inner_step > 0.0 ? options_.inner_step : 1.0 / smoothness;
  step_ = options_.step > 0.0 ? options_.step : 0.2 / smoothness;
  outer_step_ = options_.outer_step > 0.0 ? options_.outer_step : step_;
  evaluates(options_.evaluate_every);
}

void Bome::step() {
  // Both x parts travel in one round of twice the length: the mean is linear in each.
  parallel::ExactSum sums[2];
  exchange_.clear();
  blocks_.work([&] {
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      const Out y = blocks_.of(y_, i), slope = blocks_.of(slope_, i), fall = blocks_.of(fall_, i);
      const Out low = Out(low_).first(y.size()), gradient = Out(gradient_).first(y.size());
      std::copy(y.begin(), y.end(), low.begin());
      for (std::int64_t round = 0; round < options_.inner; ++round) {
        oracle_.grad_y_g(i, {}, x_, low, gradient);
        axpy(-inner_step_, gradient, low);
      }
      oracle_.grad_y_f(i, {}, x_, y, slope);
      oracle_.grad_y_g(i, {}, x_, y, fall);
      sums[0].add(dot(slope, fall));
      sums[1].add(dot(fall, fall));
      oracle_.grad_x_g(i, {}, x_, y, part_);
      oracle_.grad_x_g(i, {}, x_, low, there_);
      axpy(-1.0, there_, part_);
      exchange_.add(i, 1.0, part_);
    }
  });
  exchange_.dense(fall_x_);
  exchange_.clear();
  blocks_.work([&] {
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      oracle_.grad_x_f(i, {}, x_, blocks_.of(y_, i), part_);
      exchange_.add(i, 1.0, part_);
    }
  });
  exchange_.dense(slope_x_);
  double totals[2];
  parallel::exact_sums(blocks_.comm(), sums, totals);
  // Sums over blocks weigh 1 / m in f and q; scaling y by sqrt(m), and x by the root of the ratio
  // of its step to that of y, makes one Euclidean space of (x, y_1, ..., y_m).
  const double m = static_cast<double>(blocks_.count()), ratio = outer_step_ / step_;
  const double across = totals[0] / m + ratio * dot(slope_x_, fall_x_);
  const double square = totals[1] / m + ratio * dot(fall_x_, fall_x_);
  const double factor =
      square < 1e-28 ? 0.0 : std::max((options_.barrier * square - across) / square, 0.0);
  margin_ = across + factor * square - options_.barrier * square;
  for (std::size_t k = 0; k < y_.size(); ++k) y_[k] -= step_ * (slope_[k] + factor * fall_[k]);
  for (std::size_t k = 0; k < x_.size(); ++k)
    x_[k] -= outer_step_ * (slope_x_[k] + factor * fall_x_[k]);
  oracle_.view().proj_x(x_);
  ++iteration_;
  report_.fresh = false;
  report_.failed = !std::isfinite(square) || !all_finite(x_);
  if (report_.failed)
    report_.message = "the directions left the finite numbers; take smaller steps";
  if (!report_.failed && options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0)
    evaluate();
}

void Bome::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  visit.scalar("inner_step", inner_step_);
  visit.scalar("step", step_);
  visit.scalar("outer_step", outer_step_);
}

}  // namespace equipoise::bilevel
