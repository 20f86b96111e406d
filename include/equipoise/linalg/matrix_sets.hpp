#pragma once

#include <equipoise/linalg/sets.hpp>

#include <Eigen/Core>
#include <Eigen/LU>

#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::linalg {

/// Symmetric positive semidefinite matrices [order, order], stored in full; what is projected is
/// the symmetric part, negative eigenvalues become 0. O(order^3).
class PositiveSemidefinite {
 public:
  /// Throws ConfigurationError for an order below 1.
  explicit PositiveSemidefinite(std::int64_t order);
  void project(std::span<double> x) const;

 private:
  std::int64_t order_;
};

/// { x : A x = b }, A [m, d] of full row rank, factorised once: x - A'(AA')^{-1}(Ax - b).
class AffineSet {
 public:
  /// Throws ConfigurationError for sizes that do not fit, and for rows that depend on each other.
  AffineSet(Eigen::MatrixXd a, Eigen::VectorXd b);
  void project(std::span<double> x) const;

 private:
  Eigen::MatrixXd a_, pseudo_inverse_;
  Eigen::VectorXd b_;
};

/// { x : A x <= b }, A [m, d] dense: the dual min |A'y|^2 / 2 - y'(Ax - b), y >= 0, by the active
/// set method of Lawson and Hanson (1974, chapter 23), to rounding. An empty set is found out in
/// `project`, which then throws InputError.
class Polyhedron {
 public:
  /// Throws ConfigurationError for sizes that do not fit.
  Polyhedron(Eigen::MatrixXd a, Eigen::VectorXd b);
  void project(std::span<double> x) const;

 private:
  Eigen::MatrixXd a_;
  Eigen::VectorXd b_;
};

/// Flows on a directed graph that bring `supply` from node to node, 0 <= x <= capacity: the balance
/// of every node is the supply there (outflow minus inflow). Projection by Newton's method on the
/// piecewise linear balance in the potentials of the nodes, to rounding.
class FlowPolytope {
 public:
  struct Arc {
    std::int32_t from = 0, to = 0;
    double capacity = 0.0;  ///< may be infinite
  };
  /// Throws ConfigurationError for arcs outside the nodes, supplies that do not sum to 0.
  FlowPolytope(std::vector<Arc> arcs, std::vector<double> supply);
  /// Throws InputError where no flow meets the supply.
  void project(std::span<double> x) const;

 private:
  std::vector<Arc> arcs_;
  std::vector<double> supply_;
};

/// Prox of amount * sum of the Euclidean norms of consecutive groups of `size` entries (the last
/// one may be shorter).
void group_soft_threshold(double amount, std::int64_t size, std::span<double> x);
/// Prox of amount * nuclear norm of a matrix [rows, columns] stored row by row: singular values
/// move towards 0. Through the eigenvectors of X'X, so small singular values, below 1e-8 of the
/// largest, are known to 1e-8 of it. columns <= rows is the cheap side: O(rows columns^2).
void singular_value_threshold(double amount, std::int64_t columns, std::span<double> x);
/// x := the minimiser over the simplex of total `total` of step <g, u> + KL(u, x): x exp(-step g),
/// scaled. x positive.
void entropy_step(double step, std::span<const double> gradient, double total, std::span<double> x);

static_assert(ConvexSet<PositiveSemidefinite> && ConvexSet<AffineSet> && ConvexSet<Polyhedron> &&
              ConvexSet<FlowPolytope>);

}  // namespace equipoise::linalg
