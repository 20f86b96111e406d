#include <equipoise/control/prior.hpp>

#include <cmath>

namespace equipoise::control {

using linalg::check;

BilaplacianPrior::BilaplacianPrior(Mat stiffness, Mat mass, double gamma, double delta) {
  if (!(gamma > 0.0 && delta > 0.0)) {
    throw ConfigurationError("the factors of a prior must be positive: gamma {}, delta {}", gamma,
                             delta);
  }
  check(MatDuplicate(stiffness, MAT_COPY_VALUES, operator_.put()));
  check(MatScale(operator_, gamma));
  check(MatAXPY(operator_, delta, mass, SAME_NONZERO_PATTERN));
  solver_ = linalg::direct_solver(operator_, "prior_");
  check(MatCreateVecs(mass, lumped_.put(), work_.put()));
  check(MatGetRowSum(mass, lumped_));
}

void BilaplacianPrior::precision(Vec v, Vec out) const {
  check(MatMult(operator_, v, work_));
  check(VecPointwiseDivide(work_, work_, lumped_));
  check(MatMult(operator_, work_, out));
}

void BilaplacianPrior::covariance(Vec f, Vec out) const {
  linalg::solve(solver_, f, work_);
  check(VecPointwiseMult(work_, work_, lumped_));
  linalg::solve(solver_, work_, out);
}

void BilaplacianPrior::sample(const parallel::Draw& draw, Vec out) const {
  PetscInt first = 0;
  check(VecGetOwnershipRange(work_, &first, nullptr));
  {
    linalg::Entries values(work_);
    const linalg::ConstEntries weight(lumped_);
    for (std::int64_t i = 0; i < values.size(); ++i) {
      values[i] = std::sqrt(weight[i]) * draw.normal(static_cast<std::uint64_t>(first + i));
    }
  }
  linalg::solve(solver_, work_, out);
}

void BilaplacianPrior::pointwise_variance(Vec out) const {
  linalg::Vector column = linalg::like(lumped_), unit = linalg::like(lumped_);
  PetscInt size = 0;
  check(VecGetSize(lumped_, &size));
  for (PetscInt i = 0; i < size; ++i) {
    check(VecSet(unit, 0.0));
    check(VecSetValue(unit, i, 1.0, INSERT_VALUES));
    check(VecAssemblyBegin(unit));
    check(VecAssemblyEnd(unit));
    linalg::solve(solver_, unit, column);
    check(VecPointwiseMult(work_, column, column));
    const double variance = linalg::dot(work_, lumped_);
    // Every rank sets the same number.
    check(VecSetValue(out, i, variance, INSERT_VALUES));
    check(VecAssemblyBegin(out));
    check(VecAssemblyEnd(out));
  }
}

}  // namespace equipoise::control
