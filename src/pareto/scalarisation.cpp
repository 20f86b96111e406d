#include "combined.hpp"
#include "multipliers.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/pareto/scalarisation.hpp>

#include <Eigen/Dense>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace equipoise::pareto {

Scalarisation weighted_sum(std::vector<double> weights) {
  return {Scalarisation::Kind::weighted_sum, std::move(weights), {}, {}, {}};
}
Scalarisation pascoletti_serafini(std::vector<double> reference, std::vector<double> direction) {
  return {Scalarisation::Kind::bounded_level, {}, std::move(reference), std::move(direction), {}};
}
Scalarisation chebyshev(std::vector<double> ideal, std::span<const double> weights) {
  std::vector<double> direction;
  for (const double w : weights) direction.push_back(1.0 / w);
  return pascoletti_serafini(std::move(ideal), std::move(direction));
}
Scalarisation epsilon_constraint(std::size_t l, std::vector<double> bounds) {
  std::vector<double> direction(bounds.size(), 0.0);
  direction.at(l) = 1.0;
  bounds[l] = 0.0;
  return pascoletti_serafini(std::move(bounds), std::move(direction));
}
Scalarisation euclidean_reference(std::vector<double> reference, std::vector<double> scale) {
  return {Scalarisation::Kind::euclidean_reference, {}, std::move(reference), std::move(scale), {}};
}
Scalarisation normal_constraint(std::size_t l, const std::vector<double>& point,
                                std::span<const double> width) {
  const std::size_t k = point.size();
  Scalarisation s{Scalarisation::Kind::bounded_level, {}, {}, {}, std::vector<double>(k * k, 0.0)};
  for (std::size_t i = 0; i < k; ++i) {
    s.combinations[i * k + l] = i == l ? 1.0 : -1.0 / width[l];
    if (i != l) s.combinations[i * k + i] = 1.0 / width[i];
    s.reference.push_back(i == l ? 0.0 : point[i] / width[i] - point[l] / width[l]);
    s.direction.push_back(i == l ? 1.0 : 0.0);
  }
  return s;
}

namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;
using Index = Eigen::Index;

/// Multipliers of min t + d^T B d / 2 s.t. c_i + g_i^T d <= t r_i: the dual max c^T l - l^T A l / 2
/// over l >= 0, r^T l = 1 with A = G B^-1 G^T, by trying the active sets (k is small). Nothing
/// where no set fits: the bounds contradict each other.
std::optional<Vector> multipliers(const Matrix& a, const Vector& c, const Vector& r) {
  const Index k = c.size();
  const double slack = 1e-9 * (1.0 + c.cwiseAbs().maxCoeff());
  std::optional<Vector> best;
  double best_violation = std::numeric_limits<double>::infinity();
  for (unsigned mask = 1; mask < (1U << static_cast<unsigned>(k)); ++mask) {
    std::vector<Index> set;
    for (Index i = 0; i < k; ++i) {
      if (mask >> static_cast<unsigned>(i) & 1U) set.push_back(i);
    }
    const auto size = static_cast<Index>(set.size());
    Matrix kkt = Matrix::Zero(size + 1, size + 1);
    Vector rhs(size + 1);
    for (Index i = 0; i < size; ++i) {
      for (Index j = 0; j < size; ++j)
        kkt(i, j) = a(set[static_cast<std::size_t>(i)], set[static_cast<std::size_t>(j)]);
      kkt(i, size) = kkt(size, i) = r(set[static_cast<std::size_t>(i)]);
      rhs(i) = c(set[static_cast<std::size_t>(i)]);
    }
    rhs(size) = 1.0;
    const Vector solution = kkt.fullPivLu().solve(rhs);
    if (!solution.allFinite() || (kkt * solution - rhs).norm() > 1e-7 * (1.0 + rhs.norm()))
      continue;
    Vector lambda = Vector::Zero(k);
    for (Index i = 0; i < size; ++i) lambda(set[static_cast<std::size_t>(i)]) = solution(i);
    if (lambda.minCoeff() < -1e-10 * (1.0 + lambda.cwiseAbs().maxCoeff())) continue;
    lambda = lambda.cwiseMax(0.0);
    const double violation = (c - a * lambda - solution(size) * r).maxCoeff();
    if (violation < best_violation) {
      best_violation = violation;
      best = lambda;
    }
  }
  if (best_violation > 1e3 * slack) return std::nullopt;
  return best;
}

/// The run of one solve: the point, its derivatives, and the model.
class Run {
 public:
  Run(const ProblemView& problem, const Scalarisation& scalarisation,
      const SmoothSolverOptions& options)
      : problem_(problem),
        scalarisation_(scalarisation),
        options_(options),
        n_(static_cast<Index>(problem.dimension())),
        k_(static_cast<Index>(problem.objectives())) {
    mass_ = Matrix(n_, n_);
    std::vector<double> a(problem.dimension(), 0.0);
    std::vector<double> b(problem.dimension(), 0.0);
    for (Index i = 0; i < n_; ++i) {
      a[static_cast<std::size_t>(i)] = 1.0;
      for (Index j = 0; j < n_; ++j) {
        b[static_cast<std::size_t>(j)] = 1.0;
        mass_(i, j) = problem.inner(a, b);
        b[static_cast<std::size_t>(j)] = 0.0;
      }
      a[static_cast<std::size_t>(i)] = 0.0;
    }
    hessian_ = mass_;
    scale_ = Vector::Ones(k_);
    if (scalarisation.kind == Scalarisation::Kind::euclidean_reference &&
        !scalarisation.direction.empty())
      scale_ = Eigen::Map<const Vector>(scalarisation.direction.data(), k_);
  }

  ScalarAnswer operator()(const WarmPacket* warm);

 private:
  void derive();
  [[nodiscard]] Vector level_gaps() const {
    return f_ - Eigen::Map<const Vector>(scalarisation_.reference.data(), k_);
  }
  [[nodiscard]] double merit(const Vector& f) const;
  bool set_multipliers(const Eigen::LLT<Matrix>& factor, const Matrix& gradients);
  void model();
  bool direction();
  [[nodiscard]] double residual() const;
  bool search();

  const ProblemView& problem_;
  const Scalarisation& scalarisation_;
  SmoothSolverOptions options_;
  Index n_, k_;
  Matrix mass_;     ///< inner product
  Matrix hessian_;  ///< positive definite model of the Lagrangian, in plain coordinates
  Vector x_, f_, step_, lambda_, last_x_;
  Vector scale_;  ///< of the distances to a Euclidean reference
  Matrix riesz_;  ///< gradients by column, Riesz representatives
  Matrix plain_;  ///< mass * riesz: derivatives by coordinate
  Matrix last_plain_;
  std::vector<bool> held_;
  double penalty_ = 0.0;
  std::int64_t evaluations_ = 0, derivations_ = 0, products_ = 0;
};

void Run::derive() {
  std::vector<double> f(static_cast<std::size_t>(k_));
  riesz_.resize(n_, k_);
  problem_.gradients({x_.data(), static_cast<std::size_t>(n_)}, f,
                     {riesz_.data(), static_cast<std::size_t>(n_ * k_)});
  f_ = Eigen::Map<Vector>(f.data(), k_);
  plain_ = mass_ * riesz_;
  ++derivations_;
}

double Run::merit(const Vector& f) const {
  if (!f.allFinite()) return std::numeric_limits<double>::infinity();
  if (scalarisation_.kind == Scalarisation::Kind::weighted_sum) {
    return f.dot(Eigen::Map<const Vector>(scalarisation_.weights.data(), k_));
  }
  const Vector gap = f - Eigen::Map<const Vector>(scalarisation_.reference.data(), k_);
  if (scalarisation_.kind == Scalarisation::Kind::euclidean_reference)
    return 0.5 * gap.cwiseMax(0.0).cwiseQuotient(scale_).squaredNorm();
  double level = -std::numeric_limits<double>::infinity();
  double excess = 0.0;
  for (Index i = 0; i < k_; ++i) {
    const double r = scalarisation_.direction[static_cast<std::size_t>(i)];
    if (r > 0.0)
      level = std::max(level, gap(i) / r);
    else
      excess += std::max(gap(i), 0.0);
  }
  return level + penalty_ * excess;
}

/// Exact Hessian of the Lagrangian where there is one, made positive; damped BFGS update otherwise.
void Run::model() {
  if (problem_.has_hessian()) {
    std::vector<double> unit(static_cast<std::size_t>(n_), 0.0);
    std::vector<double> column(static_cast<std::size_t>(n_));
    Matrix h(n_, n_);
    for (Index j = 0; j < n_; ++j) {
      unit[static_cast<std::size_t>(j)] = 1.0;
      problem_.hessian_product({lambda_.data(), static_cast<std::size_t>(k_)},
                               {x_.data(), static_cast<std::size_t>(n_)}, unit, column);
      unit[static_cast<std::size_t>(j)] = 0.0;
      h.col(j) = mass_ * Eigen::Map<Vector>(column.data(), n_);
      ++products_;
    }
    const Eigen::SelfAdjointEigenSolver<Matrix> eigen(0.5 * (h + h.transpose()));
    const Vector values = eigen.eigenvalues().cwiseAbs();
    hessian_ = eigen.eigenvectors() *
               values.cwiseMax(1e-8 * values.maxCoeff() + 1e-300).asDiagonal() *
               eigen.eigenvectors().transpose();
  } else if (last_x_.size() > 0) {
    const Vector s = x_ - last_x_;
    Vector y = (plain_ - last_plain_) * lambda_;
    const Vector hs = hessian_ * s;
    const double shs = s.dot(hs);
    if (!(shs > 0.0)) return;
    if (y.dot(s) < 0.2 * shs) {
      const double theta = 0.8 * shs / (shs - y.dot(s));
      y = theta * y + (1.0 - theta) * hs;
    }
    hessian_ += y * y.transpose() / y.dot(s) - hs * hs.transpose() / shs;
  }
}

bool Run::set_multipliers(const Eigen::LLT<Matrix>& factor, const Matrix& gradients) {
  switch (scalarisation_.kind) {
    case Scalarisation::Kind::weighted_sum:
      lambda_ = Eigen::Map<const Vector>(scalarisation_.weights.data(), k_);
      return true;
    case Scalarisation::Kind::euclidean_reference:
      // What is below the reference already does not count: on the way there values may fall short.
      lambda_ = level_gaps().cwiseMax(0.0).cwiseQuotient(scale_.cwiseAbs2());
      return true;
    default:
      break;
  }
  const Matrix a = gradients.transpose() * factor.solve(gradients);
  const auto found =
      multipliers(a, level_gaps(), Eigen::Map<const Vector>(scalarisation_.direction.data(), k_));
  if (found) lambda_ = *found;
  return found.has_value();
}

bool Run::direction() {
  held_.assign(static_cast<std::size_t>(n_), false);
  for (Index round = 0; round <= n_; ++round) {
    Matrix b = hessian_;
    Matrix g = plain_;
    if (scalarisation_.kind == Scalarisation::Kind::euclidean_reference)
      b += plain_ * scale_.cwiseAbs2().cwiseInverse().asDiagonal() * plain_.transpose();
    for (Index j = 0; j < n_; ++j) {
      if (!held_[static_cast<std::size_t>(j)]) continue;
      b.row(j).setZero();
      b.col(j).setZero();
      b(j, j) = 1.0;
      g.row(j).setZero();
    }
    const Eigen::LLT<Matrix> factor(b);
    if (!set_multipliers(factor, g)) return false;
    step_ = -factor.solve(g * lambda_);
    bool leaves = false;
    for (Index j = 0; j < n_; ++j) {
      const auto at = static_cast<std::size_t>(j);
      if (held_[at]) continue;
      if ((step_(j) < 0.0 && x_(j) <= problem_.lower(at)) ||
          (step_(j) > 0.0 && x_(j) >= problem_.upper(at))) {
        held_[at] = leaves = true;
      }
    }
    if (!leaves) return true;
  }
  return true;
}

double Run::residual() const {
  Vector sum = riesz_ * lambda_;
  for (Index j = 0; j < n_; ++j) {
    if (held_[static_cast<std::size_t>(j)]) sum(j) = 0.0;
  }
  double largest = 0.0;
  for (Index i = 0; i < k_; ++i) largest = std::max(largest, riesz_.col(i).dot(plain_.col(i)));
  double result = std::sqrt(std::max(0.0, sum.dot(mass_ * sum)) / std::max(largest, 1e-300)) /
                  std::max(lambda_.sum(), 1e-300);
  if (scalarisation_.kind == Scalarisation::Kind::bounded_level) {
    // Active constraints must share one level: the gap counts in the scale of the values.
    const Vector gap = level_gaps();
    const Eigen::Map<const Vector> r(scalarisation_.direction.data(), k_);
    const double level = lambda_.dot(gap);
    const double scale = 1.0 + f_.cwiseAbs().maxCoeff();
    for (Index i = 0; i < k_; ++i) {
      const double off = gap(i) - level * r(i);
      result = std::max(result, (lambda_(i) > 0.0 ? std::abs(off) : std::max(off, 0.0)) / scale);
    }
  }
  return result;
}

bool Run::search() {
  for (Index i = 0; i < k_ && scalarisation_.kind == Scalarisation::Kind::bounded_level; ++i) {
    if (scalarisation_.direction[static_cast<std::size_t>(i)] == 0.0)
      penalty_ = std::max(penalty_, 2.0 * lambda_(i));
  }
  const double now = merit(f_);
  const double slope = 0.5 * step_.dot(hessian_ * step_);
  std::vector<double> f(static_cast<std::size_t>(k_));
  Vector trial(n_);
  for (double t = 1.0; t > 1e-14; t *= 0.5) {
    for (Index j = 0; j < n_; ++j) {
      trial(j) = std::clamp(x_(j) + t * step_(j), problem_.lower(static_cast<std::size_t>(j)),
                            problem_.upper(static_cast<std::size_t>(j)));
    }
    problem_.evaluate({trial.data(), static_cast<std::size_t>(n_)}, f, {});
    ++evaluations_;
    // Near the solution the decrease drowns in rounding: the step itself is what counts.
    if (merit(Eigen::Map<Vector>(f.data(), k_)) <=
        now - 1e-4 * t * slope + 1e-14 * (1.0 + std::abs(now))) {
      last_x_ = x_;
      last_plain_ = plain_;
      x_ = trial;
      return true;
    }
  }
  return false;
}

ScalarAnswer Run::operator()(const WarmPacket* warm) {
  std::vector<double> start(static_cast<std::size_t>(n_));
  if (warm && warm->x.size() == start.size())
    start = warm->x;
  else
    problem_.start(start);
  x_ = Eigen::Map<Vector>(start.data(), n_);
  lambda_ = Vector::Constant(k_, 1.0 / static_cast<double>(k_));
  if (warm && warm->multipliers.size() == static_cast<std::size_t>(k_))
    lambda_ = Eigen::Map<const Vector>(warm->multipliers.data(), k_);
  ScalarAnswer answer;
  answer.status = ScalarStatus::iteration_limit;
  answer.message = fmt::format("no convergence in {} iterations", options_.max_iterations);
  for (std::int64_t iteration = 0; iteration <= options_.max_iterations; ++iteration) {
    derive();
    if (!f_.allFinite() || !riesz_.allFinite()) {
      answer.status = ScalarStatus::not_finite;
      answer.message = "an objective or gradient is not finite; it may be unbounded below";
      break;
    }
    model();
    if (!direction()) {
      answer.status = ScalarStatus::infeasible;
      answer.message =
          "the bounds of the scalarisation cannot be met together: the reference is infeasible";
      break;
    }
    answer.residual = residual();
    if (answer.residual <= options_.tolerance) {
      answer.status = ScalarStatus::converged;
      answer.message.clear();
      break;
    }
    if (iteration < options_.max_iterations && !search()) {
      answer.message = "the line search found no decrease";
      break;
    }
  }
  answer.f.assign(f_.data(), f_.data() + k_);
  answer.packet = {{x_.data(), x_.data() + n_}, {lambda_.data(), lambda_.data() + k_}};
  const double sum = lambda_.sum();
  for (Index i = 0; i < k_; ++i) answer.weights.push_back(sum > 0.0 ? lambda_(i) / sum : 0.0);
  answer.counters = {{"objective value", evaluations_},
                     {"gradient", derivations_ * k_},
                     {"hessian_vector", products_}};
  return answer;
}

}  // namespace

void require_fit(const Scalarisation& s, std::size_t k) {
  const auto sized = [&](const std::vector<double>& v, const char* what, std::size_t size) {
    if (v.size() != size)
      throw ConfigurationError("scalarisation: {} has {} entries for {} objectives", what, v.size(),
                               k);
  };
  if (s.kind == Scalarisation::Kind::weighted_sum) {
    sized(s.weights, "weights", k);
    double sum = 0.0;
    for (const double w : s.weights) {
      if (!(w >= 0.0)) throw ConfigurationError("scalarisation: weight {} is negative", w);
      sum += w;
    }
    if (!(sum > 0.0 && std::isfinite(sum)))
      throw ConfigurationError("scalarisation: the weights sum to {}, not to a positive number",
                               sum);
    return;
  }
  const bool euclidean = s.kind == Scalarisation::Kind::euclidean_reference;
  const std::size_t m = s.combinations.empty() ? k : s.reference.size();
  sized(s.combinations, "the combinations", s.combinations.empty() || euclidean ? 0 : m * k);
  sized(s.reference, "the reference point", m);
  for (const double z : s.reference) {
    if (!std::isfinite(z))
      throw ConfigurationError("scalarisation: entry {} of the reference point is not finite", z);
  }
  if (euclidean && s.direction.empty()) return;
  sized(s.direction, "the direction", m);
  double largest = 0.0;
  for (const double r : s.direction) {
    if (!(r >= 0.0)) throw ConfigurationError("scalarisation: direction entry {} is negative", r);
    if (euclidean && r == 0.0) throw ConfigurationError("scalarisation: a scale is zero");
    largest = std::max(largest, r);
  }
  if (largest == 0.0)
    throw ConfigurationError("scalarisation: the direction is zero, so no level falls");
}

std::optional<std::vector<double>> bounded_multipliers(std::span<const double> a,
                                                       std::span<const double> c,
                                                       std::span<const double> r) {
  const auto k = static_cast<Index>(c.size());
  const auto found =
      multipliers(Eigen::Map<const Matrix>(a.data(), k, k), Eigen::Map<const Vector>(c.data(), k),
                  Eigen::Map<const Vector>(r.data(), k));
  if (!found) return std::nullopt;
  return std::vector<double>(found->data(), found->data() + k);
}

SmoothSolver::SmoothSolver(ProblemView problem, SmoothSolverOptions options)
    : problem_(problem), options_(options) {
  require_valid(problem, false);
  if (!problem.differentiable()) {
    throw ConfigurationError(
        "scalarisations need gradients, which {} does not give; use a population method",
        problem.fingerprint());
  }
  if (problem.objectives() > 12) {
    throw ConfigurationError("scalarisations are solved for up to 12 objectives, {} has {}",
                             problem.fingerprint(), problem.objectives());
  }
}

ScalarAnswer SmoothSolver::solve(const Scalarisation& scalarisation, const WarmPacket* warm) {
  require_fit(scalarisation, problem_.objectives());
  if (scalarisation.combinations.empty()) return Run(problem_, scalarisation, options_)(warm);
  Scalarisation plain = scalarisation;
  plain.combinations.clear();
  const CombinedTwice combined{{problem_, scalarisation.combinations}};
  ScalarAnswer answer = problem_.has_hessian()
                            ? Run(combined, plain, options_)(warm)
                            : Run(static_cast<const Combined&>(combined), plain, options_)(warm);
  answer.weights = combined.weights(answer.weights);
  double sum = 0.0;
  for (const double w : answer.weights) sum += w;
  for (double& w : answer.weights) w = sum > 0.0 ? w / sum : 0.0;
  answer.f.assign(problem_.objectives(), 0.0);
  problem_.evaluate(answer.packet.x, answer.f, {});
  return answer;
}

}  // namespace equipoise::pareto
