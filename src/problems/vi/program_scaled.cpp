#include "program_scaled.hpp"

#include <equipoise/parallel/random.hpp>
#include <equipoise/partition/distributed_vector.hpp>

#include <Eigen/Eigenvalues>

#include <array>

namespace equipoise::problems {
namespace {

constexpr int power_iterations = 200, lanczos_steps = 60;
constexpr double norm_change = 1e-4;  ///< relative, of the last step
constexpr double ray_tolerance = 1e-8;
constexpr double ray_margin = 1e-6;
constexpr double ray_zero = 1e-9;  ///< smaller entries of a ray's A'y are rounding

}  // namespace

ScaledProgram::ScaledProgram(parallel::Comm comm, std::shared_ptr<const DistributedProgram> program)
    : cost(program->cost),
      lower(program->lower),
      upper(program->upper),
      row_lower(program->row_lower),
      row_upper(program->row_upper),
      column_scale(cost.size(), 1.0),
      row_scale(row_lower.size(), 1.0),
      comm_(std::move(comm)),
      program_(std::move(program)),
      quadratic_(comm_, program_->columns.coordinates(), program_->columns.coordinates(),
                 program_->quadratic),
      x_work_(cost.size()),
      x_other_(cost.size()),
      y_work_(row_lower.size()) {
  partition::DistributedMatrix matrix(comm_, program_->rows.coordinates(),
                                      program_->columns.coordinates(),
                                      program_->entries(comm_.rank()));
  scale(matrix);
  by_rows_.emplace(comm_, program_->rows, program_->columns, matrix.owned_rows());
  by_columns_.emplace(comm_, program_->columns, program_->rows, matrix.owned_columns());
}

void ScaledProgram::scale(partition::DistributedMatrix& matrix) {
  Vector row(row_scale.size()), column(column_scale.size()), other(column.size());
  for (int pass = 0; pass < 11; ++pass) {
    const auto norm = pass < 10 ? partition::LineNorm::max : partition::LineNorm::one;
    matrix.row_norms(norm, row);
    matrix.column_norms(norm, column);
    quadratic_.column_norms(norm, other);
    for (std::size_t j = 0; j < column.size(); ++j) column[j] = std::max(column[j], other[j]);
    for (Vector* factors : {&row, &column}) {
      for (double& f : *factors) f = f > 0.0 ? 1.0 / std::sqrt(f) : 1.0;
    }
    matrix.scale(row, column);
    quadratic_.scale(column, column);
    for (std::size_t i = 0; i < row.size(); ++i) {
      row_scale[i] *= row[i];
      row_lower[i] *= row[i];
      row_upper[i] *= row[i];
    }
    for (std::size_t j = 0; j < column.size(); ++j) {
      column_scale[j] *= column[j];
      cost[j] *= column[j];
      lower[j] /= column[j];
      upper[j] /= column[j];
    }
  }
}

void ScaledProgram::multiply_quadratic(const Vector& x, Vector& out) {
  quadratic_.multiply(x, out);
  ++products_;
}

namespace {

/// A unit vector, or 0 where the norm vanishes; returns the norm.
double normalize(const parallel::Comm& comm, const partition::Layout& layout,
                 std::vector<double>& v) {
  const double size = partition::norm(comm, layout, v);
  for (double& t : v) t = size > 0.0 ? t / size : 0.0;
  return size;
}

void draw_normal(const partition::Range& owned, std::vector<double>& v) {
  const parallel::Draw draw(0, parallel::Purpose::probe, 0);
  const auto first = static_cast<std::uint64_t>(owned.begin);
  for (std::size_t j = 0; j < v.size(); ++j) v[j] = draw.normal(first + j);
}

}  // namespace

double ScaledProgram::norm() {
  Vector& v = x_work_;
  Vector& next_v = x_other_;
  Vector& u = y_work_;
  Vector next_u(u.size());
  draw_normal(program_->columns.owned(comm_.rank()), v);
  if (normalize(comm_, program_->columns, v) == 0.0) return 0.0;
  std::vector<double> diagonal, beside;  // of B'B, the tridiagonal matrix
  double norm = 0.0, beta = 0.0;
  for (int k = 0; k < lanczos_steps; ++k) {
    by_rows().multiply(v, next_u);
    for (std::size_t i = 0; i < u.size(); ++i) u[i] = next_u[i] - (k > 0 ? beta * u[i] : 0.0);
    const double alpha = normalize(comm_, program_->rows, u);
    diagonal.push_back(alpha * alpha + beta * beta);
    const Eigen::Index size = std::ssize(diagonal);
    Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> ritz;
    ritz.computeFromTridiagonal(Eigen::Map<const Eigen::VectorXd>(diagonal.data(), size),
                                Eigen::Map<const Eigen::VectorXd>(beside.data(), size - 1),
                                Eigen::EigenvaluesOnly);
    const double now = std::sqrt(std::max(0.0, ritz.eigenvalues()[size - 1]));
    const bool settled = k > 5 && now - norm <= norm_change * now;
    norm = now;
    by_columns().multiply(u, next_v);
    for (std::size_t j = 0; j < v.size(); ++j) v[j] = next_v[j] - alpha * v[j];
    beta = normalize(comm_, program_->columns, v);
    if (settled || beta <= 1e-10 * norm) break;
    beside.push_back(alpha * beta);
  }
  return norm;
}

double ScaledProgram::quadratic_norm() {
  Vector& v = x_work_;
  draw_normal(program_->columns.owned(comm_.rank()), v);
  double norm = 0.0;
  for (int k = 0; k < power_iterations; ++k) {
    const double size = normalize(comm_, program_->columns, v);
    if (k > 20 && std::abs(size - norm) <= norm_change * size) return size;
    if (k > 0) norm = size;
    multiply_quadratic(v, x_other_);
    v = x_other_;
  }
  return norm;
}

RelativeKkt ScaledProgram::kkt(const Vector& x, const Vector& y) {
  const DistributedProgram& p = *program_;
  KktMaxima maxima;
  Vector& primal = x_work_;
  Vector& dual = x_other_;
  if (quadratic()) {
    multiply_quadratic(x, dual);
  } else {
    std::fill(dual.begin(), dual.end(), 0.0);
  }
  ProgramProduct& columns = by_columns();
  std::copy(y.begin(), y.end(), columns.input().begin());
  columns.apply([&](std::size_t j, double aty) {
    const double scale = column_scale[j];
    const double value = clip(x[j] * scale, p.lower[j], p.upper[j]);
    const double bend = dual[j] / scale;
    primal[j] = (p.cost[j] + 0.5 * bend) * value;
    dual[j] = maxima.add(p.cost[j] + bend - aty / scale, value, p.lower[j], p.upper[j]) -
              0.5 * bend * value;
  });
  ProgramProduct& rows = by_rows();
  std::copy(x.begin(), x.end(), rows.input().begin());
  rows.apply([&](std::size_t i, double ax) {
    y_work_[i] = maxima.add(carried(y[i] * row_scale[i], p.row_lower[i], p.row_upper[i]),
                            ax / row_scale[i], p.row_lower[i], p.row_upper[i]);
  });
  std::array<double, 3> most = {maxima.violation, maxima.loose, maxima.complementarity};
  comm_.max(most);
  const double primal_sum = partition::sum(comm_, p.columns, primal) + p.constant;
  const double dual_sum =
      partition::sum(comm_, p.columns, dual) + partition::sum(comm_, p.rows, y_work_) + p.constant;
  return relative_kkt({most[0], most[1], most[2]}, primal_sum, dual_sum, p.largest_bound,
                      p.largest_cost);
}

void ScaledProgram::unscale(const Vector& x, const Vector& y, Vector& to_x, Vector& to_y) const {
  for (std::size_t j = 0; j < x.size(); ++j)
    to_x[j] = clip(x[j] * column_scale[j], program_->lower[j], program_->upper[j]);
  for (std::size_t i = 0; i < y.size(); ++i)
    to_y[i] = carried(y[i] * row_scale[i], program_->row_lower[i], program_->row_upper[i]);
}

std::optional<ScaledProgram::Ray> ScaledProgram::infeasible(Vector& y) {
  const DistributedProgram& p = *program_;
  double size = 0.0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = carried(y[i], p.row_lower[i], p.row_upper[i]);
    size = std::max(size, std::abs(y[i]));
  }
  size = comm_.max(size);
  if (!(size > 0.0) || !std::isfinite(size)) return {};
  KktMaxima maxima;
  ProgramProduct& columns = by_columns();
  const auto input = columns.input();
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] /= size;
    input[i] = y[i] / row_scale[i];
    y_work_[i] = maxima.add(y[i], 0.0, p.row_lower[i], p.row_upper[i]);
  }
  columns.apply([&](std::size_t j, double aty) {
    const double value = -aty / column_scale[j];
    x_work_[j] = maxima.add(std::abs(value) < ray_zero ? 0.0 : value, 0.0, p.lower[j], p.upper[j]);
  });
  const double loose = comm_.max(maxima.loose);
  const double margin =
      partition::sum(comm_, p.rows, y_work_) + partition::sum(comm_, p.columns, x_work_);
  if (!(margin > ray_margin) || !(loose <= ray_tolerance)) return {};
  return Ray{loose, margin};
}

std::optional<ScaledProgram::Ray> ScaledProgram::unbounded(Vector& x) {
  const DistributedProgram& p = *program_;
  double size = 0.0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    x[j] = clip(x[j], std::isfinite(p.lower[j]) ? 0.0 : -HUGE_VAL,
                std::isfinite(p.upper[j]) ? 0.0 : HUGE_VAL);
    size = std::max(size, std::abs(x[j]));
  }
  size = comm_.max(size);
  if (!(size > 0.0) || !std::isfinite(size)) return {};
  Vector scaled(x.size());
  for (std::size_t j = 0; j < x.size(); ++j) {
    x[j] /= size;
    scaled[j] = x[j] / column_scale[j];
    x_work_[j] = p.cost[j] * x[j];
  }
  const double slope = partition::sum(comm_, p.columns, x_work_);
  double leaves = 0.0;
  ProgramProduct& rows = by_rows();
  std::copy(scaled.begin(), scaled.end(), rows.input().begin());
  rows.apply([&](std::size_t i, double ax) {
    const double change = ax / row_scale[i];
    if (std::isfinite(p.row_lower[i])) leaves = std::max(leaves, -change);
    if (std::isfinite(p.row_upper[i])) leaves = std::max(leaves, change);
  });
  if (quadratic()) {
    multiply_quadratic(scaled, x_other_);
    for (std::size_t j = 0; j < x.size(); ++j)
      leaves = std::max(leaves, std::abs(x_other_[j] / column_scale[j]));
  }
  leaves = comm_.max(leaves);
  if (!(slope < -ray_margin) || !(leaves <= ray_tolerance)) return {};
  return Ray{leaves, -slope};
}

parallel::Traffic ScaledProgram::traffic() const {
  auto total = quadratic_.traffic();
  total += by_rows_->traffic();
  total += by_columns_->traffic();
  return total;
}

}  // namespace equipoise::problems
