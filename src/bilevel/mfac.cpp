#include <equipoise/bilevel/mfac.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {
namespace {
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
}  // namespace

InverseFisher::InverseFisher(std::int64_t dimension, std::int64_t capacity, double damping)
    : dimension_(dimension), capacity_(capacity), damping_(damping) {
  if (dimension < 1 || capacity < 1 || !(damping > 0.0)) {
    throw ConfigurationError(
        "an inverse Fisher matrix needs a positive dimension ({}), capacity ({}) and damping ({})",
        dimension, capacity, damping);
  }
  gradients_.resize(at(dimension * capacity));
  gram_.resize(at(capacity * capacity));
}

std::span<const double> InverseFisher::row(std::int64_t j) const {
  return std::span(gradients_).subspan(at(j * dimension_), at(dimension_));
}

void InverseFisher::push(std::span<const double> gradient) {
  std::copy(gradient.begin(), gradient.end(), gradients_.begin() + head_ * dimension_);
  stored_ = std::min(stored_ + 1, capacity_);
  for (std::int64_t j = 0; j < stored_; ++j) {
    gram_[at(head_ * capacity_ + j)] = gram_[at(j * capacity_ + head_)] = dot(row(j), gradient);
  }
  head_ = (head_ + 1) % capacity_;
  factorise();
}

/// Cholesky factor of lambda k I + G G^T, lower triangle by rows.
void InverseFisher::factorise() {
  const auto k = stored_;
  factor_.assign(at(k * k), 0.0);
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      double sum =
          gram_[at(i * capacity_ + j)] + (i == j ? damping_ * static_cast<double>(k) : 0.0);
      for (std::int64_t l = 0; l < j; ++l) sum -= factor_[at(i * k + l)] * factor_[at(j * k + l)];
      factor_[at(i * k + j)] = i == j ? std::sqrt(sum) : sum / factor_[at(j * k + j)];
    }
  }
}

void InverseFisher::apply(std::span<const double> v, std::span<double> out) const {
  const auto k = stored_;
  std::vector<double> w(at(k));
  for (std::int64_t j = 0; j < k; ++j) {
    double sum = dot(row(j), v);
    for (std::int64_t l = 0; l < j; ++l) sum -= factor_[at(j * k + l)] * w[at(l)];
    w[at(j)] = sum / factor_[at(j * k + j)];
  }
  for (std::int64_t j = k; j-- > 0;) {
    for (std::int64_t l = j + 1; l < k; ++l) w[at(j)] -= factor_[at(l * k + j)] * w[at(l)];
    w[at(j)] /= factor_[at(j * k + j)];
  }
  std::copy(v.begin(), v.end(), out.begin());
  for (std::int64_t j = 0; j < k; ++j) axpy(-w[at(j)], row(j), out);
  for (double& entry : out) entry /= damping_;
}

}  // namespace equipoise::bilevel
