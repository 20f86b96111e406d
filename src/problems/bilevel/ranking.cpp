#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/class_rows.hpp>
#include <equipoise/problems/bilevel/ranking.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::problems {
namespace {

double sigmoid(double t) { return logistic_weight(-t); }
double sigmoid_slope(double t) { return sigmoid(t) * logistic_weight(t); }
double discount(double rank) { return std::log2(1.0 + rank); }

}  // namespace

void RankingOptions::describe(state::OptionVisitor& visit) {
  visit.option("ratings", ratings, "MovieLens file of ratings");
  visit.option("movies", movies, "MovieLens file of movies and genres");
  visit.option("users", users, "users with the most ratings, one lower problem each",
               state::at_least_one);
  visit.option("items", items, "most items of a user that are ranked", {2.0});
  visit.option("top", top, "K of NDCG@K", state::at_least_one);
  visit.option("smooth_count", smooth_count, "width of the soft count below the threshold",
               state::positive);
  visit.option("threshold_convexity", threshold_convexity,
               "strong convexity added to the threshold's problem", state::positive);
  visit.option("smooth_top", smooth_top, "width of the soft membership of the top K",
               state::positive);
  visit.option("smooth_rank", smooth_rank, "width of the soft rank", state::positive);
  visit.option("regulariser", regulariser, "weight of |x|^2 / 2", state::non_negative);
}

Ranking::Ranking(RankingData data, const RankingOptions& options)
    : data_(std::move(data)), options_(options) {
  for (const auto& one : data_.users) {
    if (std::ssize(one.gains) <= options.top) {
      throw ConfigurationError(
          "problem.top = {}: a user has only {} items to rank; take a smaller top or fewer users",
          options.top, one.gains.size());
    }
    auto gains = one.gains;
    std::sort(gains.rbegin(), gains.rend());
    double sum = 0.0;
    for (std::int64_t k = 0; k < options.top; ++k)
      sum += gains[static_cast<std::size_t>(k)] / discount(static_cast<double>(k + 1));
    best_.push_back(std::max(sum, 1e-12));
  }
}

bilevel::In Ranking::row(std::int64_t i, std::int64_t j) const {
  const auto d = static_cast<std::size_t>(data_.features);
  return In(user(i).features).subspan(static_cast<std::size_t>(j) * d, d);
}

std::vector<double> Ranking::scores_of(std::int64_t i, In x) const {
  std::vector<double> out(user(i).gains.size());
  for (std::size_t j = 0; j < out.size(); ++j)
    out[j] = bilevel::dot(row(i, static_cast<std::int64_t>(j)), x);
  return out;
}

double Ranking::rank(In scores, std::size_t j, double width) {
  double sum = 1.0;
  for (std::size_t k = 0; k < scores.size(); ++k)
    sum += k == j ? 0.0 : sigmoid((scores[k] - scores[j]) / width);
  return sum;
}

void Ranking::grad_y_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  const auto n = num_samples(i, bilevel::Level::lower);
  out[0] = (static_cast<double>(options_.top) + 0.5) / static_cast<double>(n) +
           options_.threshold_convexity * y[0];
  each(n, batch, [&](std::int64_t j, double share) {
    out[0] -= share * sigmoid((bilevel::dot(row(i, j), x) - y[0]) / options_.smooth_count);
  });
}

void Ranking::grad_x_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  each(num_samples(i, bilevel::Level::lower), batch, [&](std::int64_t j, double share) {
    bilevel::axpy(share * sigmoid((bilevel::dot(row(i, j), x) - y[0]) / options_.smooth_count),
                  row(i, j), out);
  });
}

void Ranking::hess_yy_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  out[0] = options_.threshold_convexity;
  each(num_samples(i, bilevel::Level::lower), batch, [&](std::int64_t j, double share) {
    out[0] += share / options_.smooth_count *
              sigmoid_slope((bilevel::dot(row(i, j), x) - y[0]) / options_.smooth_count);
  });
}

void Ranking::hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const {
  hess_yy_g(i, batch, x, y, out);
  out[0] *= v[0];
}

void Ranking::jvp_xy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
  each(num_samples(i, bilevel::Level::lower), batch, [&](std::int64_t j, double share) {
    const double slope = sigmoid_slope((bilevel::dot(row(i, j), x) - y[0]) / options_.smooth_count);
    bilevel::axpy(-share * v[0] * slope / options_.smooth_count, row(i, j), out);
  });
}

void Ranking::jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u, Out out) const {
  std::vector<double> along(u.size());
  jvp_xy_g(i, batch, x, y, std::vector<double>{1.0}, along);
  out[0] = bilevel::dot(along, u);
}

void Ranking::grad_y_f(std::int64_t i, Batch batch, In x, In y, Out out) const {
  const auto s = scores_of(i, x);
  const double whole = static_cast<double>(s.size()) / best_[static_cast<std::size_t>(i)];
  out[0] = 0.0;
  each(std::ssize(s), batch, [&](std::int64_t j, double share) {
    const auto k = static_cast<std::size_t>(j);
    out[0] += share * whole * user(i).gains[k] *
              sigmoid_slope((s[k] - y[0]) / options_.smooth_top) / options_.smooth_top /
              discount(rank(s, k, options_.smooth_rank));
  });
}

void Ranking::grad_x_f(std::int64_t i, Batch batch, In x, In y, Out out) const {
  const auto s = scores_of(i, x);
  const double whole = static_cast<double>(s.size()) / best_[static_cast<std::size_t>(i)];
  std::vector<double> pull(s.size(), 0.0);  // d f / d s
  each(std::ssize(s), batch, [&](std::int64_t j, double share) {
    const auto k = static_cast<std::size_t>(j);
    const double gain = share * whole * user(i).gains[k];
    const double place = rank(s, k, options_.smooth_rank), log = discount(place);
    const double member = (s[k] - y[0]) / options_.smooth_top;
    pull[k] -= gain * sigmoid_slope(member) / options_.smooth_top / log;
    // d (1 / log2(1 + rank)) / d rank
    const double fall = -1.0 / (log * log * (1.0 + place) * std::log(2.0));
    for (std::size_t l = 0; l < s.size(); ++l) {
      if (l == k) continue;
      const double move = -gain * sigmoid(member) * fall *
                          sigmoid_slope((s[l] - s[k]) / options_.smooth_rank) /
                          options_.smooth_rank;
      pull[l] += move;
      pull[k] -= move;
    }
  });
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = options_.regulariser * x[k];
  for (std::size_t k = 0; k < s.size(); ++k)
    bilevel::axpy(pull[k], row(i, static_cast<std::int64_t>(k)), out);
}

double Ranking::f(std::int64_t i, Batch batch, In x, In y) const {
  const auto s = scores_of(i, x);
  const double whole = static_cast<double>(s.size()) / best_[static_cast<std::size_t>(i)];
  double sum = 0.5 * options_.regulariser * bilevel::dot(x, x);
  each(std::ssize(s), batch, [&](std::int64_t j, double share) {
    const auto k = static_cast<std::size_t>(j);
    sum -= share * whole * user(i).gains[k] * sigmoid((s[k] - y[0]) / options_.smooth_top) /
           discount(rank(s, k, options_.smooth_rank));
  });
  return sum;
}

double Ranking::g(std::int64_t i, Batch batch, In x, In y) const {
  const auto n = num_samples(i, bilevel::Level::lower);
  double sum = (static_cast<double>(options_.top) + 0.5) / static_cast<double>(n) * y[0] +
               0.5 * options_.threshold_convexity * y[0] * y[0];
  each(n, batch, [&](std::int64_t j, double share) {
    sum += share * options_.smooth_count *
           logistic_loss((y[0] - bilevel::dot(row(i, j), x)) / options_.smooth_count);
  });
  return sum;
}

double Ranking::gain_at_top(std::int64_t i, In x) const {
  const auto s = scores_of(i, x);
  std::vector<std::size_t> order(s.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return s[a] > s[b]; });
  double sum = 0.0;
  for (std::size_t k = 0; k < static_cast<std::size_t>(options_.top); ++k)
    sum += user(i).gains[order[k]] / discount(static_cast<double>(k + 1));
  return sum / best_[static_cast<std::size_t>(i)];
}

void Ranking::figures(std::int64_t i, In x, In y, bilevel::Figures& out) const {
  out.emplace_back("ndcg_at_top", gain_at_top(i, x));
  double above = 0.0;
  for (const double s : scores_of(i, x)) above += s > y[0] ? 1.0 : 0.0;
  out.emplace_back("items_above_threshold", above);
}

std::string Ranking::fingerprint() const {
  double gains = 0.0;
  for (const auto& one : data_.users)
    gains += std::accumulate(one.gains.begin(), one.gains.end(), 0.0);
  return fmt::format("ranking {} users={} items={} features={} top={} widths={} {} {} {} gains={}",
                     options_.ratings, num_blocks(), options_.items, data_.features, options_.top,
                     options_.smooth_count, options_.threshold_convexity, options_.smooth_top,
                     options_.smooth_rank, gains);
}

bilevel::Facts Ranking::facts() const {
  return {{"users", fmt::format("{}", num_blocks())},
          {"features", fmt::format("{}", data_.features)},
          {"ranked", fmt::format("at most {} items a user, top {}", options_.items, options_.top)}};
}

}  // namespace equipoise::problems
