// Version 1 of the stochastic driver: tracked Hessians in place of v.
#include <equipoise/bilevel/driver.hpp>
#include <equipoise/bilevel/vectors.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

namespace equipoise::bilevel {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

Out Driver::hessian_of(std::vector<double>& data, std::int64_t i) const {
  const auto width = at(blocks_.largest_dim() * blocks_.largest_dim());
  const auto dy = at(oracle_.view().dim_inner(i));
  return Out(data).subspan(at(i - blocks_.owned().begin) * width, dy * dy);
}

/// Version 1: h_y, and h_x = grad_x f - Hxy H^{-1} grad_y f with the tracked Hessian H.
void Driver::hessian_direction(std::int64_t i, In x, In y, const std::vector<double>& hessian,
                               Raw& raw) {
  const auto dy = y.size();
  const auto n = static_cast<Eigen::Index>(dy);
  const Out slope = Out(raw.linear).first(dy);
  oracle_.grad_y_g(i, lower_batch_, x, y, Out(raw.lower).first(dy));
  oracle_.grad_y_f(i, upper_batch_, x, y, slope);
  const auto width = at(blocks_.largest_dim() * blocks_.largest_dim());
  const double* data = hessian.data() + at(i - blocks_.owned().begin) * width;
  Eigen::Map<Eigen::VectorXd> v(slope.data(), n);
  v = Eigen::Map<const Eigen::MatrixXd>(data, n, n).ldlt().solve(v).eval();
  project_ball(options_.radius, slope);
  oracle_.jvp_xy_g(i, lower_batch_, x, y, slope, raw.outer);
  const Out upper = Out(raw.scratch).first(x.size());
  oracle_.grad_x_f(i, upper_batch_, x, y, upper);
  for (std::size_t k = 0; k < x.size(); ++k) raw.outer[k] = upper[k] - raw.outer[k];
}

/// Version 1: one update of the tracked Hessian, made symmetric, its eigenvalues clipped.
void Driver::track(std::int64_t i, In y, In y_old, const Blend& b) {
  const Out h = hessian_of(hessian_, i), old = hessian_of(old_hessian_, i);
  std::vector<double> now(h.size()), before(h.size());
  oracle_.hess_yy_g(i, lower_batch_, x_, y, now);
  if (b.previous != 0.0) oracle_.hess_yy_g(i, lower_batch_, old_x_, y_old, before);
  std::copy(h.begin(), h.end(), old.begin());
  update(b, now, before, h);
  if (!all_finite(h)) return;
  const auto n = static_cast<Eigen::Index>(y.size());
  Eigen::Map<Eigen::MatrixXd> matrix(h.data(), n, n);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(0.5 * (matrix + matrix.transpose()));
  const Eigen::VectorXd clipped =
      eigen.eigenvalues().cwiseMax(options_.hessian_low).cwiseMin(options_.hessian_high);
  matrix = eigen.eigenvectors() * clipped.asDiagonal() * eigen.eigenvectors().transpose();
}

}  // namespace equipoise::bilevel
