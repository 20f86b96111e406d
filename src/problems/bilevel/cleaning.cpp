#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/problems/bilevel/cleaning.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::problems {
namespace {

double sigmoid(double x) { return logistic_weight(-x); }

double slope_along(Scores p, std::int32_t label, const Scores& along) {
  p[static_cast<std::size_t>(label)] -= 1.0;
  double sum = 0.0;
  for (std::size_t c = 0; c < p.size(); ++c) sum += p[c] * along[c];
  return sum;
}

}  // namespace

void CleaningOptions::describe(state::OptionVisitor& visit) {
  DigitOptions::describe(visit);
  visit.option("corruption", corruption, "share of training labels redrawn at random", {0.0, 1.0});
  visit.option("regulariser", regulariser, "lambda of the lower problem", state::positive);
  visit.option("start", start, "every entry of the first x (a row weighs sigma(x))");
}

DataCleaning::DataCleaning(ClassRows train, ClassRows validation, ClassRows test,
                           const CleaningOptions& options, std::uint64_t seed)
    : train_(std::move(train)),
      validation_(std::move(validation)),
      test_(std::move(test)),
      corrupted_(corrupt_labels(train_, options.corruption, seed)),
      options_(options) {}

void DataCleaning::grad_y_g(std::int64_t, Batch batch, In x, In y, Out out) const {
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = 2.0 * options_.regulariser * y[k];
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(train_, r, y, p);
    const auto label = train_.labels[static_cast<std::size_t>(r)];
    softmax_slope(p, label, share * sigmoid(x[static_cast<std::size_t>(r)]));
    add_row(train_, r, p, out);
  });
}

void DataCleaning::grad_x_g(std::int64_t, Batch batch, In x, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(train_, r, y, p);
    const double w = sigmoid(x[static_cast<std::size_t>(r)]);
    out[static_cast<std::size_t>(r)] +=
        share * w * (1.0 - w) * softmax(p, train_.labels[static_cast<std::size_t>(r)]);
  });
}

void DataCleaning::grad_y_f(std::int64_t, Batch batch, In, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  add_entropy_gradient(validation_, batch, y, out);
}

void DataCleaning::grad_x_f(std::int64_t, Batch, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

void DataCleaning::hvp_yy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const {
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = 2.0 * options_.regulariser * v[k];
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p, along;
    scores(train_, r, y, p);
    scores(train_, r, v, along);
    softmax(p, 0);
    Scores q = curvature(p, along);
    scale(q, share * sigmoid(x[static_cast<std::size_t>(r)]));
    add_row(train_, r, q, out);
  });
}

void DataCleaning::jvp_xy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p, along;
    scores(train_, r, y, p);
    scores(train_, r, v, along);
    const auto label = train_.labels[static_cast<std::size_t>(r)];
    softmax(p, label);
    const double w = sigmoid(x[static_cast<std::size_t>(r)]);
    out[static_cast<std::size_t>(r)] += share * w * (1.0 - w) * slope_along(p, label, along);
  });
}

void DataCleaning::jvp_yx_g(std::int64_t, Batch batch, In x, In y, In u, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(train_, r, y, p);
    const auto label = train_.labels[static_cast<std::size_t>(r)];
    const double w = sigmoid(x[static_cast<std::size_t>(r)]);
    softmax_slope(p, label, share * w * (1.0 - w) * u[static_cast<std::size_t>(r)]);
    add_row(train_, r, p, out);
  });
}

void DataCleaning::lower_pass(std::int64_t, Batch batch, In x, In y, In v, Out gradient, Out hv,
                              Out jv) const {
  for (std::size_t k = 0; k < y.size(); ++k) {
    gradient[k] = 2.0 * options_.regulariser * y[k];
    hv[k] = 2.0 * options_.regulariser * v[k];
  }
  std::fill(jv.begin(), jv.end(), 0.0);
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p, along;
    scores(train_, r, y, p);
    scores(train_, r, v, along);
    const auto label = train_.labels[static_cast<std::size_t>(r)];
    softmax(p, label);
    const double w = sigmoid(x[static_cast<std::size_t>(r)]);
    jv[static_cast<std::size_t>(r)] += share * w * (1.0 - w) * slope_along(p, label, along);
    Scores q = curvature(p, along);
    scale(q, share * w);
    add_row(train_, r, q, hv);
    p[static_cast<std::size_t>(label)] -= 1.0;
    scale(p, share * w);
    add_row(train_, r, p, gradient);
  });
}

double DataCleaning::f(std::int64_t, Batch batch, In, In y) const {
  return mean_entropy(validation_, batch, y);
}

double DataCleaning::g(std::int64_t, Batch batch, In x, In y) const {
  double sum = options_.regulariser * bilevel::dot(y, y);
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(train_, r, y, p);
    sum += share * sigmoid(x[static_cast<std::size_t>(r)]) *
           softmax(p, train_.labels[static_cast<std::size_t>(r)]);
  });
  return sum;
}

void DataCleaning::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

void DataCleaning::figures(std::int64_t, In x, In y, bilevel::Figures& out) const {
  out.emplace_back("area_under_curve_of_weights", area_under_curve(x));
  out.emplace_back("test_error_percent", test_error(y));
}

double DataCleaning::test_error(In y) const {
  return error_percent(test_, [&](std::int64_t r, Scores& s) { scores(test_, r, y, s); });
}

std::string DataCleaning::fingerprint() const {
  return fmt::format(
      "cleaning {} train={} validation={} features={} corruption={} lambda={} start={} label "
      "sum={}",
      options_.images, train_.rows(), validation_.rows(), train_.dimension, options_.corruption,
      options_.regulariser, options_.start,
      std::accumulate(train_.labels.begin(), train_.labels.end(), std::int64_t{0}));
}

bilevel::Facts DataCleaning::facts() const {
  return {{"training rows", fmt::format("{}", train_.rows())},
          {"wrong labels", fmt::format("{}", std::count(corrupted_.begin(), corrupted_.end(), 1))},
          {"validation rows", fmt::format("{}", validation_.rows())},
          {"features", fmt::format("{}", train_.dimension)}};
}

DataCleaning read_cleaning(const CleaningOptions& options, std::uint64_t seed) {
  DigitRows rows = read_digits(options);
  return {std::move(rows.train), std::move(rows.validation), std::move(rows.test), options, seed};
}

}  // namespace equipoise::problems
