#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/state/options.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// Dense rows of features with a class each.
struct ClassRows {
  std::vector<float> features;  ///< [rows x dimension]
  std::vector<std::int32_t> labels;
  std::int64_t dimension = 0;
  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
  [[nodiscard]] const float* row(std::int64_t r) const {
    return features.data() + static_cast<std::size_t>(r * dimension);
  }
};

/// Digits of ten classes that train, validate and test, in files of the IDX format.
struct DigitOptions {
  std::string images = "mnist/train-images-idx3-ubyte.derived.gz";
  std::string labels = "mnist/train-labels-idx1-ubyte.gz";
  std::string test_images = "mnist/t10k-images-idx3-ubyte.gz";
  std::string test_labels = "mnist/t10k-labels-idx1-ubyte.gz";
  std::int64_t train = 20000, validation = 5000, test = 10000;
  std::int64_t border = 0;  ///< pixels cut off at every edge first
  std::int64_t pool = 2;
  void describe(state::OptionVisitor& visit);
};

struct DigitRows {
  ClassRows train, validation, test;
};

/// Reads the digits, cuts their borders, averages pixels over pool x pool squares and standardises
/// every feature by the training rows. On this process alone.
[[nodiscard]] DigitRows read_digits(const DigitOptions& options);

inline constexpr std::int64_t digit_classes = 10;
using Scores = std::array<double, static_cast<std::size_t>(digit_classes)>;

/// Scores of row r under W [classes x dimension].
void scores(const ClassRows& rows, std::int64_t r, std::span<const double> w, Scores& out);
/// W[c] += factor_c a_r.
void add_row(const ClassRows& rows, std::int64_t r, const Scores& factors, std::span<double> w);
/// Scores become probabilities; returns the cross entropy of the label.
double softmax(Scores& s, std::int32_t label);
/// Scores become factor times the gradient of the cross entropy, p - e_label; returns the cross
/// entropy.
double softmax_slope(Scores& s, std::int32_t label, double factor);
/// Of probabilities p and scores of a direction: p_c (s_c - sum_k p_k s_k), the Hessian of the
/// cross entropy times the direction.
[[nodiscard]] Scores curvature(const Scores& p, const Scores& along);
void scale(Scores& s, double factor);

/// Calls visit(row, share) for the rows of a batch (all of `rows` for an empty one), the shares
/// summing to 1.
template <class Visit>
void each(std::int64_t rows, bilevel::Batch batch, Visit visit) {
  const double share = 1.0 / static_cast<double>(batch.empty() ? rows : std::ssize(batch));
  for (std::int64_t k = 0; k < (batch.empty() ? rows : std::ssize(batch)); ++k) {
    visit(batch.empty() ? k : batch[static_cast<std::size_t>(k)], share);
  }
}

/// Mean cross entropy and its gradient in W over a batch.
[[nodiscard]] double mean_entropy(const ClassRows& rows, bilevel::Batch batch,
                                  std::span<const double> w);
void add_entropy_gradient(const ClassRows& rows, bilevel::Batch batch, std::span<const double> w,
                          std::span<double> out);
/// Share in percent of rows whose largest score is not their label's; `score(r, Scores&)`.
template <class Score>
double error_percent(const ClassRows& rows, Score score) {
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    Scores s;
    score(r, s);
    std::size_t best = 0;
    for (std::size_t c = 1; c < s.size(); ++c) best = s[c] > s[best] ? c : best;
    wrong += static_cast<std::int32_t>(best) != rows.labels[static_cast<std::size_t>(r)] ? 1 : 0;
  }
  return 100.0 * static_cast<double>(wrong) /
         static_cast<double>(rows.rows() > 0 ? rows.rows() : 1);
}

/// Redraws this share of the labels uniformly; 1 for the rows whose label came out different.
[[nodiscard]] std::vector<char> corrupt_labels(ClassRows& rows, double share, std::uint64_t seed);
/// The share of (clean, corrupted) pairs of rows in which the clean one weighs more, ties counting
/// half.
[[nodiscard]] double area_under_curve(std::span<const double> weights,
                                      const std::vector<char>& corrupted);

}  // namespace equipoise::problems
