#include <equipoise/problems/pareto/lasso_path.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;
using Index = Eigen::Index;

void LassoPathOptions::describe(state::OptionVisitor& visit) {
  visit.option("spacing", spacing, "largest distance of neighbours, objectives scaled to [0, 1]",
               {0.0, 1.0, true});
}

LassoPath::LassoPath(const RegularisationPath& problem, const LassoPathOptions& options)
    : problem_(problem), options_(options), n_(static_cast<std::size_t>(problem.features)) {
  std::size_t first = 0;
  for (std::size_t j = 1; j < n_; ++j) {
    if (std::abs(problem.right[j]) > std::abs(problem.right[first])) first = j;
  }
  push(std::abs(problem.right[first]), std::vector<double>(n_, 0.0));
  active_ = {static_cast<std::int64_t>(first)};
  signs_ = {problem.right[first] > 0.0 ? 1 : -1};
  last_ = active_[0];
  report();
}

void LassoPath::push(double lambda, const std::vector<double>& x) {
  lambdas_.push_back(lambda);
  x_.insert(x_.end(), x.begin(), x.end());
}

std::span<const double> LassoPath::point(std::size_t event) const {
  return std::span(x_).subspan(event * n_, n_);
}

void LassoPath::report() {
  report_.residual = lambdas_[0] > 0.0 ? lambdas_.back() / lambdas_[0] : 0.0;
  report_.fresh = true;
  report_.finished = ended_ || lambdas_.back() <= 0.0;
}

/// To the next event: x_A = b - lambda d on the way, and the correlation right - H x of the others
/// is u + lambda v.
void LassoPath::step() {
  if (report_.finished) return;
  const auto m = static_cast<Index>(active_.size());
  Matrix h(m, m);
  Vector right(m);
  Vector sign(m);
  for (Index a = 0; a < m; ++a) {
    const auto i = static_cast<std::size_t>(active_[static_cast<std::size_t>(a)]);
    right(a) = problem_.right[i];
    sign(a) = static_cast<double>(signs_[static_cast<std::size_t>(a)]);
    for (Index c = 0; c < m; ++c)
      h(a, c) = gram(i, static_cast<std::size_t>(active_[static_cast<std::size_t>(c)]));
  }
  const Eigen::LDLT<Matrix> factor(h);
  const Vector pivots = factor.vectorD();
  ended_ = pivots.minCoeff() <= 1e-13 * pivots.maxCoeff();
  if (ended_) return report();
  const Vector b = factor.solve(right);
  const Vector d = factor.solve(sign);
  const double now = lambdas_.back();
  double next = 0.0;
  std::int64_t who = -1;
  // The variable of the last event sits at its own event still.
  const auto offer = [&](double lambda, std::int64_t j) {
    const double top = now * (j == last_ ? 1.0 - 1e-9 : 1.0 + 1e-12);
    if (lambda > next && lambda <= top) next = std::min(lambda, now), who = j;
  };
  std::vector<bool> in(n_, false);
  for (Index a = 0; a < m; ++a) {
    const std::int64_t j = active_[static_cast<std::size_t>(a)];
    in[static_cast<std::size_t>(j)] = true;
    if (d(a) != 0.0) offer(b(a) / d(a), j);
  }
  std::int64_t sign_of_join = 1;
  for (std::size_t j = 0; j < n_; ++j) {
    if (in[j]) continue;
    double u = problem_.right[j];
    double v = 0.0;
    for (Index a = 0; a < m; ++a) {
      const double g = gram(j, static_cast<std::size_t>(active_[static_cast<std::size_t>(a)]));
      u -= g * b(a);
      v += g * d(a);
    }
    // u + lambda v = lambda, or -lambda.
    for (const std::int64_t s : {1, -1}) {
      const double slope = 1.0 - static_cast<double>(s) * v;
      const double before = next;
      if (slope > 0.0) offer(static_cast<double>(s) * u / slope, static_cast<std::int64_t>(j));
      if (next > before) sign_of_join = s;
    }
  }
  std::vector<double> x(n_, 0.0);
  for (Index a = 0; a < m; ++a)
    x[static_cast<std::size_t>(active_[static_cast<std::size_t>(a)])] = b(a) - next * d(a);
  if (who >= 0) {
    const auto at = std::find(active_.begin(), active_.end(), who);
    if (at != active_.end()) {
      x[static_cast<std::size_t>(who)] = 0.0;
      signs_.erase(signs_.begin() + (at - active_.begin()));
      active_.erase(at);
    } else {
      active_.push_back(who);
      signs_.push_back(sign_of_join);
    }
    last_ = who;
  }
  push(next, x);
  report();
}

solve::Counters LassoPath::counters() const {
  return {{"path_event", static_cast<std::int64_t>(lambdas_.size()) - 1}};
}

void LassoPath::fields(state::FieldVisitor& visit) {
  std::int64_t ended = ended_ ? 1 : 0;
  visit.replicated("active", active_);
  visit.replicated("signs", signs_);
  visit.scalar("last", last_);
  visit.scalar("ended", ended);
  visit.replicated("lambdas", lambdas_);
  visit.replicated("events", x_);
  ended_ = ended != 0;
  report();
}

void LassoPath::solution(state::FieldVisitor& visit) {
  const std::size_t count = events();
  std::vector<double> f(2 * count);
  for (std::size_t e = 0; e < count; ++e)
    problem_.evaluate(point(e), std::span(f).subspan(2 * e, 2));
  const double width1 = std::max(f[0] - f[2 * count - 2], 1e-300);
  const double width2 = std::max(f[2 * count - 1] - f[1], 1e-300);
  front_ = {};
  front_.variables = static_cast<std::int64_t>(n_);
  front_.objectives = 2;
  std::vector<double> x(n_);
  std::vector<double> value(2);
  const auto add = [&](std::span<const double> at) {
    problem_.evaluate(at, value);
    front_.x.insert(front_.x.end(), at.begin(), at.end());
    front_.f.insert(front_.f.end(), value.begin(), value.end());
  };
  for (std::size_t e = 0; e < count; ++e) {
    add(point(e));
    if (e + 1 == count) break;
    // f_2 is linear and |df_1| = lambda |df_2| at most: the longest of equal pieces is the first.
    const double rise = std::abs(f[2 * e + 3] - f[2 * e + 1]);
    const double length = std::hypot(rise / width2, lambdas_[e] * rise / width1);
    const auto pieces = static_cast<int>(std::ceil(length / options_.spacing));
    for (int p = 1; p < pieces; ++p) {
      const double s = static_cast<double>(p) / pieces;
      for (std::size_t j = 0; j < n_; ++j) x[j] = (1.0 - s) * point(e)[j] + s * point(e + 1)[j];
      add(x);
    }
  }
  front_.fields(visit);
}

}  // namespace equipoise::problems
