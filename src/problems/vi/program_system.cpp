#include "program_system.hpp"

#include <Eigen/OrderingMethods>

#include <cmath>

namespace equipoise::problems {
namespace {

using Sparse = Eigen::SparseMatrix<double>;
using Vector = Eigen::VectorXd;
using Triplets = std::vector<Eigen::Triplet<double>>;
using Eigen::Index;

constexpr double regularization = 1e-9;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }
int narrow(std::int64_t i) { return static_cast<int>(i); }

}  // namespace

StandardProgram::StandardProgram(const LocalProgram& p)
    : n(std::ssize(p.cost)),
      m(std::ssize(p.row_lower)),
      size(n),
      rhs(Vector::Zero(m)),
      slack(at(m), -1) {
  for (Index i = 0; i < m; ++i) {
    if (p.row_lower[at(i)] != p.row_upper[at(i)]) slack[at(i)] = size++;
  }
  cost = Vector::Zero(size);
  lower = upper = cost;
  fixed.assign(at(size), 0);
  for (Index j = 0; j < n; ++j) {
    cost[j] = p.cost[at(j)];
    lower[j] = p.lower[at(j)];
    upper[j] = p.upper[at(j)];
    fixed[at(j)] = lower[j] == upper[j];
  }
  Triplets g, q;
  for (Index i = 0; i < m; ++i) {
    if (slack[at(i)] < 0) {
      rhs[i] = p.row_lower[at(i)];
    } else {
      lower[slack[at(i)]] = p.row_lower[at(i)];
      upper[slack[at(i)]] = p.row_upper[at(i)];
      g.emplace_back(narrow(i), narrow(slack[at(i)]), -1.0);
    }
  }
  for (const auto& [i, j, value] : p.matrix) {
    if (fixed[at(j)]) {
      rhs[i] -= value * lower[j];
    } else {
      g.emplace_back(narrow(i), narrow(j), value);
    }
  }
  for (const auto& [i, j, value] : p.quadratic) {
    if (fixed[at(i)]) continue;
    if (fixed[at(j)]) {
      cost[i] += value * lower[j];
    } else {
      q.emplace_back(narrow(i), narrow(j), value);
    }
  }
  equality.resize(m, size);
  equality.setFromTriplets(g.begin(), g.end());
  quadratic.resize(size, size);
  quadratic.setFromTriplets(q.begin(), q.end());
}

AugmentedSystem::AugmentedSystem(const StandardProgram& s) : s_(s), matrix_(pattern(s)) {
  curvature_ = s.quadratic.diagonal();
  factor_.analyzePattern(matrix_);
  residual_.resize(s.size + s.m);
}

bool AugmentedSystem::factorize(const Vector& diagonal) {
  diagonal_ = diagonal;
  for (double extra = regularization; extra < 1e-3; extra *= 100.0) {
    for (Index j = 0; j < s_.size; ++j) {
      pivot(j) = s_.fixed[at(j)] ? 1.0 : curvature_[j] + diagonal[j] + extra;
    }
    for (Index i = 0; i < s_.m; ++i) pivot(s_.size + i) = -extra;
    factor_.factorize(matrix_);
    ++factorizations_;
    if (factor_.info() == Eigen::Success && factor_.vectorD().allFinite()) return true;
  }
  return false;
}

void AugmentedSystem::solve(Vector& rhs) {
  Vector x = factor_.solve(rhs);
  double best = residual(rhs, x);
  for (int k = 0; k < 6 && best > 0.0; ++k) {
    const Vector next = x + Vector(factor_.solve(residual_));
    const double now = residual(rhs, next);
    if (!(now < 0.9 * best)) break;
    x = next;
    best = now;
  }
  rhs = x;
}

Sparse AugmentedSystem::pattern(const StandardProgram& s) {
  Triplets t;
  for (Index j = 0; j < s.size + s.m; ++j) t.emplace_back(narrow(j), narrow(j), 1.0);
  for (Index j = 0; j < s.size; ++j) {
    for (Sparse::InnerIterator it(s.quadratic, j); it; ++it) {
      if (it.row() > j) t.emplace_back(narrow(it.row()), narrow(j), it.value());
    }
    for (Sparse::InnerIterator it(s.equality, j); it; ++it) {
      t.emplace_back(narrow(s.size + it.row()), narrow(j), it.value());
    }
  }
  Sparse matrix(s.size + s.m, s.size + s.m);
  matrix.setFromTriplets(t.begin(), t.end());
  return matrix;
}

double AugmentedSystem::residual(const Vector& rhs, const Vector& x) {
  const auto v = x.head(s_.size);
  const auto y = x.tail(s_.m);
  residual_.head(s_.size) = rhs.head(s_.size) - s_.quadratic * v - diagonal_.cwiseProduct(v) -
                            s_.equality.transpose() * y;
  residual_.tail(s_.m) = rhs.tail(s_.m) - s_.equality * v;
  for (Index j = 0; j < s_.size; ++j) {
    if (s_.fixed[at(j)]) residual_[j] = rhs[j] - x[j];
  }
  return residual_.lpNorm<Eigen::Infinity>();
}

/// Column counts by walking up the elimination tree from every entry (Liu 1990), after the ordering
/// that the factorisation uses.
double factorization_cost(const LocalProgram& program, double most) {
  const Sparse lower = AugmentedSystem::pattern(StandardProgram(program));
  Eigen::PermutationMatrix<Eigen::Dynamic, Eigen::Dynamic, int> order;
  const Sparse full = lower.selfadjointView<Eigen::Lower>();
  Eigen::AMDOrdering<int>()(full, order);
  const Index n = full.cols();
  // `order` maps new to old positions.
  std::vector<Index> position(at(n)), parent(at(n), -1), seen(at(n), -1), count(at(n), 0);
  for (Index k = 0; k < n; ++k) position[at(order.indices()[k])] = k;
  double entries = 0.0, operations = 0.0;
  for (Index k = 0; k < n; ++k) {
    seen[at(k)] = k;
    for (Sparse::InnerIterator it(full, order.indices()[k]); it; ++it) {
      for (Index i = position[at(it.row())]; i < k && seen[at(i)] != k; i = parent[at(i)]) {
        if (parent[at(i)] < 0) parent[at(i)] = k;
        seen[at(i)] = k;
        operations += 2.0 * static_cast<double>(++count[at(i)]);
        if (++entries > 0x1p30) return HUGE_VAL;
        if (operations > most) return operations;
      }
    }
  }
  return operations;
}

}  // namespace equipoise::problems
