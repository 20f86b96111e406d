#include "complementarity_newton.hpp"

#include <Eigen/Cholesky>
#include <Eigen/LU>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

std::span<const double> in(const VectorXd& v) {
  return {v.data(), static_cast<std::size_t>(v.size())};
}
std::span<double> out(VectorXd& v) { return {v.data(), static_cast<std::size_t>(v.size())}; }

}  // namespace

void SemismoothNewtonOptions::describe(state::OptionVisitor& visit) {
  visit.option("decrease", decrease, "fraction of the predicted decrease that a step must bring",
               state::Limits{0.0, 0.5, true});
}

SemismoothNewton::SemismoothNewton(std::shared_ptr<const Complementarity> problem,
                                   const SemismoothNewtonOptions& options)
    : problem_(std::move(problem)), options_(options) {
  const Index d = problem_->dimension();
  z_ = VectorXd(d);
  f_ = phi_ = VectorXd::Zero(d);
  problem_->start(out(z_));
  merit(z_);
  measure();
}

/// norm(Phi)^2 / 2 at z, leaving F and Phi there.
double SemismoothNewton::merit(const VectorXd& z) {
  problem_->f(in(z), out(f_));
  ++calls_;
  for (Index i = 0; i < z.size(); ++i) {
    const double a = z[i];
    const double b = f_[i];
    // Without cancellation where both are positive: -2ab / (sqrt(a^2 + b^2) + a + b).
    const double root = std::hypot(a, b);
    phi_[i] = a + b > 0.0 ? -2.0 * a * b / (root + a + b) : root - a - b;
  }
  return 0.5 * phi_.squaredNorm();
}

/// An element of the generalised Jacobian of Phi at z, F being evaluated there; at the kink the
/// direction (1, 1).
void SemismoothNewton::slopes(MatrixXd& v) {
  problem_->jacobian(in(z_), v);
  ++jacobians_;
  for (Index i = 0; i < z_.size(); ++i) {
    const double root = std::hypot(z_[i], f_[i]);
    const double by_z = (root > 0.0 ? z_[i] / root : std::sqrt(0.5)) - 1.0;
    const double by_f = (root > 0.0 ? f_[i] / root : std::sqrt(0.5)) - 1.0;
    v.row(i) *= by_f;
    v(i, i) += by_z;
  }
}

/// The natural residual norm(z - max(z - F, 0)) at z projected on z >= 0, relative to the start.
void SemismoothNewton::measure() {
  VectorXd point = z_.cwiseMax(0.0);
  VectorXd value(point.size());
  problem_->f(in(point), out(value));
  ++calls_;
  const double residual = point.cwiseMin(value).norm();
  if (reference_ == 0.0) reference_ = residual > 0.0 ? residual : 1.0;
  if (best_.empty() || residual < best_residual_) {
    best_.assign(point.begin(), point.end());
    best_residual_ = residual;
  }
  report_.residual = best_residual_ / reference_;
  report_.fresh = true;
  if (!std::isfinite(residual) && !std::isfinite(best_residual_)) {
    report_.failed = true;
    report_.message = "F is not finite; start elsewhere";
  }
}

void SemismoothNewton::step() {
  const Index d = z_.size();
  const double now = merit(z_);
  MatrixXd v(d, d);
  slopes(v);
  const VectorXd gradient = v.transpose() * phi_;
  VectorXd direction = v.partialPivLu().solve(-phi_);
  // Newton's direction where it is one of descent, else a damped one of least squares.
  const double enough = 1e-8 * std::pow(direction.norm(), 2.1);
  if (!direction.allFinite() || gradient.dot(direction) > -enough) {
    MatrixXd normal = v.transpose() * v;
    normal.diagonal().array() += std::max(1e-12, std::min(1e-2, 2.0 * now));
    direction = normal.ldlt().solve(-gradient);
  }
  const double slope = gradient.dot(direction);
  const VectorXd from = z_;
  double length = 1.0;
  for (int k = 0; k < 50; ++k, length *= 0.5) {
    z_ = from + length * direction;
    if (merit(z_) <= now + options_.decrease * length * slope) break;
  }
  measure();
}

void SemismoothNewton::fields(state::FieldVisitor& visit) {
  std::vector<double> z(z_.begin(), z_.end());
  visit.replicated("iterate", z);
  std::copy(z.begin(), z.end(), z_.begin());
  visit.replicated("z", best_);
  visit.scalar("best_residual", best_residual_);
  visit.scalar("reference", reference_);
  visit.scalar("report/residual", report_.residual);
}

void SemismoothNewton::solution(state::FieldVisitor& visit) { visit.replicated("z", best_); }

}  // namespace equipoise::problems
