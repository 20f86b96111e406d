#include "program_newton.hpp"

#include <Eigen/OrderingMethods>
#include <Eigen/SparseCholesky>
#include <Eigen/SparseCore>

#include <limits>

namespace equipoise::problems {
namespace {

using Sparse = Eigen::SparseMatrix<double>;
using Vector = Eigen::VectorXd;
using Triplets = std::vector<Eigen::Triplet<double>>;
using Eigen::Index;

constexpr double regularization = 1e-9;
constexpr int iteration_limit = 120;
/// In scaled units, where coefficients are at most 1.
constexpr double least_margin = 1.0;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }
int narrow(std::int64_t i) { return static_cast<int>(i); }

/// The program with a slack s = Ax per inequality row: min c'v + v'Qv/2, G v = b, l <= v <= u, v =
/// (x, s). Fixed columns stay where they are and leave G.
struct Standard {
  explicit Standard(const LocalProgram& p);

  Index n, m, size;  ///< columns, rows, columns and slacks
  Sparse equality, quadratic;
  Vector cost, lower, upper, rhs;
  std::vector<Index> slack;  ///< of each row, -1 for an equation
  std::vector<char> fixed;   ///< [size]
};

Standard::Standard(const LocalProgram& p)
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

/// [ Q + D, G'; G, 0 ] with +- regularization on the diagonal: quasidefinite, so that L D L' exists
/// for every ordering (Vanderbei 1995). Solutions are refined against the matrix without it.
class AugmentedSystem {
 public:
  explicit AugmentedSystem(const Standard& s) : s_(s), matrix_(pattern(s)) {
    curvature_ = s.quadratic.diagonal();
    factor_.analyzePattern(matrix_);
    residual_.resize(s.size + s.m);
  }

  bool factorize(const Vector& diagonal) {
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

  /// Replaces `rhs` by the solution.
  void solve(Vector& rhs) {
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

  [[nodiscard]] std::int64_t factorizations() const { return factorizations_; }

  /// The lower triangle; the diagonal comes first in every column.
  static Sparse pattern(const Standard& s) {
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

 private:
  double& pivot(Index j) { return matrix_.valuePtr()[matrix_.outerIndexPtr()[j]]; }

  double residual(const Vector& rhs, const Vector& x) {
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

  const Standard& s_;
  Sparse matrix_;
  Vector curvature_, diagonal_, residual_;
  Eigen::SimplicialLDLT<Sparse, Eigen::Lower> factor_;
  std::int64_t factorizations_ = 0;
};

/// The iterate: v, y, and the multipliers of the bounds, all strictly inside.
struct Point {
  Vector v, y, zl, zu;
};

class Newton {
 public:
  Newton(const LocalProgram& p, const Standard& s) : program_(p), s_(s), system_(s) {
    for (Index j = 0; j < s.size; ++j) {
      has_lower_.push_back(!s.fixed[at(j)] && std::isfinite(s.lower[j]));
      has_upper_.push_back(!s.fixed[at(j)] && std::isfinite(s.upper[j]));
      bounds_ += has_lower_.back() + has_upper_.back();
    }
  }

  NewtonResult run(double tolerance, std::vector<double>& x, std::vector<double>& y) {
    NewtonResult result;
    result.kkt = local_kkt(program_, x, y);
    start(x, y);
    int since_best = 0;
    for (int k = 0; k < iteration_limit && since_best < 40; ++k) {
      if (!advance()) break;
      ++since_best;
      auto [next_x, next_y] = extract();
      const RelativeKkt kkt = local_kkt(program_, next_x, next_y);
      if (kkt.largest() < result.kkt.largest()) {
        if (kkt.largest() < 0.5 * result.kkt.largest()) since_best = 0;
        result.kkt = kkt;
        x = std::move(next_x);
        y = std::move(next_y);
      }
      if (result.kkt.largest() <= tolerance) break;
    }
    result.factorizations = system_.factorizations();
    return result;
  }

 private:
  void start(const std::vector<double>& x, const std::vector<double>& y) {
    p_.v = Vector::Zero(s_.size);
    p_.y = Eigen::Map<const Vector>(y.data(), s_.m);
    for (Index j = 0; j < s_.n; ++j) p_.v[j] = x[at(j)];
    for (Index i = 0; i < s_.m; ++i) {
      if (s_.slack[at(i)] >= 0) p_.v[s_.slack[at(i)]] = 0.0;
    }
    const Vector ax = s_.equality * p_.v;
    for (Index i = 0; i < s_.m; ++i) {
      if (s_.slack[at(i)] >= 0) p_.v[s_.slack[at(i)]] = ax[i] - s_.rhs[i];
    }
    const Vector z = to_equations();
    const auto [inside, dual] = margins(z);
    p_.zl = p_.zu = Vector::Zero(s_.size);
    for (Index j = 0; j < s_.size; ++j) {
      const double l = s_.lower[j];
      const double u = s_.upper[j];
      if (s_.fixed[at(j)]) {
        p_.v[j] = l;
      } else if (has_lower_[at(j)] && has_upper_[at(j)]) {
        const double room = std::min(inside, 0.25 * (u - l));
        p_.v[j] = clip(p_.v[j], l + room, u - room);
      } else if (has_lower_[at(j)]) {
        p_.v[j] = std::max(p_.v[j], l + inside);
      } else if (has_upper_[at(j)]) {
        p_.v[j] = std::min(p_.v[j], u - inside);
      }
      if (has_lower_[at(j)]) p_.zl[j] = std::max(z[j], 0.0) + dual;
      if (has_upper_[at(j)]) p_.zu[j] = std::max(-z[j], 0.0) + dual;
    }
  }

  /// Moves v to the nearest point of G v = b, and y so that c + Qv - G'y becomes least; returns
  /// that.
  Vector to_equations() {
    Vector rhs = Vector::Zero(s_.size + s_.m);
    system_.factorize(Vector::Ones(s_.size));
    rhs.tail(s_.m) = s_.rhs - s_.equality * p_.v;
    system_.solve(rhs);
    p_.v += rhs.head(s_.size);
    rhs.setZero();
    rhs.head(s_.size) = s_.cost + s_.quadratic * p_.v - s_.equality.transpose() * p_.y;
    system_.solve(rhs);
    p_.y += rhs.tail(s_.m);
    return s_.cost + s_.quadratic * p_.v - s_.equality.transpose() * p_.y;
  }

  /// How far inside its bounds v begins, and how large its multipliers at least are (the rule of
  /// Mehrotra 1992, section 7, for bounds on both sides).
  [[nodiscard]] std::pair<double, double> margins(const Vector& z) const {
    double outside = 0.0, products = 0.0, gaps = 0.0, multipliers = 0.0;
    for (Index j = 0; j < s_.size; ++j) {
      const auto count = [&](double gap, double multiplier) {
        outside = std::max(outside, -gap);
        products += std::max(gap, 0.0) * std::max(multiplier, 0.0);
        gaps += std::max(gap, 0.0);
        multipliers += std::max(multiplier, 0.0);
      };
      if (has_lower_[at(j)]) count(p_.v[j] - s_.lower[j], z[j]);
      if (has_upper_[at(j)]) count(s_.upper[j] - p_.v[j], -z[j]);
    }
    return {std::max(least_margin,
                     1.5 * outside + (multipliers > 0.0 ? 0.5 * products / multipliers : 0.0)),
            std::max(least_margin, gaps > 0.0 ? 0.5 * products / gaps : 0.0)};
  }

  [[nodiscard]] double mu() const {
    if (bounds_ == 0) return 0.0;
    double sum = 0.0;
    for (Index j = 0; j < s_.size; ++j) {
      if (has_lower_[at(j)]) sum += (p_.v[j] - s_.lower[j]) * p_.zl[j];
      if (has_upper_[at(j)]) sum += (s_.upper[j] - p_.v[j]) * p_.zu[j];
    }
    return sum / static_cast<double>(bounds_);
  }

  /// One direction for the target tl, tu of the products (gap times multiplier).
  void direction(const Vector& tl, const Vector& tu, Point& d) {
    Vector rhs(s_.size + s_.m);
    rhs.head(s_.size) = -dual_residual_;
    rhs.tail(s_.m) = -primal_residual_;
    for (Index j = 0; j < s_.size; ++j) {
      if (has_lower_[at(j)]) rhs[j] += tl[j] / (p_.v[j] - s_.lower[j]);
      if (has_upper_[at(j)]) rhs[j] -= tu[j] / (s_.upper[j] - p_.v[j]);
      if (s_.fixed[at(j)]) rhs[j] = 0.0;
    }
    system_.solve(rhs);
    d.v = rhs.head(s_.size);
    d.y = -rhs.tail(s_.m);
    d.zl = d.zu = Vector::Zero(s_.size);
    for (Index j = 0; j < s_.size; ++j) {
      if (has_lower_[at(j)]) d.zl[j] = (tl[j] - p_.zl[j] * d.v[j]) / (p_.v[j] - s_.lower[j]);
      if (has_upper_[at(j)]) d.zu[j] = (tu[j] + p_.zu[j] * d.v[j]) / (s_.upper[j] - p_.v[j]);
    }
  }

  /// Longest steps up to 1 that keep gaps and multipliers positive.
  void step_lengths(const Point& d, double& primal, double& dual) const {
    primal = dual = 1.0;
    const auto limit = [](double value, double change, double& step) {
      if (change < 0.0) step = std::min(step, -value / change);
    };
    for (Index j = 0; j < s_.size; ++j) {
      if (has_lower_[at(j)]) {
        limit(p_.v[j] - s_.lower[j], d.v[j], primal);
        limit(p_.zl[j], d.zl[j], dual);
      }
      if (has_upper_[at(j)]) {
        limit(s_.upper[j] - p_.v[j], -d.v[j], primal);
        limit(p_.zu[j], d.zu[j], dual);
      }
    }
    if (s_.quadratic.nonZeros() > 0) primal = dual = std::min(primal, dual);
  }

  bool advance() {
    primal_residual_ = s_.equality * p_.v - s_.rhs;
    dual_residual_ = s_.cost + s_.quadratic * p_.v - s_.equality.transpose() * p_.y - p_.zl + p_.zu;
    Vector diagonal = Vector::Zero(s_.size);
    Vector tl = diagonal, tu = diagonal;
    for (Index j = 0; j < s_.size; ++j) {
      if (has_lower_[at(j)]) {
        diagonal[j] += p_.zl[j] / (p_.v[j] - s_.lower[j]);
        tl[j] = -(p_.v[j] - s_.lower[j]) * p_.zl[j];
      }
      if (has_upper_[at(j)]) {
        diagonal[j] += p_.zu[j] / (s_.upper[j] - p_.v[j]);
        tu[j] = -(s_.upper[j] - p_.v[j]) * p_.zu[j];
      }
    }
    if (!diagonal.allFinite() || !system_.factorize(diagonal)) return false;
    direction(tl, tu, d_);
    double primal = 1.0, dual = 1.0;
    step_lengths(d_, primal, dual);
    const double now = mu();
    double after = 0.0;
    for (Index j = 0; j < s_.size; ++j) {
      if (has_lower_[at(j)]) {
        after += (p_.v[j] - s_.lower[j] + primal * d_.v[j]) * (p_.zl[j] + dual * d_.zl[j]);
      }
      if (has_upper_[at(j)]) {
        after += (s_.upper[j] - p_.v[j] - primal * d_.v[j]) * (p_.zu[j] + dual * d_.zu[j]);
      }
    }
    if (bounds_ > 0) {
      after /= static_cast<double>(bounds_);
      const double ratio = now > 0.0 ? after / now : 0.0;
      const double target = now * ratio * ratio * ratio;
      for (Index j = 0; j < s_.size; ++j) {
        if (has_lower_[at(j)]) tl[j] += target - d_.v[j] * d_.zl[j];
        if (has_upper_[at(j)]) tu[j] += target + d_.v[j] * d_.zu[j];
      }
      direction(tl, tu, d_);
      step_lengths(d_, primal, dual);
      primal = std::min(1.0, 0.995 * primal);
      dual = std::min(1.0, 0.995 * dual);
    }
    p_.v += primal * d_.v;
    p_.y += dual * d_.y;
    p_.zl += dual * d_.zl;
    p_.zu += dual * d_.zu;
    return p_.v.allFinite() && p_.y.allFinite();
  }

  /// The pair as the caller wants it: x within its bounds, y with signs that the rows can carry.
  [[nodiscard]] std::pair<std::vector<double>, std::vector<double>> extract() const {
    std::vector<double> x(at(s_.n)), y(at(s_.m));
    for (Index j = 0; j < s_.n; ++j) x[at(j)] = clip(p_.v[j], s_.lower[j], s_.upper[j]);
    for (Index i = 0; i < s_.m; ++i) {
      y[at(i)] = carried(p_.y[i], program_.row_lower[at(i)], program_.row_upper[at(i)]);
    }
    return {std::move(x), std::move(y)};
  }

  const LocalProgram& program_;
  const Standard& s_;
  AugmentedSystem system_;
  std::vector<char> has_lower_, has_upper_;
  std::int64_t bounds_ = 0;
  Point p_, d_;
  Vector primal_residual_, dual_residual_;
};

}  // namespace

/// Column counts by walking up the elimination tree from every entry (Liu 1990), after the ordering
/// that the factorisation uses.
double factorization_cost(const LocalProgram& program) {
  const Sparse lower = AugmentedSystem::pattern(Standard(program));
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
      }
    }
  }
  return operations;
}

NewtonResult newton_polish(const LocalProgram& program, double tolerance, std::vector<double>& x,
                           std::vector<double>& y) {
  const Standard standard(program);
  return Newton(program, standard).run(tolerance, x, y);
}

}  // namespace equipoise::problems
