#include "reduced_solver.hpp"

#include <array>
#include <numbers>

namespace equipoise::problems {
namespace {

using linalg::check;
using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;
using Index = Eigen::Index;
using Local = std::vector<double>;

class SemilinearReduced final : public ReducedSolver {
 public:
  SemilinearReduced(std::shared_ptr<const PdeObjectives> problem,
                    std::unique_ptr<pareto::WeightedSolver> full, const RomOptions& options)
      : ReducedSolver(std::move(problem), std::move(full), options),
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

std::unique_ptr<RomSolver> semilinear_rom(std::shared_ptr<const PdeObjectives> problem,
                                          std::unique_ptr<pareto::WeightedSolver> full,
                                          const RomOptions& options) {
  return std::make_unique<SemilinearReduced>(std::move(problem), std::move(full), options);
}

}  // namespace equipoise::problems
