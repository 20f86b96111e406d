#include "entries_private.hpp"
#include "nodal_instance.hpp"

#include <equipoise/control/newton_cg.hpp>
#include <equipoise/control/reduced_cg.hpp>
#include <equipoise/control/scenarios.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

using control::Point;
using linalg::check;

struct ScenarioOptions {
  std::int64_t dimension = 2;
  std::int64_t cells = 32;
  double beta = 1e-4;
  double variability = 1.0;
  double tail = 0.0;
  double smoothing = 1e-2;
  std::int64_t groups = 1 << 20;
  std::int64_t seed = 0;
  void describe(state::OptionVisitor& visit) {
    visit.option("dimension", dimension, "dimension of the unit box", {1.0, 3.0});
    visit.option("cells", cells, "cells per direction", {2.0, 1e6});
    visit.option("beta", beta, "cost of the control", state::positive);
    visit.option("variability", variability, "deviation of the logarithm of the coefficient",
                 state::non_negative);
    visit.option("tail", tail, "0: the mean; else the mean of the worst 1 - tail of the scenarios",
                 {0.0, 1.0 - 1e-9});
    visit.option("smoothing", smoothing, "width of the smoothed tail relative to 1/2 |yd|^2",
                 state::positive);
    visit.option("groups", groups,
                 "groups of ranks that share the scenarios, each with the whole mesh; at most the "
                 "ranks and the scenarios",
                 state::at_least_one);
    visit.option("seed", seed, "of the scenarios", state::non_negative);
  }
};

struct ScenarioRun {
  std::int64_t agents = 8;
  void describe(state::OptionVisitor& visit) {
    visit.option("agents", agents, "number of scenarios", state::at_least_one);
  }
};

constexpr int modes = 4;

/// exp(variability sum_k xi_k cos(k . pi x)/(1 + |k|^2)) over the wave vectors k in {0..3}^d.
std::function<double(const Point&)> coefficient(const ScenarioOptions& o, std::int64_t scenario) {
  std::vector<double> xi;
  const auto dim = static_cast<int>(o.dimension);
  const parallel::Draw draw(static_cast<std::uint64_t>(o.seed), parallel::Purpose::problem, 0,
                            scenario);
  for (int k = 0; k < static_cast<int>(std::pow(modes, dim)); ++k) {
    xi.push_back(draw.normal(static_cast<std::uint64_t>(k)));
  }
  return [xi, dim, size = o.variability](const Point& x) {
    double sum = 0.0;
    for (std::size_t k = 0; k < xi.size(); ++k) {
      double wave = 1.0;
      int squared = 0;
      auto rest = static_cast<int>(k);
      for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d, rest /= modes) {
        const int number = rest % modes;
        wave *= std::cos(number * std::numbers::pi * x[d]);
        squared += number * number;
      }
      sum += xi[k] * wave / (1.0 + squared);
    }
    return std::exp(size * sum);
  };
}

/// The control alone; every scenario's state follows from it.
class ControlSolution : public state::Stateful {
 public:
  explicit ControlSolution(const control::Space& space) : space_(&space), u_(space.primal()) {}
  void fields(state::FieldVisitor& visit) override { space_->visit(visit, "control", u_.values); }

 private:
  const control::Space* space_;
  control::Primal u_;
};

class ScenarioControl : public solve::Instance {
 public:
  ScenarioControl(const parallel::Comm& comm, state::Config& config) {
    config.read("problem", options_);
    config.read("run", run_);
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
    problem_ = std::make_shared<control::Scenarios>();
    levels_ = std::make_shared<control::TwoLevels>(comm, std::min(options_.groups, run_.agents));
    problem_->levels = levels_;
    const auto dim = static_cast<std::size_t>(options_.dimension);
    problem_->hierarchy = std::make_shared<control::Hierarchy>(
        levels_->mesh, control::GridShape{.dimension = static_cast<int>(options_.dimension),
                                          .cells = options_.cells});
    problem_->beta = options_.beta;
    problem_->tail = options_.tail;
    problem_->smoothing = options_.smoothing;
    problem_->target = problem_->grid().interpolate([dim](const Point& x) {
      double value = 1.0;
      for (std::size_t d = 0; d < dim; ++d) value *= x[d] > 0.5 ? 0.0 : std::pow(2 * x[d] - 1, 2);
      return value;
    });
    for (std::int64_t m = 0; m < run_.agents; ++m) {
      problem_->coefficients.push_back(coefficient(options_, m));
    }
    functional_ = std::make_shared<control::ScenarioFunctional>(problem_);
    petsc_->reject_unused();
  }

  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format(
        "scenario-control dimension={} cells={} beta={} scenarios={} variability={} tail={} "
        "smoothing={} seed={}",
        options_.dimension, options_.cells, options_.beta, run_.agents, options_.variability,
        options_.tail, options_.smoothing, options_.seed);
  }
  [[nodiscard]] solve::Facts facts() const override {
    return {{"scenarios", std::to_string(run_.agents)},
            {"groups of ranks", std::to_string(levels_->groups)},
            {"ranks in a group", std::to_string(levels_->mesh.size())},
            {"unknowns of the control", std::to_string(problem_->grid().nodes())}};
  }
  [[nodiscard]] std::vector<std::string> methods() const override {
    return options_.tail > 0.0 ? std::vector<std::string>{"newton-cg"}
                               : std::vector<std::string>{"reduced-cg", "newton-cg"};
  }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    if (name == "newton-cg") {
      control::NewtonCgOptions options;
      options.gauss_newton_steps = 0;
      config.read("method", options);
      return std::make_unique<control::NewtonCg>(functional_, functional_->space().primal(),
                                                 options);
    }
    if (name == "reduced-cg" && options_.tail == 0.0) {
      return std::make_unique<control::ReducedCg>(functional_);
    }
    throw ConfigurationError(
        "scenario-control is solved by newton-cg, and by reduced-cg for the mean, not by `{}`",
        name);
  }

  std::unique_ptr<state::Stateful> solution_storage() override {
    return std::make_unique<ControlSolution>(functional_->space());
  }

  /// The gradient from new solves, relative to that at u = 0, and as a check of it the difference
  /// quotient of the cost along the control.
  solve::Certificate certify(state::Stateful& solution) override {
    const control::Space& space = functional_->space();
    control::Dual derivative = space.dual();
    functional_->value(space.primal());
    functional_->derivative(derivative);
    const double at_start = space.norm(derivative);
    const control::Primal u = stored(solution);
    control::Primal moved = space.primal();
    double ends[2] = {};
    for (const int side : {0, 1}) {
      check(VecAXPBY(moved.values, side == 0 ? 0.5 - 1e-4 : 0.5 + 1e-4, 0.0, u.values));
      ends[side] = functional_->value(moved);
    }
    check(VecAXPBY(moved.values, 0.5, 0.0, u.values));
    functional_->value(moved);
    functional_->derivative(derivative);
    const double quotient = (ends[1] - ends[0]) / (2e-4 * control::pairing(derivative, u));
    const double cost = functional_->value(u);
    functional_->derivative(derivative);
    const double relative = space.norm(derivative) / at_start;
    const auto& misfits = functional_->misfits();
    double mean = 0.0;
    for (const double misfit : misfits) mean += misfit / static_cast<double>(misfits.size());
    return {{{"cost", cost},
             {"mean_misfit", mean},
             {"worst_misfit", *std::max_element(misfits.begin(), misfits.end())},
             {"difference_quotient_over_slope_half_way", quotient},
             {"gradient_dual_norm_relative", relative}},
            relative};
  }

  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override {
    std::string path = directory + "/solution.csv";
    parallel::agree(levels_->world, [&] {  // group 0 holds the stored values, and writes
      if (levels_->group() != 0) return;
      path = NodalSolution(problem_->grid(), {"control"}, solution).export_csv(directory);
    });
    return {path};
  }

 private:
  [[nodiscard]] control::Primal stored(state::Stateful& solution) const {
    const control::Space& space = functional_->space();
    control::Primal u = space.primal();
    const auto values = partitioned_values(solution, "control");
    linalg::Entries entries(u.values);
    if (levels_->group() == 0) {
      if (static_cast<std::int64_t>(values.size()) != entries.size()) {
        throw CheckpointError("the stored solution has no control on this grid of {} nodes",
                              problem_->grid().nodes());
      }
      std::copy(values.begin(), values.end(), entries.span().begin());
    }
    levels_->column.broadcast(entries.span(), 0);
    return u;
  }

  ScenarioOptions options_;
  ScenarioRun run_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
  std::shared_ptr<const control::TwoLevels> levels_;
  std::shared_ptr<control::Scenarios> problem_;
  std::shared_ptr<control::ScenarioFunctional> functional_;
};

}  // namespace

solve::ProblemEntry scenario_control_entry() {
  return {
      "control", "scenario-control",
      "one control for many random coefficients: the mean misfit, or the mean of its tail",
      [](state::OptionVisitor& visit) { ScenarioOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<ScenarioControl>(comm, config);
      }};
}

}  // namespace equipoise::problems
