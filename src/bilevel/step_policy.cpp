#include <equipoise/bilevel/step_policy.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::bilevel {

const std::vector<std::string>& StepPolicy::names() {
  static const std::vector<std::string> names = {"auto", "plain", "normalised", "adaptive",
                                                 "resilient"};
  return names;
}

StepPolicy::StepPolicy(const std::string& name, std::size_t dimension, std::int64_t window,
                       double longest, double most, double growth)
    : window_(std::max<std::int64_t>(1, window)), longest_(longest), most_(most) {
  const auto found = std::find(names().begin(), names().end(), name);
  if (found == names().end()) throw ConfigurationError("unknown step policy `{}`", name);
  kind_ = static_cast<Kind>(found - names().begin());
  if (kind_ == Kind::adaptive) scale_.resize(dimension);
  if (kind_ == Kind::automatic || kind_ == Kind::resilient) {
    scale_.assign(dimension, 1.0);
    for (auto* vector : {&sum_, &last_, &start_, &path_}) vector->resize(dimension);
  }
  if (kind_ == Kind::automatic) growth_.assign(dimension, growth);
  if (kind_ == Kind::resilient) limit_.assign(dimension, longest_ / static_cast<double>(window_));
}

void StepPolicy::move(std::int64_t t, double eta, std::span<const double> z, std::span<double> x) {
  switch (kind_) {
    case Kind::plain:
      return axpy(-eta, z, x);
    case Kind::normalised: {
      const double length = norm(z);
      if (length > 0.0) axpy(-eta / length, z, x);
      return;
    }
    case Kind::adaptive: {
      constexpr double keep = 0.999;
      const double seen = 1.0 - std::pow(keep, static_cast<double>(t + 1));
      for (std::size_t k = 0; k < x.size(); ++k) {
        scale_[k] = keep * scale_[k] + (1.0 - keep) * z[k] * z[k];
        // An entry whose z has always been 0 stays.
        if (scale_[k] > 0.0)
          x[k] -= eta * std::clamp(z[k] / std::sqrt(scale_[k] / seen), -1.0, 1.0);
      }
      return;
    }
    case Kind::automatic:
      if (waiting_) return calibrate(t, eta, z, x);
      for (std::size_t k = 0; k < x.size(); ++k) {
        const double old = x[k];
        x[k] = std::clamp(old - eta * scale_[k] * z[k], start_[k] - longest_, start_[k] + longest_);
        path_[k] += std::abs(x[k] - old);
        sum_[k] += z[k];
      }
      return adapt(t, x);
    case Kind::resilient:
      if (t == 0) start_.assign(x.begin(), x.end());
      for (std::size_t k = 0; k < x.size(); ++k) {
        const double step = std::clamp(eta * scale_[k] * z[k], -limit_[k], limit_[k]);
        x[k] -= step;
        path_[k] += std::abs(step);
        sum_[k] += z[k];
      }
      if (ends(t)) {
        const double most = longest_ / static_cast<double>(window_);
        for (std::size_t k = 0; k < x.size(); ++k)
          if (path_[k] > 0.0)
            limit_[k] = std::min(most, 2.0 * path_[k] / static_cast<double>(window_));
      }
      return adapt(t, x);
  }
}

/// x stays until z has settled: until its sum over half a window is as large as that over the half
/// before, within a quarter, or for ten windows. Then its entries get factors with which they would
/// have moved by 0.3 `longest` in a window, along the sum of z or by chance along its mean square.
/// Entries with less than a thousandth of the largest sum get no more than that gives; entries that
/// z has not touched get what the mean sum gives.
void StepPolicy::calibrate(std::int64_t t, double eta, std::span<const double> z,
                           std::span<const double> x) {
  const std::int64_t half = window_ / 2;
  const bool second = t % window_ >= half;
  for (std::size_t k = 0; k < x.size(); ++k) {
    (second ? sum_ : last_)[k] += z[k];
    if (second) path_[k] += z[k] * z[k];
  }
  if (!ends(t)) return;
  const double share = static_cast<double>(window_) / static_cast<double>(window_ - half);
  const double now = norm(sum_) * static_cast<double>(half),
               before = norm(last_) * static_cast<double>(window_ - half);
  waiting_ = (now > 1.25 * before || now < 0.8 * before) && t + 1 < 10 * window_;
  double mean = 0.0, touched = 0.0, largest = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    path_[k] = std::max(share * std::abs(sum_[k]), std::sqrt(share * path_[k]));
    largest = std::max(largest, path_[k]);
    if (path_[k] > 0.0) mean += path_[k], touched += 1.0;
  }
  if (touched > 0.0) mean /= touched;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double sum = path_[k] > 0.0 ? std::max(path_[k], 1e-3 * largest) : mean;
    // A start without any slope but rounding must stay one.
    if (sum > 0.0) scale_[k] = std::clamp(0.3 * longest_ / (eta * sum), 1.0, 1e9);
    sum_[k] = last_[k] = path_[k] = 0.0;
  }
  negligible_ = 1e-5 * largest;
  start_.assign(x.begin(), x.end());
}

/// At the end of a window: factors grow where x went one way, and shrink where it turned.
void StepPolicy::adapt(std::int64_t t, std::span<const double> x) {
  if (!ends(t)) return;
  const bool automatic = kind_ == Kind::automatic;
  const double least = automatic ? 1.0 : 0.0;
  const double most = automatic ? std::numeric_limits<double>::infinity() : most_;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double agreement = sum_[k] * last_[k];
    const double moved = std::abs(x[k] - start_[k]);
    if (agreement < 0.0 || moved < 0.05 * path_[k]) {
      scale_[k] = std::max(least, 0.5 * scale_[k]);
      if (automatic) growth_[k] = 0.5 * (1.0 + growth_[k]);
    }
    bool far = true;
    if (automatic) {
      const double now = std::abs(sum_[k]), before = std::abs(last_[k]);
      // A gradient that grows along its own descent is one that y and v do not follow.
      if (agreement > 0.0 && now > 1.1 * before) scale_[k] = std::max(least, 0.5 * scale_[k]);
      // Factors do not grow where the gradient halves in a window (the rest of the way is shorter
      // than that), or where F hardly depends on x_k (which could run off and stiffen the lower
      // problems).
      far = now > 0.5 * before && now <= before && now > negligible_;
    }
    // An entry that a bound holds, or that moves as far as it may, gains nothing by a factor.
    if (agreement > 0.0 && far && moved > 0.3 * path_[k] && moved < 0.5 * longest_)
      scale_[k] = std::min(most, scale_[k] * (automatic ? growth_[k] : 1.2));
    path_[k] = 0.0;
    start_[k] = x[k];
    last_[k] = sum_[k];
    sum_[k] = 0.0;
  }
}

void StepPolicy::fields(state::FieldVisitor& visit) {
  if (!scale_.empty()) visit.replicated("policy/scale", scale_);
  if (!windowed()) return;
  visit.replicated("policy/sum", sum_);
  visit.replicated("policy/last", last_);
  visit.replicated("policy/start", start_);
  visit.replicated("policy/path", path_);
  if (!growth_.empty()) {
    visit.replicated("policy/growth", growth_);
    visit.scalar("policy/negligible", negligible_);
    visit.scalar("policy/waiting", waiting_);
  }
  if (!limit_.empty()) visit.replicated("policy/limit", limit_);
}

}  // namespace equipoise::bilevel
