#include "anderson.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
}  // namespace

Anderson::Anderson(std::size_t dimension, std::int64_t memory)
    : dimension_(dimension),
      memory_(memory),
      x_(dimension),
      r_(dimension),
      residuals_(at(memory) * dimension),
      images_(at(memory) * dimension),
      gram_(at(memory * memory)),
      factor_(at(memory * memory)),
      weights_(at(memory)) {}

std::span<double> Anderson::row(std::vector<double>& rows, std::int64_t j) const {
  return std::span(rows).subspan(at(j) * dimension_, dimension_);
}

void Anderson::remember(std::span<const double> x, std::span<const double> r) {
  const std::int64_t slot = (count_ - 1) % memory_;
  const auto dr = row(residuals_, slot);
  const auto ds = row(images_, slot);
  for (std::size_t i = 0; i < dimension_; ++i) {
    dr[i] = r[i] - r_[i];
    ds[i] = x[i] - x_[i] + dr[i];
  }
  const std::int64_t known = std::min(count_, memory_);
  for (std::int64_t j = 0; j < known; ++j) {
    const double product = linalg::dot(dr, row(residuals_, j));
    gram_[at(slot * memory_ + j)] = gram_[at(j * memory_ + slot)] = product;
  }
}

/// weights := (D'D + 1e-13 I)^{-1} D'r for the differences D scaled to length 1, by Cholesky.
void Anderson::solve(std::span<const double> r) {
  const std::int64_t k = std::min(count_, memory_);
  const auto scale = [&](std::int64_t i) {
    const double square = gram_[at(i * memory_ + i)];
    return square > 0.0 ? 1.0 / std::sqrt(square) : 0.0;
  };
  for (std::int64_t i = 0; i < k; ++i) {
    double w = scale(i) * linalg::dot(row(residuals_, i), r);
    for (std::int64_t j = 0; j <= i; ++j) {
      double a = gram_[at(i * memory_ + j)] * scale(i) * scale(j) + (i == j ? 1e-13 : 0.0);
      for (std::int64_t l = 0; l < j; ++l)
        a -= factor_[at(i * memory_ + l)] * factor_[at(j * memory_ + l)];
      factor_[at(i * memory_ + j)] =
          i == j ? std::sqrt(std::max(a, 1e-13)) : a / factor_[at(j * memory_ + j)];
    }
    for (std::int64_t l = 0; l < i; ++l) w -= factor_[at(i * memory_ + l)] * weights_[at(l)];
    weights_[at(i)] = w / factor_[at(i * memory_ + i)];
  }
  for (std::int64_t i = k - 1; i >= 0; --i) {
    double w = weights_[at(i)];
    for (std::int64_t l = i + 1; l < k; ++l) w -= factor_[at(l * memory_ + i)] * weights_[at(l)];
    weights_[at(i)] = w / factor_[at(i * memory_ + i)];
  }
  for (std::int64_t i = 0; i < k; ++i) weights_[at(i)] *= scale(i);
}

void Anderson::propose(std::span<const double> x, std::span<const double> r,
                       std::span<double> next) {
  if (count_ > 0) {
    remember(x, r);
    solve(r);
  }
  std::copy(x.begin(), x.end(), x_.begin());
  std::copy(r.begin(), r.end(), r_.begin());
  linalg::add_scaled(x_, 1.0, r_, next);
  for (std::int64_t j = 0; j < std::min(count_, memory_); ++j) {
    linalg::add_scaled(next, -weights_[at(j)], row(images_, j), next);
  }
  ++count_;
}

void Anderson::fields(state::FieldVisitor& visit, const std::string& prefix) {
  visit.scalar(prefix + "/count", count_);
  visit.replicated(prefix + "/x", x_);
  visit.replicated(prefix + "/r", r_);
  visit.replicated(prefix + "/residuals", residuals_);
  visit.replicated(prefix + "/images", images_);
  visit.replicated(prefix + "/gram", gram_);
}

}  // namespace equipoise::vi
