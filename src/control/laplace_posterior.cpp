#include <equipoise/control/laplace_posterior.hpp>

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::control {

using linalg::check;

void LaplacePosteriorOptions::describe(state::OptionVisitor& visit) {
  visit.option("newton_tolerance", newton_tolerance,
               "relative gradient at which the most probable point counts as found",
               {0.0, 1.0, true});
  visit.option("truncation", truncation, "eigenvalues below are left out", state::positive);
  visit.option("block", block, "random directions at a time", state::at_least_one);
  visit.option("max_rank", max_rank, "most random directions", state::at_least_one);
  visit.option("samples", samples, "draws from the posterior to store", state::non_negative);
  visit.option("seed", seed, "of directions and samples", state::non_negative);
  visit.option("gauss_newton", gauss_newton, "drop the adjoint terms of the data Hessian");
  newton.describe(visit);
}

LaplacePosterior::LaplacePosterior(std::shared_ptr<InverseProblem> problem, Primal start,
                                   const LaplacePosteriorOptions& options)
    : problem_(std::move(problem)),
      options_(options),
      newton_(problem_, std::move(start), options.newton) {
  (void)problem_->prior();  // refused here rather than after the Newton steps
}

void LaplacePosterior::step() {
  if (done_ != 0 || newton_.report().failed) return;
  const auto newton = newton_.report();
  if (!newton.finished && !(newton.residual <= options_.newton_tolerance)) {
    newton_.step();
    return;
  }
  add_block();
  diagonalise();
}

/// Takes `block` more random directions into the R-orthonormal basis Q, with H Q.
void LaplacePosterior::add_block() {
  const auto curvature = options_.gauss_newton ? Curvature::gauss_newton : Curvature::full;
  const BilaplacianPrior& prior = problem_->prior();
  const Space& space = problem_->space();
  newton_.stand_at_control();
  Primal d = space.primal();
  Dual image = space.dual();
  const std::int64_t most = std::min(space.partition().size(), options_.max_rank);
  linalg::Vector dual = space.dual().values;
  for (std::int64_t k = 0; k < options_.block && directions_ < most; ++k, ++directions_) {
    const parallel::Draw draw(static_cast<std::uint64_t>(options_.seed), parallel::Purpose::probe,
                              directions_);
    {
      linalg::Entries values(d.values);
      const auto begin = space.partition().range(space.comm().rank()).begin;
      for (std::int64_t i = 0; i < values.size(); ++i) {
        values[i] = draw.normal(static_cast<std::uint64_t>(begin + i));
      }
    }
    problem_->data_hessian(d, image, curvature);
    prior.covariance(image.values, d.values);
    double before = 0.0, size = 0.0;
    for (int pass = 0; pass < 3; ++pass) {  // Gram and Schmidt, twice, then the norm
      prior.precision(d.values, dual);
      size = std::sqrt(std::max(0.0, linalg::dot(dual, d.values)));
      if (pass == 0) before = size;
      if (pass == 2 || basis_.empty()) break;
      std::vector<Vec> basis(basis_.begin(), basis_.end());
      std::vector<double> products(basis.size());
      check(VecMDot(dual, static_cast<PetscInt>(basis.size()), basis.data(), products.data()));
      for (double& product : products) product = -product;
      check(VecMAXPY(d.values, static_cast<PetscInt>(basis.size()), products.data(), basis.data()));
    }
    if (!(size > 1e-12 * before)) continue;  // the range is exhausted
    check(VecScale(d.values, 1.0 / size));
    problem_->data_hessian(d, image, curvature);
    check(VecScale(image.values, 1.0 / problem_->scale()));
    basis_.push_back(linalg::copy(d.values));
    images_.push_back(linalg::copy(image.values));
  }
  done_ = directions_ >= most ? 1 : 0;
}

/// Eigenpairs of Q^T H Q; enough once they have decayed below the truncation.
void LaplacePosterior::diagonalise() {
  const auto size = static_cast<Eigen::Index>(basis_.size());
  if (size == 0) return;
  Eigen::MatrixXd core(size, size);
  std::vector<Vec> basis(basis_.begin(), basis_.end());
  for (Eigen::Index j = 0; j < size; ++j) {
    check(VecMDot(images_[static_cast<std::size_t>(j)], static_cast<PetscInt>(size), basis.data(),
                  core.col(j).data()));
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(0.5 * (core + core.transpose()));
  const auto& values = eigen.eigenvalues();
  std::vector<Eigen::Index> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](Eigen::Index a, Eigen::Index b) {
    return std::abs(values[a]) > std::abs(values[b]);
  });
  // One small value may be a change of sign; a quarter of a block is the end of the decay.
  const auto small = std::count_if(values.begin(), values.end(), [&](double value) {
    return std::abs(value) <= options_.truncation;
  });
  if (4 * small >= options_.block) done_ = 1;
  if (done_ == 0) return;
  if (!(values[0] > -1.0)) {
    throw Error(
        Exit::diverged,
        fmt::format("the Hessian has the eigenvalue {:.3e} relative to the prior, not above "
                    "-1: this is no minimum; try method.gauss_newton = true",
                    values[0]));
  }
  eigenvalues_.clear();
  vectors_.clear();
  for (const Eigen::Index k : order) {
    if (std::abs(values[k]) <= options_.truncation) break;
    eigenvalues_.push_back(values[k]);
    linalg::Vector v = linalg::like(basis.front());
    check(
        VecMAXPY(v, static_cast<PetscInt>(size), eigen.eigenvectors().col(k).data(), basis.data()));
    vectors_.push_back(std::move(v));
  }
}

linalg::Vector LaplacePosterior::prior_variance() const {
  if (prior_variance_.get() == nullptr) {
    prior_variance_ = problem_->space().primal().values;
    problem_->prior().pointwise_variance(prior_variance_);
  }
  return linalg::copy(prior_variance_);
}

linalg::Vector LaplacePosterior::posterior_variance() const {
  linalg::Vector variance = prior_variance(), square = linalg::like(variance);
  for (std::size_t k = 0; k < vectors_.size(); ++k) {
    check(VecPointwiseMult(square, vectors_[k], vectors_[k]));
    check(VecAXPY(variance, -eigenvalues_[k] / (1.0 + eigenvalues_[k]), square));
  }
  return variance;
}

linalg::Vector LaplacePosterior::sample(std::int64_t number) const {
  linalg::Vector draw = problem_->space().primal().values, dual = linalg::like(draw);
  problem_->prior().sample(parallel::Draw(static_cast<std::uint64_t>(options_.seed),
                                          parallel::Purpose::noise, number, 1),
                           draw);
  problem_->prior().precision(draw, dual);
  for (std::size_t k = 0; k < vectors_.size(); ++k) {
    const double s = 1.0 - 1.0 / std::sqrt(1.0 + eigenvalues_[k]);
    check(VecAXPY(draw, -s * linalg::dot(vectors_[k], dual), vectors_[k]));
  }
  check(VecAXPY(draw, 1.0, control().values));
  return draw;
}

solve::Report LaplacePosterior::report() const {
  solve::Report report = newton_.report();
  if (done_ == 0) {
    report.residual = solve::Report::unknown;
    report.fresh = false;
    report.finished = false;
  }
  return report;
}

solve::Counters LaplacePosterior::counters() const {
  auto counters = newton_.counters();
  const bool first = problem_->space().comm().rank() == 0;
  counters.emplace_back("random_directions", first ? directions_ : 0);
  return counters;
}

void LaplacePosterior::fields(state::FieldVisitor& visit) {
  newton_.fields(visit);
  const auto& rows = problem_->space().partition();
  const int part = problem_->space().comm().rank();
  visit.scalar("done", done_);
  visit.scalar("directions", directions_);
  auto kept = static_cast<std::int64_t>(basis_.size());
  visit.scalar("kept", kept);  // before the vectors that it counts
  for (auto* vectors : {&basis_, &images_}) {
    vectors->resize(static_cast<std::size_t>(kept));
    for (std::size_t k = 0; k < vectors->size(); ++k) {
      auto& vector = (*vectors)[k];
      if (vector.get() == nullptr) vector = problem_->space().primal().values;
      visit_vector(visit, fmt::format("{}_{}", vectors == &basis_ ? "basis" : "image", k), rows,
                   part, vector);
    }
  }
  if (done_ != 0) diagonalise();
}

void LaplacePosterior::solution(state::FieldVisitor& visit) {
  newton_.solution(visit);
  const auto& rows = problem_->space().partition();
  const int part = problem_->space().comm().rank();
  linalg::Vector prior = problem_->space().primal().values, posterior = linalg::like(prior);
  if (done_ != 0) {
    prior = prior_variance();
    posterior = posterior_variance();
  }
  visit_vector(visit, "prior_variance", rows, part, prior);
  visit_vector(visit, "posterior_variance", rows, part, posterior);
  for (std::int64_t k = 0; k < options_.samples; ++k) {
    linalg::Vector draw = done_ != 0 ? sample(k) : problem_->space().primal().values;
    visit_vector(visit, fmt::format("sample_{}", k), rows, part, draw);
  }
}

}  // namespace equipoise::control
