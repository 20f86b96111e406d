#include <equipoise/control/ada_sketch.hpp>
#include <equipoise/control/space.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

void AdaSketchOptions::describe(state::OptionVisitor& visit) {
  visit.choice("inner", inner, {"minres", "gmres", "sketch", "kaczmarz"},
               "solver of the Newton systems; sketch is Gaussian, kaczmarz takes random rows");
  visit.choice("rule", rule, {"relaxed", "published", "fixed"}, "accuracy of the Newton systems");
  visit.option("inner_tolerance", inner_tolerance, "relative residual of the rule `fixed`",
               {0.0, 0.1, true});
  visit.option("block", block, "columns of a sketch", {1.0, 4096.0});
  visit.option("metric", metric, "sketches under the block-diagonal metric of the system");
  visit.option("eta1", eta1, "weight of |c|^2", state::positive);
  visit.option("eta2", eta2, "weight of |grad L|^2", state::positive);
  visit.option("delta", delta, "accuracy of the rules published and relaxed", state::probability);
  visit.option("theta", theta, "factor of the accuracy", state::probability);
  visit.option("armijo", armijo, "sufficient decrease", {0.0, 0.49, true});
  visit.option("nu", nu, "factor by which eta1, eta2 and delta change", {1.01, 100.0});
  visit.option("xi", xi, "bound below the reduced Hessian", state::positive);
  visit.option("inner_limit", inner_limit, "inner steps for one system", state::at_least_one);
  visit.option("seed", seed, "of the sketches", state::non_negative);
}

namespace {

double norm(Vec v) {
  double size = 0.0;
  check(VecNorm(v, NORM_2, &size));
  return size;
}

double matrix_norm(Mat m) {
  double size = 0.0;
  check(MatNorm(m, NORM_FROBENIUS, &size));
  return size;
}

linalg::Vector noise(const parallel::Comm& comm, const partition::Partition& rows) {
  linalg::Vector v = make_vector(comm, rows);
  const parallel::Draw draw(1, parallel::Purpose::start, 0);
  linalg::Entries values(v);
  const auto begin = rows.range(comm.rank()).begin;
  for (std::int64_t i = 0; i < values.size(); ++i)
    values[i] = draw.normal(static_cast<std::uint64_t>(begin + i));
  return v;
}

std::unique_ptr<KktSolver> make_solver(const AdaSketchOptions& o) {
  if (o.inner == "minres" || o.inner == "gmres") return krylov_kkt_solver(o.inner == "minres");
  return sketched_kkt_solver(o.inner == "sketch", o.metric, o.block, o.seed);
}

constexpr int lanczos_steps = 30;
constexpr double singular = 1e-2;  // below this smallest eigenvalue of G G^T the method gives up

}  // namespace

/// Everything about the Newton system at one point.
struct AdaSketch::System {
  Mat hessian, jacobian;
  linalg::Matrix b;
  std::unique_ptr<Kkt> kkt;
  double xi_g = 0.0, shift = 0.0;
  double b_frobenius = 0.0, a_frobenius = 0.0, inverse_bound = 0.0, a_norm = 0.0;

  System(EqualityProblem& problem, Vec x, Vec lambda, double xi)
      : hessian(problem.hessian(x, lambda)), jacobian(problem.jacobian(x)) {
    const double lowest = examine(problem);
    const double h_frobenius = matrix_norm(hessian);
    check(MatDuplicate(hessian, MAT_COPY_VALUES, b.put()));
    if (lowest < 1e-6) {
      shift = xi + h_frobenius;
      check(MatShift(b, shift));
    }
    kkt = std::make_unique<Kkt>(problem, b, jacobian);
    b_frobenius = matrix_norm(b);
    a_frobenius = kkt->frobenius();
    // Brezzi's bound of the inverse of a saddle point matrix.
    const auto b_range = lanczos([&](Vec v, Vec out) { check(MatMult(b, v, out)); },
                                 noise(problem.comm(), problem.variables()), lanczos_steps);
    const double size = std::max(std::abs(b_range.first), std::abs(b_range.second));
    const double alpha = std::max(lowest + shift, 1e-6), root = std::sqrt(xi_g);
    const double ratio = 1.0 + size / alpha;
    inverse_bound = std::max({1.0 / alpha, ratio / root, size * ratio / (root * root)});
    linalg::Vector start = kkt->vector();
    kkt->join(noise(problem.comm(), problem.variables()),
              noise(problem.comm(), problem.constraints()), start);
    const auto a_range = lanczos([&](Vec v, Vec out) { check(MatMult(kkt->matrix(), v, out)); },
                                 start, lanczos_steps);
    a_norm = std::max(std::abs(a_range.first), std::abs(a_range.second));
  }

  /// Smallest eigenvalue of G G^T (by inverse Lanczos), and of the Hessian in the null space of G.
  double examine(EqualityProblem& problem) {
    linalg::Matrix transposed, normal;
    check(MatTranspose(jacobian, MAT_INITIAL_MATRIX, transposed.put()));
    check(MatMatMult(jacobian, transposed, MAT_INITIAL_MATRIX, PETSC_DEFAULT, normal.put()));
    const linalg::Solver solver = linalg::direct_solver(normal, "normal_");
    try {
      const auto range = lanczos([&](Vec v, Vec out) { linalg::solve(solver, v, out); },
                                 noise(problem.comm(), problem.constraints()), lanczos_steps);
      xi_g = range.second > 0.0 ? 1.0 / range.second : 0.0;
    } catch (const linalg::PetscError&) {
      xi_g = 0.0;
    }
    if (!(xi_g >= singular)) {
      throw Error(Exit::limit,
                  fmt::format("the constraints are close to dependent: the smallest eigenvalue of "
                              "G G^T is {:.2e}, below {:.0e}; scale or drop constraints",
                              xi_g, singular));
    }
    linalg::Vector c = make_vector(problem.comm(), problem.constraints());
    linalg::Vector q = linalg::like(c), image = make_vector(problem.comm(), problem.variables());
    const auto project = [&](Vec v) {
      check(MatMult(jacobian, v, c));
      linalg::solve(solver, c, q);
      check(MatMult(transposed, q, image));
      check(VecAXPY(v, -1.0, image));
    };
    if (problem.variables().size() <= problem.constraints().size()) return 1.0;
    linalg::Vector start = noise(problem.comm(), problem.variables());
    project(start);
    // Rounding leads out of the null space: there the operator has a large eigenvalue instead of 0.
    const double outside = std::max(1.0, matrix_norm(hessian));
    linalg::Vector inside = linalg::like(start);
    return lanczos(
               [&](Vec v, Vec out) {
                 check(VecCopy(v, inside));
                 project(inside);
                 check(MatMult(hessian, inside, out));
                 project(out);
                 check(VecAXPBYPCZ(out, outside, -outside, 1.0, v, inside));
               },
               start, lanczos_steps)
        .first;
  }
};

AdaSketch::AdaSketch(std::shared_ptr<EqualityProblem> problem, const AdaSketchOptions& options)
    : problem_(std::move(problem)),
      options_(options),
      solver_(make_solver(options)),
      x_(make_vector(problem_->comm(), problem_->variables())),
      lambda_(make_vector(problem_->comm(), problem_->constraints())),
      gradient_(linalg::like(x_)),
      constraint_(linalg::like(lambda_)),
      trial_x_(linalg::like(x_)),
      trial_lambda_(linalg::like(lambda_)),
      work_x_(linalg::like(x_)),
      work_c_(linalg::like(lambda_)),
      eta1_(options.eta1),
      eta2_(options.eta2),
      delta_(options.delta) {
  problem_->start(x_, lambda_);
}

/// f, c and grad_x L at (x, lambda) into value_, constraint_ and gradient_.
void AdaSketch::evaluate() {
  value_ = problem_->value(x_);
  problem_->constraint(x_, constraint_);
  problem_->gradient(x_, gradient_);
  check(MatMultTransposeAdd(problem_->jacobian(x_), lambda_, gradient_, gradient_));
  norm_ = std::hypot(norm(gradient_), norm(constraint_));
  if (start_norm_ < 0.0) start_norm_ = norm_;
  current_ = true;
}

double AdaSketch::merit(Vec x, Vec lambda) {
  problem_->gradient(x, work_x_);
  check(MatMultTransposeAdd(problem_->jacobian(x), lambda, work_x_, work_x_));
  problem_->constraint(x, work_c_);
  return problem_->value(x) + linalg::dot(lambda, work_c_) +
         0.5 * eta1_ * linalg::dot(work_c_, work_c_) + 0.5 * eta2_ * linalg::dot(work_x_, work_x_);
}

/// The derivative of L_eta along z.
double AdaSketch::slope(System& system, Vec z) {
  system.kkt->split(z, trial_x_, trial_lambda_);
  check(MatMult(system.hessian, gradient_, work_x_));
  check(VecAYPX(work_x_, eta2_, gradient_));
  check(VecCopy(constraint_, work_c_));
  check(VecScale(work_c_, eta1_));
  check(MatMultTransposeAdd(system.jacobian, work_c_, work_x_, work_x_));
  double result = linalg::dot(work_x_, trial_x_);
  check(MatMult(system.jacobian, gradient_, work_c_));
  check(VecAYPX(work_c_, eta2_, constraint_));
  return result + linalg::dot(work_c_, trial_lambda_);
}

double AdaSketch::target(const System& s) {
  if (options_.rule == "fixed") return options_.inner_tolerance * norm_;
  if (options_.rule == "published") {
    const double psi = 20.0 * std::max(s.b_frobenius * s.b_frobenius, 1.0) /
                       (std::min(s.xi_g, 1.0) * std::min(options_.xi, 1.0));
    const double ups = std::max({matrix_norm(s.jacobian), matrix_norm(s.hessian), 1.0});
    const double formula =
        (0.5 - options_.armijo) * eta2_ / ((1.0 + eta1_ + eta2_) * ups * ups * psi * psi);
    delta_ = std::max(std::min(delta_, formula), 1e-6);
    return std::max(options_.theta * delta_ / (s.a_frobenius * psi), 1e-15) * norm_;
  }
  const double theta = options_.theta * std::min(1.0, std::sqrt(norm_ / start_norm_));
  return std::max(theta * delta_ / std::max(1.0, s.a_norm * s.inverse_bound), 1e-15) * norm_;
}

/// z that is accurate enough and descends on L_eta; false (with trouble_) if none is found.
bool AdaSketch::make_direction(System& system, Vec z) {
  linalg::Vector b = system.kkt->vector(), r = system.kkt->vector();
  system.kkt->join(gradient_, constraint_, b);
  check(VecScale(b, -1.0));
  check(MatMult(system.kkt->matrix(), z, r));
  check(VecAXPY(r, -1.0, b));
  const std::int64_t last = solver_->steps() + options_.inner_limit;
  for (bool first = true;; first = false) {
    const double wanted = target(system);
    if (first) accuracy_ = wanted / norm_;
    const std::int64_t rest = last - solver_->steps();
    if (rest > 0) solver_->improve(*system.kkt, b, z, r, wanted, rest);
    if (slope(system, z) <= -0.5 * eta2_ * norm_ * norm_) return true;
    ++descents_failed_;
    eta1_ *= options_.nu * options_.nu;
    eta2_ /= options_.nu;
    delta_ =
        std::max(delta_ / std::pow(options_.nu, 4), options_.rule == "published" ? 1e-6 : 1e-12);
    if (eta1_ > 1e8 || eta2_ < 1e-8) {
      trouble_ = fmt::format(
          "step {}: no direction of descent for the augmented Lagrangian (eta1 {:.1e}, eta2 "
          "{:.1e}, "
          "inner residual {:.1e} of |b|)",
          iteration_, eta1_, eta2_, norm(r) / norm_);
      return false;
    }
  }
}

bool AdaSketch::backtrack(System& system, Vec z, double along) {
  const double start = merit(x_, lambda_);
  double length = 1.0;
  for (int halving = 0; halving <= 40; ++halving, length *= 0.5) {
    system.kkt->split(z, trial_x_, trial_lambda_);
    check(VecAYPX(trial_x_, length, x_));
    check(VecAYPX(trial_lambda_, length, lambda_));
    const double next = merit(trial_x_, trial_lambda_);
    if (next <= start + options_.armijo * length * along + 1e-13 * std::abs(start)) {
      halvings_ += halving;
      check(VecCopy(trial_x_, x_));
      check(VecCopy(trial_lambda_, lambda_));
      return true;
    }
  }
  trouble_ = fmt::format("step {}: forty halvings found no decrease of the augmented Lagrangian",
                         iteration_);
  return false;
}

void AdaSketch::step() {
  if (!trouble_.empty()) return;
  if (!current_) evaluate();
  if (norm_ == 0.0) return;
  ++iteration_;
  System system(*problem_, x_, lambda_, options_.xi);
  shifts_ += system.shift > 0.0 ? 1 : 0;
  linalg::Vector z = system.kkt->vector();
  if (!make_direction(system, z)) return;
  if (!backtrack(system, z, slope(system, z))) return;
  evaluate();
}

solve::Report AdaSketch::report() const {
  solve::Report report;
  report.objective = value_;
  if (start_norm_ >= 0.0) {
    report.residual = start_norm_ > 0.0 ? norm_ / start_norm_ : 0.0;
    report.fresh = true;
  }
  report.failed = !trouble_.empty() || (start_norm_ >= 0.0 && !std::isfinite(norm_));
  report.message = report.failed && trouble_.empty() ? "the residual is not finite" : trouble_;
  return report;
}

solve::Counters AdaSketch::counters() const {
  return count_once(problem_->comm(), {{"inner_steps", solver_->steps()},
                                       {"inner_products", solver_->products()},
                                       {"hessian_shifts", shifts_},
                                       {"descent_tests_failed", descents_failed_},
                                       {"halvings", halvings_}});
}

void AdaSketch::fields(state::FieldVisitor& visit) {
  solution(visit);
  std::int64_t products = solver_->products(), steps = solver_->steps();
  visit.scalar("products", products);
  visit.scalar("inner_steps", steps);
  solver_->set(products, steps);
  visit.scalar("eta1", eta1_);
  visit.scalar("eta2", eta2_);
  visit.scalar("delta", delta_);
  visit.scalar("start_norm", start_norm_);
  visit.scalar("norm", norm_);
  visit.scalar("value", value_);
  visit.scalar("iteration", iteration_);
  visit.scalar("shifts", shifts_);
  visit.scalar("descents_failed", descents_failed_);
  visit.scalar("halvings", halvings_);
  current_ = false;
}

void AdaSketch::solution(state::FieldVisitor& visit) {
  const int part = problem_->comm().rank();
  visit_vector(visit, "point", problem_->variables(), part, x_);
  visit_vector(visit, "multiplier", problem_->constraints(), part, lambda_);
}

}  // namespace equipoise::control
