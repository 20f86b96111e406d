#include "reduced_solver.hpp"

namespace equipoise::problems {
namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;
using Index = Eigen::Index;
using Local = std::vector<double>;

class LinearReduced final : public ReducedSolver {
 public:
  using ReducedSolver::ReducedSolver;
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

}  // namespace

std::unique_ptr<RomSolver> linear_rom(std::shared_ptr<const PdeObjectives> problem,
                                      std::unique_ptr<pareto::WeightedSolver> full,
                                      const RomOptions& options) {
  return std::make_unique<LinearReduced>(std::move(problem), std::move(full), options);
}

}  // namespace equipoise::problems
