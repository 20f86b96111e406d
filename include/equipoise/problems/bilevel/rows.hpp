#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// The path of a data file: `name` itself if it exists, else below the folder of public data sets
/// (EQUIPOISE_DATA, or ../shared/data). Throws InputError saying where it looked.
[[nodiscard]] std::string data_path(const std::string& name);

/// Sparse rows a_r with labels +1 and -1, by rows.
struct LabelledRows {
  std::vector<double> labels;
  std::vector<std::int64_t> offsets = {0};
  std::vector<std::int32_t> columns;
  std::vector<double> values;
  std::int64_t features = 0;

  [[nodiscard]] std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
  /// b_r <a_r, w>.
  [[nodiscard]] double margin(std::int64_t r, std::span<const double> w) const {
    return labels[static_cast<std::size_t>(r)] * product(r, w);
  }
  [[nodiscard]] double product(std::int64_t r, std::span<const double> w) const {
    double sum = 0.0;
    const auto end = static_cast<std::size_t>(offsets[static_cast<std::size_t>(r) + 1]);
    for (auto e = static_cast<std::size_t>(offsets[static_cast<std::size_t>(r)]); e < end; ++e) {
      sum += values[e] * w[static_cast<std::size_t>(columns[e])];
    }
    return sum;
  }
  /// out += factor a_r.
  void add(std::int64_t r, double factor, std::span<double> out) const {
    const auto end = static_cast<std::size_t>(offsets[static_cast<std::size_t>(r) + 1]);
    for (auto e = static_cast<std::size_t>(offsets[static_cast<std::size_t>(r)]); e < end; ++e) {
      out[static_cast<std::size_t>(columns[e])] += factor * values[e];
    }
  }
  /// Lower triangle of out [n x n] += factor a_r a_r^T.
  void add_square(std::int64_t r, double factor, std::size_t n, std::span<double> out) const {
    const auto begin = static_cast<std::size_t>(offsets[static_cast<std::size_t>(r)]);
    const auto end = static_cast<std::size_t>(offsets[static_cast<std::size_t>(r) + 1]);
    for (auto e = begin; e < end; ++e) {
      double* row = out.data() + static_cast<std::size_t>(columns[e]) * n;
      const double scaled = factor * values[e];
      for (auto k = begin; k <= e; ++k) row[columns[k]] += scaled * values[k];
    }
  }
  [[nodiscard]] double label(std::int64_t r) const { return labels[static_cast<std::size_t>(r)]; }
  /// mean_r |a_r|^power.
  [[nodiscard]] double mean_norm_power(double power) const;
  /// Rows [begin, end).
  [[nodiscard]] LabelledRows slice(std::int64_t begin, std::int64_t end) const;
};

/// Calls visit(row, weight) for the rows of a batch (all rows for an empty one), the weights
/// summing to 1.
template <class Visit>
void each_row(const LabelledRows& rows, std::span<const std::int64_t> batch, Visit visit) {
  if (batch.empty()) {
    const double weight = 1.0 / static_cast<double>(rows.rows());
    for (std::int64_t r = 0; r < rows.rows(); ++r) visit(r, weight);
  } else {
    const double weight = 1.0 / static_cast<double>(batch.size());
    for (const auto r : batch) visit(r, weight);
  }
}

/// All rows of a LIBSVM file on this process alone; the larger of its two labels becomes +1. With
/// `intercept` a leading feature 1 is put before the others. Throws InputError for other than two
/// labels.
[[nodiscard]] LabelledRows read_rows(const std::string& path, bool intercept);

/// log(1 + exp(-m)), and 1 / (1 + exp(m)), minus its derivative.
[[nodiscard]] double logistic_loss(double margin);
[[nodiscard]] double logistic_weight(double margin);

}  // namespace equipoise::problems
