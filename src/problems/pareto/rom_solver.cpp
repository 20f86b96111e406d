#include "pde_fields.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/pareto/rom_solver.hpp>

#include <Eigen/Dense>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

namespace equipoise::problems {
namespace {

using linalg::check;
using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;
using Index = Eigen::Index;
using Local = std::vector<double>;

/// What both reduced problems share: local values of functions, and when to ask the full solver.
class Reduced : public RomSolver {
 public:
  Reduced(std::shared_ptr<const PdeObjectives> problem,
          std::unique_ptr<pareto::WeightedSolver> full, const RomOptions& options)
      : problem_(std::move(problem)), full_(std::move(full)), options_(options) {
    const linalg::ConstEntries weight(grid().lumped_mass());
    weight_.assign(weight.span().begin(), weight.span().end());
    for (const auto& objective : problem_->objectives) targets_.push_back(values(objective.target));
  }
  [[nodiscard]] std::size_t objectives() const override { return full_->objectives(); }
  [[nodiscard]] std::string fingerprint() const override { return full_->fingerprint(); }
  [[nodiscard]] const partition::Partition& rows() const override { return full_->rows(); }
  [[nodiscard]] std::vector<std::string> fields() const override { return full_->fields(); }
  [[nodiscard]] solve::Counters counters() const override {
    solve::Counters all{{"full_solve", full_solves_}, {"bound_cycle", cycles_}};
    for (auto& counter : full_->counters()) all.push_back(counter);
    return all;
  }
  [[nodiscard]] std::int64_t full_solves() const override { return full_solves_; }
  [[nodiscard]] const std::vector<RomAcceptance>& record() const override { return record_; }

  pareto::WeightedAnswer solve(std::span<const double> weights, std::vector<double>& x) override {
    weights_.assign(weights.begin(), weights.end());
    sum_ = problem_->weighted(weights);
    target_ = values(sum_.target);
    RomAcceptance accepted{weights_, 0.0, INFINITY, INFINITY, false};
    bool reduced = basis_size() > 0 && minimize(x);
    if (reduced) judge(accepted);
    if (!reduced || !(accepted.bound <= options_.accuracy * accepted.value)) {
      if (basis_size() >= options_.max_basis)
        return {pareto::ScalarStatus::iteration_limit,
                {},
                0.0,
                0,
                fmt::format("the reduced basis has reached {} functions and the bound {:.2e} is "
                            "still above method.accuracy",
                            basis_size(), accepted.bound)};
      std::vector<double> start = reduced ? packet() : x;
      pareto::WeightedAnswer exact = full_->solve(weights, start);
      ++full_solves_;
      if (exact.status != pareto::ScalarStatus::converged) return exact;
      enrich(start);
      x = std::move(start);
      accepted.enriched = true;
      accepted.gradient = accepted.bound = 0.0;
      accepted.value = 0.0;
      for (std::size_t i = 0; i < objectives(); ++i) accepted.value += weights_[i] * exact.f[i];
      record_.push_back(accepted);
      (void)minimize(x);  // the sensitivity is taken in the space
      return exact;
    }
    record_.push_back(accepted);
    x = packet();
    return {pareto::ScalarStatus::converged, f_, std::sqrt(accepted.bound / accepted.value), 0, {}};
  }

  [[nodiscard]] std::vector<double> sensitivity() override {
    // S = -R^T H^-1 R with the reduced gradients as columns of R.
    const Matrix s = -gradients_.transpose() * hessian_.ldlt().solve(gradients_);
    std::vector<double> rows;
    for (Index i = 0; i < s.rows(); ++i) {
      for (Index j = 0; j < s.cols(); ++j) rows.push_back(s(i, j));
    }
    return rows;
  }

 protected:
  [[nodiscard]] const control::Grid& grid() const { return problem_->grid(); }
  [[nodiscard]] std::size_t local() const { return weight_.size(); }
  [[nodiscard]] Local values(Vec v) const {
    const linalg::ConstEntries entries(v);
    return {entries.span().begin(), entries.span().end()};
  }
  [[nodiscard]] linalg::Vector vector(const Local& v) const {
    linalg::Vector result = grid().vector();
    linalg::Entries entries(result);
    std::copy(v.begin(), v.end(), entries.span().begin());
    return result;
  }
  [[nodiscard]] Local part(const std::vector<double>& x, std::size_t field) const {
    const auto at = x.begin() + static_cast<std::ptrdiff_t>(field * local());
    return {at, at + static_cast<std::ptrdiff_t>(local())};
  }
  /// sum_j c_j v_j
  [[nodiscard]] Local combine(const std::vector<Local>& v, const Vector& c) const {
    Local sum(local(), 0.0);
    for (std::size_t j = 0; j < v.size(); ++j) {
      for (std::size_t i = 0; i < local(); ++i) sum[i] += c(static_cast<Index>(j)) * v[j][i];
    }
    return sum;
  }
  /// Sums over all ranks of numbers of this rank.
  void add_up(std::span<double> numbers) const {
    MPI_Allreduce(MPI_IN_PLACE, numbers.data(), static_cast<int>(numbers.size()), MPI_DOUBLE,
                  MPI_SUM, grid().comm().handle());
  }
  [[nodiscard]] double inner(const Local& a, const Local& b) const {
    return grid().inner(vector(a), vector(b));
  }

  /// The reduced minimizer at weights_; sets f_, gradients_ and hessian_. `x` is a start.
  virtual bool minimize(const std::vector<double>& x) = 0;
  /// value, gradient and bound at that minimizer.
  virtual void judge(RomAcceptance& accepted) = 0;
  [[nodiscard]] virtual std::vector<double> packet() const = 0;
  /// A full solution joins the space.
  virtual void enrich(const std::vector<double>& x) = 0;

  std::shared_ptr<const PdeObjectives> problem_;
  std::unique_ptr<pareto::WeightedSolver> full_;
  RomOptions options_;
  Local weight_;
  std::vector<Local> targets_;
  std::vector<double> weights_, f_;
  PdeObjectives::Sum sum_;
  Local target_;  ///< of the weighted sum
  Matrix gradients_, hessian_;
  std::int64_t full_solves_ = 0, cycles_ = 0;
  std::vector<RomAcceptance> record_;
};

class LinearReduced final : public Reduced {
 public:
  using Reduced::Reduced;
  [[nodiscard]] std::int64_t basis_size() const override {
    return static_cast<std::int64_t>(u_.size());
  }

 private:
  bool minimize(const std::vector<double>& x) override;
  void judge(RomAcceptance& accepted) override;
  [[nodiscard]] std::vector<double> packet() const override;
  void enrich(const std::vector<double>& x) override;

  std::vector<Local> u_, y_, z_;     ///< orthonormal controls u, S u, S* S u
  std::vector<Local> adjoint_data_;  ///< S* d_i
  Matrix states_;                    ///< (S u_i, S u_j)
  Matrix data_;                      ///< (d_i, S u_j)
  Vector sizes_;                     ///< |d_i|^2
  Vector a_;
};

void LinearReduced::enrich(const std::vector<double>& x) {
  const std::size_t k = objectives();
  if (adjoint_data_.empty()) {
    // S* d for every target: one solve each, once.
    control::Multigrid poisson(problem_->hierarchy, 1.0, 0.0, "reduced_");
    sizes_ = Vector::Zero(static_cast<Index>(k));
    for (std::size_t i = 0; i < k; ++i) {
      linalg::Vector load = grid().vector();
      linalg::Vector image = grid().vector();
      if (problem_->objectives[i].misfit > 0.0) {
        grid().apply(problem_->objectives[i].target, nullptr, load);
        cycles_ += poisson.solve(load, image, 1e-13);
        sizes_(static_cast<Index>(i)) = inner(targets_[i], targets_[i]);
      }
      adjoint_data_.push_back(values(image));
    }
  }
  Local u = part(x, 0);
  Local y = part(x, 1);
  // p = S*(misfit y - sum_i w_i misfit_i d_i), so S* y = (p + sum ...)/misfit.
  Local z = part(x, 2);
  for (std::size_t i = 0; i < k; ++i) {
    const double factor = weights_[i] * problem_->objectives[i].misfit;
    for (std::size_t l = 0; l < local(); ++l) z[l] += factor * adjoint_data_[i][l];
  }
  for (double& v : z) v /= sum_.misfit;
  const double before = std::sqrt(inner(u, u));
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t j = 0; j < u_.size(); ++j) {
      const double c = inner(u, u_[j]);
      for (std::size_t l = 0; l < local(); ++l) {
        u[l] -= c * u_[j][l];
        y[l] -= c * y_[j][l];
        z[l] -= c * z_[j][l];
      }
    }
  }
  const double norm = std::sqrt(inner(u, u));
  // What the space holds already to the accuracy of the solves adds only noise.
  if (norm <= 1e-9 * before) return;
  for (auto* v : {&u, &y, &z}) {
    for (double& e : *v) e /= norm;
  }
  u_.push_back(std::move(u));
  y_.push_back(std::move(y));
  z_.push_back(std::move(z));
  const auto m = static_cast<Index>(u_.size());
  states_.conservativeResize(m, m);
  data_.conservativeResize(static_cast<Index>(k), m);
  for (Index j = 0; j < m; ++j) {
    states_(m - 1, j) = states_(j, m - 1) = inner(y_.back(), y_[static_cast<std::size_t>(j)]);
  }
  for (std::size_t i = 0; i < k; ++i)
    data_(static_cast<Index>(i), m - 1) = inner(targets_[i], y_.back());
}

bool LinearReduced::minimize(const std::vector<double>&) {
  const auto k = static_cast<Index>(objectives());
  const Index m = states_.rows();
  hessian_ = sum_.misfit * states_ + sum_.cost * Matrix::Identity(m, m);
  Vector right = Vector::Zero(m);
  for (Index i = 0; i < k; ++i) {
    const auto at = static_cast<std::size_t>(i);
    right += weights_[at] * problem_->objectives[at].misfit * data_.row(i).transpose();
  }
  a_ = hessian_.ldlt().solve(right);
  f_.clear();
  gradients_ = Matrix(m, k);
  for (Index i = 0; i < k; ++i) {
    const auto& objective = problem_->objectives[static_cast<std::size_t>(i)];
    const Vector d = data_.row(i);
    const double misfit = a_.dot(states_ * a_) - 2.0 * d.dot(a_) + sizes_(i);
    f_.push_back(0.5 * objective.misfit * std::max(misfit, 0.0) +
                 0.5 * objective.cost * a_.squaredNorm());
    gradients_.col(i) = objective.misfit * (states_ * a_ - d) + objective.cost * a_;
  }
  // The quadratic form loses digits where the misfit is small beside the data.
  const Local y = combine(y_, a_);
  for (std::size_t i = 0; i < f_.size(); ++i) {
    const auto& objective = problem_->objectives[i];
    if (objective.misfit == 0.0) continue;
    Local difference = y;
    for (std::size_t l = 0; l < local(); ++l) difference[l] -= targets_[i][l];
    f_[i] = 0.5 * objective.misfit * inner(difference, difference) +
            0.5 * objective.cost * a_.squaredNorm();
  }
  return a_.allFinite();
}

void LinearReduced::judge(RomAcceptance& accepted) {
  const Local u = combine(u_, a_);
  const Local z = combine(z_, a_);
  Local g(local());
  for (std::size_t l = 0; l < local(); ++l) g[l] = sum_.cost * u[l] + sum_.misfit * z[l];
  for (std::size_t i = 0; i < objectives(); ++i) {
    const double factor = weights_[i] * problem_->objectives[i].misfit;
    for (std::size_t l = 0; l < local(); ++l) g[l] -= factor * adjoint_data_[i][l];
    accepted.value += weights_[i] * f_[i];
  }
  accepted.gradient = std::sqrt(inner(g, g));
  accepted.bound = accepted.gradient * accepted.gradient / (2.0 * sum_.cost);
}

std::vector<double> LinearReduced::packet() const {
  std::vector<double> x = combine(u_, a_);
  const Local y = combine(y_, a_);
  x.insert(x.end(), y.begin(), y.end());
  Local p = combine(z_, a_);
  for (double& v : p) v *= sum_.misfit;
  for (std::size_t i = 0; i < objectives(); ++i) {
    const double factor = weights_[i] * problem_->objectives[i].misfit;
    for (std::size_t l = 0; l < local(); ++l) p[l] -= factor * adjoint_data_[i][l];
  }
  x.insert(x.end(), p.begin(), p.end());
  return x;
}

class SemilinearReduced final : public Reduced {
 public:
  SemilinearReduced(std::shared_ptr<const PdeObjectives> problem,
                    std::unique_ptr<pareto::WeightedSolver> full, const RomOptions& options)
      : Reduced(std::move(problem), std::move(full), options),
        poisson_(problem_->hierarchy, 1.0, 0.0, "reduced_") {
    measure_contraction();
  }
  [[nodiscard]] std::int64_t basis_size() const override {
    return static_cast<std::int64_t>(y_.size());
  }

 private:
  bool minimize(const std::vector<double>& x) override;
  void judge(RomAcceptance& accepted) override;
  [[nodiscard]] std::vector<double> packet() const override;
  void enrich(const std::vector<double>& x) override;
  void measure_contraction();
  [[nodiscard]] Local laplacian(const Local& y) const;
  void set_state();
  double assemble();
  [[nodiscard]] double value() const;

  control::Multigrid poisson_;
  double contraction_ = 0.0;
  std::vector<Local> y_, ay_;  ///< states with (A y_i, A y_j) = delta_ij, and A y
  Vector a_, gradient_;
  Local state_, control_;
};

/// The largest error factor of a V-cycle that power iteration sees, with a margin.
void SemilinearReduced::measure_contraction() {
  linalg::Vector x = grid().interpolate([](const control::Point& p) {
    return std::sin(37.0 * p[0] + 3.0) * std::cos(53.0 * p[1]) + std::sin(9.0 * p[0] * p[1]);
  });
  linalg::Vector b = grid().vector();
  linalg::Vector c = grid().vector();
  for (int i = 0; i < 12; ++i) {
    grid().apply(x, b, nullptr);
    const double before = std::sqrt(linalg::dot(x, b));
    poisson_.cycles(b, c, 1);
    check(VecAXPY(x, -1.0, c));
    grid().apply(x, b, nullptr);
    contraction_ = std::max(i > 1 ? contraction_ : 0.0, std::sqrt(linalg::dot(x, b)) / before);
    check(VecScale(x, 1.0 / std::sqrt(linalg::dot(x, b))));
    ++cycles_;
  }
  contraction_ = std::min(1.5 * contraction_, 0.9);
}

Local SemilinearReduced::laplacian(const Local& y) const {
  linalg::Vector image = grid().vector();
  grid().apply(vector(y), image, nullptr);
  grid().solve_mass(image, image);
  return values(image);
}

void SemilinearReduced::enrich(const std::vector<double>& x) {
  Local y = part(x, 1);
  Local ay = laplacian(y);
  const double before = std::sqrt(inner(ay, ay));
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t j = 0; j < y_.size(); ++j) {
      const double c = inner(ay, ay_[j]);
      for (std::size_t l = 0; l < local(); ++l) {
        y[l] -= c * y_[j][l];
        ay[l] -= c * ay_[j][l];
      }
    }
  }
  const double norm = std::sqrt(inner(ay, ay));
  if (norm <= 1e-10 * before) return;
  for (auto* v : {&y, &ay}) {
    for (double& e : *v) e /= norm;
  }
  y_.push_back(std::move(y));
  ay_.push_back(std::move(ay));
}

void SemilinearReduced::set_state() {
  state_ = combine(y_, a_);
  control_ = combine(ay_, a_);
  for (std::size_t l = 0; l < local(); ++l)
    control_[l] += problem_->kappa * std::max(0.0, state_[l]);
}

double SemilinearReduced::value() const {
  std::array<double, 2> sums{};
  for (std::size_t l = 0; l < local(); ++l) {
    sums[0] += weight_[l] * (state_[l] - target_[l]) * (state_[l] - target_[l]);
    sums[1] += weight_[l] * control_[l] * control_[l];
  }
  add_up(sums);
  return 0.5 * sum_.misfit * sums[0] + 0.5 * sum_.cost * sums[1];
}

/// gradient_ and hessian_ at the state; lumped mass, as the element `fd` has it.
double SemilinearReduced::assemble() {
  const auto m = static_cast<Index>(y_.size());
  const auto k = static_cast<Index>(objectives());
  const auto width = static_cast<std::size_t>(m * (m + k));
  std::vector<double> sums(width, 0.0);
  std::vector<Local> b(y_.size());
  for (std::size_t j = 0; j < y_.size(); ++j) {
    b[j].resize(local());
    for (std::size_t l = 0; l < local(); ++l)
      b[j][l] = ay_[j][l] + (state_[l] > 0.0 ? problem_->kappa * y_[j][l] : 0.0);
  }
  for (Index j = 0; j < m; ++j) {
    const auto& yj = y_[static_cast<std::size_t>(j)];
    const auto& bj = b[static_cast<std::size_t>(j)];
    for (Index i = 0; i <= j; ++i) {
      const auto& yi = y_[static_cast<std::size_t>(i)];
      const auto& bi = b[static_cast<std::size_t>(i)];
      double sum = 0.0;
      for (std::size_t l = 0; l < local(); ++l)
        sum += weight_[l] * (sum_.misfit * yi[l] * yj[l] + sum_.cost * bi[l] * bj[l]);
      sums[static_cast<std::size_t>(j * m + i)] = sum;
    }
    for (Index o = 0; o < k; ++o) {
      const auto& objective = problem_->objectives[static_cast<std::size_t>(o)];
      const auto& d = targets_[static_cast<std::size_t>(o)];
      double sum = 0.0;
      for (std::size_t l = 0; l < local(); ++l)
        sum += weight_[l] * (objective.misfit * (state_[l] - d[l]) * yj[l] +
                             objective.cost * control_[l] * bj[l]);
      sums[static_cast<std::size_t>(m * m + o * m + j)] = sum;
    }
  }
  add_up(sums);
  hessian_ = Matrix(m, m);
  gradients_ = Matrix(m, k);
  gradient_ = Vector::Zero(m);
  for (Index j = 0; j < m; ++j) {
    for (Index i = 0; i <= j; ++i)
      hessian_(i, j) = hessian_(j, i) = sums[static_cast<std::size_t>(j * m + i)];
    for (Index o = 0; o < k; ++o)
      gradients_(j, o) = sums[static_cast<std::size_t>(m * m + o * m + j)];
  }
  for (Index o = 0; o < k; ++o)
    gradient_ += weights_[static_cast<std::size_t>(o)] * gradients_.col(o);
  return gradient_.norm();
}

bool SemilinearReduced::minimize(const std::vector<double>& x) {
  const auto m = static_cast<Index>(y_.size());
  a_ = Vector::Zero(m);
  if (!x.empty()) {
    const Local ay = laplacian(part(x, 1));
    for (Index j = 0; j < m; ++j) a_(j) = inner(ay, ay_[static_cast<std::size_t>(j)]);
  }
  set_state();
  double now = value();
  double first = -1.0;
  for (int iteration = 0; iteration < 60; ++iteration) {
    const double size = assemble();
    if (first < 0.0) first = std::max(size, 1e-300);
    const Vector step = -hessian_.ldlt().solve(gradient_);
    const double slope = gradient_.dot(step);
    // The decrement decides: below rounding of the value there is nothing to gain.
    if (-slope <= 1e-16 * now) break;
    const Vector from = a_;
    double t = 1.0;
    for (; t > 1e-6; t *= 0.5) {
      a_ = from + t * step;
      set_state();
      const double next = value();
      if (next <= now + 1e-4 * t * slope) {
        now = next;
        break;
      }
    }
    if (t <= 1e-6) {
      a_ = from;
      set_state();
      assemble();
      break;
    }
  }
  f_ = problem_->values(vector(state_), vector(control_));
  return a_.allFinite();
}

void SemilinearReduced::judge(RomAcceptance& accepted) {
  const Local au = laplacian(control_);
  Local g(local());
  for (std::size_t l = 0; l < local(); ++l) {
    g[l] = sum_.misfit * (state_[l] - target_[l]) +
           sum_.cost * (au[l] + (state_[l] > 0.0 ? problem_->kappa * control_[l] : 0.0));
    g[l] *= weight_[l];
  }
  linalg::Vector b = vector(g);
  linalg::Vector c = grid().vector();
  poisson_.cycles(b, c, 1);
  ++cycles_;
  for (std::size_t i = 0; i < objectives(); ++i) accepted.value += weights_[i] * f_[i];
  // First eigenvalue of the discrete Laplacian on the unit square, by its formula.
  const double n = static_cast<double>(grid().shape().cells);
  const double lambda = 8.0 * n * n * std::pow(std::sin(0.5 * std::numbers::pi / n), 2);
  accepted.gradient = std::sqrt(std::max(linalg::dot(b, c), 0.0) / (1.0 - contraction_) / lambda);
  accepted.bound = accepted.gradient * accepted.gradient / (2.0 * sum_.cost);
}

std::vector<double> SemilinearReduced::packet() const {
  std::vector<double> x = control_;
  x.insert(x.end(), state_.begin(), state_.end());
  for (const double u : control_) x.push_back(-sum_.cost * u);
  for (const double y : state_) x.push_back(y > 0.0 ? 1.0 : -1.0);
  return x;
}

}  // namespace

std::unique_ptr<RomSolver> rom_solver(std::shared_ptr<const PdeObjectives> problem,
                                      std::unique_ptr<pareto::WeightedSolver> full,
                                      const RomOptions& options) {
  if (problem->kappa > 0.0)
    return std::make_unique<SemilinearReduced>(std::move(problem), std::move(full), options);
  return std::make_unique<LinearReduced>(std::move(problem), std::move(full), options);
}

}  // namespace equipoise::problems
