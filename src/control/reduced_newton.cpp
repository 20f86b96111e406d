#include <equipoise/control/reduced_newton.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

void ReducedNewtonOptions::describe(state::OptionVisitor& visit) {
  visit.option("inner_tolerance", inner_tolerance,
               "relative residual of state and adjoint solves, below stop.tolerance/100",
               {0.0, 1e-2, true});
  visit.option("memory", memory, "Hessian actions kept before the model starts afresh",
               state::at_least_one);
}

namespace {

std::shared_ptr<const Tracking> with_lumped_mass(std::shared_ptr<const Tracking> problem) {
  problem->validate();
  if (problem->grid().shape().element != Element::fd) {
    throw ConfigurationError(
        "methods that treat the control node by node need the lumped mass matrix: choose "
        "problem.element = \"fd\"");
  }
  return problem;
}

Eigen::VectorXd entries(Vec vector) {
  const linalg::ConstEntries values(vector);
  return Eigen::Map<const Eigen::VectorXd>(values.span().data(), values.size());
}

void assign(const Eigen::VectorXd& values, Vec vector) {
  linalg::Entries to(vector);
  std::copy(values.begin(), values.end(), to.span().begin());
}

}  // namespace

struct ReducedNewton::Model {
  Model(const Tracking& problem, const ControlLimits& within, std::int64_t most)
      : limits(within),
        beta(problem.beta),
        memory(most),
        comm(problem.grid().comm()),
        weight(entries(problem.grid().lumped_mass())),
        u(Eigen::VectorXd::Constant(weight.size(), std::clamp(0.0, within.lower, within.upper))),
        gradient(Eigen::VectorXd::Zero(weight.size())) {}
  ControlLimits limits;
  double beta;
  std::int64_t memory;
  parallel::Comm comm;
  Eigen::VectorXd weight, u, gradient;  // local entries
  Eigen::MatrixXd directions, images;   // [owned, capacity]
  std::int64_t pairs = 0;

  void sum(double* values, std::size_t count) const {
    MPI_Allreduce(MPI_IN_PLACE, values, static_cast<int>(count), MPI_DOUBLE, MPI_SUM,
                  comm.handle());
  }
  [[nodiscard]] double l1(const Eigen::VectorXd& v) const {
    return limits.sparsity * weight.dot(v.cwiseAbs());
  }
  [[nodiscard]] Eigen::MatrixXd factor() const;
  [[nodiscard]] Eigen::VectorXd minimize(const Eigen::MatrixXd& z) const;
  void remember(Eigen::VectorXd d, Eigen::VectorXd image);
};

ReducedNewton::ReducedNewton(std::shared_ptr<const Tracking> problem, const ControlLimits& limits,
                             const ReducedNewtonOptions& options)
    : problem_(with_lumped_mass(std::move(problem))),
      limits_(limits),
      options_(options),
      functional_(problem_, Riesz::mass, options.inner_tolerance),
      control_(functional_.space().primal()),
      step_(functional_.space().primal()),
      derivative_(functional_.space().dual()) {
  limits_.validate();
  model_ = std::make_unique<Model>(*problem_, limits_, options_.memory);
}

ReducedNewton::~ReducedNewton() = default;

void ReducedNewton::start() {
  assign(model_->u, control_.values);
  double absolute = model_->l1(model_->u);
  model_->sum(&absolute, 1);
  cost_ = functional_.value(control_) + absolute;
  functional_.derivative(derivative_);
  model_->gradient = entries(derivative_.values).cwiseQuotient(model_->weight);
  iteration_ = 0;
  measure();
}

void ReducedNewton::measure() {
  double sums[2] = {0.0, 0.0};
  for (Eigen::Index i = 0; i < model_->u.size(); ++i) {
    const double p = model_->gradient[i] - problem_->beta * model_->u[i];
    const double gap = model_->u[i] - limits_.control(problem_->beta, p);
    sums[0] += model_->weight[i] * gap * gap;
    sums[1] += model_->weight[i] * model_->u[i] * model_->u[i];
  }
  model_->sum(sums, 2);
  residual_ = std::sqrt(sums[0] / (sums[1] > 0.0 ? sums[1] : 1.0));
}

/// Z [owned, rank] of the model.
Eigen::MatrixXd ReducedNewton::Model::factor() const {
  if (pairs == 0) return Eigen::MatrixXd(u.size(), 0);
  const auto d = directions.leftCols(pairs), y = images.leftCols(pairs);
  Eigen::MatrixXd core = d.transpose() * weight.asDiagonal() * y;
  sum(core.data(), static_cast<std::size_t>(core.size()));
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(0.5 * (core + core.transpose()));
  const auto& values = eigen.eigenvalues();  // increasing
  Eigen::Index first = 0;
  while (first < values.size() && !(values[first] > 1e-13 * values[values.size() - 1])) ++first;
  const Eigen::Index rank = values.size() - first;
  return y * (eigen.eigenvectors().rightCols(rank) *
              values.tail(rank).cwiseSqrt().cwiseInverse().asDiagonal());
}

/// The minimizer v of g.(v - u) + 1/2 (v - u).H (v - u) + l1(v) within the bounds: v is
/// control(p + Z eta) node by node, where eta maximizes the concave
/// min_v [...] with H reduced to beta, plus eta.Z^T (v - u) - 1/2 |eta|^2.
Eigen::VectorXd ReducedNewton::Model::minimize(const Eigen::MatrixXd& z) const {
  const Eigen::Index rank = z.cols();
  const Eigen::VectorXd p = gradient - beta * u;
  const auto minimizer = [&](const Eigen::VectorXd& eta) {
    Eigen::VectorXd v = p + z * eta;
    for (double& entry : v) entry = limits.control(beta, entry);
    return v;
  };
  struct Value {
    Eigen::VectorXd v, slope;
    double value;
  };
  const auto evaluate = [&](const Eigen::VectorXd& eta) {
    Value dual{minimizer(eta), {}, 0.0};
    const Eigen::VectorXd s = dual.v - u;
    Eigen::VectorXd sums(rank + 1);
    sums.head(rank) = z.transpose() * weight.cwiseProduct(s);
    sums[rank] = weight.dot(s.cwiseProduct(gradient + 0.5 * beta * s)) + l1(dual.v) - l1(u);
    sum(sums.data(), static_cast<std::size_t>(rank + 1));
    dual.value = sums[rank] + eta.dot(sums.head(rank)) - 0.5 * eta.squaredNorm();
    dual.slope = sums.head(rank) - eta;
    return dual;
  };
  Eigen::VectorXd eta = Eigen::VectorXd::Zero(rank);
  Value now = evaluate(eta);
  const double enough = 1e-6 * now.slope.norm();
  for (int newton = 0; newton < 50 && now.slope.norm() > enough; ++newton) {
    // The derivative of v where it is free is -Z/beta.
    Eigen::VectorXd free(weight.size());
    const Eigen::VectorXd shifted = p + z * eta;
    for (Eigen::Index i = 0; i < free.size(); ++i) {
      const bool moves = now.v[i] != 0.0 || limits.sparsity == 0.0;
      const double unbounded = -(shifted[i] + (now.v[i] > 0.0   ? limits.sparsity
                                               : now.v[i] < 0.0 ? -limits.sparsity
                                                                : 0.0)) /
                               beta;
      const bool inside = unbounded > limits.lower && unbounded < limits.upper;
      free[i] = moves && inside ? weight[i] / beta : 0.0;
    }
    Eigen::MatrixXd matrix = z.transpose() * free.asDiagonal() * z;
    sum(matrix.data(), static_cast<std::size_t>(matrix.size()));
    matrix.diagonal().array() += 1.0;
    const Eigen::VectorXd direction = matrix.llt().solve(now.slope);
    const double rise = now.slope.dot(direction);
    double length = 1.0;
    Value next = evaluate(eta + direction);
    while (next.value < now.value + 1e-4 * length * rise - 1e-13 * std::abs(now.value) &&
           length > 1e-6) {
      length *= 0.5;
      next = evaluate(eta + length * direction);
    }
    eta += length * direction;
    now = std::move(next);
  }
  return now.v;
}

/// Takes up a pair (d, S*S d), d made orthonormal to the others.
void ReducedNewton::Model::remember(Eigen::VectorXd d, Eigen::VectorXd image) {
  const auto length = [&] {
    double squared = d.dot(weight.cwiseProduct(d));
    sum(&squared, 1);
    return std::sqrt(squared);
  };
  const double before = length();
  for (int pass = 0; pass < 2 && pairs > 0; ++pass) {
    Eigen::VectorXd c = directions.leftCols(pairs).transpose() * weight.cwiseProduct(d);
    sum(c.data(), static_cast<std::size_t>(c.size()));
    d -= directions.leftCols(pairs) * c;
    image -= images.leftCols(pairs) * c;
  }
  const double size = length();
  if (!(size > 1e-10 * before)) return;
  if (pairs == memory) pairs = 0;
  if (pairs == directions.cols()) {
    const Eigen::Index capacity = std::min(memory, std::max<std::int64_t>(16, 2 * pairs));
    directions.conservativeResize(u.size(), capacity);
    images.conservativeResize(u.size(), capacity);
  }
  directions.col(pairs) = d / size;
  images.col(pairs) = image / size;
  ++pairs;
}

void ReducedNewton::step() {
  if (iteration_ < 0) start();
  if (residual_ == 0.0 || !trouble_.empty()) return;
  const Eigen::VectorXd target = model_->minimize(model_->factor());
  Eigen::VectorXd d = target - model_->u;
  assign(d, step_.values);
  functional_.hessian(step_, derivative_);
  const Eigen::VectorXd image = entries(derivative_.values).cwiseQuotient(model_->weight);
  double sums[3] = {model_->weight.dot(d.cwiseProduct(model_->gradient)),
                    model_->weight.dot(d.cwiseProduct(image)),
                    model_->l1(target) - model_->l1(model_->u)};
  model_->sum(sums, 3);
  if (!(sums[1] > 0.0)) {
    trouble_ = fmt::format("the reduced Hessian has curvature {:.3e} along a step", sums[1]);
    return;
  }
  const double length = std::clamp(-(sums[0] + sums[2]) / sums[1], 0.0, 1.0);
  double absolute = -model_->l1(model_->u);
  model_->u = length < 1.0 ? Eigen::VectorXd(model_->u + length * d) : target;
  absolute += model_->l1(model_->u);
  model_->sum(&absolute, 1);
  model_->gradient += length * image;
  cost_ += length * sums[0] + 0.5 * length * length * sums[1] + absolute;
  model_->remember(d, image - problem_->beta * d);
  measure();
  ++iteration_;
}

solve::Report ReducedNewton::report() const {
  solve::Report report;
  report.residual = residual_;
  report.objective = cost_;
  report.fresh = iteration_ >= 0;
  report.failed = !trouble_.empty() || (iteration_ >= 0 && !std::isfinite(cost_));
  report.message = trouble_.empty() && report.failed ? "the cost is not finite" : trouble_;
  return report;
}

void ReducedNewton::fields(state::FieldVisitor& visit) {
  const auto& rows = problem_->grid().partition();
  const int part = problem_->grid().comm().rank();
  visit.scalar("iteration", iteration_);
  visit.scalar("residual", residual_);
  visit.scalar("cost", cost_);
  const auto local = [&](const std::string& name, auto&& values) {
    std::vector<double> data(values.begin(), values.end());
    visit.partitioned(name, rows, part, 1, data);
    values = Eigen::Map<const Eigen::VectorXd>(data.data(), static_cast<Eigen::Index>(data.size()));
  };
  local("control", model_->u);
  local("gradient", model_->gradient);
  visit.scalar("pairs", model_->pairs);  // before the vectors that it counts
  if (model_->pairs > model_->directions.cols()) {
    model_->directions.conservativeResize(model_->u.size(), model_->pairs);
    model_->images.conservativeResize(model_->u.size(), model_->pairs);
  }
  for (std::int64_t k = 0; k < model_->pairs; ++k) {
    local(fmt::format("direction_{}", k), model_->directions.col(k));
    local(fmt::format("image_{}", k), model_->images.col(k));
  }
}

Vec ReducedNewton::control() {
  assign(model_->u, control_.values);
  return control_.values;
}

void ReducedNewton::solution(state::FieldVisitor& visit) {
  assign(model_->u, control_.values);
  functional_.value(control_);
  functional_.derivative(derivative_);
  visit_vector(visit, "control", problem_->grid().partition(), problem_->grid().comm().rank(),
               control_.values);
  functional_.visit_state(visit);
}

}  // namespace equipoise::control
