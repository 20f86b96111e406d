#include "contest.hpp"

#include <algorithm>
#include <cmath>

namespace equipoise::peers {

using linalg::check;

Contest::Contest(Factory make,
                 const std::function<control::Primal(control::ReducedFunctional&)>& start,
                 double lower, double upper, double target)
    : make_(std::move(make)), lower_(lower), upper_(upper), target_(target) {
  referee_ = make_();
  start_ = start(*referee_);
  for (auto* primal : {&point_, &work_, &referee_point_}) *primal = referee_->space().primal();
  for (auto* dual : {&dual_, &referee_dual_}) *dual = referee_->space().dual();
  {
    linalg::Entries entries(start_.values);
    for (double& u : entries.span()) u = std::clamp(u, lower_, upper_);
  }
  start_norm_ = projected_gradient(start_.values);
}

double Contest::projected_gradient(Vec iterate) {
  check(VecCopy(iterate, referee_point_.values));
  referee_->value(referee_point_);
  referee_->derivative(referee_dual_);
  if (!bounded()) return referee_->space().norm(referee_dual_);
  control::Primal gradient = referee_->space().primal();
  referee_->space().to_primal(referee_dual_, gradient);
  {
    linalg::Entries g(gradient.values);
    const linalg::ConstEntries u(referee_point_.values);
    for (std::int64_t i = 0; i < g.size(); ++i) {
      g[i] = u[i] - std::clamp(u[i] - g[i], lower_, upper_);
    }
  }
  return std::sqrt(referee_->space().inner(gradient, gradient));
}

void Contest::begin(const std::string& solver) {
  functional_.reset();
  standing_ = differentiated_ = false;
  score_ = {};
  score_.solver = solver;
  paused_ = 0.0;
  clock_ = MPI_Wtime();
}

bool Contest::shows(Vec iterate) {
  if (score_.reached) return true;
  const double now = MPI_Wtime();
  if (projected_gradient(iterate) <= target_ * start_norm_) {
    score_.reached = true;
    score_.seconds = now - clock_ - paused_;
    end("");
  }
  paused_ += MPI_Wtime() - now;
  return score_.reached;
}

Score Contest::end(const std::string& note) {
  if (!score_.reached) {
    score_.seconds = MPI_Wtime() - clock_ - paused_;
    score_.note = note;
  }
  if (score_.pde_solves() == 0 && functional_) {
    for (const auto& [kind, count] : functional_->counters()) {
      if (kind == "state_solves") score_.state = count;
      if (kind == "adjoint_solves") score_.adjoint = count;
      if (kind == "hessian_actions") score_.hessian = count;
    }
  }
  return score_;
}

void Contest::count(std::int64_t state, std::int64_t adjoint, std::int64_t hessian) {
  score_.state = state, score_.adjoint = adjoint, score_.hessian = hessian;
}

void Contest::stand_at(Vec u) {
  PetscBool same = PETSC_FALSE;
  if (standing_) check(VecEqual(u, point_.values, &same));
  if (same == PETSC_TRUE) return;
  check(VecCopy(u, point_.values));
  value_ = functional()->value(point_);
  standing_ = true;
  differentiated_ = false;
}

double Contest::value(Vec u) {
  stand_at(u);
  return value_;
}

void Contest::gradient(Vec u, Vec derivative) {
  stand_at(u);
  if (!differentiated_) functional()->derivative(dual_);
  differentiated_ = true;
  check(VecCopy(dual_.values, derivative));
}

void Contest::hessian(Vec u, Vec direction, Vec image) {
  stand_at(u);
  if (!differentiated_) functional()->derivative(dual_);
  differentiated_ = true;
  control::Primal d = space().primal();
  control::Dual out = space().dual();
  check(VecCopy(direction, d.values));
  functional()->hessian(d, out);
  check(VecCopy(out.values, image));
}

void Contest::precondition(Vec dual, Vec primal) {
  control::Dual f = space().dual();
  check(VecCopy(dual, f.values));
  functional()->precondition(f, work_);
  check(VecCopy(work_.values, primal));
}

}  // namespace equipoise::peers
