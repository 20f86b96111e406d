#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/temperature.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

double sigmoid(double x) { return logistic_weight(-x); }
double weight_of(bilevel::In x, std::int64_t r) { return sigmoid(x[static_cast<std::size_t>(r)]); }

}  // namespace

void TemperatureOptions::describe(state::OptionVisitor& visit) {
  visit.option("data", data, "LIBSVM file");
  visit.option("train_rows", train_rows, "leading rows that train; the others validate",
               state::at_least_one);
  visit.option("blocks", blocks, "temperatures m", state::at_least_one);
  visit.option("regulariser", regulariser, "lambda of the lower problems", state::positive);
  visit.option("start", start, "every entry of the first x (a row weighs sigma(x))");
}

TemperatureReweighting::TemperatureReweighting(const LabelledRows& rows,
                                               const TemperatureOptions& options)
    : options_(options) {
  if (options.train_rows >= rows.rows()) {
    throw ConfigurationError("problem.train_rows = {}: {} has {} rows, and some must validate",
                             options.train_rows, options.data, rows.rows());
  }
  train_ = rows.slice(0, options.train_rows);
  validation_ = rows.slice(options.train_rows, rows.rows());
}

double TemperatureReweighting::temperature(std::int64_t i) const {
  return 1.0 + 10.0 * (static_cast<double>(i) + 0.5) / static_cast<double>(options_.blocks);
}

void TemperatureReweighting::grad_y_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  const double t = temperature(i);
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = options_.regulariser * y[k];
  each_row(train_, batch, [&](std::int64_t r, double share) {
    const double slope = logistic_weight(train_.margin(r, y) / t);
    train_.add(r, -share * weight_of(x, r) * train_.label(r) * slope / t, out);
  });
}

void TemperatureReweighting::grad_x_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  const double t = temperature(i);
  std::fill(out.begin(), out.end(), 0.0);
  each_row(train_, batch, [&](std::int64_t r, double share) {
    const double w = weight_of(x, r);
    out[static_cast<std::size_t>(r)] +=
        share * w * (1.0 - w) * logistic_loss(train_.margin(r, y) / t);
  });
}

void TemperatureReweighting::grad_y_f(std::int64_t i, Batch batch, In, In y, Out out) const {
  const double t = temperature(i);
  std::fill(out.begin(), out.end(), 0.0);
  each_row(validation_, batch, [&](std::int64_t r, double share) {
    validation_.add(
        r, -share * validation_.label(r) * logistic_weight(validation_.margin(r, y) / t) / t, out);
  });
}

void TemperatureReweighting::grad_x_f(std::int64_t, Batch, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

void TemperatureReweighting::hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v,
                                      Out out) const {
  const double t = temperature(i);
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = options_.regulariser * v[k];
  each_row(train_, batch, [&](std::int64_t r, double share) {
    const double slope = logistic_weight(train_.margin(r, y) / t);
    const double curvature = slope * (1.0 - slope) / (t * t);
    train_.add(r, share * weight_of(x, r) * curvature * train_.product(r, v), out);
  });
}

void TemperatureReweighting::jvp_xy_g(std::int64_t i, Batch batch, In x, In y, In v,
                                      Out out) const {
  const double t = temperature(i);
  std::fill(out.begin(), out.end(), 0.0);
  each_row(train_, batch, [&](std::int64_t r, double share) {
    const double w = weight_of(x, r), slope = logistic_weight(train_.margin(r, y) / t);
    out[static_cast<std::size_t>(r)] -=
        share * w * (1.0 - w) * train_.label(r) * slope / t * train_.product(r, v);
  });
}

void TemperatureReweighting::jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u,
                                      Out out) const {
  const double t = temperature(i);
  std::fill(out.begin(), out.end(), 0.0);
  each_row(train_, batch, [&](std::int64_t r, double share) {
    const double w = weight_of(x, r), slope = logistic_weight(train_.margin(r, y) / t);
    train_.add(
        r, -share * u[static_cast<std::size_t>(r)] * w * (1.0 - w) * train_.label(r) * slope / t,
        out);
  });
}

void TemperatureReweighting::hess_yy_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  const double t = temperature(i);
  const std::size_t n = y.size();
  std::fill(out.begin(), out.end(), 0.0);
  each_row(train_, batch, [&](std::int64_t r, double share) {
    const double slope = logistic_weight(train_.margin(r, y) / t);
    train_.add_square(r, share * weight_of(x, r) * slope * (1.0 - slope) / (t * t), n, out);
  });
  for (std::size_t j = 0; j < n; ++j) {
    out[j * n + j] += options_.regulariser;
    for (std::size_t k = 0; k < j; ++k) out[k * n + j] = out[j * n + k];
  }
}

void TemperatureReweighting::lower_pass(std::int64_t i, Batch batch, In x, In y, In v, Out gradient,
                                        Out hv, Out jv) const {
  const double t = temperature(i);
  for (std::size_t k = 0; k < y.size(); ++k) {
    gradient[k] = options_.regulariser * y[k];
    hv[k] = options_.regulariser * v[k];
  }
  std::fill(jv.begin(), jv.end(), 0.0);
  each_row(train_, batch, [&](std::int64_t r, double share) {
    const double w = weight_of(x, r), slope = logistic_weight(train_.margin(r, y) / t);
    const double along = train_.product(r, v), pull = train_.label(r) * slope / t;
    train_.add(r, -share * w * pull, gradient);
    train_.add(r, share * w * slope * (1.0 - slope) / (t * t) * along, hv);
    jv[static_cast<std::size_t>(r)] -= share * w * (1.0 - w) * pull * along;
  });
}

double TemperatureReweighting::f(std::int64_t i, Batch batch, In, In y) const {
  const double t = temperature(i);
  double sum = 0.0;
  each_row(validation_, batch, [&](std::int64_t r, double share) {
    sum += share * logistic_loss(validation_.margin(r, y) / t);
  });
  return sum;
}

double TemperatureReweighting::g(std::int64_t i, Batch batch, In x, In y) const {
  const double t = temperature(i);
  double sum = 0.5 * options_.regulariser * bilevel::dot(y, y);
  each_row(train_, batch, [&](std::int64_t r, double share) {
    sum += share * weight_of(x, r) * logistic_loss(train_.margin(r, y) / t);
  });
  return sum;
}

void TemperatureReweighting::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

std::string TemperatureReweighting::fingerprint() const {
  return fmt::format("temperature {} train={} validation={} features={} m={} lambda={} start={}",
                     options_.data, train_.rows(), validation_.rows(), train_.features,
                     options_.blocks, options_.regulariser, options_.start);
}

bilevel::Facts TemperatureReweighting::facts() const {
  return {{"training rows", fmt::format("{}", train_.rows())},
          {"validation rows", fmt::format("{}", validation_.rows())},
          {"temperatures", fmt::format("{}", options_.blocks)}};
}

}  // namespace equipoise::problems
