#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/network.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace equipoise::problems {

void NetworkOptions::describe(state::OptionVisitor& visit) {
  DigitOptions::describe(visit);
  visit.option("hidden", hidden, "hidden units", state::at_least_one);
  visit.option("corruption", corruption, "share of training labels redrawn at random", {0.0, 1.0});
  visit.option("regulariser", regulariser, "lambda of the lower problem", state::positive);
  visit.option("start", start, "every entry of the first x (a row weighs sigma(x))");
}

NetworkCleaning::NetworkCleaning(DigitRows rows, const NetworkOptions& options, std::uint64_t seed)
    : rows_(std::move(rows)),
      corrupted_(corrupt_labels(rows_.train, options.corruption, seed)),
      options_(options),
      seed_(seed) {}

void NetworkCleaning::grad_y_f(std::int64_t, Batch batch, In, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  std::vector<double> t(hidden());
  each(rows_.validation.rows(), batch, [&](std::int64_t r, double share) {
    add_gradient<double>(rows_.validation, r, share, y, t, out);
  });
}

void NetworkCleaning::grad_x_f(std::int64_t, Batch, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

double NetworkCleaning::f(std::int64_t, Batch batch, In, In y) const {
  std::vector<double> t(hidden());
  double sum = 0.0;
  each(rows_.validation.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    sum += share * forward<double>(rows_.validation, r, y, t, p);
  });
  return sum;
}

double NetworkCleaning::g(std::int64_t, Batch batch, In x, In y) const {
  std::vector<double> t(hidden());
  double sum = options_.regulariser * bilevel::dot(y, y);
  each(rows_.train.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    sum +=
        share * weight(x[static_cast<std::size_t>(r)]) * forward<double>(rows_.train, r, y, t, p);
  });
  return sum;
}

void NetworkCleaning::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

void NetworkCleaning::start_inner(std::int64_t, Out y) const {
  const parallel::Draw draw(seed_, parallel::Purpose::start, 0);
  const auto d = static_cast<std::size_t>(rows_.train.dimension), n = hidden();
  std::fill(y.begin(), y.end(), 0.0);
  for (std::size_t k = 0; k < n * d; ++k) y[k] = draw.normal(k) / std::sqrt(static_cast<double>(d));
  for (std::size_t k = n * (d + 1); k < n * (d + 1 + classes); ++k)
    y[k] = draw.normal(k) / std::sqrt(static_cast<double>(n));
}

void NetworkCleaning::figures(std::int64_t, In x, In y, bilevel::Figures& out) const {
  std::vector<double> t(hidden());
  out.emplace_back("area_under_curve_of_weights", area_under_curve(x, corrupted_));
  out.emplace_back("test_error_percent", error_percent(rows_.test, [&](std::int64_t r, Scores& s) {
                     (void)forward<double>(rows_.test, r, y, t, s);
                   }));
}

std::string NetworkCleaning::fingerprint() const {
  return fmt::format(
      "network {} train={} validation={} features={} hidden={} corruption={} lambda={} start={} "
      "seed={} label sum={}",
      options_.images, rows_.train.rows(), rows_.validation.rows(), rows_.train.dimension,
      options_.hidden, options_.corruption, options_.regulariser, options_.start, seed_,
      std::accumulate(rows_.train.labels.begin(), rows_.train.labels.end(), std::int64_t{0}));
}

bilevel::Facts NetworkCleaning::facts() const {
  return {{"training rows", fmt::format("{}", rows_.train.rows())},
          {"wrong labels", fmt::format("{}", std::count(corrupted_.begin(), corrupted_.end(), 1))},
          {"validation rows", fmt::format("{}", rows_.validation.rows())},
          {"network",
           fmt::format("{} - {} - {}", rows_.train.dimension, options_.hidden, digit_classes)}};
}

}  // namespace equipoise::problems
