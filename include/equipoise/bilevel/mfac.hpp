#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::bilevel {

/// Products with the inverse of lambda I + (1/k) sum_j g_j g_j^T for the last k gradients g_j: an
/// empirical Fisher matrix, for preconditioning.
///
/// A ring buffer of `capacity` gradients; by the matrix inversion lemma with a Cholesky factor of
/// the k x k matrix lambda k I + G G^T: apply costs 4 k d flops, a new gradient 2 k d. Memory:
/// capacity * d doubles. Source: Frantar, Kurtic, Alistarh, M-FAC: efficient matrix-free
/// approximations of second-order information (NeurIPS 2021).
class InverseFisher {
 public:
  /// Throws ConfigurationError for a capacity or damping that is not positive.
  InverseFisher(std::int64_t dimension, std::int64_t capacity, double damping);
  /// Stores a gradient, in place of the oldest when full.
  void push(std::span<const double> gradient);
  /// out = (lambda I + (1/k) G^T G)^{-1} v; v / lambda while no gradient is stored.
  void apply(std::span<const double> v, std::span<double> out) const;
  [[nodiscard]] std::int64_t stored() const { return stored_; }

 private:
  [[nodiscard]] std::span<const double> row(std::int64_t j) const;
  void factorise();

  std::int64_t dimension_, capacity_, stored_ = 0, head_ = 0;
  double damping_;
  std::vector<double> gradients_, gram_, factor_;
};

}  // namespace equipoise::bilevel
