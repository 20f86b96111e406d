#pragma once

#include <equipoise/linalg/petsc.hpp>
#include <equipoise/parallel/random.hpp>

namespace equipoise::control {

/// A Gaussian random function with the bilaplacian precision R = A W^-1 A, A = gamma K + delta M, W
/// the lumped mass matrix. In two dimensions its correlation length is about sqrt(8 gamma/delta)
/// and its variance, away from the boundary, about 1/(4 pi gamma delta). Source: Bui-Thanh,
/// Ghattas, Martin, Stadler, SISC 35 (2013).
class BilaplacianPrior {
 public:
  /// **Collective.** Throws ConfigurationError unless both factors are positive.
  BilaplacianPrior(Mat stiffness, Mat mass, double gamma, double delta);
  /// out = R v. **Collective.**
  void precision(Vec v, Vec out) const;
  /// out = R^-1 f: two solves with A. f and out may be the same. **Collective.**
  void covariance(Vec f, Vec out) const;
  /// out = A^-1 W^1/2 xi, of covariance R^-1; xi drawn by global index. **Collective.**
  void sample(const parallel::Draw& draw, Vec out) const;
  /// The diagonal of R^-1, exactly: one solve a node. **Collective.**
  void pointwise_variance(Vec out) const;

 private:
  linalg::Matrix operator_;
  linalg::Solver solver_;
  linalg::Vector lumped_, work_;
};

}  // namespace equipoise::control
