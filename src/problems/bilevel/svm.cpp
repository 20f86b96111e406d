#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/svm.hpp>

#include <Eigen/Cholesky>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using bilevel::dot;
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

void SvmOptions::describe(state::OptionVisitor& visit) {
  visit.option("data", data, "LIBSVM file");
  visit.option("train", train, "leading rows that train", {2.0});
  visit.option("validation", validation, "rows after these that validate", state::at_least_one);
  visit.option("groups", groups, "penalties, dealt to the training rows in turn; 0: one per row",
               state::non_negative);
  visit.option("start", start, "every entry of the first x (logarithm of a penalty)");
  visit.option("low", low, "smallest logarithm of a penalty");
  visit.option("high", high, "largest logarithm of a penalty", {-50.0, 50.0});
}

SupportVector::SupportVector(const LabelledRows& rows, const SvmOptions& options)
    : train_(options.train),
      validation_(options.validation),
      features_(rows.features),
      groups_(options.groups == 0 ? options.train : options.groups),
      options_(options) {
  if (train_ + validation_ > rows.rows()) {
    throw ConfigurationError("problem.train + problem.validation = {}: {} has only {} rows",
                             train_ + validation_, options.data, rows.rows());
  }
  if (groups_ > train_) {
    throw ConfigurationError("problem.groups = {}: there are only {} training rows", groups_,
                             train_);
  }
  if (!(options.low < options.high)) {
    throw ConfigurationError("problem.low = {} must be below problem.high = {}", options.low,
                             options.high);
  }
  const auto d = at(features_);
  rows_.resize(at(train_ + validation_) * d);
  labels_.assign(rows.labels.begin(), rows.labels.begin() + train_ + validation_);
  for (std::int64_t r = 0; r < train_ + validation_; ++r)
    rows.add(r, 1.0, bilevel::Out(rows_).subspan(at(r) * d, d));
  for (std::size_t k = 1; k < d; ++k) {  // feature 0 is the intercept
    double mean = 0.0, square = 0.0;
    for (std::size_t r = 0; r < at(train_); ++r)
      mean += rows_[r * d + k] / static_cast<double>(train_);
    for (std::size_t r = 0; r < at(train_); ++r)
      square += std::pow(rows_[r * d + k] - mean, 2) / static_cast<double>(train_);
    for (std::size_t r = 0; r < at(train_ + validation_); ++r)
      rows_[r * d + k] = square > 1e-12 ? (rows_[r * d + k] - mean) / std::sqrt(square) : 0.0;
  }
}

bilevel::In SupportVector::row(std::int64_t r) const {
  return In(rows_).subspan(at(r * features_), at(features_));
}

void SupportVector::grad_y_g(std::int64_t, Batch, In x, In y, Out out) const {
  std::copy(y.begin(), y.begin() + features_, out.begin());
  for (std::int64_t r = 0; r < train_; ++r)
    out[at(features_ + r)] = std::exp(x[group(r)]) * y[at(features_ + r)];
}

void SupportVector::grad_x_g(std::int64_t, Batch, In x, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  for (std::int64_t r = 0; r < train_; ++r) {
    const double slack = y[at(features_ + r)];
    out[group(r)] += 0.5 * std::exp(x[group(r)]) * slack * slack;
  }
}

double SupportVector::validate(In w, Out gradient) const {
  double sum = 0.0;
  std::fill(gradient.begin(), gradient.end(), 0.0);
  const double share = 1.0 / static_cast<double>(validation_);
  for (std::int64_t r = train_; r < train_ + validation_; ++r) {
    const double margin = labels_[at(r)] * dot(row(r), w);
    sum += share * logistic_loss(margin);
    bilevel::axpy(-share * labels_[at(r)] * logistic_weight(margin), row(r), gradient);
  }
  return sum;
}

void SupportVector::grad_y_f(std::int64_t, Batch, In, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  validate(y.first(at(features_)), out.first(at(features_)));
}

void SupportVector::grad_x_f(std::int64_t, Batch, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

double SupportVector::f(std::int64_t, Batch, In, In y) const {
  double sum = 0.0;
  for (std::int64_t r = train_; r < train_ + validation_; ++r) {
    sum += logistic_loss(labels_[at(r)] * dot(row(r), y.first(at(features_)))) /
           static_cast<double>(validation_);
  }
  return sum;
}

double SupportVector::g(std::int64_t, Batch, In x, In y) const {
  const In w = y.first(at(features_));
  double sum = 0.5 * dot(w, w);
  for (std::int64_t r = 0; r < train_; ++r) {
    const double slack = y[at(features_ + r)];
    sum += 0.5 * std::exp(x[group(r)]) * slack * slack;
  }
  return sum;
}

bilevel::Bounds SupportVector::bounds(std::int64_t, In, In) const {
  bilevel::Bounds out;
  out.smoothness = std::max(1.0, std::exp(options_.high));
  return out;
}

void SupportVector::con(std::int64_t, In, In y, Out out) const {
  const In w = y.first(at(features_));
  for (std::int64_t r = 0; r < train_; ++r) {
    const double length = std::sqrt(1.0 + dot(row(r), row(r)));
    out[at(r)] = (1.0 - y[at(features_ + r)] - labels_[at(r)] * dot(row(r), w)) / length;
  }
}

void SupportVector::con_jt_x(std::int64_t, In, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

void SupportVector::con_jt_y(std::int64_t, In, In, In lambda, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  for (std::int64_t r = 0; r < train_; ++r) {
    const double share = lambda[at(r)] / std::sqrt(1.0 + dot(row(r), row(r)));
    bilevel::axpy(-share * labels_[at(r)], row(r), out.first(at(features_)));
    out[at(features_ + r)] = -share;
  }
}

double SupportVector::hinge(In centre, In weights, In offsets, Out w) const {
  const auto d = static_cast<Eigen::Index>(features_);
  const auto value = [&](In point, Out gradient, Eigen::MatrixXd* hessian) {
    double sum = 0.0;
    for (std::size_t k = 0; k < point.size(); ++k) {
      gradient[k] = point[k] - centre[k];
      sum += 0.5 * gradient[k] * gradient[k];
    }
    if (hessian) hessian->setIdentity(d, d);
    for (std::int64_t r = 0; r < train_; ++r) {
      const double gap = 1.0 - offsets[at(r)] - labels_[at(r)] * dot(row(r), point);
      if (gap <= 0.0) continue;
      sum += 0.5 * weights[at(r)] * gap * gap;
      bilevel::axpy(-weights[at(r)] * gap * labels_[at(r)], row(r), gradient);
      if (hessian) {
        const Eigen::Map<const Eigen::VectorXd> a(row(r).data(), d);
        hessian->selfadjointView<Eigen::Lower>().rankUpdate(a, weights[at(r)]);
      }
    }
    return sum;
  };
  std::vector<double> gradient(w.size()), trial(w.size()), other(w.size());
  Eigen::MatrixXd hessian(d, d);
  double length = 0.0;
  for (int round = 0; round < 60; ++round) {
    const double now = value(w, gradient, &hessian);
    const Eigen::VectorXd move = hessian.selfadjointView<Eigen::Lower>().ldlt().solve(
        Eigen::Map<const Eigen::VectorXd>(gradient.data(), d));
    length = move.norm() / (1.0 + bilevel::norm(w));
    const double fall = move.dot(Eigen::Map<const Eigen::VectorXd>(gradient.data(), d));
    double step = 1.0;
    for (int halving = 0; halving < 30; ++halving, step *= 0.5) {
      for (std::size_t k = 0; k < w.size(); ++k)
        trial[k] = w[k] - step * move[static_cast<Eigen::Index>(k)];
      if (value(trial, other, nullptr) <= now - 1e-4 * step * fall + 1e-15 * std::abs(now)) break;
    }
    std::copy(trial.begin(), trial.end(), w.begin());
    if (length <= 1e-14) break;
  }
  return length;
}

void SupportVector::proj_x(Out x) const {
  for (double& entry : x) entry = std::clamp(entry, options_.low, options_.high);
}

/// The constraints do not touch x; in y, (w, xi) minimises the distance with xi = max(xi_0, 1 - z
/// w.a) eliminated.
void SupportVector::proj_joint(Out x, Out y) const {
  proj_x(x);
  const Out w = y.first(at(features_)), slack = y.subspan(at(features_));
  const std::vector<double> centre(w.begin(), w.end()), ones(slack.size(), 1.0);
  hinge(centre, ones, slack, w);
  for (std::int64_t r = 0; r < train_; ++r) {
    slack[at(r)] = std::max(slack[at(r)], 1.0 - labels_[at(r)] * dot(row(r), w));
  }
}

void SupportVector::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

void SupportVector::start_inner(std::int64_t, Out y) const {
  solve(std::vector<double>(at(groups_), options_.start), y);
}

void SupportVector::solve(In x, Out y) const {
  const Out w = y.first(at(features_)), slack = y.subspan(at(features_));
  const std::vector<double> centre(w.size(), 0.0), offsets(slack.size(), 0.0);
  std::vector<double> weights(slack.size());
  for (std::int64_t r = 0; r < train_; ++r) weights[at(r)] = std::exp(x[group(r)]);
  std::fill(w.begin(), w.end(), 0.0);
  hinge(centre, weights, offsets, w);
  for (std::int64_t r = 0; r < train_; ++r)
    slack[at(r)] = std::max(0.0, 1.0 - labels_[at(r)] * dot(row(r), w));
}

bool SupportVector::exact(In x, Out hypergradient, double& value) const {
  std::vector<double> y(at(features_ + train_)), slope(at(features_));
  solve(x, y);
  const In w = In(y).first(at(features_)), slack = In(y).subspan(at(features_));
  value = validate(w, slope);
  const auto d = static_cast<Eigen::Index>(features_);
  Eigen::MatrixXd hessian = Eigen::MatrixXd::Identity(d, d);
  for (std::int64_t r = 0; r < train_; ++r) {
    if (slack[at(r)] <= 0.0) continue;
    const Eigen::Map<const Eigen::VectorXd> a(row(r).data(), d);
    hessian.selfadjointView<Eigen::Lower>().rankUpdate(a, std::exp(x[group(r)]));
  }
  const Eigen::VectorXd v = hessian.selfadjointView<Eigen::Lower>().ldlt().solve(
      Eigen::Map<const Eigen::VectorXd>(slope.data(), d));
  std::fill(hypergradient.begin(), hypergradient.end(), 0.0);
  for (std::int64_t r = 0; r < train_; ++r) {
    const double along = v.dot(Eigen::Map<const Eigen::VectorXd>(row(r).data(), d));
    hypergradient[group(r)] += std::exp(x[group(r)]) * slack[at(r)] * labels_[at(r)] * along;
  }
  return true;
}

void SupportVector::figures(std::int64_t, In, In y, bilevel::Figures& out) const {
  std::int64_t wrong = 0;
  for (std::int64_t r = train_; r < train_ + validation_; ++r)
    wrong += labels_[at(r)] * dot(row(r), y.first(at(features_))) <= 0.0 ? 1 : 0;
  out.emplace_back("validation_error_percent",
                   100.0 * static_cast<double>(wrong) / static_cast<double>(validation_));
  std::vector<double> c(at(train_));
  con(0, {}, y, c);
  out.emplace_back("constraint_violation_max",
                   std::max(0.0, *std::max_element(c.begin(), c.end())));
}

std::string SupportVector::fingerprint() const {
  return fmt::format("svm {} train={} validation={} features={} groups={} start={} box={} {}",
                     options_.data, train_, validation_, features_, groups_, options_.start,
                     options_.low, options_.high);
}

bilevel::Facts SupportVector::facts() const {
  return {{"training rows", fmt::format("{}", train_)},
          {"validation rows", fmt::format("{}", validation_)},
          {"constraints", fmt::format("{}, one per training row", train_)}};
}

}  // namespace equipoise::problems
