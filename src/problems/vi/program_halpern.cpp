#include "program_halpern.hpp"

#include <equipoise/partition/distributed_vector.hpp>

#include <fmt/format.h>

#include <tuple>
#include <utility>

namespace equipoise::problems {
namespace {

constexpr std::int64_t restart_check = 8;
/// How far a restart moves the logarithm of the primal weight to that of the distances' ratio.
constexpr double weight_gain = 0.99;
/// Coefficients from which on even the order for a factorisation costs many iterations.
constexpr std::int64_t large_program = 100'000;

/// Prox of sigma times the support function of [lower, upper], at v = y - sigma A(2x' - x).
double row_prox(double v, double sigma, double lower, double upper) {
  return v + sigma * clip(-v / sigma, lower, upper);
}

}  // namespace

void HalpernOptions::describe(state::OptionVisitor& visit) {
  visit.choice(
      "order", order, {"auto", "file", "graph"},
      "of rows and columns on the ranks: the file's, or one that makes neighbours of those "
      "that meet; auto: the graph's for large files where eight parts need half as many "
      "numbers of each other or fewer");
  visit.choice("polish", polish, {"auto", "off"},
               "auto: Newton's method on rank 0 finishes programs of moderate size, or a part of "
               "larger ones");
  visit.option("polish_after", polish_after,
               "first-order iterations before the first polish; later ones at every doubling",
               state::at_least_one);
  visit.option("polish_nonzeros", polish_nonzeros,
               "programs, or parts, with more coefficients are not gathered for the polish",
               state::non_negative);
  visit.option(
      "feasibility_polishing", feasibility_polishing,
      "linear programs: end as soon as steps without costs, and steps with bounds 0, make x "
      "and y feasible to the tolerance at a gap of at most method.gap_tolerance");
  visit.option("gap_tolerance", gap_tolerance,
               "largest relative gap, and complementarity, of a pair from feasibility polishing",
               state::positive);
  visit.option("check_every", check_every, "iterations between evaluations of the KKT residual",
               state::at_least_one);
}

HalpernPdhg::HalpernPdhg(parallel::Comm comm, std::shared_ptr<const DistributedProgram> program,
                         const HalpernOptions& options, double tolerance)
    : comm_(std::move(comm)),
      order_(comm_, program, options.order),
      program_(order_.program()),
      options_(options),
      tolerance_(tolerance),
      scaled_(comm_, program_),
      next_polish_(options.polish_after) {
  const std::size_t n = scaled_.cost.size();
  const std::size_t m = scaled_.row_lower.size();
  for (Vector* v : {&x_, &x_new_, &x_work_}) v->assign(n, 0.0);
  for (Vector* v : {&y_, &y_new_, &y_work_}) v->assign(m, 0.0);
  if (const double norm = scaled_.norm(); norm > 0.0) eta_ = 0.99 / norm;
  if (quadratic()) curvature_ = 1.01 * scaled_.quadratic_norm();
  weight_ = start_weight();
  for (std::size_t j = 0; j < n; ++j) x_[j] = clip(0.0, scaled_.lower[j], scaled_.upper[j]);
  x_anchor_ = x_new_ = x_;
  y_anchor_ = y_;
  best_.program = std::move(program);
  best_.part = comm_.rank();
  keep(x_, y_, scaled_.kkt(x_, y_));
  residual_at_polish_ = start_residual_ = report_.residual;
  if (!order_.note().empty()) notes_.emplace_back("order", order_.note());
  notes_.emplace_back("primal weight", fmt::format("{:.3g}", weight_));
}

double HalpernPdhg::start_weight() const {
  Vector finite(y_.size());
  for (std::size_t i = 0; i < finite.size(); ++i) {
    for (const double bound : {scaled_.row_lower[i], scaled_.row_upper[i]}) {
      if (std::isfinite(bound)) finite[i] = std::max(finite[i], std::abs(bound));
    }
  }
  const double b = partition::norm(comm_, program_->rows, finite);
  const double c = partition::norm(comm_, program_->columns, scaled_.cost);
  return b > 0.0 && c > 0.0 ? c / b : 1.0;
}

template <bool moves>
void HalpernPdhg::advance() {
  const bool bends = quadratic();
  const double tau = 1.0 / (weight_ / eta_ + curvature_), sigma = eta_ * weight_;
  const double of_anchor = pull(), of_point = 1.0 - of_anchor;
  if (bends) scaled_.multiply_quadratic(x_, x_work_);
  ProgramProduct& columns = scaled_.by_columns();
  ProgramProduct& rows = scaled_.by_rows();
  std::copy(y_.begin(), y_.end(), columns.input().begin());
  const auto reflected = rows.input();
  columns.apply([&](std::size_t j, double aty) {
    double gradient = scaled_.cost[j] - aty;
    if (bends) gradient += x_work_[j];
    const double next = clip(x_[j] - tau * gradient, scaled_.lower[j], scaled_.upper[j]);
    const double beyond = 2.0 * next - x_[j];
    reflected[j] = beyond;
    if constexpr (moves) {
      x_[j] = of_point * (bends ? next : beyond) + of_anchor * x_anchor_[j];
    } else {
      x_new_[j] = next;
    }
  });
  rows.apply([&](std::size_t i, double ax) {
    const double next =
        row_prox(y_[i] - sigma * ax, sigma, scaled_.row_lower[i], scaled_.row_upper[i]);
    if constexpr (moves) {
      y_[i] = of_point * (bends ? next : 2.0 * next - y_[i]) + of_anchor * y_anchor_[i];
    } else {
      y_new_[i] = next;
    }
  });
}

void HalpernPdhg::step() {
  report_.fresh = false;
  (void)iterate([this] { return check(); });
}

template <class Look>
bool HalpernPdhg::iterate(Look&& look) {
  const bool looks = (total_ + 1) % options_.check_every == 0;
  ++total_;
  if (!looks && inner_ % restart_check != 0) {
    advance<true>();
    ++inner_;
    return false;
  }
  advance<false>();
  if (looks && look()) return true;
  if (inner_ % restart_check == 0) {
    const double r = fixed_point_residual();
    if (inner_ == 0) first_residual_ = r;
    const bool stalls = r < 0.8 * first_residual_ && r > last_residual_;
    const bool artificial =
        inner_ > 100 && static_cast<double>(inner_) > 0.36 * static_cast<double>(total_);
    last_residual_ = r;
    if (inner_ > 0 && (r < 0.2 * first_residual_ || stalls || artificial)) {
      restart();
      return false;
    }
  }
  move();
  return false;
}

void HalpernPdhg::move() {
  const bool reflects = !quadratic();
  const double of_anchor = pull(), of_point = 1.0 - of_anchor;
  const auto mix = [&](Vector& z, const Vector& next, const Vector& anchor) {
    for (std::size_t j = 0; j < z.size(); ++j) {
      const double to = reflects ? 2.0 * next[j] - z[j] : next[j];
      z[j] = of_point * to + of_anchor * anchor[j];
    }
  };
  mix(x_, x_new_, x_anchor_);
  mix(y_, y_new_, y_anchor_);
  ++inner_;
}

/// sqrt(w |x' - x|^2 + |y' - y|^2 / w).
double HalpernPdhg::fixed_point_residual() {
  for (std::size_t j = 0; j < x_.size(); ++j) x_work_[j] = x_new_[j] - x_[j];
  for (std::size_t i = 0; i < y_.size(); ++i) y_work_[i] = y_new_[i] - y_[i];
  const double dx = partition::dot(comm_, program_->columns, x_work_, x_work_);
  const double dy = partition::dot(comm_, program_->rows, y_work_, y_work_);
  return std::sqrt(weight_ * dx + dy / weight_);
}

void HalpernPdhg::restart() {
  for (std::size_t j = 0; j < x_.size(); ++j) x_work_[j] = x_new_[j] - x_anchor_[j];
  for (std::size_t i = 0; i < y_.size(); ++i) y_work_[i] = y_new_[i] - y_anchor_[i];
  const double dx = partition::norm(comm_, program_->columns, x_work_);
  const double dy = partition::norm(comm_, program_->rows, y_work_);
  if (dx > 1e-10 && dy > 1e-10) {
    weight_ = std::exp(weight_gain * std::log(dy / dx) + (1.0 - weight_gain) * std::log(weight_));
  }
  x_ = x_anchor_ = x_new_;
  y_ = y_anchor_ = y_new_;
  inner_ = 0;
}

void HalpernPdhg::take(const RelativeKkt& kkt) {
  report_.residual = kkt.largest();
  report_.objective = (program_->maximise ? -1.0 : 1.0) * kkt.primal_objective;
}

void HalpernPdhg::keep(const Vector& x, const Vector& y, const RelativeKkt& kkt) {
  best_.x.resize(x.size());
  best_.y.resize(y.size());
  scaled_.unscale(x, y, best_.x, best_.y);
  order_.columns_to_file(best_.x);
  order_.rows_to_file(best_.y);
  take(kkt);
}

bool HalpernPdhg::check() {
  report_.fresh = true;
  const RelativeKkt now = scaled_.kkt(x_new_, y_new_);
  if (!std::isfinite(now.primal_objective)) {
    report_.failed = true;
    report_.message = "an iterate left the finite numbers";
    return true;
  }
  if (now.largest() < report_.residual) {
    keep(x_new_, y_new_, now);
  }
  if (report_.residual <= tolerance_) return false;
  if (options_.feasibility_polishing && now.gap <= options_.gap_tolerance &&
      total_ >= next_feasibility_ && !quadratic()) {
    next_feasibility_ = 2 * total_;
    if (polish_feasibility()) return true;
  }
  if (inner_ > 100 && (total_ / options_.check_every) % 8 == 0 && try_rays()) return true;
  if (options_.polish == "auto" && total_ >= next_polish_) {
    next_polish_ = 2 * total_;
    return !on_course() && polish();
  }
  return false;
}

template <class Done>
bool HalpernPdhg::walk(std::int64_t most, Done&& done) {
  x_anchor_ = x_;
  y_anchor_ = y_;
  inner_ = total_ = 0;
  while (total_ < most) {
    if (iterate(done)) return true;
  }
  return false;
}

bool HalpernPdhg::polish_feasibility() {
  const auto state = [this] {
    return std::tie(x_, y_, x_new_, y_new_, x_anchor_, y_anchor_, weight_, first_residual_,
                    last_residual_, inner_, total_);
  };
  const auto before = std::make_tuple(x_, y_, x_new_, y_new_, x_anchor_, y_anchor_, weight_,
                                      first_residual_, last_residual_, inner_, total_);
  const std::int64_t most = std::max(total_ / 8, 4 * options_.check_every);
  const auto bounds = [this] {
    return std::tie(scaled_.lower, scaled_.upper, scaled_.row_lower, scaled_.row_upper);
  };
  const auto finite_bounds =
      std::make_tuple(scaled_.lower, scaled_.upper, scaled_.row_lower, scaled_.row_upper);

  Vector x = x_new_, y = y_new_;
  const Vector costs = std::exchange(scaled_.cost, Vector(x.size()));
  x_ = x;
  std::fill(y_.begin(), y_.end(), 0.0);
  bool feasible = walk(most, [&] { return scaled_.kkt(x_new_, y).primal <= tolerance_; });
  scaled_.cost = costs;
  if (feasible) {
    x = x_new_;
    for (Vector* v : {&scaled_.lower, &scaled_.upper, &scaled_.row_lower, &scaled_.row_upper}) {
      for (double& bound : *v) bound = std::isfinite(bound) ? 0.0 : bound;
    }
    std::fill(x_.begin(), x_.end(), 0.0);
    y_ = y;
    weight_ = std::get<6>(before);
    feasible = walk(most, [&] { return scaled_.kkt(x, y_new_).dual <= tolerance_; });
    y = y_new_;
    bounds() = finite_bounds;
  }
  state() = before;
  if (!feasible) return false;
  const RelativeKkt now = scaled_.kkt(x, y);
  if (!(std::max(now.gap, now.complementarity) <= options_.gap_tolerance)) return false;
  keep(x, y, now);
  // At most the tolerance exactly where the run may end.
  report_.residual =
      std::max({now.primal, now.dual,
                tolerance_ * std::max(now.gap, now.complementarity) / options_.gap_tolerance});
  report_.message = fmt::format("feasibility polishing, gap {:.3g}", now.gap);
  return true;
}

/// Whether a large program that goes on losing digits of its residual as since the last call of
/// this, half of all iterations ago, needs no polish before the next.
bool HalpernPdhg::on_course() {
  const double gained = std::log(residual_at_polish_ / report_.residual);
  const double wanted = std::log(report_.residual / tolerance_);
  const bool first = residual_at_polish_ == start_residual_;
  residual_at_polish_ = report_.residual;
  return std::isfinite(gained) &&
         program_->nonzeros + program_->quadratic_nonzeros > large_program &&
         wanted <= (first ? 1.0 : 2.0) * gained;
}

/// Differences of iterates converge to a ray where the program has no solution (Applegate et al.
/// 2024).
bool HalpernPdhg::try_rays() {
  Vector ray(y_.size());
  for (std::size_t i = 0; i < y_.size(); ++i) ray[i] = (y_new_[i] - y_[i]) * scaled_.row_scale[i];
  if (prove_infeasible(std::move(ray))) return true;
  Vector direction(x_.size());
  for (std::size_t j = 0; j < x_.size(); ++j)
    direction[j] = (x_new_[j] - x_[j]) * scaled_.column_scale[j];
  return prove_unbounded(std::move(direction));
}

bool HalpernPdhg::prove_infeasible(Vector y) {
  const auto ray = scaled_.infeasible(y);
  if (!ray) return false;
  best_.status = static_cast<std::int64_t>(ProgramStatus::infeasible);
  order_.rows_to_file(y);
  best_.y = std::move(y);
  std::fill(best_.x.begin(), best_.x.end(), 0.0);
  report_ = {
      .residual = ray->error,
      .fresh = true,
      .finished = true,
      .message = fmt::format("infeasible, proved by a dual ray with margin {:.3g}", ray->margin)};
  return true;
}

bool HalpernPdhg::prove_unbounded(Vector x) {
  const auto ray = scaled_.unbounded(x);
  if (!ray) return false;
  best_.status = static_cast<std::int64_t>(ProgramStatus::unbounded);
  order_.columns_to_file(x);
  best_.x = std::move(x);
  std::fill(best_.y.begin(), best_.y.end(), 0.0);
  report_ = {
      .residual = ray->error,
      .fresh = true,
      .finished = true,
      .message = fmt::format("dual infeasible: the objective falls by {:.3g} along a ray, so the "
                             "program is unbounded if it is feasible",
                             ray->margin)};
  return true;
}

solve::Counters HalpernPdhg::counters() const {
  const bool counts = comm_.rank() == 0;  // the ranks share every product
  return {{"matrix_product", counts ? scaled_.products() : 0},
          {"factorization", counts ? factorizations_ : 0}};
}

void HalpernPdhg::fields(state::FieldVisitor& visit) {
  const auto& columns = program_->columns.coordinates();
  const auto& rows = program_->rows.coordinates();
  const int part = comm_.rank();
  visit.partitioned("x_iterate", columns, part, 1, x_);
  visit.partitioned("y_iterate", rows, part, 1, y_);
  visit.partitioned("x_anchor", columns, part, 1, x_anchor_);
  visit.partitioned("y_anchor", rows, part, 1, y_anchor_);
  visit.scalar("primal_weight", weight_);
  visit.scalar("first_fixed_point_residual", first_residual_);
  visit.scalar("last_fixed_point_residual", last_residual_);
  visit.scalar("inner_iterations", inner_);
  visit.scalar("total_iterations", total_);
  visit.scalar("next_polish", next_polish_);
  visit.scalar("next_feasibility", next_feasibility_);
  visit.scalar("residual_at_polish", residual_at_polish_);
  visit.scalar("report/residual", report_.residual);
  visit.scalar("report/objective", report_.objective);
  best_.fields(visit);
}

}  // namespace equipoise::problems
