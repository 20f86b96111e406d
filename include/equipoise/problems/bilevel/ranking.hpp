#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::problems {

struct RankingOptions {
  std::string ratings = "movielens/ml-latest-small/ratings.csv";
  std::string movies = "movielens/ml-latest-small/movies.csv";
  std::int64_t users = 200;           ///< m, those with the most ratings
  std::int64_t items = 40;            ///< most rated items of a user that are ranked
  std::int64_t top = 10;              ///< K
  double smooth_count = 0.1;          ///< tau_1 of the soft count in the threshold
  double threshold_convexity = 0.01;  ///< tau_2
  double smooth_top = 0.1;            ///< tau_3 of the soft membership of the top K
  double smooth_rank = 0.1;           ///< tau_4 of the soft rank
  double regulariser = 1e-3;
  void describe(state::OptionVisitor& visit);
};

/// What one user rated: rows of features [items x features] and gains 2^rating - 1.
struct RatedItems {
  std::vector<double> features, gains;
};

/// The users' rated items, read from MovieLens files; features of an item: its genres, the
/// logarithm of how often and the mean of how others rated it, the user's mean rating of its
/// genres; all standardised. On this process alone.
struct RankingData {
  std::int64_t features = 0;
  std::vector<RatedItems> users;
};
[[nodiscard]] RankingData read_movielens(const RankingOptions& options);

/// A linear scoring model x that puts what users rate highest on top, with one lower problem of one
/// variable per user: the threshold y that about K scores exceed. Scores s_j = x.a_j,
///
///     g_i = (1/n) sum_j tau_1 log(1 + exp((s_j - y) / tau_1)) + (K + 1/2) / n y + tau_2 y^2 / 2
///     f_i = -(1 / Z_i) sum_j sigma((s_j - y) / tau_3) gain_j / log2(1 + rank_j) + lambda |x|^2 /
///     2, rank_j = 1 + sum_{k != j} sigma((s_k - s_j) / tau_4),
///
/// Z_i the discounted gain of the best K. So 1 + F is about 1 - NDCG@K of all users, smoothed. The
/// threshold is solved, not differentiated through. Samples are items. Source: Qiu, Hu, Zhong,
/// Zhang, Yang, Large-scale stochastic optimization of NDCG surrogates (ICML 2022), with sigmoids.
/// Cost of a full pass over a user's upper objective: items^2.
class Ranking {
 public:
  Ranking(RankingData data, const RankingOptions& options);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return data_.features; }
  [[nodiscard]] std::int64_t num_blocks() const { return std::ssize(data_.users); }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t) const { return 1; }
  [[nodiscard]] std::int64_t num_samples(std::int64_t i, bilevel::Level) const {
    return std::ssize(user(i).gains);
  }
  void grad_y_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_x_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_y_f(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void hvp_yy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const;
  void hess_yy_g(std::int64_t i, Batch batch, In x, In y, Out out) const;
  void jvp_xy_g(std::int64_t i, Batch batch, In x, In y, In v, Out out) const;
  void jvp_yx_g(std::int64_t i, Batch batch, In x, In y, In u, Out out) const;
  [[nodiscard]] double f(std::int64_t i, Batch batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t i, Batch batch, In x, In y) const;
  [[nodiscard]] bool everywhere() const { return true; }
  void figures(std::int64_t i, In x, In y, bilevel::Figures& out) const;
  /// NDCG@K of the user's items in the order of their scores (ties by index).
  [[nodiscard]] double gain_at_top(std::int64_t i, In x) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  [[nodiscard]] const RatedItems& user(std::int64_t i) const {
    return data_.users.at(static_cast<std::size_t>(i));
  }
  [[nodiscard]] In row(std::int64_t i, std::int64_t j) const;
  [[nodiscard]] std::vector<double> scores_of(std::int64_t i, In x) const;
  [[nodiscard]] static double rank(In scores, std::size_t j, double width);

  RankingData data_;
  RankingOptions options_;
  std::vector<double> best_;  ///< Z of each user
};

static_assert(bilevel::Oracle<Ranking>);

}  // namespace equipoise::problems
