#include "pde_fields.hpp"

#include <Eigen/Dense>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace equipoise::problems {

using linalg::check;

std::vector<double> PdeObjectives::values(Vec state, Vec control) const {
  const double effort = grid().inner(control, control);
  linalg::Vector difference = grid().vector();
  std::vector<double> f;
  for (const auto& objective : objectives) {
    double misfit = 0.0;
    if (objective.misfit > 0.0) {
      check(VecWAXPY(difference, -1.0, objective.target, state));
      misfit = grid().inner(difference, difference);
    }
    f.push_back(0.5 * objective.misfit * misfit + 0.5 * objective.cost * effort);
  }
  return f;
}

PdeObjectives::Sum PdeObjectives::weighted(std::span<const double> weights) const {
  Sum sum;
  sum.target = grid().vector();
  double misfits = 0.0;
  double costs = 0.0;
  std::size_t widest = 0;
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    sum.misfit += weights[i] * objectives[i].misfit;
    sum.cost += weights[i] * objectives[i].cost;
    misfits = std::max(misfits, objectives[i].misfit);
    costs = std::max(costs, objectives[i].cost);
    if (objectives[i].misfit > objectives[widest].misfit) widest = i;
    check(VecAXPY(sum.target, weights[i] * objectives[i].misfit, objectives[i].target));
  }
  if (sum.misfit < 1e-12 * misfits) {
    sum.misfit = 1e-12 * misfits;
    check(VecCopy(objectives[widest].target, sum.target));
  } else {
    check(VecScale(sum.target, 1.0 / sum.misfit));
  }
  sum.cost = std::max(sum.cost, 1e-12 * costs);
  return sum;
}

namespace {

using Two = std::array<linalg::Vector, 2>;

double dot(const Two& a, const Two& b) {
  std::array<double, 2> parts{};
  for (std::size_t i = 0; i < 2; ++i) check(VecDotBegin(a[i], b[i], &parts[i]));
  for (std::size_t i = 0; i < 2; ++i) check(VecDotEnd(a[i], b[i], &parts[i]));
  return parts[0] + parts[1];
}
void axpy(Two& y, double a, const Two& x) {
  for (std::size_t i = 0; i < 2; ++i) check(VecAXPY(y[i], a, x[i]));
}

class LinearPde final : public PdeFieldSolver {
 public:
  LinearPde(std::shared_ptr<const PdeObjectives> problem, const LinearPdeOptions& options)
      : PdeFieldSolver(std::move(problem), {"control", "state", "adjoint"}),
        options_(options),
        poisson_(problem_->hierarchy, 1.0, 0.0, "state_"),
        work_(two()),
        residual_(two()) {
    for (auto* v : {&u_, &y_, &p_, &load_, &image_}) *v = grid().vector();
  }

  [[nodiscard]] solve::Counters counters() const override {
    return {{"optimality_solve", systems_}, {"multigrid_cycle", cycles_}};
  }

  pareto::WeightedAnswer solve(std::span<const double> weights, std::vector<double>& x) override;
  [[nodiscard]] std::vector<double> sensitivity() override;

 private:
  [[nodiscard]] Two two() const { return {grid().vector(), grid().vector()}; }
  void set_weights(std::span<const double> weights);
  void apply(const Two& in, Two& out);
  void precondition(const Two& r, Two& z);
  bool gmres(const Two& b, Two& x, double tolerance);

  LinearPdeOptions options_;
  control::Multigrid poisson_;
  std::unique_ptr<control::Multigrid> shifted_;
  double shift_ = -1.0;
  PdeObjectives::Sum sum_;
  std::vector<double> weights_;
  Two work_, residual_;
  std::vector<Two> basis_;
  linalg::Vector u_, y_, p_, load_, image_;
  double error_ = 0.0;  ///< norm of the preconditioned residual at the end
  std::int64_t systems_ = 0, cycles_ = 0;
};

void LinearPde::set_weights(std::span<const double> weights) {
  weights_.assign(weights.begin(), weights.end());
  sum_ = problem_->weighted(weights);
  const double shift = std::sqrt(sum_.misfit / sum_.cost);
  if (shift == shift_) return;
  shift_ = shift;
  shifted_ = std::make_unique<control::Multigrid>(problem_->hierarchy, 1.0, shift, "shifted_");
}

void LinearPde::apply(const Two& in, Two& out) {
  grid().apply(in[0], out[0], out[1]);  // K q, M q
  grid().apply(in[1], image_, load_);   // K y, M y
  check(VecAXPY(out[0], -shift_, load_));
  check(VecAYPX(out[1], shift_, image_));
}

/// h := (K + s M)^-1 (r1 + r2), z2 := (K + s M)^-1 (r2 - s M h), z1 := h - z2.
void LinearPde::precondition(const Two& r, Two& z) {
  check(VecWAXPY(load_, 1.0, r[0], r[1]));
  shifted_->cycles(load_, z[0], 1);
  grid().apply(z[0], nullptr, image_);
  check(VecWAXPY(load_, -shift_, image_, r[1]));
  shifted_->cycles(load_, z[1], 1);
  check(VecAXPY(z[0], -1.0, z[1]));
  cycles_ += 2;
}

/// From x; true once the preconditioned residual is below `tolerance` times that of x = 0.
bool LinearPde::gmres(const Two& b, Two& x, double tolerance) {
  ++systems_;
  const auto restart =
      static_cast<std::size_t>(std::min<std::int64_t>(60, options_.max_iterations));
  precondition(b, work_);
  const double target = tolerance * std::sqrt(dot(work_, work_));
  error_ = 0.0;
  if (target == 0.0) {
    for (auto& v : x) check(VecZeroEntries(v));
    return true;
  }
  std::int64_t iterations = 0;
  while (true) {
    apply(x, residual_);
    for (std::size_t i = 0; i < 2; ++i) check(VecAYPX(residual_[i], -1.0, b[i]));
    if (basis_.empty()) basis_.push_back(two());
    precondition(residual_, basis_[0]);
    const double start = std::sqrt(dot(basis_[0], basis_[0]));
    error_ = start;
    if (!(start > target)) return std::isfinite(start);
    if (iterations >= options_.max_iterations) return false;
    for (auto& v : basis_[0]) check(VecScale(v, 1.0 / start));
    Eigen::MatrixXd h = Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(restart) + 1,
                                              static_cast<Eigen::Index>(restart));
    Eigen::VectorXd s = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(restart) + 1);
    std::vector<Eigen::JacobiRotation<double>> rotations;
    s(0) = start;
    Eigen::Index j = 0;
    for (; j < static_cast<Eigen::Index>(restart) && iterations < options_.max_iterations; ++j) {
      const auto at = static_cast<std::size_t>(j);
      if (basis_.size() <= at + 1) basis_.push_back(two());
      apply(basis_[at], residual_);
      precondition(residual_, basis_[at + 1]);
      ++iterations;
      for (Eigen::Index i = 0; i <= j; ++i) {
        h(i, j) = dot(basis_[at + 1], basis_[static_cast<std::size_t>(i)]);
        axpy(basis_[at + 1], -h(i, j), basis_[static_cast<std::size_t>(i)]);
      }
      const double norm = std::sqrt(dot(basis_[at + 1], basis_[at + 1]));
      if (norm > 0.0) {
        for (auto& v : basis_[at + 1]) check(VecScale(v, 1.0 / norm));
      }
      h(j + 1, j) = norm;
      for (Eigen::Index i = 0; i < j; ++i)
        h.col(j).applyOnTheLeft(i, i + 1, rotations[static_cast<std::size_t>(i)].adjoint());
      Eigen::JacobiRotation<double> rotation;
      rotation.makeGivens(h(j, j), h(j + 1, j));
      h.col(j).applyOnTheLeft(j, j + 1, rotation.adjoint());
      s.applyOnTheLeft(j, j + 1, rotation.adjoint());
      rotations.push_back(rotation);
      error_ = std::abs(s(j + 1));
      if (error_ <= target || norm == 0.0) {
        ++j;
        break;
      }
    }
    const Eigen::VectorXd c = h.topLeftCorner(j, j).triangularView<Eigen::Upper>().solve(s.head(j));
    for (Eigen::Index i = 0; i < j; ++i) axpy(x, c(i), basis_[static_cast<std::size_t>(i)]);
    if (error_ <= target) return true;
  }
}

pareto::WeightedAnswer LinearPde::solve(std::span<const double> weights, std::vector<double>& x) {
  set_weights(weights);
  const double scale = std::sqrt(sum_.misfit * sum_.cost);  // p = scale q
  Two b = two();
  Two unknown = two();
  grid().apply(sum_.target, nullptr, b[0]);
  check(VecScale(b[0], -shift_));
  if (!x.empty()) {
    load(x, 1, y_);
    load(x, 2, p_);
    check(VecCopy(y_, unknown[1]));
    check(VecAXPY(unknown[0], 1.0 / scale, p_));
  }
  const bool reached = gmres(b, unknown, options_.tolerance);
  // A cheap control makes q small beside y: then u = -sigma q needs more digits of both.
  double part = 0.0;
  check(VecNorm(unknown[0], NORM_2, &part));
  const double share = part / std::max(std::sqrt(dot(unknown, unknown)), 1e-300);
  if (reached && share < 0.1) gmres(b, unknown, std::max(options_.tolerance * share, 3e-16));
  check(VecCopy(unknown[1], y_));
  check(VecZeroEntries(p_));
  check(VecAXPY(p_, scale, unknown[0]));
  check(VecZeroEntries(u_));
  check(VecAXPY(u_, -1.0 / sum_.cost, p_));
  pareto::WeightedAnswer answer;
  answer.f = problem_->values(y_, u_);
  // The preconditioned residual is an error estimate (eigenvalues in [1/2, 1]); in the gradient it
  // stands beside cost u, and every |grad J_i| with a cost is about |u| or more.
  double size = 0.0;
  check(VecNorm(u_, NORM_2, &size));
  answer.residual = 2.0 * scale * error_ / std::max(size, 1e-300);
  if (!std::isfinite(error_)) {
    answer.status = pareto::ScalarStatus::not_finite;
    answer.message = "the optimality system has no finite solution";
  } else if (!reached) {
    answer.status = pareto::ScalarStatus::iteration_limit;
    answer.message =
        fmt::format("the optimality system at weights ({:.6g}) needs more than {} iterations",
                    fmt::join(weights, ", "), options_.max_iterations);
  }
  x.assign(size_of_packet(), 0.0);
  store(u_, x, 0);
  store(y_, x, 1);
  store(p_, x, 2);
  return answer;
}

std::vector<double> LinearPde::sensitivity() {
  const std::size_t k = objectives();
  // Adjoints of the single objectives; that of the heaviest follows from the sum.
  std::size_t heaviest = 0;
  for (std::size_t i = 0; i < k; ++i) {
    if (weights_[i] * problem_->objectives[i].misfit >
        weights_[heaviest] * problem_->objectives[heaviest].misfit)
      heaviest = i;
  }
  std::vector<linalg::Vector> gradient;
  linalg::Vector rest = linalg::copy(p_);
  for (std::size_t i = 0; i < k; ++i) {
    gradient.push_back(grid().vector());
    const auto& objective = problem_->objectives[i];
    if (i == heaviest || objective.misfit == 0.0) continue;
    check(VecWAXPY(image_, -1.0, objective.target, y_));
    check(VecScale(image_, objective.misfit));
    grid().apply(image_, nullptr, load_);
    cycles_ += poisson_.solve(load_, gradient[i], 1e-10);
    check(VecAXPY(rest, -weights_[i], gradient[i]));
  }
  check(VecAXPY(gradient[heaviest], 1.0 / std::max(weights_[heaviest], 1e-12), rest));
  for (std::size_t i = 0; i < k; ++i) check(VecAXPY(gradient[i], problem_->objectives[i].cost, u_));
  // sum_j w_j S_ij = 0: the column of the largest weight follows from the others.
  const auto last = static_cast<std::size_t>(std::max_element(weights_.begin(), weights_.end()) -
                                             weights_.begin());
  std::vector<double> s(k * k, 0.0);
  const double scale = std::sqrt(sum_.misfit * sum_.cost);
  Two b = two();
  Two unknown = two();
  for (std::size_t j = 0; j < k; ++j) {
    if (j == last) continue;
    check(VecZeroEntries(b[0]));
    grid().apply(gradient[j], nullptr, b[1]);
    check(VecScale(b[1], 1.0 / sum_.cost));
    for (auto& v : unknown) check(VecZeroEntries(v));
    gmres(b, unknown, 1e-9);
    // H^-1 g = (g - p) / cost
    check(VecCopy(gradient[j], image_));
    check(VecAXPY(image_, -scale, unknown[0]));
    check(VecScale(image_, 1.0 / sum_.cost));
    for (std::size_t i = 0; i < k; ++i) {
      s[i * k + j] = -grid().inner(gradient[i], image_);
      s[i * k + last] -= weights_[j] * s[i * k + j] / weights_[last];
    }
  }
  return s;
}

}  // namespace

std::unique_ptr<pareto::WeightedSolver> linear_pde_solver(
    std::shared_ptr<const PdeObjectives> problem, const LinearPdeOptions& options) {
  return std::make_unique<LinearPde>(std::move(problem), options);
}

}  // namespace equipoise::problems
