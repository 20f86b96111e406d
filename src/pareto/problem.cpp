#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/problem.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {

double ProblemView::inner(std::span<const double> a, std::span<const double> b) const {
  if (table_->inner) return table_->inner(self_, a, b);
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void ProblemView::gradient(std::size_t i, std::span<const double> x, std::span<double> g) const {
  if (table_->gradient) {
    table_->gradient(self_, static_cast<std::int64_t>(i), x, g);
    return;
  }
  std::vector<double> f(objectives());
  std::vector<double> all(objectives() * dimension());
  gradients(x, f, all);
  std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(i * g.size()), g.size(), g.begin());
}

void ProblemView::start(std::span<double> x) const {
  if (table_->start) {
    table_->start(self_, x);
    return;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double low = lower(i);
    const double high = upper(i);
    x[i] =
        std::isfinite(low) && std::isfinite(high) ? 0.5 * (low + high) : std::clamp(0.0, low, high);
  }
}

void require_valid(const ProblemView& problem, bool need_box) {
  if (problem.objectives() < 2) {
    throw ConfigurationError(
        "the problem has {} objective(s): a front needs at least 2; with one objective there is a "
        "single "
        "best value, which the families control and bilevel compute",
        problem.objectives());
  }
  if (problem.dimension() < 1) throw ConfigurationError("the problem has no variables");
  for (std::size_t i = 0; i < problem.dimension(); ++i) {
    const double low = problem.lower(i);
    const double high = problem.upper(i);
    if (!(low <= high)) {
      throw ConfigurationError("variable {}: lower bound {} is not below upper bound {}", i, low,
                               high);
    }
    if (need_box && !(std::isfinite(low) && std::isfinite(high))) {
      throw ConfigurationError(
          "variable {} has bounds [{}, {}]: population methods need finite bounds to sample from",
          i, low, high);
    }
  }
}

}  // namespace equipoise::pareto
