#include <equipoise/control/elliptic.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

void Elliptic::validate() const {
  if (!(diffusion > 0.0) || !(reaction >= 0.0) || !(cubic >= 0.0)) {
    throw ConfigurationError(
        "the diffusion must be positive, reaction and cubic not negative; they are {}, {} and {}",
        diffusion, reaction, cubic);
  }
  for (const double b : advection) {
    if (!std::isfinite(b)) throw ConfigurationError("the advection {} is no number", b);
  }
}

EllipticEquation::EllipticEquation(std::shared_ptr<const MeshSpace> states,
                                   std::shared_ptr<const Space> controls, const Elliptic& terms,
                                   linalg::Vector source)
    : states_(std::move(states)),
      controls_(std::move(controls)),
      terms_(terms),
      source_(std::move(source)),
      point_(elements().vector()),
      linearised_(elements().vector()),
      work_(elements().vector()),
      free_(elements().vector()) {
  terms_.validate();
  width_ = std::pow(elements().volume() / static_cast<double>(elements().cells()),
                    1.0 / elements().dimension());
  linear_ = elements().assemble([&](const Place&) { return form(0.0); }, true);
  check(VecSet(free_, 1.0));
  elements().clear_dirichlet(free_);
  if (!linear()) check(MatDuplicate(linear_, MAT_COPY_VALUES, jacobian_.put()));
}

Form EllipticEquation::form(double y) const {
  Form f{.diffusion = terms_.diffusion,
         .reaction = terms_.reaction + 3.0 * terms_.cubic * y * y,
         .advection = terms_.advection};
  double speed = 0.0;
  for (const double b : terms_.advection) speed = std::hypot(speed, b);
  if (terms_.streamline && speed > 0.0) {
    const double peclet = speed * width_ / (2.0 * terms_.diffusion);
    f.directed = width_ / (2.0 * speed) * (1.0 / std::tanh(peclet) - 1.0 / peclet);
    f.direction = terms_.advection;
  }
  return f;
}

/// point_ := y with the Dirichlet values, which the nonlinear term must not see.
void EllipticEquation::set_point(Vec y) { check(VecPointwiseMult(point_, free_, y)); }

void EllipticEquation::residual(Vec y, Vec u, Vec out) {
  check(VecWAXPY(work_, 1.0, u, source_));
  control_jacobian(work_, out);
  if (!linear()) {
    set_point(y);
    elements().load([&](const Place& q) { return terms_.cubic * std::pow(q.values[0], 3); },
                    {point_}, work_);
    check(VecPointwiseMult(work_, free_, work_));
    check(VecAXPY(out, 1.0, work_));
  }
  check(MatMultAdd(linear_, y, out, out));
}

Mat EllipticEquation::linearise(Vec y, Vec) {
  if (linear()) return linear_;
  set_point(y);
  elements().assemble([&](const Place& q) { return form(q.values[0]); }, true, {point_}, jacobian_);
  check(VecCopy(point_, linearised_));
  return jacobian_;
}

void EllipticEquation::control_jacobian(Vec d, Vec out) {
  check(MatMult(states_->mass(), d, out));
  check(VecPointwiseMult(out, free_, out));
  check(VecScale(out, -1.0));
}

void EllipticEquation::control_adjoint(Vec p, Vec out) {
  check(VecPointwiseMult(work_, free_, p));
  check(MatMult(states_->mass(), work_, out));
  check(VecScale(out, -1.0));
}

void EllipticEquation::second(Vec p, Vec dy, Vec, Vec out_y, Vec out_u) {
  check(VecSet(out_u, 0.0));
  if (linear()) return check(VecSet(out_y, 0.0));
  // Dirichlet rows of the equation are linear: only the free values of p and dy count.
  linalg::Vector p_free = linalg::copy(p), dy_free = linalg::copy(dy);
  elements().clear_dirichlet(p_free);
  elements().clear_dirichlet(dy_free);
  elements().load(
      [&](const Place& q) { return 6.0 * terms_.cubic * q.values[0] * q.values[1] * q.values[2]; },
      {linearised_, p_free, dy_free}, out_y);
  elements().clear_dirichlet(out_y);
}

void TrackingTerms::validate(const FiniteElements& elements) const {
  if (!(beta > 0.0))
    throw ConfigurationError("the control cost beta must be positive, not {}", beta);
  if (!(smoothing > 0.0) || !(l2_share > 0.0)) {
    throw ConfigurationError("smoothing and l2_share of a BV cost must be positive, not {} and {}",
                             smoothing, l2_share);
  }
  PetscInt size = 0;
  check(VecGetSize(target, &size));
  if (size != elements.nodes()) {
    throw ConfigurationError("a target of {} values does not fit a mesh of {} nodes", size,
                             elements.nodes());
  }
}

TrackingObjective::TrackingObjective(std::shared_ptr<const MeshSpace> space, TrackingTerms terms)
    : space_(std::move(space)), terms_(std::move(terms)) {
  const FiniteElements& elements = space_->elements();
  terms_.validate(elements);
  for (auto* v : {&lumped_, &upper_, &state_, &control_, &misfit_vector_, &work_})
    *v = elements.vector();
  if (!terms_.points.empty()) {
    evaluation_ = elements.evaluation(terms_.points);
    check(MatCreateVecs(evaluation_, nullptr, samples_.put()));
  } else {
    observation_ = elements.assemble(
        [&](const Place& q) {
          return Form{.reaction = !terms_.observed || terms_.observed(q) ? 1.0 : 0.0};
        },
        false);
  }
  if (terms_.cost != ControlCost::bv) {
    const double gradient = terms_.cost == ControlCost::h1 ? terms_.beta : 0.0;
    regular_ = elements.assemble(
        [&](const Place&) { return Form{.diffusion = gradient, .reaction = terms_.beta}; }, false);
  }
  elements.load([](const Place&) { return 1.0; }, {}, lumped_);
}

void TrackingObjective::observe(Vec v, Vec out) {
  if (evaluation_.get() == nullptr) return check(MatMult(observation_, v, out));
  check(MatMult(evaluation_, v, samples_));
  check(MatMultTranspose(evaluation_, samples_, out));
}

double TrackingObjective::value(Vec y, Vec u) {
  check(VecCopy(y, state_));
  check(VecCopy(u, control_));
  check(VecWAXPY(misfit_vector_, -1.0, terms_.target, y));
  observe(misfit_vector_, work_);
  misfit_ = 0.5 * linalg::dot(misfit_vector_, work_);
  double cost = misfit_;
  if (terms_.cost == ControlCost::bv) {
    const double eps = terms_.smoothing;
    cost +=
        terms_.beta * space_->elements().integrate(
                          [&](const Place& q) {
                            const auto& g = q.gradient;
                            return std::sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2] + eps * eps) +
                                   0.5 * terms_.l2_share * q.values[0] * q.values[0];
                          },
                          {u});
    lagged_.reset();
    full_.reset();
  } else {
    check(MatMult(regular_, u, work_));
    cost += 0.5 * linalg::dot(u, work_);
  }
  if (weight_ > 0.0) {
    multiplier(work_);
    check(VecPointwiseMult(work_, work_, work_));
    cost += 0.5 / weight_ * linalg::dot(work_, lumped_);
  }
  return cost;
}

void TrackingObjective::set_bound(Vec upper, double weight) {
  check(VecCopy(upper, upper_));
  weight_ = weight;
}

void TrackingObjective::multiplier(Vec out) const {
  const linalg::ConstEntries y(state_), bound(upper_);
  linalg::Entries values(out);
  for (std::int64_t i = 0; i < values.size(); ++i)
    values[i] = weight_ * std::max(0.0, y[i] - bound[i]);
}

double TrackingObjective::violation() const {
  const linalg::ConstEntries y(state_), bound(upper_);
  double largest = 0.0;
  for (std::int64_t i = 0; i < y.size(); ++i) largest = std::max(largest, y[i] - bound[i]);
  return space_->comm().max(largest);
}

/// With s = sqrt(|grad u|^2 + smoothing^2) the form beta (grad v . grad w)/s + beta l2_share v w,
/// whose value at v = u is the derivative; the second derivative has
/// - beta (grad u . grad v)(grad u . grad w)/s^3 besides.
Mat TrackingObjective::variation(Curvature curvature) {
  linalg::Matrix& matrix = curvature == Curvature::full ? full_ : lagged_;
  if (matrix.get() != nullptr) return matrix;
  const double eps = terms_.smoothing, beta = terms_.beta;
  matrix = space_->elements().assemble(
      [&](const Place& q) {
        const auto& g = q.gradient;
        const double s = std::sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2] + eps * eps);
        return Form{.diffusion = beta / s,
                    .reaction = beta * terms_.l2_share,
                    .directed = curvature == Curvature::full ? -beta / (s * s * s) : 0.0,
                    .direction = g};
      },
      false, {control_});
  return matrix;
}

void TrackingObjective::gradient(Vec out_y, Vec out_u) {
  observe(misfit_vector_, out_y);
  if (weight_ > 0.0) {
    multiplier(work_);
    check(VecPointwiseMult(work_, work_, lumped_));
    check(VecAXPY(out_y, 1.0, work_));
  }
  space_->elements().clear_dirichlet(out_y);
  const Mat cost =
      terms_.cost == ControlCost::bv ? variation(Curvature::gauss_newton) : regular_.get();
  check(MatMult(cost, control_, out_u));
}

void TrackingObjective::hessian(Vec dy, Vec du, Vec out_y, Vec out_u, Curvature curvature) {
  observe(dy, out_y);
  if (weight_ > 0.0) {
    const linalg::ConstEntries y(state_), bound(upper_), d(dy), mass(lumped_);
    linalg::Entries out(out_y);
    for (std::int64_t i = 0; i < out.size(); ++i) {
      if (y[i] > bound[i]) out[i] += weight_ * mass[i] * d[i];
    }
  }
  space_->elements().clear_dirichlet(out_y);
  check(MatMult(terms_.cost == ControlCost::bv ? variation(curvature) : regular_.get(), du, out_u));
}

}  // namespace equipoise::control
