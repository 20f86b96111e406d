#include <equipoise/linalg/min_norm.hpp>
#include <equipoise/parallel/error.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::linalg {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double tolerance = 1e-13;

/// The point of least norm in the affine hull of the active vectors: the weights w solve
/// (G + 1 1') u = 1, w = u / sum u, for a Gram matrix scaled to size 1. Entries may be negative.
VectorXd affine_minimizer(const MatrixXd& gram, const std::vector<Eigen::Index>& active) {
  const auto size = static_cast<Eigen::Index>(active.size());
  MatrixXd system(size, size);
  for (Eigen::Index i = 0; i < size; ++i) {
    for (Eigen::Index j = 0; j < size; ++j) {
      system(i, j) =
          gram(active[static_cast<std::size_t>(i)], active[static_cast<std::size_t>(j)]) + 1.0;
    }
  }
  const VectorXd ones = VectorXd::Ones(size);
  const Eigen::LDLT<MatrixXd> factors(system);
  VectorXd u = factors.solve(ones);
  u += factors.solve(ones - system * u);  // one refinement
  return u / u.sum();
}

/// Moves the weights of the active vectors to their affine minimizer, dropping those that would
/// turn negative on the way (Wolfe's minor cycle).
void settle(const MatrixXd& gram, std::vector<Eigen::Index>& active, VectorXd& weights) {
  for (;;) {
    const VectorXd target = affine_minimizer(gram, active);
    double fraction = 1.0;
    std::size_t blocking = active.size();
    for (std::size_t i = 0; i < active.size(); ++i) {
      const double now = weights(active[i]);
      const double then = target(static_cast<Eigen::Index>(i));
      if (then > 0.0) continue;
      const double reach = now > then ? now / (now - then) : 0.0;
      if (blocking == active.size() || reach < fraction) {
        fraction = reach;
        blocking = i;
      }
    }
    for (std::size_t i = 0; i < active.size(); ++i) {
      double& weight = weights(active[i]);
      weight = std::max(0.0, weight + fraction * (target(static_cast<Eigen::Index>(i)) - weight));
    }
    if (blocking == active.size() || active.size() == 1) return;
    weights(active[blocking]) = 0.0;
    active.erase(active.begin() + static_cast<std::ptrdiff_t>(blocking));
  }
}

}  // namespace

MinNormPoint min_norm_point(std::span<const double> gram_entries) {
  const auto k =
      static_cast<Eigen::Index>(std::lround(std::sqrt(static_cast<double>(gram_entries.size()))));
  if (k == 0 || static_cast<std::size_t>(k * k) != gram_entries.size()) {
    throw ConfigurationError("a Gram matrix is square and not empty, got {} entries",
                             gram_entries.size());
  }
  MatrixXd gram = Eigen::Map<const MatrixXd>(gram_entries.data(), k, k);
  if (!gram.allFinite())
    throw NotFiniteError("the Gram matrix of a least-norm problem is not finite");
  const double scale = gram.diagonal().maxCoeff();
  MinNormPoint result;
  Eigen::Index nearest = 0;
  gram.diagonal().minCoeff(&nearest);
  VectorXd weights = VectorXd::Zero(k);
  weights(nearest) = 1.0;
  if (scale > 0.0) gram /= scale;

  std::vector<Eigen::Index> active = {nearest};
  VectorXd best = weights;
  double best_norm = std::numeric_limits<double>::infinity();
  for (;;) {
    const VectorXd products = gram * weights;
    const double norm = weights.dot(products);
    // Each entry lowers the norm; once rounding prevents that, the best point so far is the answer.
    if (!(norm < best_norm)) break;
    best = weights;
    best_norm = norm;
    Eigen::Index entering = 0;
    const double least = products.minCoeff(&entering);
    if (norm - least <= tolerance) break;
    if (std::find(active.begin(), active.end(), entering) != active.end()) break;
    active.push_back(entering);
    ++result.iterations;
    settle(gram, active, weights);
    weights /= weights.sum();
  }
  const VectorXd products = gram * best;
  const double norm = std::max(0.0, best.dot(products));
  result.violation = std::max(0.0, norm - products.minCoeff());
  result.norm_squared = norm * (scale > 0.0 ? scale : 1.0);
  result.weights.assign(best.data(), best.data() + k);
  return result;
}

}  // namespace equipoise::linalg
