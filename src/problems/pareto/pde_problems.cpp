#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/pareto/pde_instance.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

constexpr double pi = std::numbers::pi;

double corner(const control::Point& x) {
  if (x[0] > 0.5 || x[1] > 0.5) return 0.0;
  return std::pow((2.0 * x[0] - 1.0) * (2.0 * x[1] - 1.0), 2);
}

/// Eigenvalue of the 5-point Laplacian to sin(a pi x) sin(b pi y).
double eigenvalue(std::int64_t cells, double a, double b) {
  const double h = 1.0 / static_cast<double>(cells);
  const auto one = [&](double m) { return std::pow(std::sin(0.5 * pi * m * h), 2); };
  return 4.0 / (h * h) * (one(a) + one(b));
}

}  // namespace

void PdeFrontOptions::describe(state::OptionVisitor& visit) {
  visit.choice("objectives", objectives, {"sine", "two_sines", "corner", "opposed"},
               "targets and costs; sine and two_sines have exact fronts");
  visit.option("cells", cells, "cells per direction", {4.0, 1e5});
  visit.choice("element", element, {"auto", "q1", "fd"},
               "bilinear elements or finite differences; auto: q1 for corner without kappa");
  visit.option("kappa", kappa, "factor of max(0, y) in the state equation", state::non_negative);
}

std::shared_ptr<const PdeObjectives> make_pde_objectives(const parallel::Comm& group,
                                                         const PdeFrontOptions& options) {
  linalg::start_petsc(group);
  const bool finite_elements =
      options.element == "q1" ||
      (options.element == "auto" && options.objectives == "corner" && options.kappa == 0.0);
  if (finite_elements && options.kappa > 0.0) {
    throw ConfigurationError(
        "problem.element = q1 with problem.kappa = {}: the kink is treated node by node and needs "
        "the element fd",
        options.kappa);
  }
  auto problem = std::make_shared<PdeObjectives>();
  problem->hierarchy = std::make_shared<control::Hierarchy>(
      group,
      control::GridShape{.cells = options.cells,
                         .element = finite_elements ? control::Element::q1 : control::Element::fd});
  problem->kappa = options.kappa;
  problem->fingerprint =
      fmt::format("pde-front objectives={} cells={} element={} kappa={}", options.objectives,
                  options.cells, finite_elements ? "q1" : "fd", options.kappa);
  const auto add = [&](double misfit, const std::function<double(const control::Point&)>& target,
                       double cost) {
    problem->objectives.push_back({misfit, problem->grid().interpolate(target), cost});
  };
  const auto nothing = [](const control::Point&) { return 0.0; };
  const auto sines = [](double a, double b) {
    return [a, b](const control::Point& x) {
      return std::sin(a * pi * x[0]) * std::sin(b * pi * x[1]);
    };
  };
  if (options.objectives == "opposed") {
    add(1.0, sines(2.0, 2.0), 1e-3);
    add(
        1.0, [](const control::Point&) { return -0.5; }, 1e-2);
    return problem;
  }
  add(1.0,
      options.objectives == "corner" ? std::function<double(const control::Point&)>(corner)
                                     : sines(1.0, 1.0),
      0.0);
  if (options.objectives == "two_sines") add(1.0, sines(1.0, 2.0), 0.0);
  add(0.0, nothing, 1.0);
  return problem;
}

double distance_from_exact_front(const PdeFrontOptions& options, std::span<const double> f,
                                 std::span<const double> weights) {
  if (options.element == "q1") return -1.0;
  const double l1 = eigenvalue(options.cells, 1.0, 1.0) + options.kappa;
  if (options.objectives == "sine") {
    // J_1 = (1-s)^2/8, J_2 = l^2 s^2/8: sqrt(8 J_1) + sqrt(8 J_2)/l = 1.
    return std::abs(std::sqrt(8.0 * f[0]) + std::sqrt(8.0 * f[1]) / l1 - 1.0);
  }
  if (options.objectives == "two_sines" && options.kappa == 0.0) {
    const double l2 = eigenvalue(options.cells, 1.0, 2.0);
    const double c1 = weights[0] / (weights[0] + weights[1] + l1 * l1 * weights[2]);
    const double c2 = weights[1] / (weights[0] + weights[1] + l2 * l2 * weights[2]);
    const double exact[3] = {((1 - c1) * (1 - c1) + c2 * c2) / 8,
                             (c1 * c1 + (1 - c2) * (1 - c2)) / 8,
                             (l1 * l1 * c1 * c1 + l2 * l2 * c2 * c2) / 8};
    double worst = 0.0;
    for (std::size_t i = 0; i < 3; ++i)
      worst = std::max(worst, std::abs(f[i] - exact[i]) / std::max(exact[i], 0.125));
    return worst;
  }
  return -1.0;
}

std::unique_ptr<pareto::WeightedSolver> make_pde_solver(
    std::shared_ptr<const PdeObjectives> problem, double tolerance, std::int64_t max_iterations) {
  if (problem->kappa > 0.0) return semilinear_pde_solver(std::move(problem));
  return linear_pde_solver(std::move(problem), {tolerance, max_iterations});
}

}  // namespace equipoise::problems
