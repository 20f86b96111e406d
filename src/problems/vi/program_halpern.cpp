#include "program_halpern.hpp"

#include <equipoise/partition/distributed_vector.hpp>

#include <fmt/format.h>

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
  visit.choice("polish", polish, {"auto", "off"},
               "auto: Newton's method on rank 0 finishes programs of moderate size, or a part of "
               "larger ones");
  visit.option("polish_after", polish_after,
               "first-order iterations before the first polish; later ones at every doubling",
               state::at_least_one);
  visit.option("polish_nonzeros", polish_nonzeros,
               "programs, or parts, with more coefficients are not gathered for the polish",
               state::non_negative);
  visit.option("check_every", check_every, "iterations between evaluations of the KKT residual",
               state::at_least_one);
}

HalpernPdhg::HalpernPdhg(parallel::Comm comm, std::shared_ptr<const DistributedProgram> program,
                         const HalpernOptions& options, double tolerance)
    : comm_(std::move(comm)),
      program_(std::move(program)),
      options_(options),
      tolerance_(tolerance),
      scaled_(comm_, program_),
      next_polish_(options.polish_after) {
  const std::size_t n = scaled_.cost.size();
  const std::size_t m = scaled_.row_lower.size();
  for (Vector* v : {&x_, &x_new_, &x_work_, &best_.x}) v->assign(n, 0.0);
  for (Vector* v : {&y_, &y_new_, &y_work_, &best_.y}) v->assign(m, 0.0);
  if (const double norm = scaled_.norm(); norm > 0.0) eta_ = 0.99 / norm;
  if (quadratic()) curvature_ = 1.01 * scaled_.quadratic_norm();
  weight_ = start_weight();
  for (std::size_t j = 0; j < n; ++j) x_[j] = clip(0.0, scaled_.lower[j], scaled_.upper[j]);
  x_anchor_ = x_new_ = x_;
  y_anchor_ = y_;
  best_.program = program_;
  best_.part = comm_.rank();
  scaled_.unscale(x_, y_, best_.x, best_.y);
  take(scaled_.kkt(x_, y_));
  residual_at_polish_ = start_residual_ = report_.residual;
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

void HalpernPdhg::step() {
  report_.fresh = false;
  const bool looks = (total_ + 1) % options_.check_every == 0;
  if (!looks && inner_ % restart_check != 0) {
    advance<true>();
    ++total_;
    ++inner_;
    return;
  }
  advance<false>();
  ++total_;
  if (looks && check()) return;
  if (inner_ % restart_check == 0) {
    const double r = fixed_point_residual();
    if (inner_ == 0) first_residual_ = r;
    const bool stalls = r < 0.8 * first_residual_ && r > last_residual_;
    const bool artificial =
        inner_ > 100 && static_cast<double>(inner_) > 0.36 * static_cast<double>(total_);
    last_residual_ = r;
    if (inner_ > 0 && (r < 0.2 * first_residual_ || stalls || artificial)) return restart();
  }
  move();
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

bool HalpernPdhg::check() {
  report_.fresh = true;
  const RelativeKkt now = scaled_.kkt(x_new_, y_new_);
  if (!std::isfinite(now.primal_objective)) {
    report_.failed = true;
    report_.message = "an iterate left the finite numbers";
    return true;
  }
  if (now.largest() < report_.residual) {
    scaled_.unscale(x_new_, y_new_, best_.x, best_.y);
    take(now);
  }
  if (report_.residual <= tolerance_) return false;
  if (inner_ > 100 && (total_ / options_.check_every) % 8 == 0 && try_rays()) return true;
  if (options_.polish == "auto" && total_ >= next_polish_) {
    next_polish_ = 2 * total_;
    return !on_course() && polish();
  }
  return false;
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
  best_.x.assign(x_.size(), 0.0);
  best_.y = std::move(y);
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
  best_.x = std::move(x);
  best_.y.assign(y_.size(), 0.0);
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
  visit.scalar("residual_at_polish", residual_at_polish_);
  visit.scalar("report/residual", report_.residual);
  visit.scalar("report/objective", report_.objective);
  best_.fields(visit);
}

}  // namespace equipoise::problems
