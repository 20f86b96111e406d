#include <equipoise/bilevel/estimator.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>

namespace equipoise::bilevel {

const std::vector<std::string>& estimator_names() {
  static const std::vector<std::string> names = {"sgd",  "average", "storm", "msvr",
                                                 "saga", "sarah",   "page"};
  return names;
}

Estimator estimator(const std::string& name) {
  const auto& names = estimator_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw ConfigurationError("unknown estimator `{}`", name);
  return static_cast<Estimator>(found - names.begin());
}

Blend blend(Estimator kind, const EstimatorConstants& c, bool first, bool full) {
  if (first || full) return {};
  switch (kind) {
    case Estimator::sgd:
    case Estimator::saga:
      return {};
    case Estimator::average:
      return {1.0 - c.beta, c.beta, 0.0};
    case Estimator::storm:
      return {1.0 - c.beta, 1.0, -(1.0 - c.beta)};
    case Estimator::msvr: {
      const double gamma = c.gamma < 0.0 ? 1.0 - c.alpha : c.gamma;
      return {1.0 - c.alpha, c.alpha + gamma, -gamma};
    }
    case Estimator::sarah:
    case Estimator::page:
      return {1.0, 1.0, -1.0};
  }
  return {};
}

bool looks_back(Estimator kind) {
  return kind == Estimator::storm || kind == Estimator::msvr || kind == Estimator::sarah ||
         kind == Estimator::page;
}

void update(const Blend& b, std::span<const double> h, std::span<const double> h_old,
            std::span<double> d) {
  if (b.keep == 0.0 && b.previous == 0.0) {
    for (std::size_t k = 0; k < d.size(); ++k) d[k] = b.now * h[k];
  } else if (b.previous == 0.0) {
    for (std::size_t k = 0; k < d.size(); ++k) d[k] = b.keep * d[k] + b.now * h[k];
  } else {
    for (std::size_t k = 0; k < d.size(); ++k)
      d[k] = b.keep * d[k] + b.now * h[k] + b.previous * h_old[k];
  }
}

}  // namespace equipoise::bilevel
