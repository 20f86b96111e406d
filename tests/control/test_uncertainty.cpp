#include "support.hpp"

#include <equipoise/control/coefficient.hpp>
#include <equipoise/control/laplace_posterior.hpp>

#include <Eigen/Dense>
#include <gtest/gtest.h>

namespace equipoise::control {
namespace {

double disc(const Point& x) {
  return std::hypot(x[0] - 0.5, x[1] - 0.5) <= 0.2 ? std::log(2.0) : std::log(9.0);
}

CoefficientOptions bayesian(std::int64_t cells) {
  CoefficientOptions options;
  options.cells = cells;
  options.prior = "bilaplacian";
  options.regularization = 1e-8;
  return options;
}

/// A distributed vector as a whole, on every rank.
Eigen::VectorXd whole(Vec vector, const partition::Partition& rows) {
  Eigen::VectorXd all = Eigen::VectorXd::Zero(rows.size());
  const linalg::ConstEntries values(vector);
  const auto begin = rows.range(world().rank()).begin;
  for (std::int64_t i = 0; i < values.size(); ++i) all[begin + i] = values[i];
  MPI_Allreduce(MPI_IN_PLACE, all.data(), static_cast<int>(all.size()), MPI_DOUBLE, MPI_SUM,
                world().handle());
  return all;
}

/// The dense matrix of an operator, column by column.
template <class Operator>
Eigen::MatrixXd dense(const Space& space, const Operator& apply) {
  const auto size = space.partition().size();
  Eigen::MatrixXd matrix(size, size);
  Primal unit = space.primal();
  Dual image = space.dual();
  for (std::int64_t j = 0; j < size; ++j) {
    linalg::check(VecSet(unit.values, 0.0));
    linalg::check(VecSetValue(unit.values, static_cast<PetscInt>(j), 1.0, INSERT_VALUES));
    linalg::check(VecAssemblyBegin(unit.values));
    linalg::check(VecAssemblyEnd(unit.values));
    apply(unit, image);
    matrix.col(j) = whole(image.values, space.partition());
  }
  return matrix;
}

TEST(LaplacePosterior, VarianceEqualsTheDiagonalOfTheDenseInverse) {
  const std::int64_t cells = world().size() == 1 ? 16 : 6;
  const auto problem = std::make_shared<CoefficientFunctional>(world(), bayesian(cells), disc);
  const Space& space = problem->space();
  LaplacePosterior method(problem, problem->interpolate([](const Point&) { return std::log(4.0); }),
                          {});
  EXPECT_GT(run(method, 1e-7, 60), 0);
  EXPECT_TRUE(method.done());
  problem->value(method.control());
  Dual derivative = space.dual();
  problem->derivative(derivative);
  const Eigen::MatrixXd hessian =
      dense(space, [&](const Primal& d, Dual& out) { problem->hessian(d, out, Curvature::full); });
  const Eigen::MatrixXd precision = dense(
      space, [&](const Primal& d, Dual& out) { problem->prior().precision(d.values, out.values); });
  const Eigen::VectorXd posterior = (hessian / problem->scale()).inverse().diagonal();
  const Eigen::VectorXd prior = precision.inverse().diagonal();
  const Eigen::VectorXd claimed = whole(method.posterior_variance(), space.partition());
  const Eigen::VectorXd claimed_prior = whole(method.prior_variance(), space.partition());
  EXPECT_LT(((claimed - posterior).cwiseQuotient(posterior)).cwiseAbs().maxCoeff(), 1e-6);
  EXPECT_LT(((claimed_prior - prior).cwiseQuotient(prior)).cwiseAbs().maxCoeff(), 1e-8);
  EXPECT_LT(posterior.maxCoeff(), prior.minCoeff());  // the data say something everywhere
  // The eigenvalues are those of the dense pencil.
  const Eigen::GeneralizedSelfAdjointEigenSolver<Eigen::MatrixXd> pencil(
      0.5 * (hessian + hessian.transpose()) / problem->scale() - precision, precision);
  for (int k = 0; k < 5; ++k) {
    const double expected = pencil.eigenvalues()[hessian.rows() - 1 - k];
    EXPECT_NEAR(method.eigenvalues()[static_cast<std::size_t>(k)], expected, 1e-6 * expected);
  }
}

TEST(LaplacePosterior, SamplesHaveTheVarianceTheyClaim) {
  const auto problem = std::make_shared<CoefficientFunctional>(world(), bayesian(4), disc);
  LaplacePosterior method(problem, problem->interpolate([](const Point&) { return std::log(4.0); }),
                          {});
  EXPECT_GT(run(method, 1e-7, 60), 0);
  const int count = 2000;
  linalg::Vector sum = problem->space().primal().values, squares = linalg::like(sum);
  linalg::Vector prior_squares = linalg::like(sum), draw = linalg::like(sum);
  for (int k = 0; k < count; ++k) {
    linalg::Vector sample = method.sample(k);
    linalg::check(VecAXPY(sample, -1.0, method.control().values));
    linalg::check(VecAXPY(sum, 1.0 / count, sample));
    linalg::check(VecPointwiseMult(sample, sample, sample));
    linalg::check(VecAXPY(squares, 1.0 / count, sample));
    problem->prior().sample(parallel::Draw(7, parallel::Purpose::noise, k), draw);
    linalg::check(VecPointwiseMult(draw, draw, draw));
    linalg::check(VecAXPY(prior_squares, 1.0 / count, draw));
  }
  const auto& rows = problem->space().partition();
  const Eigen::VectorXd variance = whole(method.posterior_variance(), rows);
  const Eigen::VectorXd prior = whole(method.prior_variance(), rows);
  // A mean of `count` squares has the relative deviation sqrt(2/count) = 0.032.
  EXPECT_LT((whole(squares, rows).cwiseQuotient(variance).array() - 1.0).abs().maxCoeff(), 0.15);
  EXPECT_LT((whole(prior_squares, rows).cwiseQuotient(prior).array() - 1.0).abs().maxCoeff(), 0.15);
  EXPECT_LT((whole(sum, rows).array() / variance.array().sqrt()).abs().maxCoeff(), 0.12);
}

TEST(LaplacePosterior, BadInputIsRefused) {
  const auto improper =
      std::make_shared<CoefficientFunctional>(world(), CoefficientOptions{.cells = 4}, disc);
  EXPECT_THROW(LaplacePosterior(improper, improper->space().primal(), {}), ConfigurationError);
  auto options = bayesian(4);
  options.prior_delta = 0.0;
  EXPECT_THROW(CoefficientFunctional(world(), options, disc), ConfigurationError);
}

}  // namespace
}  // namespace equipoise::control
