#pragma once

#include <equipoise/control/equality.hpp>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace equipoise::control {

/// The matrix A = [B G^T; G 0] with the block-diagonal metric P = diag(D, G D^-1 G^T), D the
/// diagonal of B made positive. On each rank the rows of x come first, then those of lambda.
class Kkt {
 public:
  /// **Collective**: one product G D^-1 G^T and its factorisation.
  Kkt(const EqualityProblem& problem, Mat b, Mat g);
  [[nodiscard]] Mat matrix() const { return matrix_; }
  [[nodiscard]] linalg::Vector vector() const;
  /// A vector for x alone.
  [[nodiscard]] linalg::Vector variable_vector() const { return linalg::like(inverse_diagonal_); }
  [[nodiscard]] partition::Range owned_variables() const { return variables_.range(rank_); }
  /// out = P^-1 r. **Collective.**
  void metric_inverse(Vec r, Vec out);
  /// A vector with covariance P^-1 from two vectors of independent standard normal numbers for x:
  /// (D^-1/2 a, (G D^-1 G^T)^-1 G D^-1/2 b). Overwrites both. **Collective.**
  void metric_sample(Vec a, Vec b, Vec out);
  /// Splits a vector into its parts, and joins them. Communication-free.
  void split(Vec whole, Vec x, Vec lambda) const;
  void join(Vec x, Vec lambda, Vec whole) const;
  /// Number of rows, and the logical number of an owned row or of any column: x before lambda, the
  /// same on any number of ranks.
  [[nodiscard]] std::int64_t rows() const { return variables_.size() + constraints_.size(); }
  [[nodiscard]] std::int64_t logical(std::int64_t column) const;
  [[nodiscard]] double frobenius() const;

 private:
  partition::Partition variables_, constraints_;
  int rank_;
  linalg::Matrix transposed_, matrix_, schur_;
  linalg::Vector inverse_diagonal_, inverse_root_, dual_, dual_image_;
  linalg::Solver schur_solver_;
};

/// Smallest and largest Ritz value of a symmetric operator after at most `steps` Lanczos steps from
/// `start`, with full reorthogonalisation. Memory: `steps` vectors. **Collective.**
[[nodiscard]] std::pair<double, double> lanczos(const std::function<void(Vec, Vec)>& apply,
                                                Vec start, int steps);

}  // namespace equipoise::control
