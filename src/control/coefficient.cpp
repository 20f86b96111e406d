#include "coefficient_discretization.hpp"

#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

CoefficientFunctional::CoefficientFunctional(const parallel::Comm& comm,
                                             const CoefficientOptions& options,
                                             const Coefficient& truth)
    : options_(options), discrete_(std::make_unique<Discretization>(comm, options)) {
  Discretization& x = *discrete_;
  x.assemble_constant(options);
  const Primal m = interpolate(truth);
  assemble(m.values);
  check(VecCopy(x.u, x.ud));
  double largest = 0.0;
  check(VecNorm(x.u, NORM_INFINITY, &largest));
  const parallel::Draw draw(static_cast<std::uint64_t>(options.seed), parallel::Purpose::noise, 0);
  linalg::Entries data(x.ud);
  const auto begin = x.states.range(comm.rank()).begin;
  for (std::int64_t i = 0; i < data.size(); ++i) {
    data[i] += options.noise * largest * draw.normal(static_cast<std::uint64_t>(begin + i));
  }
  state_solves_ = factorisations_ = 0;
}

CoefficientFunctional::~CoefficientFunctional() = default;

const Space& CoefficientFunctional::space() const { return *discrete_; }
Vec CoefficientFunctional::state() const { return discrete_->u; }
Vec CoefficientFunctional::adjoint() const { return discrete_->p; }

Primal CoefficientFunctional::interpolate(const Coefficient& coefficient) const {
  Primal m = discrete_->primal();
  linalg::Entries values(m.values);
  const auto begin = discrete_->coefficients.range(discrete_->comm_.rank()).begin;
  const auto n = discrete_->n;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const std::int64_t node = begin + i;
    values[i] = coefficient({static_cast<double>(node % (n + 1)) / static_cast<double>(n),
                             static_cast<double>(node / (n + 1)) / static_cast<double>(n), 0.0});
  }
  return m;
}

/// The state for a coefficient. The factorisation serves all solves until the next call.
void CoefficientFunctional::assemble(Vec m) {
  Discretization& x = *discrete_;
  check(VecCopy(m, x.m));
  x.assemble_state();
  linalg::solve(x.state_solver, x.load, x.u);
  ++state_solves_;
  ++factorisations_;
  second_ready_ = false;
}

double CoefficientFunctional::value(const Primal& m) {
  Discretization& x = *discrete_;
  assemble(m.values);
  check(VecWAXPY(x.w, -1.0, x.ud, x.u));
  check(MatMult(x.mass, x.w, x.work));
  misfit_ = 0.5 * linalg::dot(x.w, x.work);
  check(VecCopy(x.m, x.shifted));
  if (x.prior) check(VecShift(x.shifted, -options_.prior_mean));
  x.penalty(x.shifted, x.image);
  penalty_ = 0.5 * options_.regularization * linalg::dot(x.shifted, x.image);
  return misfit_ + penalty_;
}

void CoefficientFunctional::derivative(Dual& out) {
  Discretization& x = *discrete_;
  check(VecWAXPY(x.w, -1.0, x.ud, x.u));
  check(MatMult(x.mass, x.w, x.work));
  linalg::solve(x.state_solver, x.work, x.p);
  ++adjoint_solves_;
  x.assemble_coupling(x.u, x.cu, x.local_u);
  check(MatMultTranspose(x.cu, x.p, x.image));
  x.penalty(x.shifted, out.values);
  check(VecAXPBY(out.values, -1.0, options_.regularization, x.image));
  second_ready_ = false;
}

void CoefficientFunctional::hessian(const Primal& d, Dual& out, Curvature curvature) {
  data_hessian(d, out, curvature);
  discrete_->penalty(d.values, discrete_->image);
  check(VecAXPY(out.values, options_.regularization, discrete_->image));
}

void CoefficientFunctional::data_hessian(const Primal& d, Dual& out, Curvature curvature) {
  Discretization& x = *discrete_;
  const bool full = curvature == Curvature::full;
  if (full && !second_ready_) {
    x.assemble_second();
    second_ready_ = true;
  }
  check(MatMult(x.cu, d.values, x.work));
  check(VecScale(x.work, -1.0));
  linalg::solve(x.state_solver, x.work, x.w);
  check(MatMult(x.mass, x.w, x.work));
  if (full) {
    check(MatMult(x.cp, d.values, x.q));
    check(VecAXPY(x.work, -1.0, x.q));
  }
  linalg::solve(x.state_solver, x.work, x.q);
  check(MatMultTranspose(x.cu, x.q, out.values));
  check(VecScale(out.values, -1.0));
  if (full) {
    check(MatMult(x.d, d.values, x.image));
    check(VecAXPY(out.values, -1.0, x.image));
    check(MatMultTranspose(x.cp, x.w, x.image));
    check(VecAXPY(out.values, -1.0, x.image));
  }
  ++hessian_actions_;
}

void CoefficientFunctional::precondition(const Dual& f, Primal& out) {
  if (discrete_->prior) {
    discrete_->prior->covariance(f.values, out.values);
    check(VecScale(out.values, 1.0 / options_.regularization));
  } else {
    linalg::solve(discrete_->regular_solver, f.values, out.values);
  }
}

const BilaplacianPrior& CoefficientFunctional::prior() const {
  if (!discrete_->prior) {
    throw ConfigurationError(
        "a posterior needs a proper prior, which the gradient penalty is not: choose "
        "problem.prior = \"bilaplacian\"");
  }
  return *discrete_->prior;
}

solve::Counters CoefficientFunctional::counters() const {
  return {{"state_solves", state_solves_},
          {"adjoint_solves", adjoint_solves_},
          {"hessian_actions", hessian_actions_},
          {"factorisations", factorisations_}};
}

void CoefficientFunctional::visit_state(state::FieldVisitor& visit) {
  const int part = discrete_->comm_.rank();
  visit_vector(visit, "state", discrete_->states, part, discrete_->u);
  visit_vector(visit, "adjoint", discrete_->states, part, discrete_->p);
}

}  // namespace equipoise::control
