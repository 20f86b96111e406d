#include "multipliers.hpp"

#include <equipoise/pareto/dual_solver.hpp>

#include <Eigen/Dense>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {
namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Index = Eigen::Index;

Vector vector(std::span<const double> v) {
  return Eigen::Map<const Vector>(v.data(), static_cast<Index>(v.size()));
}
std::span<const double> span(const Vector& v) {
  return {v.data(), static_cast<std::size_t>(v.size())};
}

/// max c^T l - l^T a l / 2 over l >= 0 for positive definite a: the active set that fits.
Vector nonnegative_maximum(const Matrix& a, const Vector& c) {
  const Index m = c.size();
  Vector best = Vector::Zero(m);
  double best_violation = std::numeric_limits<double>::infinity();
  for (unsigned mask = 0; mask < (1U << static_cast<unsigned>(m)); ++mask) {
    std::vector<Index> set;
    for (Index i = 0; i < m; ++i) {
      if (mask >> static_cast<unsigned>(i) & 1U) set.push_back(i);
    }
    Vector l = Vector::Zero(m);
    if (!set.empty()) {
      const Vector inner = Matrix(a(set, set)).ldlt().solve(Vector(c(set)));
      l(set) = inner;
    }
    const double violation = std::max(-l.minCoeff(), (c - a * l).maxCoeff());
    if (violation < best_violation) {
      best_violation = violation;
      best = l.cwiseMax(0.0);
    }
  }
  return best;
}

/// One solve: the maximization of D over the multipliers.
class Ascent {
 public:
  Ascent(WeightedSolver& solver, const DualSolverOptions& options, const Scalarisation& s)
      : solver_(solver),
        options_(options),
        euclidean_(s.kind == Scalarisation::Kind::euclidean_reference),
        z_(vector(s.reference)),
        r_(s.direction.empty() ? Vector::Ones(z_.size()) : vector(s.direction)) {
    const auto k = static_cast<Index>(solver.objectives());
    a_ = s.combinations.empty()
             ? Matrix(Matrix::Identity(k, k))
             : Matrix(Eigen::Map<const Matrix>(s.combinations.data(), z_.size(), k));
  }

  ScalarAnswer operator()(const WarmPacket* warm);
  [[nodiscard]] std::int64_t calls() const { return calls_; }

 private:
  bool evaluate();
  [[nodiscard]] double residual() const;
  [[nodiscard]] bool aim();
  [[nodiscard]] bool unbounded() const;
  void begin(const WarmPacket* warm);

  WeightedSolver& solver_;
  const DualSolverOptions& options_;
  bool euclidean_;
  Vector z_, r_;
  Matrix a_;
  std::vector<double> x_;
  Vector mu_, next_;  ///< multipliers, and those the model wants
  WeightedAnswer at_;
  Vector f_, gap_;  ///< gap = grad D
  double value_ = 0.0;
  std::int64_t calls_ = 0;
  std::string trouble_;
};

void Ascent::begin(const WarmPacket* warm) {
  const Index m = z_.size();
  mu_ = Vector::Zero(m);
  double count = 0.0;
  for (Index i = 0; i < m; ++i) count += r_(i) > 0.0 ? 1.0 : 0.0;
  for (Index i = 0; i < m; ++i) {
    if (r_(i) > 0.0) mu_(i) = 1.0 / (count * r_(i));
  }
  if (warm == nullptr) return;
  x_ = warm->x;
  // The packet holds the weights of the objectives, whatever scalarisation it came from.
  if (warm->multipliers.size() != static_cast<std::size_t>(a_.cols())) return;
  const Vector l = vector(warm->multipliers);
  const Vector mu = a_.transpose().colPivHouseholderQr().solve(l).cwiseMax(0.0);
  const double scale = euclidean_ ? 0.0 : mu.dot(r_);
  if (scale > 0.0) mu_ = mu / scale;
  if (euclidean_ && mu.sum() > 0.0 && warm->multipliers.size() == static_cast<std::size_t>(m))
    mu_ = mu * (mu_.sum() / mu.sum());
}

/// D and its gradient at mu; false where the weighted sum could not be solved.
bool Ascent::evaluate() {
  Vector l = a_.transpose() * mu_;
  l = l.cwiseMax(0.0);
  const double sum = l.sum();
  if (!(sum > 0.0)) {
    trouble_ = "all multipliers vanish";
    return false;
  }
  const Vector w = l / sum;
  at_ = solver_.solve(span(w), x_);
  ++calls_;
  if (at_.status != ScalarStatus::converged) {
    trouble_ = at_.message;
    return false;
  }
  f_ = vector(at_.f);
  gap_ = a_ * f_ - z_;
  value_ = mu_.dot(gap_);
  if (euclidean_) {
    const Vector slope = r_.cwiseAbs2().cwiseProduct(mu_);
    value_ -= 0.5 * slope.dot(mu_);
    gap_ -= slope;
  }
  return true;
}

/// Distance from optimality of the values, in the scale of r.
double Ascent::residual() const {
  const double level = euclidean_ ? 0.0 : mu_.dot(gap_);
  double worst = 0.0;
  for (Index i = 0; i < mu_.size(); ++i) {
    const double off = gap_(i) - level * (euclidean_ ? 0.0 : r_(i));
    // Rows of the normal constraints are differences of long values.
    const double scale =
        r_(i) > 0.0 ? r_(i)
                    : std::max(std::abs(z_(i)) + a_.row(i).cwiseAbs().dot(f_.cwiseAbs()), 1e-300);
    worst = std::max(worst, (mu_(i) > 0.0 ? std::abs(off) : std::max(off, 0.0)) / scale);
  }
  return worst;
}

/// The maximum of the quadratic model of D; false where it is infinite.
bool Ascent::aim() {
  const Index m = mu_.size();
  const auto k = static_cast<Index>(solver_.objectives());
  const double sum = (a_.transpose() * mu_).cwiseMax(0.0).sum();
  const auto sensitivity = solver_.sensitivity();
  Matrix h = -a_ * Eigen::Map<const Matrix>(sensitivity.data(), k, k) * a_.transpose() / sum;
  h = 0.5 * (h + Matrix(h.transpose()));
  if (euclidean_) h += Matrix(r_.cwiseAbs2().asDiagonal());
  const Vector c = gap_ + h * mu_;
  if (euclidean_) {
    next_ = nonnegative_maximum(h, c);
    return true;
  }
  // In the scale of r, where all rows weigh alike.
  Vector scale(m);
  for (Index i = 0; i < m; ++i) scale(i) = r_(i) > 0.0 ? 1.0 / r_(i) : 1.0;
  const Matrix hs = scale.asDiagonal() * h * scale.asDiagonal();
  const Vector cs = scale.cwiseProduct(c);
  const Vector rs = scale.cwiseProduct(r_);
  // A little curvature where the model has none keeps the maximum finite.
  const double floor = 1e-14 * std::max(hs.trace(), 1e-300);
  const Matrix regular = hs + floor * Matrix(Matrix::Identity(m, m));
  const Vector shifted = cs + floor * mu_.cwiseQuotient(scale);
  const auto found = bounded_multipliers({regular.data(), static_cast<std::size_t>(m * m)},
                                         span(shifted), span(rs));
  if (!found) return false;
  next_ = scale.cwiseProduct(vector(*found));
  return true;
}

/// A plain bound whose multiplier outgrows all others without being met.
bool Ascent::unbounded() const {
  if (euclidean_) return false;
  const Vector l = a_.transpose() * mu_;
  for (Index i = 0; i < mu_.size(); ++i) {
    if (r_(i) > 0.0) continue;
    const double share = mu_(i) * a_.row(i).cwiseAbs().maxCoeff() / std::max(l.sum(), 1e-300);
    const double scale = std::max({std::abs(z_(i)), std::abs(gap_(i) + z_(i)), 1e-300});
    if (share > 1.0 - 1e-9 && gap_(i) > 1e-9 * scale) return true;
  }
  return false;
}

ScalarAnswer Ascent::operator()(const WarmPacket* warm) {
  ScalarAnswer answer;
  begin(warm);
  answer.status = ScalarStatus::iteration_limit;
  answer.message = fmt::format("no convergence in {} weighted sums", options_.max_iterations);
  if (!evaluate()) {
    answer.status = at_.status;
    answer.message = trouble_;
  }
  Vector best_mu = mu_;
  WeightedAnswer best = at_;
  std::vector<double> best_x = x_;
  double best_value = value_;
  double best_residual = at_.status == ScalarStatus::converged ? residual() : 0.0;
  double step = 1.0;
  for (std::int64_t i = 0; i < options_.max_iterations && at_.status == ScalarStatus::converged;
       ++i) {
    if (best_residual <= options_.tolerance) {
      answer.status = ScalarStatus::converged;
      answer.message.clear();
      break;
    }
    if (step == 1.0) {
      if (unbounded() || !aim()) {
        answer.status = ScalarStatus::infeasible;
        answer.message =
            "the bounds of the scalarisation cannot be met together: the reference is infeasible";
        break;
      }
      // Where a combination would make a weight negative the step ends before.
      const Vector l = a_.transpose() * best_mu;
      const Vector d = a_.transpose() * (next_ - best_mu);
      double limit = 1.0;
      for (Index j = 0; j < l.size(); ++j) {
        if (l(j) + d(j) < 0.0) limit = std::min(limit, 0.9 * l(j) / -d(j));
      }
      // The multipliers of a reference point are distances: all zero means that it is attained.
      if (euclidean_) {
        const double size = best_mu.cwiseProduct(r_).maxCoeff();
        if (next_.cwiseProduct(r_).maxCoeff() < 0.1 * size) limit = std::min(limit, 0.9);
        if (size < 1e-9) {
          answer.status = ScalarStatus::infeasible;
          answer.message =
              "the reference point is attained or dominated by a point of the front: choose it "
              "below";
          break;
        }
      }
      next_ = best_mu + limit * (next_ - best_mu);
    }
    const double promised = std::max(0.0, gap_.dot(next_ - best_mu));
    const Vector gap = gap_;
    mu_ = best_mu + step * (next_ - best_mu);
    if (!evaluate()) {
      answer.status = at_.status;
      answer.message = trouble_;
      break;
    }
    const double now = residual();
    // Near the maximum the gain drowns in rounding: then the conditions themselves decide.
    if (value_ >= best_value + 1e-4 * step * promised || now < 0.5 * best_residual) {
      best_mu = mu_;
      best = at_;
      best_x = x_;
      best_value = value_;
      best_residual = now;
      step = 1.0;
    } else {
      gap_ = gap;
      step *= 0.5;
      // Rounding hides what a step gains, or a reduced space knows the values no better.
      if (best_residual <= options_.rounding ||
          (step < 0.1 && best_residual <= options_.uncertainty))
        break;
      if (step < 1e-7) {
        answer.message = fmt::format(
            "no weighted sum comes closer than {:.1e} to the point looked for: the front is not "
            "convex there, or the weighted sums jump",
            best_residual);
        break;
      }
    }
  }
  if (answer.status == ScalarStatus::iteration_limit &&
      best_residual <= std::max(options_.rounding, options_.uncertainty)) {
    answer.status = ScalarStatus::converged;
    answer.message.clear();
  }
  if (best.status != ScalarStatus::converged) best = at_;
  answer.f = best.f;
  answer.f.resize(solver_.objectives(), 0.0);
  Vector l = (a_.transpose() * best_mu).cwiseMax(0.0);
  if (l.sum() > 0.0) l /= l.sum();
  answer.weights.assign(l.data(), l.data() + l.size());
  answer.residual = std::max(best.residual, 0.0);
  answer.grade = best.grade;
  answer.packet = {std::move(best_x), answer.weights};
  return answer;
}

}  // namespace

DualSolver::DualSolver(std::unique_ptr<WeightedSolver> solver, DualSolverOptions options)
    : solver_(std::move(solver)), options_(options) {}

std::vector<std::string> DualSolver::counters() const {
  std::vector<std::string> names{"weighted_sum"};
  for (const auto& counter : solver_->counters()) names.push_back(counter.first);
  return names;
}

ScalarAnswer DualSolver::solve(const Scalarisation& scalarisation, const WarmPacket* warm) {
  const std::size_t k = solver_->objectives();
  require_fit(scalarisation, k);
  const auto before = solver_->counters();
  std::int64_t sums = 1;
  ScalarAnswer answer;
  if (scalarisation.kind == Scalarisation::Kind::weighted_sum) {
    std::vector<double> w = scalarisation.weights;
    double sum = 0.0;
    for (const double v : w) sum += v;
    for (double& v : w) v /= sum;
    if (warm != nullptr) answer.packet.x = warm->x;
    WeightedAnswer point = solver_->solve(w, answer.packet.x);
    answer.status = point.status;
    answer.f = std::move(point.f);
    answer.residual = point.residual;
    answer.grade = point.grade;
    answer.message = std::move(point.message);
    answer.weights = answer.packet.multipliers = std::move(w);
  } else {
    Ascent ascent(*solver_, options_, scalarisation);
    answer = ascent(warm);
    sums = ascent.calls();
  }
  answer.counters = {{"weighted_sum", sums}};
  const auto after = solver_->counters();
  for (std::size_t i = 0; i < after.size(); ++i) {
    answer.counters.emplace_back(after[i].first, after[i].second - before[i].second);
  }
  return answer;
}

}  // namespace equipoise::pareto
