#include "program_newton.hpp"

#include "program_system.hpp"

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using Vector = Eigen::VectorXd;
using Eigen::Index;

constexpr int iteration_limit = 120;
/// In scaled units, where coefficients are at most 1.
constexpr double least_margin = 1.0;

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// The iterate: v, y, and the multipliers of the bounds, all strictly inside.
struct Point {
  Vector v, y, zl, zu;
};

class Newton {
 public:
  Newton(const LocalProgram& p, const StandardProgram& s) : program_(p), s_(s), system_(s) {
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
  const StandardProgram& s_;
  AugmentedSystem system_;
  std::vector<char> has_lower_, has_upper_;
  std::int64_t bounds_ = 0;
  Point p_, d_;
  Vector primal_residual_, dual_residual_;
};

}  // namespace

NewtonResult newton_polish(const LocalProgram& program, double tolerance, std::vector<double>& x,
                           std::vector<double>& y) {
  const StandardProgram standard(program);
  return Newton(program, standard).run(tolerance, x, y);
}

}  // namespace equipoise::problems
