#include <equipoise/linalg/sets.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/exact_sum.hpp>

#include <algorithm>
#include <array>
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

/// Sum of some terms and number of the components that count.
struct Tally {
  double sum = 0.0, count = 0.0;
};

/// How components are summed: here, or over ranks. `term(v)` is what v adds to the sum, and whether
/// it counts.
struct Here {
  template <class Term>
  Tally operator()(std::span<const double> x, Term term) const {
    Tally tally;
    for (const double v : x) {
      const auto [value, counts] = term(v);
      tally.sum += value;
      tally.count += counts ? 1.0 : 0.0;
    }
    return tally;
  }
  [[nodiscard]] double max(double value) const { return value; }
};

struct OverRanks {
  const parallel::Comm& comm;
  template <class Term>
  Tally operator()(std::span<const double> x, Term term) const {
    std::array<parallel::ExactSum, 2> sums;
    double count = 0.0;
    for (const double v : x) {
      const auto [value, counts] = term(v);
      sums[0].add(value);
      count += counts ? 1.0 : 0.0;
    }
    sums[1].add(count);
    std::array<double, 2> out{};
    parallel::exact_sums(comm, sums, out);
    return {out[0], out[1]};
  }
  [[nodiscard]] double max(double value) const { return comm.max(value); }
};

/// Scaled so that neither overflow nor underflow spoils it.
template <class Over>
double norm2(std::span<const double> x, Over over) {
  double largest = 0.0;
  for (const double v : x) largest = std::max(largest, std::abs(v));
  largest = over.max(largest);
  if (largest == 0.0 || std::isinf(largest)) return largest;
  const double sum =
      over(x, [&](double v) { return std::pair((v / largest) * (v / largest), false); }).sum;
  return largest * std::sqrt(sum);
}

/// The theta with sum_i max(value(x_i) - theta, 0) = total, by Newton's method from
/// theta_0 = (sum value - total) / d, left of the root: the function is convex and piecewise
/// linear, so the steps ascend and end once the active components stay the same. Corrections are
/// added to theta rather than theta computed afresh, so that a common large part of x costs no
/// digits.
template <class Value, class Over>
double threshold(std::span<const double> x, double total, Value value, Over over) {
  const Tally all = over(x, [&](double v) { return std::pair(value(v), true); });
  double theta = (all.sum - total) / all.count;
  for (double previous = 0.0; all.count > 0.0;) {
    const Tally active = over(x, [&](double v) {
      const double excess = value(v) - theta;
      return std::pair(excess > 0.0 ? excess : 0.0, excess > 0.0);
    });
    if (active.count == 0.0) return theta;
    const double next = theta + (active.sum - total) / active.count;
    const bool last = active.count == previous || !(next > theta);
    theta = next;
    previous = active.count;
    if (last) return theta;
  }
  return theta;
}

template <class Over>
void project_simplex(double total, std::span<double> x, Over over) {
  const double theta = threshold(
      x, total, [](double v) { return v; }, over);
  for (double& v : x) v = v > theta ? v - theta : 0.0;
}

template <class Over>
void project_ball1(double radius, std::span<double> x, Over over) {
  const auto size = [](double v) { return std::abs(v); };
  if (over(x, [&](double v) { return std::pair(size(v), false); }).sum <= radius) return;
  soft_threshold(threshold(x, radius, size, over), x);
}

template <class Over>
void project_ball2(double radius, std::span<double> x, Over over) {
  const double norm = norm2(x, over);
  if (norm <= radius) return;
  for (double& v : x) v *= radius / norm;
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

void Simplex::project(std::span<double> x) const { project_simplex(total_, x, Here()); }
void Simplex::project(std::span<double> part, const parallel::Comm& comm) const {
  project_simplex(total_, part, OverRanks{comm});
}

Ball1::Ball1(double radius) : radius_(checked_radius(radius)) {}

void Ball1::project(std::span<double> x) const { project_ball1(radius_, x, Here()); }
void Ball1::project(std::span<double> part, const parallel::Comm& comm) const {
  project_ball1(radius_, part, OverRanks{comm});
}

Ball2::Ball2(double radius) : radius_(checked_radius(radius)) {}

void Ball2::project(std::span<double> x) const { project_ball2(radius_, x, Here()); }
void Ball2::project(std::span<double> part, const parallel::Comm& comm) const {
  project_ball2(radius_, part, OverRanks{comm});
}

BallInf::BallInf(double radius) : radius_(checked_radius(radius)) {}

void BallInf::project(std::span<double> x) const {
  for (double& v : x) v = std::min(std::max(v, -radius_), radius_);
}

void SecondOrderCone::project(std::span<double> x) const {
  if (x.empty()) return;
  const auto head = x.first(x.size() - 1);
  double& t = x.back();
  const double norm = norm2(head, Here());
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
