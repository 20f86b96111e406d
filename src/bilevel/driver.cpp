#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

namespace equipoise::bilevel {
namespace {

constexpr std::string_view needed[] = {"hvp_yy_g", "jvp_xy_g"};
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

Driver::Driver(const Setup& setup, DriverOptions options)
    : MethodBase(setup, options.exchange.setting(setup.seed), "of three streams", needed),
      options_(std::move(options)),
      kinds_{estimator(options_.lower), estimator(options_.linear), estimator(options_.outer)},
      sampler_(blocks_.count(), options_.blocks == 0 ? blocks_.count() : options_.blocks,
               options_.sampler == "global" ? BlockSampler::Mode::global
                                            : BlockSampler::Mode::stratified,
               setup.classes, setup.seed),
      v_(blocks_.zeros()),
      s_(v_),
      u_(v_),
      z_(x_.size()),
      old_x_(x_),
      policy_(policy(), x_.size(), window(), options_.longest, options_.most,
              // Steps that fall by a schedule do not grow by the policy.
              options_.decay + options_.outer_decay > 0.0 || options_.stage > 0 ? 1.0 : 1.5),
      visited_(at(blocks_.owned().size()), -1) {
  const auto saga = std::count(std::begin(kinds_), std::end(kinds_), Estimator::saga);
  if (saga != 0 && saga != 3) {
    throw ConfigurationError(
        "the SAGA estimator keeps one table for all three streams: take it for all or for none");
  }
  const OracleView& view = oracle_.view();
  if (options_.track_hessian) {
    const std::string_view calls[] = {"hess_yy_g"};
    view.need("with track_hessian", calls);
    if (saga != 0) throw ConfigurationError("track_hessian does not go with the SAGA estimator");
    if (blocks_.largest_dim() > 500) {
      throw ConfigurationError(
          "track_hessian keeps dense Hessians, and a block has {} inner variables; the most is 500",
          blocks_.largest_dim());
    }
    const auto width = at(blocks_.largest_dim() * blocks_.largest_dim());
    hessian_.resize(at(blocks_.owned().size()) * width);
    old_hessian_ = hessian_;
  }
  tables_.resize(saga != 0 ? visited_.size() : 0);
  blocks_.work([&] {
    require_batches(options_.batch);
    double bytes = 0.0;
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      const auto most =
          std::max(view.num_samples(i, Level::lower), view.num_samples(i, Level::upper));
      const double size = static_cast<double>(options_.batch == 0 ? std::min<std::int64_t>(64, most)
                                                                  : options_.batch);
      bytes += 8.0 * static_cast<double>(most) / size *
               static_cast<double>(3 * view.dim_inner(i) + 2 * view.dim_outer());
    }
    if (saga != 0 && bytes > options_.table_limit) {
      throw ConfigurationError(
          "SAGA tables would take {:.2g} GB on one rank (limit {:.2g}); take larger batches, more "
          "ranks, or another estimator",
          bytes / 1e9, options_.table_limit / 1e9);
    }
  });
  // Tables, and estimates between the visits of a block, go stale; then steps must be smaller, and
  // smaller still where unsampled blocks move along them.
  const double share =
      static_cast<double>(sampler_.sampled()) / static_cast<double>(blocks_.count());
  const auto uses = [&](auto test) { return std::any_of(kinds_, kinds_ + 3, test); };
  const bool stale = uses([](Estimator kind) { return kind == Estimator::saga; }) ||
                     (share < 1.0 && uses(looks_back));
  const double lower = !stale ? 1.0 : options_.move_all ? 0.4 * share : 0.4;
  const double outer = !stale ? 0.4 * share : options_.move_all ? 0.1 : 0.2 * share;
  const bool watched = policy_.windowed();
  const double largest = options_.lower_step == 0.0 || watched ? smoothness() : 0.0;
  oracle_.clear();
  tau_ = options_.lower_step > 0.0 ? options_.lower_step : lower / largest;
  tau_v_ = options_.linear_step > 0.0 ? options_.linear_step : tau_;
  eta_ = options_.outer_step > 0.0 ? options_.outer_step : outer * tau_;
  if (watched) {
    safe_ = std::max(lower, tau_ * largest);
    seen_x_ = x_;
  }
  const auto dy = at(blocks_.largest_dim());
  for (Raw* raw : {&now_, &before_})
    *raw = {std::vector<double>(dy), std::vector<double>(dy), std::vector<double>(x_.size()),
            std::vector<double>(std::max(dy, x_.size()))};
  for (auto* buffer : {&yo_, &vo_}) buffer->resize(dy);
  mixed_.resize(x_.size());
  if (saga != 0) entries_.resize(3 * dy + 2 * x_.size());
  if (view.has("x_support")) exchange_.allow_sparse();
  next_.resize(x_.size());
  evaluates(options_.evaluate_every);
}

/// The largest smoothness of grad_y g over all blocks at the present point. **Collective.**
double Driver::smoothness() {
  double largest = 0.0;
  blocks_.work([&] {
    for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
      const In y = blocks_.of(std::as_const(y_), i);
      double here = oracle_.view().bounds(i, x_, y).smoothness;
      if (here == 0.0) here = estimate_spectrum({oracle_, i, {}, x_, y}, 20).largest;
      largest = std::max(largest, here);
    }
  });
  return blocks_.comm().max(largest);
}

/// Shortens all steps where x has gone far and made the lower problems less smooth, as exp(x) does:
/// those of y and v because they must, that of x because it must stay the slower one.
void Driver::follow_smoothness() {
  double far = 0.0;
  for (std::size_t k = 0; k < x_.size(); ++k) far = std::max(far, std::abs(x_[k] - seen_x_[k]));
  if (far < 0.5) return;
  seen_x_ = x_;
  const double shrink = std::min(1.0, safe_ / (tau_ * smoothness()));
  tau_ *= shrink;
  tau_v_ *= shrink;
  eta_ *= shrink;
}

/// What multiplies the steps at iteration t: decay, and the stages of the restarted version.
double Driver::factor(std::int64_t t) const {
  double out = options_.decay > 0.0 ? std::pow(static_cast<double>(t + 1), -options_.decay) : 1.0;
  if (options_.stage > 0) {
    for (std::int64_t end = options_.stage, length = options_.stage; t >= end; end += length) {
      length *= 2;
      out *= 0.5;
    }
  }
  return out;
}

/// Constants of the estimators in this iteration.
EstimatorConstants Driver::constants() const {
  EstimatorConstants out = options_.constants;
  double by = options_.stage > 0 ? factor(iteration_) : 1.0;
  if (options_.fade > 0.0) by *= std::pow(static_cast<double>(iteration_ + 1), -options_.fade);
  out.alpha *= by;
  out.beta *= by;
  return out;
}

/// Given steps are taken as they are; our own are a guess, which the policy corrects.
std::string Driver::policy() const {
  return options_.policy == "auto" && options_.outer_step > 0.0 ? "plain" : options_.policy;
}

/// The window of the policy: the iterations that see as many samples as there are; for auto, which
/// holds x still for a window, within 50 and 500.
std::int64_t Driver::window() const {
  if (options_.window > 0) return options_.window;
  double passes = 1.0;
  if (blocks_.owned().size() > 0) {
    const auto i = blocks_.owned().begin;
    const auto n = std::max(oracle_.view().num_samples(i, Level::lower),
                            oracle_.view().num_samples(i, Level::upper));
    const auto b = options_.batch == 0 ? std::min<std::int64_t>(64, n) : options_.batch;
    passes = static_cast<double>(n) / static_cast<double>(b);
  }
  const double all = static_cast<double>(blocks_.count());
  const double share = all / static_cast<double>(sampler_.sampled());
  const auto pass = static_cast<std::int64_t>(std::ceil(blocks_.comm().max(passes) * share));
  return policy() == "auto" ? std::clamp<std::int64_t>(pass, 50, 500) : pass;
}

/// True where SARAH or PAGE takes a full pass; the same for the three streams and on all ranks.
bool Driver::full(std::int64_t t) const {
  const auto uses = [&](Estimator kind) {
    return std::find(kinds_, kinds_ + 3, kind) != kinds_ + 3;
  };
  if (!uses(Estimator::sarah) && !uses(Estimator::page)) return false;
  const auto n =
      oracle_.view().num_samples(0, Level::lower) + oracle_.view().num_samples(0, Level::upper);
  const auto b = 2 * (options_.batch == 0 ? std::min<std::int64_t>(64, n / 2) : options_.batch);
  if (uses(Estimator::sarah)) {
    const auto period = options_.period > 0 ? options_.period
                                            : std::max<std::int64_t>(1, (n + 2 * b - 1) / (2 * b));
    return t % period == 0;
  }
  const double coin =
      options_.coin > 0.0 ? options_.coin : static_cast<double>(b) / static_cast<double>(n);
  return t == 0 || parallel::Draw(seed_, parallel::Purpose::coin, t).uniform(0) < coin;
}

/// The point of block i after `moves` iterations since its last visit, moved along the estimates of
/// that visit.
void Driver::position(std::int64_t i, std::int64_t moves, Out y, Out v) const {
  const In y0 = blocks_.of(y_, i), v0 = blocks_.of(v_, i), s = blocks_.of(s_, i),
           u = blocks_.of(u_, i);
  std::copy(y0.begin(), y0.end(), y.begin());
  std::copy(v0.begin(), v0.end(), v.begin());
  const std::int64_t t0 = visited_[at(i - blocks_.owned().begin)];
  if (t0 < 0) return;
  const std::int64_t count = options_.move_all ? moves : std::min<std::int64_t>(moves, 1);
  const bool constrained = oracle_.view().table().proj_y != nullptr;
  if (options_.decay == 0.0 && options_.stage == 0 && !constrained) {
    const double many = static_cast<double>(count);
    axpy(-many * tau_, s, y);
    axpy(-many * tau_v_, u, v);
    if (norm(v) <= options_.radius) return;
    std::copy(v0.begin(), v0.end(), v.begin());
    for (std::int64_t k = 0; k < count; ++k) {
      axpy(-tau_v_, u, v);
      project_ball(options_.radius, v);
    }
    return;
  }
  for (std::int64_t k = 0; k < count; ++k) {
    const double f = factor(t0 + k);
    axpy(-f * tau_, s, y);
    oracle_.view().proj_y(i, y);
    axpy(-f * tau_v_, u, v);
    project_ball(options_.radius, v);
  }
}

void Driver::choose_batches(std::int64_t i, bool everything) {
  lower_batch_.clear();
  upper_batch_.clear();
  if (everything) return;
  const auto choose = [&](Level level, std::vector<std::int64_t>& out, std::int64_t& slot) {
    const auto n = oracle_.view().num_samples(i, level);
    const auto b = options_.batch == 0 ? std::min<std::int64_t>(64, n) : options_.batch;
    const parallel::Draw draw(seed_, parallel::Purpose::batch, iteration_,
                              2 * i + (level == Level::upper ? 1 : 0));
    if (!tables_.empty()) {
      slot = static_cast<std::int64_t>(draw.below(static_cast<std::uint64_t>(n), 0)) / b;
      for (auto j = slot * b; j < std::min(n, (slot + 1) * b); ++j) out.push_back(j);
    } else if (b < n) {
      sample_without_replacement(n, b, draw, 0, out);
    }
  };
  choose(Level::lower, lower_batch_, lower_slot_);
  choose(Level::upper, upper_batch_, upper_slot_);
}

void Driver::evaluate_at(std::int64_t i, In x, In y, In v, Raw& raw) {
  const auto dy = y.size();
  const Out lower = Out(raw.lower).first(dy), linear = Out(raw.linear).first(dy);
  const Out slope = Out(raw.scratch).first(dy);
  oracle_.lower_pass(i, lower_batch_, x, y, v, lower, linear, raw.outer);
  oracle_.grad_y_f(i, upper_batch_, x, y, slope);
  axpy(-1.0, slope, linear);
  const Out upper = Out(raw.scratch).first(x.size());
  oracle_.grad_x_f(i, upper_batch_, x, y, upper);
  for (std::size_t k = 0; k < x.size(); ++k) raw.outer[k] = upper[k] - raw.outer[k];
}

/// One visit of a block at iteration t: its streams and its share of the hypergradient.
void Driver::visit_block(Visit& visit, double weight, bool everything) {
  const std::int64_t i = visit.block;
  const auto dy = at(oracle_.view().dim_inner(i));
  const auto local = at(i - blocks_.owned().begin);
  const bool first = visit.first = visited_[local] < 0;
  const std::int64_t moves = visit.moves = iteration_ - visited_[local];
  for (auto* buffer : {&visit.y, &visit.v}) buffer->resize(dy);
  const Out yn = visit.y, vn = visit.v, yo = Out(yo_).first(dy), vo = Out(vo_).first(dy);
  position(i, moves, yn, vn);
  choose_batches(i, everything);
  const Blend by = visit.lower = blend(kinds_[0], constants(), first, everything);
  const Blend bv = visit.linear = blend(kinds_[1], constants(), first, everything);
  const Blend bx = blend(kinds_[2], constants(), iteration_ == 0, everything);
  const bool look_back = by.previous != 0.0 || bv.previous != 0.0 || bx.previous != 0.0;
  // Without move_all a block moved once, right after its last visit: the look back is to before it.
  if (look_back) position(i, options_.move_all ? moves - 1 : 0, yo, vo);
  if (options_.track_hessian) {
    if (first) track(i, yn, yn, {});
    hessian_direction(i, x_, yn, hessian_, now_);
    if (look_back) hessian_direction(i, old_x_, yo, moves == 1 ? old_hessian_ : hessian_, before_);
  } else if (!tables_.empty()) {
    if (first) build_tables(i, x_, yn, vn);
    evaluate_tables(i, x_, yn, vn, now_);
  } else {
    evaluate_at(i, x_, yn, vn, now_);
    if (look_back) evaluate_at(i, old_x_, yo, vo, before_);
  }
  const auto keep = [&](const std::vector<double>& from, std::vector<double>& to) {
    to.assign(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(dy));
  };
  keep(now_.lower, visit.h_lower);
  keep(now_.linear, visit.h_linear);
  keep(before_.lower, visit.old_lower);
  keep(before_.linear, visit.old_linear);
  update({0.0, bx.now, bx.previous}, now_.outer, before_.outer, mixed_);
  if (!all_finite(visit.h_lower) || (!options_.track_hessian && !all_finite(visit.h_linear)))
    mixed_[0] = std::numeric_limits<double>::quiet_NaN();
  const auto support = oracle_.view().table().x_support;
  if (support && tables_.empty() && !lower_batch_.empty() && !upper_batch_.empty()) {
    support(oracle_.view().self(), i, lower_batch_, upper_batch_, support_);
    // Entry 0 carries what is not finite.
    if (std::find(support_.begin(), support_.end(), 0) == support_.end()) support_.push_back(0);
    exchange_.add_sparse(i, weight, mixed_, support_);
  } else {
    exchange_.add(i, weight, mixed_);
  }
}

/// The lower updates of a visit, which do not read the mean hypergradient: the estimates, the point
/// they belong to, and the tracked Hessian.
void Driver::settle(const Visit& visit, bool everything) {
  const std::int64_t i = visit.block;
  if (options_.track_hessian && !visit.first) {
    const auto dy = visit.y.size();
    const Out yo = Out(yo_).first(dy);
    choose_batches(i, everything);
    if (visit.linear.previous != 0.0)
      position(i, options_.move_all ? visit.moves - 1 : 0, yo, Out(vo_).first(dy));
    track(i, visit.y, yo, visit.linear);
  }
  std::copy(visit.y.begin(), visit.y.end(), blocks_.of(y_, i).begin());
  std::copy(visit.v.begin(), visit.v.end(), blocks_.of(v_, i).begin());
  update(visit.lower, visit.h_lower, visit.old_lower, blocks_.of(s_, i));
  if (!options_.track_hessian)
    update(visit.linear, visit.h_linear, visit.old_linear, blocks_.of(u_, i));
  visited_[at(i - blocks_.owned().begin)] = iteration_;
}

void Driver::step() {
  const bool everything = full(iteration_);
  if (everything) {
    sample_.ids.resize(at(blocks_.count()));
    for (std::size_t k = 0; k < sample_.ids.size(); ++k)
      sample_.ids[k] = static_cast<std::int64_t>(k);
    sample_.weights.assign(sample_.ids.size(), 1.0);
  } else {
    sampler_.draw(iteration_, sample_);
  }
  exchange_.clear();
  std::int64_t bad = -1;
  visiting_ = 0;
  blocks_.work([&] {
    for (std::size_t k = 0; k < sample_.ids.size(); ++k) {
      if (!blocks_.owned().contains(sample_.ids[k])) continue;
      if (visiting_ == visits_.size()) visits_.emplace_back();
      Visit& visit = visits_[visiting_++];
      visit.block = sample_.ids[k];
      visit_block(visit, sample_.weights[k], everything);
      if (bad < 0 && !all_finite(mixed_)) bad = sample_.ids[k];
    }
  });
  // The lower updates happen while the mean of the hypergradients travels.
  exchange_.start(iteration_, next_);
  std::exception_ptr failure;
  try {
    for (std::size_t k = 0; k < visiting_; ++k) settle(visits_[k], everything);
  } catch (...) {
    failure = std::current_exception();
  }
  exchange_.finish();
  if (options_.track_hessian) {
    parallel::agree(blocks_.comm(), [&] {
      if (failure) std::rethrow_exception(failure);
    });
  }
  report_.fresh = false;
  if (!all_finite(next_)) {
    failed_block(bad);
    report_.failed = true;
    return;
  }
  const Blend bx = blend(kinds_[2], constants(), iteration_ == 0, everything);
  update({bx.keep, 1.0, 0.0}, next_, next_, z_);
  old_x_ = x_;
  const std::int64_t t = iteration_ - options_.warm_up;
  if (t >= 0) {
    double step = eta_ * factor(iteration_);
    if (options_.outer_decay > 0.0)
      step *= std::pow(static_cast<double>(t + 1), -options_.outer_decay);
    policy_.move(t, step, z_, x_);
    oracle_.view().proj_x(x_);
    if (policy_.ends(t)) follow_smoothness();
  }
  ++iteration_;
  if (options_.evaluate_every > 0 && iteration_ % options_.evaluate_every == 0) evaluate();
}

const std::vector<double>& Driver::inner() {
  materialised_.resize(y_.size());
  std::vector<double> v(at(blocks_.largest_dim()));
  for (auto i = blocks_.owned().begin; i < blocks_.owned().end; ++i) {
    const Out y = blocks_.of(materialised_, i);
    position(i, iteration_ - visited_[at(i - blocks_.owned().begin)], y, Out(v).first(y.size()));
  }
  return materialised_;
}

void Driver::fields(state::FieldVisitor& visit) {
  base_fields(visit);
  block_field(visit, "v", v_);
  block_field(visit, "s", s_);
  block_field(visit, "u", u_);
  visit.replicated("z", z_);
  visit.replicated("old_x", old_x_);
  policy_.fields(visit);
  visit.scalar("tau", tau_);
  visit.scalar("tau_v", tau_v_);
  visit.scalar("eta", eta_);
  visit.scalar("safe", safe_);
  if (!seen_x_.empty()) visit.replicated("seen_x", seen_x_);
  visit.partitioned("visited", blocks_.over_ranks(), blocks_.comm().rank(), 1, visited_);
  if (options_.track_hessian) {
    const auto width = blocks_.largest_dim() * blocks_.largest_dim();
    row_field(visit, "hessian", width, hessian_);
    row_field(visit, "old_hessian", width, old_hessian_);
  }
  if (!tables_.empty() || kinds_[0] == Estimator::saga) {
    visit.ragged("tables", blocks_.over_ranks(), blocks_.comm().rank(), tables_);
  }
}

std::vector<std::pair<std::string, std::string>> Driver::notes() const {
  return {{"steps", fmt::format("lower {:.3g}, linear {:.3g}, outer {:.3g}", tau_, tau_v_, eta_)},
          {"sampling", fmt::format("{} of {} blocks, {}", sampler_.sampled(), blocks_.count(),
                                   options_.sampler)}};
}

}  // namespace equipoise::bilevel
