#include "serial_acceleration.hpp"

#include <equipoise/partition/distributed_vector.hpp>

#include <Eigen/Cholesky>
#include <fmt/format.h>

#include <cmath>

namespace equipoise::vi {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Inner products in one reduction where z is partitioned.
std::vector<double> dots(const Evaluation& f, const std::vector<partition::DotPair>& pairs) {
  std::vector<double> out(pairs.size());
  if (f.problem().partitioned()) {
    partition::dots(f.setting().comm, f.problem().layout(), pairs, out);
  } else {
    for (std::size_t k = 0; k < pairs.size(); ++k) out[k] = f.dot(pairs[k].a, pairs[k].b);
  }
  return out;
}

}  // namespace

Acceleration::Acceleration(Evaluation& f, std::int64_t memory)
    : f_(f),
      points_(at(memory), Vector(f.size())),
      residuals_(points_),
      last_z_(f.size()),
      last_r_(f.size()),
      r_(f.size()),
      gram_(at(memory * memory)) {}

void Acceleration::clear() {
  filled_ = next_ = seen_ = 0;
  best_ = std::numeric_limits<double>::infinity();
}

void Acceleration::remember(std::span<const double> z, std::span<const double> r) {
  const auto m = std::ssize(points_);
  if (seen_ > 0) {
    Vector& dz = points_[at(next_)];
    Vector& dr = residuals_[at(next_)];
    for (std::size_t i = 0; i < r.size(); ++i) {
      dz[i] = z[i] - last_z_[i];
      dr[i] = r[i] - last_r_[i];
    }
    filled_ = std::min(filled_ + 1, m);
    std::vector<partition::DotPair> pairs;
    for (std::int64_t k = 0; k < filled_; ++k) pairs.push_back({dr, residuals_[at(k)]});
    const auto products = dots(f_, pairs);
    for (std::int64_t k = 0; k < filled_; ++k) {
      gram_[at(next_ * m + k)] = gram_[at(k * m + next_)] = products[at(k)];
    }
    next_ = (next_ + 1) % m;
  }
  std::copy(z.begin(), z.end(), last_z_.begin());
  std::copy(r.begin(), r.end(), last_r_.begin());
  ++seen_;
}

bool Acceleration::solve(std::span<const double> r, std::vector<double>& weights) {
  const auto m = std::ssize(points_);
  std::vector<partition::DotPair> pairs;
  for (std::int64_t k = 0; k < filled_; ++k) pairs.push_back({residuals_[at(k)], r});
  const auto right = dots(f_, pairs);
  Eigen::MatrixXd normal(filled_, filled_);
  for (std::int64_t i = 0; i < filled_; ++i) {
    for (std::int64_t j = 0; j < filled_; ++j) normal(i, j) = gram_[at(i * m + j)];
  }
  normal.diagonal().array() += 1e-10 * normal.trace();
  const Eigen::VectorXd a =
      normal.ldlt().solve(Eigen::Map<const Eigen::VectorXd>(right.data(), filled_));
  weights.assign(a.begin(), a.end());
  return a.allFinite();
}

bool Acceleration::accelerate(std::span<const double> z, std::vector<double>& next) {
  for (std::size_t i = 0; i < next.size(); ++i) r_[i] = next[i] - z[i];
  const double size = f_.norm(r_);
  remember(z, r_);
  const bool sound = std::isfinite(size) && size <= 2.0 * best_;
  best_ = std::min(best_, size);
  if (!sound) {
    clear();
    best_ = size;
    return false;
  }
  std::vector<double> weights;
  if (filled_ == 0 || !solve(r_, weights)) return false;
  for (std::int64_t k = 0; k < filled_; ++k) {
    const Vector& dz = points_[at(k)];
    const Vector& dr = residuals_[at(k)];
    for (std::size_t i = 0; i < next.size(); ++i) next[i] -= weights[at(k)] * (dz[i] + dr[i]);
  }
  return true;
}

void Acceleration::fields(state::FieldVisitor& visit) {
  visit.scalar("anderson/filled", filled_);
  visit.scalar("anderson/next", next_);
  visit.scalar("anderson/seen", seen_);
  visit.scalar("anderson/best_residual", best_);
  visit.replicated("anderson/gram", gram_);
  f_.visit(visit, "anderson/last_z", last_z_);
  f_.visit(visit, "anderson/last_residual", last_r_);
  for (std::size_t k = 0; k < points_.size(); ++k) {
    f_.visit(visit, fmt::format("anderson/point_difference_{}", k), points_[k]);
    f_.visit(visit, fmt::format("anderson/residual_difference_{}", k), residuals_[k]);
  }
}

}  // namespace equipoise::vi
