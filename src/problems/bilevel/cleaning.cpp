#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/formats/idx.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/cleaning.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace equipoise::problems {
namespace {

constexpr auto classes = static_cast<std::size_t>(DataCleaning::classes);
using Scores = std::array<double, classes>;

double sigmoid(double x) { return logistic_weight(-x); }

/// <a, w> with eight interleaved accumulators.
double product(const float* a, const double* w, std::size_t n) {
  double sums[8] = {};
  const std::size_t whole = n / 8 * 8;
  for (std::size_t i = 0; i < whole; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) sums[j] += static_cast<double>(a[i + j]) * w[i + j];
  }
  for (std::size_t i = whole; i < n; ++i) sums[i - whole] += static_cast<double>(a[i]) * w[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

void scores(const ClassRows& rows, std::int64_t r, bilevel::In w, Scores& out) {
  const auto d = static_cast<std::size_t>(rows.dimension);
  for (std::size_t c = 0; c < classes; ++c) out[c] = product(rows.row(r), w.data() + c * d, d);
}

/// W[c] += factor_c a_r.
void add_row(const ClassRows& rows, std::int64_t r, const Scores& factors, bilevel::Out w) {
  const auto d = static_cast<std::size_t>(rows.dimension);
  const float* a = rows.row(r);
  for (std::size_t c = 0; c < classes; ++c) {
    double* to = w.data() + c * d;
    for (std::size_t i = 0; i < d; ++i) to[i] += factors[c] * static_cast<double>(a[i]);
  }
}

/// Scores become probabilities; returns log of the sum of exponentials less the score of the label:
/// the cross entropy.
double softmax(Scores& s, std::int32_t label) {
  const double top = *std::max_element(s.begin(), s.end());
  const double own = s[static_cast<std::size_t>(label)];
  double sum = 0.0;
  for (double& entry : s) sum += entry = std::exp(entry - top);
  for (double& entry : s) entry /= sum;
  return std::log(sum) + top - own;
}

template <class Visit>
void each(std::int64_t rows, bilevel::Batch batch, Visit visit) {
  const double share = 1.0 / static_cast<double>(batch.empty() ? rows : std::ssize(batch));
  for (std::int64_t k = 0; k < (batch.empty() ? rows : std::ssize(batch)); ++k) {
    visit(batch.empty() ? k : batch[static_cast<std::size_t>(k)], share);
  }
}

/// Of probabilities p and scores of a direction: q_c = p_c (s_c - sum_k p_k s_k), the Hessian of CE
/// times the direction.
Scores curvature(const Scores& p, const Scores& along) {
  Scores out;
  double mean = 0.0;
  for (std::size_t c = 0; c < classes; ++c) mean += p[c] * along[c];
  for (std::size_t c = 0; c < classes; ++c) out[c] = p[c] * (along[c] - mean);
  return out;
}

double slope_along(Scores p, std::int32_t label, const Scores& along) {
  p[static_cast<std::size_t>(label)] -= 1.0;
  double sum = 0.0;
  for (std::size_t c = 0; c < classes; ++c) sum += p[c] * along[c];
  return sum;
}

void scale(Scores& s, double factor) {
  for (double& entry : s) entry *= factor;
}

}  // namespace

void CleaningOptions::describe(state::OptionVisitor& visit) {
  visit.option("images", images, "IDX file of training images");
  visit.option("labels", labels, "IDX file of their labels");
  visit.option("test_images", test_images, "IDX file of test images");
  visit.option("test_labels", test_labels, "IDX file of their labels");
  visit.option("train", train, "rows that train", state::at_least_one);
  visit.option("validation", validation, "rows after these that validate", state::at_least_one);
  visit.option("test", test, "test rows", state::at_least_one);
  visit.option("pool", pool, "pixels are averaged over pool x pool squares", state::at_least_one);
  visit.option("corruption", corruption, "share of training labels redrawn at random", {0.0, 1.0});
  visit.option("regulariser", regulariser, "lambda of the lower problem", state::positive);
  visit.option("start", start, "every entry of the first x (a row weighs sigma(x))");
}

DataCleaning::DataCleaning(ClassRows train, ClassRows validation, ClassRows test,
                           const CleaningOptions& options, std::uint64_t seed)
    : train_(std::move(train)),
      validation_(std::move(validation)),
      test_(std::move(test)),
      corrupted_(train_.labels.size(), 0),
      options_(options) {
  const parallel::Draw draw(seed, parallel::Purpose::problem, 0);
  for (std::size_t r = 0; r < corrupted_.size(); ++r) {
    if (draw.uniform(2 * r) >= options.corruption) continue;
    const auto label = static_cast<std::int32_t>(draw.below(classes, 2 * r + 1));
    corrupted_[r] = label != train_.labels[r] ? 1 : 0;
    train_.labels[r] = label;
  }
}

void DataCleaning::grad_y_g(std::int64_t, Batch batch, In x, In y, Out out) const {
  for (std::size_t k = 0; k < y.size(); ++k) out[k] = 2.0 * options_.regulariser * y[k];
  each(train_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(train_, r, y, p);
    const auto label = train_.labels[static_cast<std::size_t>(r)];
    softmax(p, label);
    p[static_cast<std::size_t>(label)] -= 1.0;
    scale(p, share * sigmoid(x[static_cast<std::size_t>(r)]));
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
  each(validation_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(validation_, r, y, p);
    const auto label = validation_.labels[static_cast<std::size_t>(r)];
    softmax(p, label);
    p[static_cast<std::size_t>(label)] -= 1.0;
    scale(p, share);
    add_row(validation_, r, p, out);
  });
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
    softmax(p, label);
    p[static_cast<std::size_t>(label)] -= 1.0;
    const double w = sigmoid(x[static_cast<std::size_t>(r)]);
    scale(p, share * w * (1.0 - w) * u[static_cast<std::size_t>(r)]);
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
  double sum = 0.0;
  each(validation_.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(validation_, r, y, p);
    sum += share * softmax(p, validation_.labels[static_cast<std::size_t>(r)]);
  });
  return sum;
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

void DataCleaning::figures(In x, In y, bilevel::Figures& out) const {
  out.emplace_back("area_under_curve_of_weights", area_under_curve(x));
  out.emplace_back("test_error_percent", test_error(y));
}

/// By ranks, ties counting half: the share of (clean, corrupted) pairs in which the clean row
/// weighs more.
double DataCleaning::area_under_curve(In x) const {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
  double below = 0.0, pairs = 0.0, clean = 0.0;
  for (std::size_t k = 0; k < order.size();) {
    std::size_t end = k;
    double ties_clean = 0.0, ties_corrupted = 0.0;
    for (; end < order.size() && x[order[end]] == x[order[k]]; ++end) {
      (corrupted_[order[end]] ? ties_corrupted : ties_clean) += 1.0;
    }
    pairs += ties_clean * (below + 0.5 * ties_corrupted);
    below += ties_corrupted;
    clean += ties_clean;
    k = end;
  }
  return below > 0.0 && clean > 0.0 ? pairs / (below * clean) : 0.5;
}

double DataCleaning::test_error(In y) const {
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < test_.rows(); ++r) {
    Scores s;
    scores(test_, r, y, s);
    const auto best = std::max_element(s.begin(), s.end()) - s.begin();
    wrong += best != test_.labels[static_cast<std::size_t>(r)] ? 1 : 0;
  }
  return 100.0 * static_cast<double>(wrong) /
         static_cast<double>(std::max<std::int64_t>(1, test_.rows()));
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

}  // namespace equipoise::problems
