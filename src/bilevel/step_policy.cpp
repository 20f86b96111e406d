#include <equipoise/bilevel/step_policy.hpp>
#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::bilevel {

const std::vector<std::string>& StepPolicy::names() {
  static const std::vector<std::string> names = {"plain", "normalised", "adaptive", "resilient"};
  return names;
}

StepPolicy::StepPolicy(const std::string& name, std::size_t dimension, std::int64_t window,
                       double longest, double most)
    : window_(std::max<std::int64_t>(1, window)), longest_(longest), most_(most) {
  const auto found = std::find(names().begin(), names().end(), name);
  if (found == names().end()) throw ConfigurationError("unknown step policy `{}`", name);
  kind_ = static_cast<Kind>(found - names().begin());
  if (kind_ == Kind::adaptive) scale_.resize(dimension);
  if (kind_ == Kind::resilient) {
    scale_.assign(dimension, 1.0);
    sum_.resize(dimension);
    last_.resize(dimension);
    start_.resize(dimension);
    path_.resize(dimension);
    limit_.assign(dimension, longest_ / static_cast<double>(window_));
  }
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
    case Kind::resilient: {
      const double most = longest_ / static_cast<double>(window_);
      const bool last = ends(t);
      if (t == 0) start_.assign(x.begin(), x.end());
      for (std::size_t k = 0; k < x.size(); ++k) {
        const double step = std::clamp(eta * scale_[k] * z[k], -limit_[k], limit_[k]);
        x[k] -= step;
        path_[k] += std::abs(step);
        sum_[k] += z[k];
        if (!last) continue;
        const double agreement = sum_[k] * last_[k];
        const double moved = std::abs(x[k] - start_[k]);
        if (agreement < 0.0 || moved < 0.05 * path_[k]) scale_[k] *= 0.5;
        // An entry that a bound holds, or that moves as far as it may, gains nothing by a factor.
        if (agreement > 0.0 && moved > 0.3 * path_[k] && moved < 0.5 * longest_)
          scale_[k] = std::min(most_, scale_[k] * 1.2);
        if (path_[k] > 0.0)
          limit_[k] = std::min(most, 2.0 * path_[k] / static_cast<double>(window_));
        path_[k] = 0.0;
        start_[k] = x[k];
        last_[k] = sum_[k];
        sum_[k] = 0.0;
      }
      return;
    }
  }
}

void StepPolicy::fields(state::FieldVisitor& visit) {
  if (!scale_.empty()) visit.replicated("policy/scale", scale_);
  if (kind_ != Kind::resilient) return;
  visit.replicated("policy/sum", sum_);
  visit.replicated("policy/last", last_);
  visit.replicated("policy/start", start_);
  visit.replicated("policy/path", path_);
  visit.replicated("policy/limit", limit_);
}

}  // namespace equipoise::bilevel
