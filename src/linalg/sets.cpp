#include <equipoise/linalg/sets.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

namespace equipoise::linalg {
namespace {

double checked_radius(double radius) {
  if (!(radius >= 0.0))
    throw ConfigurationError("the radius of a ball must not be negative, got {}", radius);
  return radius;
}

/// Scaled so that neither overflow nor underflow spoils it.
double norm2(std::span<const double> x) {
  double largest = 0.0;
  for (const double v : x) largest = std::max(largest, std::abs(v));
  if (largest == 0.0 || std::isinf(largest)) return largest;
  double sum = 0.0;
  for (const double v : x) sum += (v / largest) * (v / largest);
  return largest * std::sqrt(sum);
}

/// The theta with sum_i max(value(x_i) - theta, 0) = total, by Newton's method from
/// theta_0 = (sum value - total) / d, left of the root: the function is convex and piecewise
/// linear, so the steps ascend and end once the active components stay the same. Corrections are
/// added to theta rather than theta computed afresh, so that a common large part of x costs no
/// digits.
template <class Value>
double threshold(std::span<const double> x, double total, Value value) {
  double sum = 0.0;
  for (const double v : x) sum += value(v);
  double theta = (sum - total) / static_cast<double>(x.size());
  for (std::size_t previous = 0;;) {
    double excess = 0.0;
    std::size_t active = 0;
    for (const double v : x) {
      const double over = value(v) - theta;
      excess += over > 0.0 ? over : 0.0;
      active += over > 0.0 ? 1 : 0;
    }
    if (active == 0) return theta;
    const double next = theta + (excess - total) / static_cast<double>(active);
    const bool last = active == previous || !(next > theta);
    theta = next;
    previous = active;
    if (last) return theta;
  }
}

}  // namespace

void NonNegative::project(std::span<double> x) const {
  for (double& v : x) v = v > 0.0 ? v : 0.0;
}

Box::Box(std::vector<double> lower, std::vector<double> upper)
    : lower_(std::move(lower)), upper_(std::move(upper)) {
  if (lower_.size() != upper_.size() && lower_.size() != 1 && upper_.size() != 1) {
    throw ConfigurationError("a box has {} lower and {} upper bounds", lower_.size(),
                             upper_.size());
  }
  if (lower_.empty() || upper_.empty()) throw ConfigurationError("a box without bounds");
  const std::size_t size = std::max(lower_.size(), upper_.size());
  for (std::size_t i = 0; i < size; ++i) {
    const double low = lower_[lower_.size() == 1 ? 0 : i];
    const double high = upper_[upper_.size() == 1 ? 0 : i];
    if (!(low <= high))
      throw ConfigurationError("component {} of a box has bounds {} and {}", i, low, high);
  }
  if (size > 1 && lower_.size() == 1) lower_.assign(size, lower_[0]);
  if (size > 1 && upper_.size() == 1) upper_.assign(size, upper_[0]);
}

void Box::project(std::span<double> x) const {
  if (lower_.size() == 1) {
    const double low = lower_[0];
    const double high = upper_[0];
    for (double& v : x) v = std::min(std::max(v, low), high);
    return;
  }
  assert(x.size() == lower_.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::min(std::max(x[i], lower_[i]), upper_[i]);
}

Simplex::Simplex(double total) : total_(total) {
  if (!(total >= 0.0) || std::isinf(total)) {
    throw ConfigurationError("the total of a simplex must be finite and not negative, got {}",
                             total);
  }
}

void Simplex::project(std::span<double> x) const {
  if (x.empty()) return;
  const double theta = threshold(x, total_, [](double v) { return v; });
  for (double& v : x) v = v > theta ? v - theta : 0.0;
}

Ball1::Ball1(double radius) : radius_(checked_radius(radius)) {}

void Ball1::project(std::span<double> x) const {
  double sum = 0.0;
  for (const double v : x) sum += std::abs(v);
  if (sum <= radius_) return;
  soft_threshold(threshold(x, radius_, [](double v) { return std::abs(v); }), x);
}

Ball2::Ball2(double radius) : radius_(checked_radius(radius)) {}

void Ball2::project(std::span<double> x) const {
  const double norm = norm2(x);
  if (norm <= radius_) return;
  for (double& v : x) v *= radius_ / norm;
}

BallInf::BallInf(double radius) : radius_(checked_radius(radius)) {}

void BallInf::project(std::span<double> x) const {
  for (double& v : x) v = std::min(std::max(v, -radius_), radius_);
}

void SecondOrderCone::project(std::span<double> x) const {
  if (x.empty()) return;
  const auto head = x.first(x.size() - 1);
  double& t = x.back();
  const double norm = norm2(head);
  if (norm <= t) return;
  const double height = norm <= -t ? 0.0 : 0.5 * (t + norm);
  for (double& v : head) v *= height == 0.0 ? 0.0 : height / norm;
  t = height;
}

Product::Product(std::vector<Block> blocks) : blocks_(std::move(blocks)) {
  for (const auto& block : blocks_) dimension_ += block.size;
}

void Product::project(std::span<double> x) const {
  assert(x.size() == dimension_);
  std::size_t begin = 0;
  for (const auto& [size, set] : blocks_) {
    std::visit([part = x.subspan(begin, size)](const auto& s) { s.project(part); }, set);
    begin += size;
  }
}

void soft_threshold(double amount, std::span<double> x) {
  for (double& v : x) v = v > amount ? v - amount : (v < -amount ? v + amount : 0.0);
}

}  // namespace equipoise::linalg
