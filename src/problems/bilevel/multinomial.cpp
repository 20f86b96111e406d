#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/multinomial.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::problems {
namespace {

double mean_norm_power(const ClassRows& rows, double power) {
  double sum = 0.0;
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    double square = 0.0;
    for (std::int64_t k = 0; k < rows.dimension; ++k)
      square += std::pow(static_cast<double>(rows.row(r)[k]), 2);
    sum += std::pow(square, 0.5 * power) / static_cast<double>(rows.rows());
  }
  return sum;
}

}  // namespace

void MultinomialOptions::describe(state::OptionVisitor& visit) {
  DigitOptions::describe(visit);
  visit.option("start", start, "every entry of the first x (logarithm of the weight)");
  visit.option("low", low, "smallest logarithm of a weight");
  visit.option("high", high, "largest logarithm of a weight");
}

MultinomialSelection::MultinomialSelection(DigitRows rows, const MultinomialOptions& options)
    : rows_(std::move(rows)),
      options_(options),
      train_square_(mean_norm_power(rows_.train, 2.0)),
      train_cube_(mean_norm_power(rows_.train, 3.0)),
      validation_square_(mean_norm_power(rows_.validation, 2.0)) {
  if (!(options.low < options.high)) {
    throw ConfigurationError("problem.low = {} must be below problem.high = {}", options.low,
                             options.high);
  }
}

void MultinomialSelection::grad_y_g(std::int64_t, Batch batch, In x, In y, Out out) const {
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = std::exp(x[k]) * y[k];
  add_entropy_gradient(rows_.train, batch, y, out);
}

void MultinomialSelection::grad_x_g(std::int64_t, Batch, In x, In y, Out out) const {
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = 0.5 * std::exp(x[k]) * y[k] * y[k];
}

void MultinomialSelection::grad_y_f(std::int64_t, Batch batch, In, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  add_entropy_gradient(rows_.validation, batch, y, out);
}

void MultinomialSelection::grad_x_f(std::int64_t, Batch, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

void MultinomialSelection::hvp_yy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const {
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = std::exp(x[k]) * v[k];
  each(rows_.train.rows(), batch, [&](std::int64_t r, double share) {
    Scores p, along;
    scores(rows_.train, r, y, p);
    scores(rows_.train, r, v, along);
    softmax(p, 0);
    Scores q = curvature(p, along);
    scale(q, share);
    add_row(rows_.train, r, q, out);
  });
}

void MultinomialSelection::jvp_xy_g(std::int64_t, Batch, In x, In y, In v, Out out) const {
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = std::exp(x[k]) * y[k] * v[k];
}

void MultinomialSelection::lower_pass(std::int64_t i, Batch batch, In x, In y, In v, Out gradient,
                                      Out hv, Out jv) const {
  for (std::size_t k = 0; k < y.size(); ++k) {
    gradient[k] = std::exp(x[k]) * y[k];
    hv[k] = std::exp(x[k]) * v[k];
  }
  each(rows_.train.rows(), batch, [&](std::int64_t r, double share) {
    Scores p, along;
    scores(rows_.train, r, y, p);
    scores(rows_.train, r, v, along);
    const auto label = rows_.train.labels[static_cast<std::size_t>(r)];
    softmax(p, label);
    Scores q = curvature(p, along);
    scale(q, share);
    add_row(rows_.train, r, q, hv);
    p[static_cast<std::size_t>(label)] -= 1.0;
    scale(p, share);
    add_row(rows_.train, r, p, gradient);
  });
  jvp_xy_g(i, batch, x, y, v, jv);
}

double MultinomialSelection::f(std::int64_t, Batch batch, In, In y) const {
  return mean_entropy(rows_.validation, batch, y);
}

double MultinomialSelection::g(std::int64_t, Batch batch, In x, In y) const {
  double sum = mean_entropy(rows_.train, batch, y);
  for (std::size_t k = 0; k < y.size(); ++k) sum += 0.5 * std::exp(x[k]) * y[k] * y[k];
  return sum;
}

bilevel::Bounds MultinomialSelection::bounds(std::int64_t, In x, In y) const {
  bilevel::Bounds out;
  out.strong_convexity = std::exp(x[0]);
  double largest = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double weight = std::exp(x[k]);
    out.strong_convexity = std::min(out.strong_convexity, weight);
    largest = std::max(largest, weight);
    out.cross = std::max(out.cross, weight * std::abs(y[k]));
  }
  out.cross_lipschitz = largest;
  out.smoothness = largest + 0.5 * train_square_;
  out.hessian_lipschitz = train_cube_ / std::sqrt(2.0);
  out.upper_smoothness = 0.5 * validation_square_;
  out.certified = true;
  return out;
}

void MultinomialSelection::proj_x(Out x) const {
  for (double& entry : x) entry = std::clamp(entry, options_.low, options_.high);
}

void MultinomialSelection::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

void MultinomialSelection::figures(std::int64_t, In, In y, bilevel::Figures& out) const {
  out.emplace_back("test_error_percent", error_percent(rows_.test, [&](std::int64_t r, Scores& s) {
                     scores(rows_.test, r, y, s);
                   }));
}

std::string MultinomialSelection::fingerprint() const {
  return fmt::format(
      "multinomial {} train={} validation={} features={} start={} label sum={}", options_.images,
      rows_.train.rows(), rows_.validation.rows(), rows_.train.dimension, options_.start,
      std::accumulate(rows_.train.labels.begin(), rows_.train.labels.end(), std::int64_t{0}));
}

bilevel::Facts MultinomialSelection::facts() const {
  return {
      {"training rows", fmt::format("{}", rows_.train.rows())},
      {"validation rows", fmt::format("{}", rows_.validation.rows())},
      {"features", fmt::format("{} for each of {} classes", rows_.train.dimension, digit_classes)}};
}

}  // namespace equipoise::problems
