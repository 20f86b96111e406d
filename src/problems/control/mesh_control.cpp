#include "entries_private.hpp"
#include "reduced_methods.hpp"

#include <equipoise/control/all_at_once.hpp>
#include <equipoise/control/elliptic.hpp>
#include <equipoise/control/moreau_yosida.hpp>
#include <equipoise/problems/control/nodal.hpp>
#include <equipoise/solve/checked.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace equipoise::problems {
namespace {

using control::Point;

struct MeshOptions {
  std::string mesh;
  std::int64_t dimension = 2, cells = 16, refine = 0, degree = 1;
  double grading = 0.0;
  std::vector<double> dirichlet;
  double diffusion = 1.0, reaction = 0.0, cubic = 0.0;
  std::vector<double> advection;
  bool streamline = false;
  std::string target = "corner";
  std::vector<double> region, region_tags, points;
  double beta = 1e-4, smoothing = 1e-2, l2_share = 1e-2;
  double upper = std::numeric_limits<double>::infinity();
  std::string control_cost = "l2", riesz = "auto", solver = "auto";
  double inner_tolerance = 1e-13;
  void describe(state::OptionVisitor& visit) {
    visit.option("mesh", mesh,
                 "Gmsh file (.msh) of triangles or tetrahedra; empty for the unit box");
    visit.option("dimension", dimension, "dimension of the unit box", {2.0, 3.0});
    visit.option("cells", cells, "cells per direction of the unit box", {2.0, 4096.0});
    visit.option("grading", grading, "cells of the box shrink by this part towards the boundary",
                 {-0.99, 0.99});
    visit.option("refine", refine, "uniform refinements of the mesh file", {0.0, 10.0});
    visit.option("degree", degree, "of the elements", {1.0, 2.0});
    visit.option("dirichlet", dirichlet, "physical tags of the boundary with y = 0; empty for all");
    visit.option("diffusion", diffusion, "diffusion coefficient", state::positive);
    visit.option("reaction", reaction, "coefficient of y", state::non_negative);
    visit.option("cubic", cubic, "coefficient of y^3", state::non_negative);
    visit.option("advection", advection, "velocity, one number a dimension");
    visit.option("streamline", streamline, "streamline diffusion against oscillations");
    visit.choice("target", target, {"corner", "sines", "one"},
                 "(2x-1)^2(2y-1)^2 in a corner, the product of sines (exact solution), or 1");
    visit.option("region", region, "box in which the state is tracked: lower, then upper corner");
    visit.option("region_tags", region_tags, "physical tags of the cells in which it is tracked");
    visit.option("points", points, "coordinates of observation points, one after the other");
    visit.option("beta", beta, "cost of the control", state::positive);
    visit.option("upper", upper, "upper bound of the state; inf for none");
    visit.choice("control_cost", control_cost, {"l2", "h1", "bv"},
                 "|u|^2, |u|^2 + |grad u|^2, or the smoothed total variation");
    visit.option("smoothing", smoothing, "of the total variation", state::positive);
    visit.option("l2_share", l2_share, "of |u|^2 beside the total variation", state::positive);
    visit.choice("riesz", riesz, {"auto", "mass", "h1", "identity"},
                 "inner product of the control space; auto fits the control cost");
    visit.choice("solver", solver, {"auto", "direct", "multigrid"}, "of the linear systems");
    visit.option("inner_tolerance", inner_tolerance, "relative residual of multigrid solves",
                 {0.0, 1e-2, true});
  }
};

std::vector<std::int64_t> tags(const std::string& key, const std::vector<double>& values) {
  std::vector<std::int64_t> result;
  for (const double value : values) {
    if (value != std::floor(value))
      throw ConfigurationError("problem.{}: {} is no tag, tags are integers", key, value);
    result.push_back(static_cast<std::int64_t>(value));
  }
  return result;
}

class MeshControl : public solve::Instance, public solve::Checked {
 public:
  MeshControl(const parallel::Comm& comm, state::Config& config) {
    config.read("problem", options_);
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
    const control::Mesh mesh = options_.mesh.empty()
                                   ? control::box_mesh(static_cast<int>(options_.dimension),
                                                       options_.cells, options_.grading)
                                   : control::read_gmsh(comm, options_.mesh, options_.refine);
    elements_ = std::make_shared<control::FiniteElements>(
        comm, mesh, static_cast<int>(options_.degree), tags("dirichlet", options_.dirichlet));
    states_ = std::make_shared<control::MeshSpace>(elements_, control::Riesz::mass);
    controls_ = std::make_shared<control::MeshSpace>(elements_, riesz());
    exact_ = options_.target == "sines" && quadratic() && options_.advection.empty() &&
             options_.dirichlet.empty() && options_.region.empty() &&
             options_.region_tags.empty() && options_.points.empty() &&
             options_.control_cost == "l2" &&
             std::abs(elements_->volume() / box_volume() - 1.0) < 1e-10;
    functional_ = make_functional();
    all_at_once_ = config.text("method.name", methods().front()) == "all-at-once";
    if (bounded() && !saddle()) {
      throw ConfigurationError(
          "a bound of the state (problem.upper) needs a linear equation without advection, the "
          "state "
          "tracked everywhere and the control cost l2");
    }
    if (!all_at_once_ && !bounded()) petsc_->reject_unused();
  }

  [[nodiscard]] std::string fingerprint() const override {
    const auto& o = options_;
    return fmt::format(
        "mesh-control mesh={} nodes={} cells={} volume={:.15e} degree={} grading={} dirichlet={} "
        "diffusion={} reaction={} cubic={} advection={} streamline={} target={} region={} tags={} "
        "points={} beta={} upper={} cost={} smoothing={} l2_share={}",
        o.mesh.empty() ? "box" : o.mesh.substr(o.mesh.rfind('/') + 1), elements_->nodes(),
        elements_->cells(), elements_->volume(), o.degree, o.grading, fmt::join(o.dirichlet, ","),
        o.diffusion, o.reaction, o.cubic, fmt::join(o.advection, ","), o.streamline, o.target,
        fmt::join(o.region, ","), fmt::join(o.region_tags, ","), fmt::join(o.points, ","), o.beta,
        o.upper, o.control_cost, o.smoothing, o.l2_share);
  }
  [[nodiscard]] solve::Facts facts() const override {
    return {{"nodes", std::to_string(elements_->nodes())},
            {"cells", std::to_string(elements_->cells())},
            {"dimension", std::to_string(elements_->dimension())},
            {"degree", std::to_string(elements_->degree())}};
  }
  [[nodiscard]] std::vector<std::string> methods() const override {
    if (bounded()) return {"moreau-yosida"};
    auto names = reduced_method_names(quadratic());
    if (saddle()) names.emplace_back("all-at-once");
    return names;
  }
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    if (bounded()) return penalty_path(name, config);
    if (name != "all-at-once") {
      return make_reduced_method("mesh-control", name, functional_, controls_->primal(),
                                 quadratic(), config);
    }
    if (!saddle()) {
      throw ConfigurationError(
          "all-at-once needs a linear equation without advection, the state tracked everywhere and "
          "the control cost l2");
    }
    control::AllAtOnceOptions options;
    config.read("method", options);
    auto method =
        std::make_unique<control::AllAtOnce>(optimality(options.shift(options_.beta)), options);
    petsc_->reject_unused();
    return method;
  }
  std::unique_ptr<state::Stateful> solution_storage() override {
    return std::make_unique<NodalSolution>(node_layout(*elements_), names());
  }
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override {
    return {stored(solution).export_csv(directory)};
  }
  std::vector<std::string> export_xdmf(state::Stateful& solution,
                                       const std::string& directory) override {
    return formats::write_xdmf(elements_->comm(), directory,
                               xdmf_piece(*elements_, stored(solution)));
  }
  solve::Certificate certify(state::Stateful& solution) override;
  solve::Facts check() override;

 private:
  [[nodiscard]] std::vector<std::string> names() const {
    if (bounded()) return {"control", "state", "adjoint", "multiplier"};
    return {"control", "state", "adjoint"};
  }
  [[nodiscard]] NodalSolution stored(state::Stateful& solution) const {
    return {node_layout(*elements_), names(), solution};
  }
  [[nodiscard]] bool quadratic() const {
    return options_.cubic == 0.0 && options_.control_cost != "bv";
  }
  /// The optimality system is the one that `OptimalitySystem` describes.
  [[nodiscard]] bool saddle() const {
    return quadratic() && functional_->equation().symmetric() && options_.region.empty() &&
           options_.region_tags.empty() && options_.points.empty() && options_.control_cost == "l2";
  }
  [[nodiscard]] std::unique_ptr<control::OptimalitySystem> optimality(double shift) const {
    return std::make_unique<control::MeshOptimality>(
        states_, stiffness(), options_.beta, shift,
        elements_->interpolate([&](const Point& x) { return target(x); }), elements_->vector());
  }
  [[nodiscard]] linalg::Matrix stiffness() const {
    const auto zero = elements_->vector();
    return linalg::share(functional_->equation().linearise(zero, zero));
  }
  [[nodiscard]] bool bounded() const { return std::isfinite(options_.upper); }
  [[nodiscard]] std::unique_ptr<solve::Method> penalty_path(const std::string& name,
                                                            state::Config& config) const;
  [[nodiscard]] solve::Certificate bounded_certificate(const NodalSolution& functions) const;
  [[nodiscard]] double optimality_residual(Vec u, Vec y, Vec p) const;
  [[nodiscard]] control::Riesz riesz() const {
    if (options_.riesz == "identity") return control::Riesz::identity;
    const bool smooth =
        options_.riesz == "h1" || (options_.riesz == "auto" && options_.control_cost != "l2");
    return smooth ? control::Riesz::h1 : control::Riesz::mass;
  }
  [[nodiscard]] double box_volume() const {
    double volume = 1.0;
    for (std::size_t d = 0; d < dimension(); ++d)
      volume *= elements_->upper()[d] - elements_->lower()[d];
    return volume;
  }
  [[nodiscard]] std::size_t dimension() const {
    return static_cast<std::size_t>(elements_->dimension());
  }
  [[nodiscard]] double target(const Point& x) const;
  [[nodiscard]] std::shared_ptr<control::EquationFunctional> make_functional() const;
  [[nodiscard]] control::TrackingTerms tracking_terms() const;
  void add_errors(solve::Certificate& certificate, Vec u, Vec y) const;

  MeshOptions options_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
  std::shared_ptr<const control::FiniteElements> elements_;
  std::shared_ptr<const control::MeshSpace> states_, controls_;
  std::shared_ptr<control::EquationFunctional> functional_;
  bool exact_ = false;  // the solution is known
  bool all_at_once_ = false;
};

/// On the box around the mesh.
double MeshControl::target(const Point& x) const {
  if (options_.target == "one") return 1.0;
  double value = 1.0;
  for (std::size_t d = 0; d < dimension(); ++d) {
    const double low = elements_->lower()[d];
    const double t = (x[d] - low) / (elements_->upper()[d] - low);
    if (options_.target == "sines") {
      value *= std::sin(std::numbers::pi * t);
    } else {
      value *= t > 0.5 ? 0.0 : std::pow(2.0 * t - 1.0, 2);
    }
  }
  return value;
}

control::TrackingTerms MeshControl::tracking_terms() const {
  control::TrackingTerms terms;
  const std::size_t d = dimension();
  terms.beta = options_.beta;
  terms.cost = options_.control_cost == "l2"   ? control::ControlCost::l2
               : options_.control_cost == "h1" ? control::ControlCost::h1
                                               : control::ControlCost::bv;
  terms.smoothing = options_.smoothing;
  terms.l2_share = options_.l2_share;
  terms.target = elements_->interpolate([&](const Point& x) { return target(x); });
  if (!options_.region.empty() && options_.region.size() != 2 * d) {
    throw ConfigurationError("problem.region needs {} numbers: the lower, then the upper corner",
                             2 * d);
  }
  if (options_.points.size() % d != 0)
    throw ConfigurationError("problem.points needs {} coordinates for every point", d);
  for (std::size_t k = 0; k < options_.points.size(); k += d) {
    Point x{};
    std::copy_n(options_.points.begin() + static_cast<std::ptrdiff_t>(k), d, x.begin());
    terms.points.push_back(x);
  }
  const auto region_tags = tags("region_tags", options_.region_tags);
  if (options_.region.empty() && region_tags.empty()) return terms;
  terms.observed = [d, region_tags, box = options_.region](const control::Place& q) {
    bool inside = true;
    for (std::size_t a = 0; a < d && !box.empty(); ++a)
      inside = inside && q.x[a] >= box[a] && q.x[a] <= box[d + a];
    return inside && (region_tags.empty() || std::find(region_tags.begin(), region_tags.end(),
                                                       q.tag) != region_tags.end());
  };
  return terms;
}

std::shared_ptr<control::EquationFunctional> MeshControl::make_functional() const {
  control::Elliptic equation{.diffusion = options_.diffusion,
                             .reaction = options_.reaction,
                             .cubic = options_.cubic,
                             .streamline = options_.streamline};
  if (!options_.advection.empty() && options_.advection.size() != dimension())
    throw ConfigurationError("problem.advection needs {} numbers", dimension());
  std::copy(options_.advection.begin(), options_.advection.end(), equation.advection.begin());
  auto objective = std::make_shared<control::TrackingObjective>(states_, tracking_terms());
  return std::make_shared<control::EquationFunctional>(
      std::make_shared<control::EllipticEquation>(states_, controls_, equation,
                                                  elements_->vector()),
      objective,
      control::LinearSolves{.kind = options_.solver, .tolerance = options_.inner_tolerance});
}

/// Residuals of the stored triple, and the gradient at the stored control from new solves in the
/// dual norm of the control space, relative to the one at u = 0.
solve::Certificate MeshControl::certify(state::Stateful& solution) {
  const NodalSolution functions = stored(solution);
  if (bounded()) return bounded_certificate(functions);
  control::Primal u{functions.vector("control")};
  const auto y = functions.vector("state"), p = functions.vector("adjoint");
  control::Dual derivative = controls_->dual();
  auto& equation = functional_->equation();
  functional_->value(controls_->primal());
  functional_->derivative(derivative);
  const double start = controls_->norm(derivative);

  auto residual = elements_->vector(), load = elements_->vector(), work = elements_->vector();
  const auto norm = [](Vec v) {
    double size = 0.0;
    linalg::check(VecNorm(v, NORM_2, &size));
    return size;
  };
  equation.residual(y, u.values, residual);
  equation.residual(work, u.values, load);
  const double state = norm(residual) / std::max(norm(load), 1e-300);
  const double cost = functional_->value(u);
  functional_->derivative(derivative);
  const double gradient = controls_->norm(derivative) / std::max(start, 1e-300);
  const Mat jacobian = equation.linearise(y, u.values);
  functional_->objective().value(y, u.values);
  functional_->objective().gradient(load, work);
  linalg::check(MatMultTranspose(jacobian, p, residual));
  linalg::check(VecAXPY(residual, -1.0, load));
  const double adjoint = norm(residual) / std::max(norm(load), 1e-300);
  solve::Certificate certificate{{{"cost", cost},
                                  {"state_residual_relative", state},
                                  {"adjoint_residual_relative", adjoint},
                                  {"gradient_dual_norm_relative", gradient}},
                                 gradient};
  if (all_at_once_) {
    certificate.measure = optimality_residual(u.values, y, p);
    certificate.values.emplace_back("kkt_residual_relative", certificate.measure);
  }
  if (exact_) add_errors(certificate, u.values, y);
  return certificate;
}

std::unique_ptr<solve::Method> MeshControl::penalty_path(const std::string& name,
                                                         state::Config& config) const {
  if (name != "moreau-yosida") {
    throw ConfigurationError("a bound of the state is treated by moreau-yosida, not by `{}`", name);
  }
  control::PathOptions options;
  config.read("method", options);
  auto method = std::make_unique<control::MeshStateConstrained>(
      states_, stiffness(), options_.beta,
      elements_->interpolate([&](const Point& x) { return target(x); }), elements_->vector(),
      elements_->interpolate([&](const Point&) { return options_.upper; }), options);
  petsc_->reject_unused();
  return method;
}

/// Residuals of the state equation, of the adjoint equation with the stored multiplier and of
/// beta u + p = 0, the complementarity |lambda (upper - y)|_1 over |lambda|_1 |upper|, and the
/// largest violation of the bound relative to it (the measure).
solve::Certificate MeshControl::bounded_certificate(const NodalSolution& functions) const {
  const auto u = functions.vector("control"), y = functions.vector("state");
  const auto p = functions.vector("adjoint"), multiplier = functions.vector("multiplier");
  auto r = elements_->vector(), load = elements_->vector(), work = elements_->vector();
  const linalg::Matrix k = stiffness();
  const auto relative = [&](Vec v) {  // |K v - load| over |load|
    elements_->clear_dirichlet(load);
    linalg::check(MatMult(k, v, r));
    linalg::check(VecAXPY(r, -1.0, load));
    double size = 0.0, scale = 0.0;
    linalg::check(VecNorm(r, NORM_2, &size));
    linalg::check(VecNorm(load, NORM_2, &scale));
    return size / std::max(scale, 1e-300);
  };
  linalg::check(MatMult(states_->mass(), u, load));
  const double state = relative(y);
  const auto yd = elements_->interpolate([&](const Point& x) { return target(x); });
  linalg::check(VecWAXPY(work, -1.0, yd, y));
  linalg::check(MatMult(states_->mass(), work, load));
  const double misfit = linalg::dot(work, load);
  auto lumped = elements_->vector();
  elements_->load([](const control::Place&) { return 1.0; }, {}, lumped);
  linalg::check(VecPointwiseMult(work, lumped, multiplier));
  linalg::check(VecAXPY(load, 1.0, work));
  const double adjoint = relative(p);
  linalg::check(MatMult(states_->mass(), u, work));
  const double cost = 0.5 * misfit + 0.5 * options_.beta * linalg::dot(u, work);
  double size = 0.0, gap = 0.0, total = 0.0, product = 0.0, violation = 0.0;
  linalg::check(VecNorm(p, NORM_2, &size));
  linalg::check(VecWAXPY(work, options_.beta, u, p));
  linalg::check(VecNorm(work, NORM_2, &gap));
  linalg::check(VecNorm(multiplier, NORM_1, &total));
  linalg::check(VecCopy(y, work));
  linalg::check(VecShift(work, -options_.upper));
  linalg::check(VecMax(work, nullptr, &violation));
  linalg::check(VecPointwiseMult(work, work, multiplier));
  linalg::check(VecNorm(work, NORM_1, &product));
  const double scale = options_.upper != 0.0 ? std::abs(options_.upper) : 1.0;
  violation = std::max(0.0, violation) / scale;
  return {{{"cost", cost},
           {"state_residual_relative", state},
           {"adjoint_residual_relative", adjoint},
           {"control_residual_relative", gap / std::max(size, 1e-300)},
           {"violation_relative", violation},
           {"complementarity_relative", total > 0.0 ? product / (total * scale) : 0.0}},
          violation};
}

/// The residuals of adjoint equation, gradient and state equation in the dual norm of the
/// optimality system, relative to those at zero.
double MeshControl::optimality_residual(Vec u, Vec y, Vec p) const {
  const double beta = options_.beta;
  const auto system = optimality(1.0 / std::sqrt(beta));
  auto tracked = system->vector(), source = system->vector(), k = system->vector();
  auto m = system->vector(), work = system->vector();
  system->loads(tracked, source);
  const auto dual = [&](Vec r) {
    system->solve_mass(r, work);
    return linalg::dot(r, work);
  };
  const double start = dual(tracked);
  system->apply(p, k, nullptr);
  system->apply(y, nullptr, m);
  linalg::check(VecAXPBYPCZ(m, -1.0, -1.0, 1.0, k, tracked));
  double squared = dual(m);
  linalg::check(VecWAXPY(k, beta, u, p));
  system->apply(k, nullptr, m);
  squared += dual(m) / beta;
  system->apply(y, k, nullptr);
  system->apply(u, nullptr, m);
  linalg::check(VecAXPY(k, -1.0, m));
  system->solve_block(k, work, 0);
  system->apply(work, nullptr, m);
  return std::sqrt((squared + linalg::dot(work, m)) / start);
}

/// With lambda = sum (pi/L_i)^2 diffusion + reaction and c = beta lambda^2: y = yd/(1 + c),
/// u = lambda y, J = c/(2 (1 + c)) |yd|^2.
void MeshControl::add_errors(solve::Certificate& certificate, Vec u, Vec y) const {
  double lambda = options_.reaction;
  for (std::size_t d = 0; d < dimension(); ++d) {
    lambda += options_.diffusion *
              std::pow(std::numbers::pi / (elements_->upper()[d] - elements_->lower()[d]), 2);
  }
  const double c = options_.beta * lambda * lambda;
  const auto error = [&](Vec v, double factor) {
    return std::sqrt(elements_->integrate(
        [&](const control::Place& q) { return std::pow(q.values[0] - factor * target(q.x), 2); },
        {v}));
  };
  certificate.values.emplace_back("state_error_l2", error(y, 1.0 / (1.0 + c)));
  certificate.values.emplace_back("control_error_l2", error(u, lambda / (1.0 + c)));
  certificate.values.emplace_back(
      "cost_of_the_continuum",
      c / (2.0 * (1.0 + c)) * box_volume() / std::pow(2.0, static_cast<double>(dimension())));
}

solve::Facts MeshControl::check() {
  const auto smooth = [&](double shift) {
    return control::Primal{elements_->interpolate([=](const Point& x) {
      return std::sin(3.0 * x[0] + shift) + std::cos(2.0 * x[1] - x[2] + 2.0 * shift);
    })};
  };
  const auto found = control::check_equation(*functional_, smooth(0.3), smooth(1.1), smooth(2.5));
  solve::Facts facts;
  for (const auto& item : found.items)
    facts.emplace_back(item.property,
                       fmt::format("{}{:.3g}", item.holds ? "" : "FAILED ", item.figure));
  return facts;
}

}  // namespace

solve::ProblemEntry mesh_control_entry() {
  return {
      "control", "mesh-control",
      "track a target under an elliptic equation in finite elements on a Gmsh mesh",
      [](state::OptionVisitor& visit) { MeshOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<MeshControl>(comm, config);
      }};
}

}  // namespace equipoise::problems
