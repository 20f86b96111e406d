#include <equipoise/linalg/matrix_sets.hpp>
#include <equipoise/parallel/error.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::linalg {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Least squares on the columns of `e` in `passive`.
VectorXd solve_passive(const MatrixXd& e, const VectorXd& f, const std::vector<Index>& passive) {
  MatrixXd part(e.rows(), std::ssize(passive));
  for (Index k = 0; k < part.cols(); ++k) part.col(k) = e.col(passive[at(k)]);
  return part.colPivHouseholderQr().solve(f);
}

/// min |E u - f|, u >= 0 (Lawson and Hanson 1974, algorithm NNLS).
VectorXd nonnegative_least_squares(const MatrixXd& e, const VectorXd& f) {
  const Index m = e.cols();
  VectorXd u = VectorXd::Zero(m);
  std::vector<Index> passive;
  const double small = 1e-13 * (1.0 + f.norm());
  for (Index round = 0; round < 3 * m + 10; ++round) {
    const VectorXd w = e.transpose() * (f - e * u);
    Index best = -1;
    for (Index j = 0; j < m; ++j) {
      const double size = e.col(j).norm();
      if (std::find(passive.begin(), passive.end(), j) != passive.end() || size == 0.0) continue;
      if (w[j] > small * size && (best < 0 || w[j] / size > w[best] / e.col(best).norm())) best = j;
    }
    if (best < 0) break;
    passive.push_back(best);
    while (!passive.empty()) {
      const VectorXd s = solve_passive(e, f, passive);
      double step = 1.0;
      for (Index k = 0; k < s.size(); ++k) {
        const double now = u[passive[at(k)]];
        if (s[k] <= 0.0) step = std::min(step, now / (now - s[k]));
      }
      for (Index k = 0; k < s.size(); ++k) u[passive[at(k)]] += step * (s[k] - u[passive[at(k)]]);
      if (step == 1.0) break;
      std::erase_if(passive, [&](Index j) {
        if (u[j] > 1e-15) return false;
        u[j] = 0.0;
        return true;
      });
    }
  }
  return u;
}

}  // namespace

PositiveSemidefinite::PositiveSemidefinite(std::int64_t order) : order_(order) {
  if (order < 1) throw ConfigurationError("a cone of matrices of order {}", order);
}

void PositiveSemidefinite::project(std::span<double> x) const {
  Eigen::Map<MatrixXd> matrix(x.data(), order_, order_);
  const MatrixXd symmetric = 0.5 * (matrix + matrix.transpose());
  const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(symmetric);
  const MatrixXd& v = eigen.eigenvectors();
  matrix = v * eigen.eigenvalues().cwiseMax(0.0).asDiagonal() * v.transpose();
}

AffineSet::AffineSet(MatrixXd a, VectorXd b) : a_(std::move(a)), b_(std::move(b)) {
  if (a_.rows() != b_.size() || a_.rows() > a_.cols()) {
    throw ConfigurationError("an affine set of {} x {} coefficients and {} right-hand sides",
                             a_.rows(), a_.cols(), b_.size());
  }
  const Eigen::ColPivHouseholderQR<MatrixXd> qr(a_.transpose());
  if (qr.rank() < a_.rows()) {
    throw ConfigurationError("the {} equations of an affine set depend on each other: rank {}",
                             a_.rows(), qr.rank());
  }
  pseudo_inverse_ = a_.completeOrthogonalDecomposition().pseudoInverse();
}

void AffineSet::project(std::span<double> x) const {
  Eigen::Map<VectorXd> v(x.data(), a_.cols());
  v -= pseudo_inverse_ * (a_ * v - b_);
}

Polyhedron::Polyhedron(MatrixXd a, VectorXd b) : a_(std::move(a)), b_(std::move(b)) {
  if (a_.rows() != b_.size()) {
    throw ConfigurationError("a polyhedron of {} x {} coefficients and {} right-hand sides",
                             a_.rows(), a_.cols(), b_.size());
  }
}

/// With d = b - Ax the move p to the nearest point is the shortest with -A p >= -d: NNLS with the
/// columns (-a_i, -d_i) and the right-hand side (0, 1); its residual r gives p = -r / r_last.
void Polyhedron::project(std::span<double> x) const {
  Eigen::Map<VectorXd> v(x.data(), a_.cols());
  const VectorXd room = b_ - a_ * v;
  if (room.size() == 0 || room.minCoeff() >= 0.0) return;
  const double unit = -room.minCoeff();
  MatrixXd e(a_.cols() + 1, a_.rows());
  e.topRows(a_.cols()) = -a_.transpose();
  e.bottomRows(1) = -room.transpose() / unit;
  VectorXd f = VectorXd::Zero(a_.cols() + 1);
  f[a_.cols()] = 1.0;
  const VectorXd r = e * nonnegative_least_squares(e, f) - f;
  const double last = r[a_.cols()];
  if (!(last < -1e-12)) throw InputError("a polyhedron of {} inequalities is empty", a_.rows());
  v -= unit / last * r.head(a_.cols());
}

FlowPolytope::FlowPolytope(std::vector<Arc> arcs, std::vector<double> supply)
    : arcs_(std::move(arcs)), supply_(std::move(supply)) {
  const auto nodes = std::ssize(supply_);
  for (const Arc& arc : arcs_) {
    if (std::min(arc.from, arc.to) < 0 || std::max(arc.from, arc.to) >= nodes ||
        !(arc.capacity >= 0.0)) {
      throw ConfigurationError("an arc from {} to {} with capacity {} among {} nodes", arc.from,
                               arc.to, arc.capacity, nodes);
    }
  }
  const double total = std::accumulate(supply_.begin(), supply_.end(), 0.0);
  double size = 0.0;
  for (const double v : supply_) size += std::abs(v);
  if (!(std::abs(total) <= 1e-12 * (1.0 + size)))
    throw ConfigurationError("the supplies of a flow sum to {}, not 0", total);
}

/// The projection is x_a = mid(0, v_a + p_from - p_to, capacity) with potentials p at which every
/// node balances: Newton on the concave dual, damped by halving.
void FlowPolytope::project(std::span<double> x) const {
  const auto nodes = static_cast<Index>(supply_.size());
  const std::vector<double> v(x.begin(), x.end());
  VectorXd p = VectorXd::Zero(nodes), balance(nodes);
  MatrixXd slope(nodes, nodes);
  // The dual value, to be made small; leaves x, the balance and its slope at p.
  const auto evaluate = [&](const VectorXd& at_p) {
    balance = -Eigen::Map<const VectorXd>(supply_.data(), nodes);
    double value = balance.dot(at_p);
    slope.setZero();
    for (std::size_t a = 0; a < arcs_.size(); ++a) {
      const auto& [from, to, capacity] = arcs_[a];
      const double t = v[a] + at_p[from] - at_p[to];
      x[a] = std::min(std::max(t, 0.0), capacity);
      value += x[a] * t - 0.5 * x[a] * x[a];
      balance[from] += x[a];
      balance[to] -= x[a];
      if (t <= 0.0 || t >= capacity || from == to) continue;
      slope(from, from) += 1.0;
      slope(to, to) += 1.0;
      slope(from, to) -= 1.0;
      slope(to, from) -= 1.0;
    }
    return value;
  };
  double size = 1.0;
  for (const double s : supply_) size = std::max(size, std::abs(s));
  for (const double s : v) size = std::max(size, std::abs(s));
  double value = evaluate(p);
  for (int k = 0; k < 200 && balance.lpNorm<Eigen::Infinity>() > 1e-13 * size; ++k) {
    MatrixXd damped = slope;
    damped.diagonal().array() += 1e-10;
    VectorXd d = damped.ldlt().solve(-balance);
    const double descent = balance.dot(d);
    const VectorXd from = p;
    double length = std::min(1.0, 1e6 * size / (1e-300 + d.lpNorm<Eigen::Infinity>()));
    for (int halving = 0; halving < 60; ++halving, length *= 0.5) {
      p = from + length * d;
      const double next = evaluate(p);
      if (next <= value + 1e-4 * length * descent + 1e-15 * std::abs(value)) {
        value = next;
        break;
      }
    }
  }
  if (balance.lpNorm<Eigen::Infinity>() > 1e-9 * size) {
    throw InputError("no flow over {} arcs meets the supply of {} nodes within the capacities",
                     arcs_.size(), supply_.size());
  }
}

void group_soft_threshold(double amount, std::int64_t size, std::span<double> x) {
  for (std::size_t begin = 0; begin < x.size(); begin += at(size)) {
    const auto group = x.subspan(begin, std::min(at(size), x.size() - begin));
    double square = 0.0;
    for (const double v : group) square += v * v;
    const double norm = std::sqrt(square);
    const double factor = norm > amount ? 1.0 - amount / norm : 0.0;
    for (double& v : group) v *= factor;
  }
}

void singular_value_threshold(double amount, std::int64_t columns, std::span<double> x) {
  Eigen::Map<RowMajor> matrix(x.data(), std::ssize(x) / columns, columns);
  const Eigen::SelfAdjointEigenSolver<MatrixXd> eigen(matrix.transpose() * matrix);
  VectorXd factor = eigen.eigenvalues();
  for (double& f : factor) {
    const double sigma = std::sqrt(std::max(f, 0.0));
    f = sigma > amount ? 1.0 - amount / sigma : 0.0;
  }
  const MatrixXd& v = eigen.eigenvectors();
  matrix = (matrix * v * factor.asDiagonal() * v.transpose()).eval();
}

void entropy_step(double step, std::span<const double> gradient, double total,
                  std::span<double> x) {
  double highest = -HUGE_VAL;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = std::log(x[i]) - step * gradient[i];
    highest = std::max(highest, x[i]);
  }
  double sum = 0.0;
  for (double& v : x) sum += v = std::exp(v - highest);
  for (double& v : x) v *= total / sum;
}

}  // namespace equipoise::linalg
