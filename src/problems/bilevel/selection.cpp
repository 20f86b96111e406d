#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/selection.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

void add_loss_gradient(const LabelledRows& rows, bilevel::Batch batch, bilevel::In y,
                       bilevel::Out out) {
  each_row(rows, batch, [&](std::int64_t r, double weight) {
    rows.add(r, -weight * rows.label(r) * logistic_weight(rows.margin(r, y)), out);
  });
}

double mean_loss(const LabelledRows& rows, bilevel::Batch batch, bilevel::In y) {
  double sum = 0.0;
  each_row(rows, batch, [&](std::int64_t r, double weight) {
    sum += weight * logistic_loss(rows.margin(r, y));
  });
  return sum;
}

}  // namespace

void SelectionOptions::describe(state::OptionVisitor& visit) {
  visit.option("train", train, "LIBSVM file of the lower problem");
  visit.option("validation", validation, "LIBSVM file of the upper objective");
  visit.option("start", start, "every entry of the first x (logarithm of the weight)");
  visit.option("low", low, "smallest logarithm of a weight");
  visit.option("high", high, "largest logarithm of a weight");
}

RegularisationSelection::RegularisationSelection(LabelledRows train, LabelledRows validation,
                                                 const SelectionOptions& options)
    : train_(std::move(train)),
      validation_(std::move(validation)),
      options_(options),
      features_(std::max(train_.features, validation_.features)),
      train_cube_(train_.mean_norm_power(3.0)),
      validation_square_(validation_.mean_norm_power(2.0)) {
  if (!(options.low < options.high)) {
    throw ConfigurationError("problem.low = {} must be below problem.high = {}", options.low,
                             options.high);
  }
}

void RegularisationSelection::grad_y_g(std::int64_t, Batch batch, In x, In y, Out out) const {
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = std::exp(x[j]) * y[j];
  add_loss_gradient(train_, batch, y, out);
}

void RegularisationSelection::grad_x_g(std::int64_t, Batch, In x, In y, Out out) const {
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = 0.5 * std::exp(x[j]) * y[j] * y[j];
}

void RegularisationSelection::grad_y_f(std::int64_t, Batch batch, In, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  add_loss_gradient(validation_, batch, y, out);
}

void RegularisationSelection::grad_x_f(std::int64_t, Batch, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

void RegularisationSelection::hvp_yy_g(std::int64_t, Batch batch, In x, In y, In v, Out out) const {
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = std::exp(x[j]) * v[j];
  each_row(train_, batch, [&](std::int64_t r, double weight) {
    const double s = logistic_weight(train_.margin(r, y));
    train_.add(r, weight * s * (1.0 - s) * train_.product(r, v), out);
  });
}

void RegularisationSelection::hess_yy_g(std::int64_t, Batch batch, In x, In y, Out out) const {
  const std::size_t n = y.size();
  std::fill(out.begin(), out.end(), 0.0);
  each_row(train_, batch, [&](std::int64_t r, double weight) {
    const double s = logistic_weight(train_.margin(r, y));
    train_.add_square(r, weight * s * (1.0 - s), n, out);
  });
  for (std::size_t j = 0; j < n; ++j) {
    out[j * n + j] += std::exp(x[j]);
    for (std::size_t k = 0; k < j; ++k) out[k * n + j] = out[j * n + k];
  }
}

void RegularisationSelection::jvp_xy_g(std::int64_t, Batch, In x, In y, In v, Out out) const {
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = std::exp(x[j]) * y[j] * v[j];
}

void RegularisationSelection::jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u,
                                       Out out) const {
  jvp_xy_g(i, batch, x, y, u, out);
}

void RegularisationSelection::lower_pass(std::int64_t i, Batch batch, In x, In y, In v,
                                         Out gradient, Out hv, Out jv) const {
  for (std::size_t j = 0; j < hv.size(); ++j) {
    gradient[j] = std::exp(x[j]) * y[j];
    hv[j] = std::exp(x[j]) * v[j];
  }
  each_row(train_, batch, [&](std::int64_t r, double weight) {
    const double s = logistic_weight(train_.margin(r, y));
    train_.add(r, -weight * train_.label(r) * s, gradient);
    train_.add(r, weight * s * (1.0 - s) * train_.product(r, v), hv);
  });
  jvp_xy_g(i, batch, x, y, v, jv);
}

double RegularisationSelection::f(std::int64_t, Batch batch, In, In y) const {
  return mean_loss(validation_, batch, y);
}

double RegularisationSelection::g(std::int64_t, Batch batch, In x, In y) const {
  double sum = mean_loss(train_, batch, y);
  for (std::size_t j = 0; j < y.size(); ++j) sum += 0.5 * std::exp(x[j]) * y[j] * y[j];
  return sum;
}

bilevel::Bounds RegularisationSelection::bounds(std::int64_t, In x, In y) const {
  bilevel::Bounds out;
  for (std::size_t j = 0; j < x.size(); ++j) {
    out.cross = std::max(out.cross, std::exp(x[j]) * std::abs(y[j]));
    out.cross_lipschitz = std::max(out.cross_lipschitz, std::exp(x[j]));
  }
  // |loss'''| <= 1 / (6 sqrt 3), |loss''| <= 1 / 4.
  out.hessian_lipschitz = train_cube_ / (6.0 * std::sqrt(3.0));
  out.upper_smoothness = 0.25 * validation_square_;
  return out;
}

void RegularisationSelection::proj_x(Out x) const {
  for (double& entry : x) entry = std::clamp(entry, options_.low, options_.high);
}

void RegularisationSelection::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

std::string RegularisationSelection::fingerprint() const {
  return fmt::format("selection {} {} rows={} validation={} features={} start={}", options_.train,
                     options_.validation, train_.rows(), validation_.rows(), features_,
                     options_.start);
}

bilevel::Facts RegularisationSelection::facts() const {
  return {{"blocks", "1"},
          {"training rows", fmt::format("{}", train_.rows())},
          {"validation rows", fmt::format("{}", validation_.rows())},
          {"features", fmt::format("{}", features_)}};
}

}  // namespace equipoise::problems
