#include "program_halpern.hpp"

#include "program_newton.hpp"
#include "program_spread.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/distributed_vector.hpp>

#include <fmt/format.h>

#include <array>
#include <limits>

namespace equipoise::problems {
namespace {

constexpr std::int64_t restart_check = 8;
/// How far a restart moves the logarithm of the primal weight to that of the distances' ratio.
constexpr double weight_gain = 0.99;
/// A polish may cost so many operations at once, and so many times those spent on products.
constexpr double polish_at_once = 1e10, polish_share = 2.0;
constexpr double polish_factorizations = 30.0;  ///< expected
constexpr double ray_tolerance = 1e-8;
constexpr double ray_zero = 1e-9;  ///< smaller entries of a ray's A'y are rounding

/// Prox of sigma times the support function of [lower, upper], at v = y - sigma A(2x' - x).
double row_prox(double v, double sigma, double lower, double upper) {
  return v + sigma * clip(-v / sigma, lower, upper);
}

}  // namespace

void HalpernOptions::describe(state::OptionVisitor& visit) {
  visit.choice("polish", polish, {"auto", "off"},
               "auto: Newton's method on rank 0 finishes programs of moderate size");
  visit.option("polish_after", polish_after,
               "first-order iterations before the first polish; later ones at every doubling",
               state::at_least_one);
  visit.option("polish_nonzeros", polish_nonzeros,
               "programs with more coefficients are not gathered for the polish",
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
      matrix_(comm_, program_->rows.coordinates(), program_->columns.coordinates(),
              program_->entries(comm_.rank())),
      quadratic_(comm_, program_->columns.coordinates(), program_->columns.coordinates(),
                 program_->quadratic),
      cost_(program_->cost),
      lower_(program_->lower),
      upper_(program_->upper),
      row_lower_(program_->row_lower),
      row_upper_(program_->row_upper),
      column_scale_(cost_.size(), 1.0),
      row_scale_(row_lower_.size(), 1.0),
      next_polish_(options.polish_after) {
  const std::size_t n = cost_.size();
  const std::size_t m = row_lower_.size();
  for (Vector* v : {&x_, &x_new_, &x_work_, &x_gradient_, &x_out_}) v->assign(n, 0.0);
  for (Vector* v : {&y_, &y_new_, &y_work_, &y_out_}) v->assign(m, 0.0);
  scale();
  measure_norms();
  start_weight();
  for (std::size_t j = 0; j < n; ++j) x_[j] = clip(0.0, lower_[j], upper_[j]);
  x_anchor_ = x_;
  y_anchor_ = y_;
  best_.program = program_;
  best_.part = comm_.rank();
  unscale(x_, y_, x_out_, y_out_);
  accept(kkt(x_, y_), x_out_, y_out_);
  notes_.emplace_back("primal weight", fmt::format("{:.3g}", weight_));
}

void HalpernPdhg::scale() {
  Vector row(row_scale_.size()), column(column_scale_.size()), other(column.size());
  for (int pass = 0; pass < 11; ++pass) {
    const auto norm = pass < 10 ? partition::LineNorm::max : partition::LineNorm::one;
    matrix_.row_norms(norm, row);
    matrix_.column_norms(norm, column);
    quadratic_.column_norms(norm, other);
    for (std::size_t j = 0; j < column.size(); ++j) column[j] = std::max(column[j], other[j]);
    for (Vector* factors : {&row, &column}) {
      for (double& f : *factors) f = f > 0.0 ? 1.0 / std::sqrt(f) : 1.0;
    }
    matrix_.scale(row, column);
    quadratic_.scale(column, column);
    for (std::size_t i = 0; i < row.size(); ++i) {
      row_scale_[i] *= row[i];
      row_lower_[i] *= row[i];
      row_upper_[i] *= row[i];
    }
    for (std::size_t j = 0; j < column.size(); ++j) {
      column_scale_[j] *= column[j];
      cost_[j] *= column[j];
      lower_[j] /= column[j];
      upper_[j] /= column[j];
    }
  }
}

/// |A| and |Q| by 60 power iterations from normal draws.
void HalpernPdhg::measure_norms() {
  const parallel::Draw draw(0, parallel::Purpose::probe, 0);
  const auto first = static_cast<std::uint64_t>(program_->columns.owned(comm_.rank()).begin);
  const auto largest = [&](auto apply) {
    for (std::size_t j = 0; j < x_work_.size(); ++j) x_work_[j] = draw.normal(first + j);
    double norm = 0.0;
    for (int k = 0; k < 60; ++k) {
      const double size = partition::norm(comm_, program_->columns, x_work_);
      if (!(size > 0.0)) return 0.0;
      for (double& v : x_work_) v /= size;
      norm = k > 0 ? size : 0.0;
      apply();
    }
    return std::max(norm, partition::norm(comm_, program_->columns, x_work_));
  };
  const double squared = largest([&] {
    multiply(x_work_, y_work_);
    multiply_transposed(y_work_, x_work_);
  });
  if (squared > 0.0) eta_ = 0.99 / std::sqrt(squared);
  if (!quadratic()) return;
  curvature_ = 1.01 * largest([&] {
                 multiply_quadratic(x_work_, x_gradient_);
                 x_work_ = x_gradient_;
               });
}

void HalpernPdhg::start_weight() {
  Vector finite(row_lower_.size());
  for (std::size_t i = 0; i < finite.size(); ++i) {
    const double low = std::isfinite(row_lower_[i]) ? std::abs(row_lower_[i]) : 0.0;
    const double high = std::isfinite(row_upper_[i]) ? std::abs(row_upper_[i]) : 0.0;
    finite[i] = std::max(low, high);
  }
  const double b = partition::norm(comm_, program_->rows, finite);
  const double c = partition::norm(comm_, program_->columns, cost_);
  weight_ = b > 0.0 && c > 0.0 ? c / b : 1.0;
}

void HalpernPdhg::multiply(const Vector& x, Vector& out) {
  matrix_.multiply(x, out);
  ++products_;
}
void HalpernPdhg::multiply_transposed(const Vector& y, Vector& out) {
  matrix_.multiply_transposed(y, out);
  ++products_;
}
void HalpernPdhg::multiply_quadratic(const Vector& x, Vector& out) {
  quadratic_.multiply(x, out);
  ++products_;
}

void HalpernPdhg::step() {
  report_.fresh = false;
  advance();
  ++total_;
  if (total_ % options_.check_every == 0 && check()) return;
  if (inner_ % restart_check == 0) {
    const double r = fixed_point_residual();
    if (inner_ == 0) first_residual_ = r;
    const bool artificial =
        inner_ > 100 && static_cast<double>(inner_) > 0.36 * static_cast<double>(total_);
    if (inner_ > 0 && (r < 0.2 * first_residual_ || artificial)) return restart();
  }
  move();
}

/// (x_new, y_new) := T(x, y).
void HalpernPdhg::advance() {
  multiply_transposed(y_, x_gradient_);
  for (std::size_t j = 0; j < x_.size(); ++j) x_gradient_[j] = cost_[j] - x_gradient_[j];
  if (quadratic()) {
    multiply_quadratic(x_, x_work_);
    for (std::size_t j = 0; j < x_.size(); ++j) x_gradient_[j] += x_work_[j];
  }
  const double tau = 1.0 / (weight_ / eta_ + curvature_);
  for (std::size_t j = 0; j < x_.size(); ++j) {
    x_new_[j] = clip(x_[j] - tau * x_gradient_[j], lower_[j], upper_[j]);
    x_work_[j] = 2.0 * x_new_[j] - x_[j];
  }
  multiply(x_work_, y_work_);
  const double sigma = eta_ * weight_;
  for (std::size_t i = 0; i < y_.size(); ++i) {
    y_new_[i] = row_prox(y_[i] - sigma * y_work_[i], sigma, row_lower_[i], row_upper_[i]);
  }
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

void HalpernPdhg::move() {
  const double rho = quadratic() ? 0.0 : 1.0;
  const double pull = 1.0 / static_cast<double>(inner_ + 2);
  const auto mix = [&](Vector& z, const Vector& next, const Vector& anchor) {
    for (std::size_t j = 0; j < z.size(); ++j) {
      z[j] = (1.0 - pull) * ((1.0 + rho) * next[j] - rho * z[j]) + pull * anchor[j];
    }
  };
  mix(x_, x_new_, x_anchor_);
  mix(y_, y_new_, y_anchor_);
  ++inner_;
}

void HalpernPdhg::unscale(const Vector& x, const Vector& y, Vector& to_x, Vector& to_y) const {
  for (std::size_t j = 0; j < x.size(); ++j) {
    to_x[j] = clip(x[j] * column_scale_[j], program_->lower[j], program_->upper[j]);
  }
  for (std::size_t i = 0; i < y.size(); ++i) {
    to_y[i] = carried(y[i] * row_scale_[i], program_->row_lower[i], program_->row_upper[i]);
  }
}

/// The KKT errors of the scaled pair, in the program's units. **Collective**, two or three
/// products.
RelativeKkt HalpernPdhg::kkt(const Vector& x, const Vector& y) {
  const DistributedProgram& p = *program_;
  Vector ax(y.size()), z(x.size()), qx(x.size()), primal(x.size()), dual(x.size()), rows(y.size());
  multiply(x, ax);
  multiply_transposed(y, z);
  if (quadratic()) multiply_quadratic(x, qx);
  KktMaxima maxima;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double scale = column_scale_[j];
    const double value = clip(x[j] * scale, p.lower[j], p.upper[j]);
    const double bend = qx[j] / scale;
    primal[j] = (p.cost[j] + 0.5 * bend) * value;
    dual[j] = maxima.add(p.cost[j] + bend - z[j] / scale, value, p.lower[j], p.upper[j]) -
              0.5 * bend * value;
  }
  for (std::size_t i = 0; i < y.size(); ++i) {
    rows[i] = maxima.add(carried(y[i] * row_scale_[i], p.row_lower[i], p.row_upper[i]),
                         ax[i] / row_scale_[i], p.row_lower[i], p.row_upper[i]);
  }
  std::array<double, 3> largest = {maxima.violation, maxima.loose, maxima.complementarity};
  comm_.max(largest);
  const double primal_sum = partition::sum(comm_, p.columns, primal) + p.constant;
  const double dual_sum =
      partition::sum(comm_, p.columns, dual) + partition::sum(comm_, p.rows, rows) + p.constant;
  return relative_kkt({largest[0], largest[1], largest[2]}, primal_sum, dual_sum, p.largest_bound,
                      p.largest_cost);
}

void HalpernPdhg::accept(const RelativeKkt& kkt, const Vector& x, const Vector& y) {
  best_.x = x;
  best_.y = y;
  report_.residual = kkt.largest();
  report_.objective = (program_->maximise ? -1.0 : 1.0) * kkt.primal_objective;
}

bool HalpernPdhg::check() {
  report_.fresh = true;
  const RelativeKkt now = kkt(x_new_, y_new_);
  if (!std::isfinite(now.primal_objective)) {
    report_.failed = true;
    report_.message = "an iterate left the finite numbers";
    return true;
  }
  if (now.largest() < report_.residual) {
    unscale(x_new_, y_new_, x_out_, y_out_);
    accept(now, x_out_, y_out_);
  }
  if (report_.residual <= tolerance_) return false;
  if (inner_ > 100 && (total_ / options_.check_every) % 8 == 0 && try_rays()) return true;
  if (options_.polish == "auto" && total_ >= next_polish_ &&
      program_->nonzeros + program_->quadratic_nonzeros <= options_.polish_nonzeros) {
    next_polish_ = 2 * total_;
    return worth_polishing() && polish();
  }
  return false;
}

/// Differences of iterates converge to a ray where the program has no solution (Applegate et al.
/// 2024).
bool HalpernPdhg::try_rays() {
  Vector ray(y_.size());
  for (std::size_t i = 0; i < y_.size(); ++i) ray[i] = (y_new_[i] - y_[i]) * row_scale_[i];
  if (prove_infeasible(std::move(ray))) return true;
  Vector direction(x_.size());
  for (std::size_t j = 0; j < x_.size(); ++j) direction[j] = (x_new_[j] - x_[j]) * column_scale_[j];
  return prove_unbounded(std::move(direction));
}

/// Tests y (in the program's units, any length): with max |y| = 1, y'(Ax) of every feasible x is at
/// least the rows' part and at most minus the columns' part; a positive sum of the two is a proof.
bool HalpernPdhg::prove_infeasible(Vector y) {
  const DistributedProgram& p = *program_;
  double size = 0.0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = carried(y[i], p.row_lower[i], p.row_upper[i]);
    size = std::max(size, std::abs(y[i]));
  }
  size = comm_.max(size);
  if (!(size > 0.0) || !std::isfinite(size)) return false;
  Vector scaled(y.size()), z(x_.size()), rows(y.size()), columns(x_.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] /= size;
    scaled[i] = y[i] / row_scale_[i];
  }
  multiply_transposed(scaled, z);
  KktMaxima maxima;
  for (std::size_t i = 0; i < y.size(); ++i) {
    rows[i] = maxima.add(y[i], 0.0, p.row_lower[i], p.row_upper[i]);
  }
  for (std::size_t j = 0; j < z.size(); ++j) {
    const double value = -z[j] / column_scale_[j];
    columns[j] = maxima.add(std::abs(value) < ray_zero ? 0.0 : value, 0.0, p.lower[j], p.upper[j]);
  }
  const double loose = comm_.max(maxima.loose);
  const double margin =
      partition::sum(comm_, p.rows, rows) + partition::sum(comm_, p.columns, columns);
  if (!(margin > 1e-6) || !(loose <= ray_tolerance)) return false;
  best_.status = static_cast<std::int64_t>(ProgramStatus::infeasible);
  best_.x.assign(x_.size(), 0.0);
  best_.y = std::move(y);
  report_ = {loose, solve::Report::unknown,
             true,  false,
             true,  fmt::format("infeasible, proved by a dual ray with margin {:.3g}", margin)};
  return true;
}

/// Tests x (any length): with max |x| = 1, moving along it must keep rows and bounds, add no
/// curvature, and lower the objective.
bool HalpernPdhg::prove_unbounded(Vector x) {
  const DistributedProgram& p = *program_;
  double size = 0.0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    x[j] = clip(x[j], std::isfinite(p.lower[j]) ? 0.0 : -HUGE_VAL,
                std::isfinite(p.upper[j]) ? 0.0 : HUGE_VAL);
    size = std::max(size, std::abs(x[j]));
  }
  size = comm_.max(size);
  if (!(size > 0.0) || !std::isfinite(size)) return false;
  Vector scaled(x.size()), ax(y_.size()), qx(x.size()), fall(x.size());
  for (std::size_t j = 0; j < x.size(); ++j) {
    x[j] /= size;
    scaled[j] = x[j] / column_scale_[j];
    fall[j] = p.cost[j] * x[j];
  }
  const double slope = partition::sum(comm_, p.columns, fall);
  multiply(scaled, ax);
  if (quadratic()) multiply_quadratic(scaled, qx);
  double leaves = 0.0;
  for (std::size_t i = 0; i < ax.size(); ++i) {
    const double change = ax[i] / row_scale_[i];
    if (std::isfinite(p.row_lower[i])) leaves = std::max(leaves, -change);
    if (std::isfinite(p.row_upper[i])) leaves = std::max(leaves, change);
  }
  for (std::size_t j = 0; j < x.size(); ++j)
    leaves = std::max(leaves, std::abs(qx[j] / column_scale_[j]));
  leaves = comm_.max(leaves);
  if (!(slope < -1e-6) || !(leaves <= ray_tolerance)) return false;
  best_.status = static_cast<std::int64_t>(ProgramStatus::unbounded);
  best_.x = std::move(x);
  best_.y.assign(y_.size(), 0.0);
  report_ = {leaves,
             solve::Report::unknown,
             true,
             false,
             true,
             fmt::format("dual infeasible: the objective falls by {:.3g} along a ray, so the "
                         "program is unbounded if it is feasible",
                         -slope)};
  return true;
}

/// Rank 0 counts the operations of a factorisation, once, and compares them with those of the
/// products so far.
bool HalpernPdhg::worth_polishing() {
  const double entries = static_cast<double>(program_->nonzeros + program_->quadratic_nonzeros);
  const double allowed =
      polish_at_once + polish_share * 2.0 * entries * static_cast<double>(products_);
  if (polish_cost_ < 0.0) {
    const LocalProgram local = gather_program();
    polish_cost_ = polish_factorizations * comm_.max(parallel::agree(comm_, [&] {
      return comm_.rank() == 0 ? factorization_cost(local) : 0.0;
    }));
  }
  return polish_cost_ <= allowed;
}

/// The whole program on rank 0. **Collective.**
LocalProgram HalpernPdhg::gather_program() {
  const DistributedProgram& p = *program_;
  LocalProgram local;
  local.cost = gather(comm_, p.columns, p.cost);
  local.lower = gather(comm_, p.columns, p.lower);
  local.upper = gather(comm_, p.columns, p.upper);
  local.row_lower = gather(comm_, p.rows, p.row_lower);
  local.row_upper = gather(comm_, p.rows, p.row_upper);
  local.matrix = gather(comm_, p.entries(comm_.rank()));
  local.quadratic = gather(comm_, p.quadratic);
  local.constant = p.constant;
  local.largest_bound = p.largest_bound;
  local.largest_cost = p.largest_cost;
  return local;
}

bool HalpernPdhg::polish() {
  const DistributedProgram& p = *program_;
  LocalProgram local = gather_program();
  Vector x = gather(comm_, p.columns, best_.x);
  Vector y = gather(comm_, p.rows, best_.y);
  Vector dual_ray, primal_ray;
  NewtonResult result;
  parallel::agree(comm_, [&] {
    if (comm_.rank() != 0) return;
    equilibrate(local);
    for (std::size_t j = 0; j < x.size(); ++j) x[j] /= local.column_scale[j];
    for (std::size_t i = 0; i < y.size(); ++i) y[i] /= local.row_scale[i];
    result = newton_polish(local, 1e-2 * tolerance_, x, y);
    if (!(result.kkt.largest() <= tolerance_)) {
      dual_ray = infeasibility_ray(local, result);
      primal_ray = recession_ray(local, result);
    }
    for (std::size_t j = 0; j < x.size(); ++j) x[j] *= local.column_scale[j];
    for (std::size_t i = 0; i < y.size(); ++i) y[i] *= local.row_scale[i];
  });
  factorizations_ += result.factorizations;
  Vector x_found = scatter(comm_, p.columns, x);
  Vector y_found = scatter(comm_, p.rows, y);
  for (std::size_t j = 0; j < x_found.size(); ++j) x_work_[j] = x_found[j] / column_scale_[j];
  for (std::size_t i = 0; i < y_found.size(); ++i) y_work_[i] = y_found[i] / row_scale_[i];
  const RelativeKkt now = kkt(x_work_, y_work_);
  const bool better = now.largest() < report_.residual;
  if (better) {
    accept(now, x_found, y_found);
    x_new_ = x_work_;
    y_new_ = y_work_;
    restart();
  }
  if (!comm_.any(!dual_ray.empty() || !primal_ray.empty())) return better;
  return prove_infeasible(scatter(comm_, p.rows, dual_ray)) ||
         prove_unbounded(scatter(comm_, p.columns, primal_ray)) || better;
}

parallel::Traffic HalpernPdhg::traffic() const {
  auto total = matrix_.traffic();
  total += quadratic_.traffic();
  return total;
}

solve::Counters HalpernPdhg::counters() const {
  const bool counts = comm_.rank() == 0;  // the ranks share every product
  return {{"matrix_product", counts ? products_ : 0},
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
  visit.scalar("inner_iterations", inner_);
  visit.scalar("total_iterations", total_);
  visit.scalar("next_polish", next_polish_);
  visit.scalar("report/residual", report_.residual);
  visit.scalar("report/objective", report_.objective);
  best_.fields(visit);
}

}  // namespace equipoise::problems
