#include "entries_private.hpp"

#include <equipoise/control/heat.hpp>
#include <equipoise/control/reduced_cg.hpp>
#include <equipoise/formats/xdmf.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/control/nodal.hpp>

#include <cmath>
#include <fstream>
#include <numbers>

namespace equipoise::problems {
namespace {

using control::Point;
using linalg::check;

struct HeatOptions {
  std::int64_t dimension = 1;
  std::int64_t cells = 64;
  std::int64_t steps = 64;
  std::int64_t snapshots = 8;
  std::int64_t disk_snapshots = 0;
  std::string disk_directory;
  std::string scheme = "euler";
  double beta = 1e-2;
  std::string tracking = "all";
  void describe(state::OptionVisitor& visit) {
    visit.option("dimension", dimension, "dimension of the unit box", {1.0, 3.0});
    visit.option("cells", cells, "cells per direction", {2.0, 1e6});
    visit.option("steps", steps, "time steps over the time 1", {1.0, 1e6});
    visit.option("snapshots", snapshots, "states kept at one time for the adjoint",
                 state::at_least_one);
    visit.option("disk_snapshots", disk_snapshots, "further states, kept in an HDF5 file",
                 state::non_negative);
    visit.option("disk_directory", disk_directory, "where that file is made");
    visit.choice("scheme", scheme, {"euler", "crank-nicolson"}, "implicit Euler or second order");
    visit.option("beta", beta, "cost of the control", state::positive);
    visit.choice("tracking", tracking, {"all", "terminal"}, "misfit over all times or at the last");
  }
};

double goal(const Point& x, double t, int dimension) {
  double value = std::sin(std::numbers::pi * t);
  for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d) {
    value *= std::sin(std::numbers::pi * x[d]);
  }
  return value;
}

/// The control, node by node over the time steps.
class SpaceTimeSolution : public state::Stateful {
 public:
  explicit SpaceTimeSolution(const control::SpaceTime& space)
      : space_(&space), control_(space.primal()) {}
  void fields(state::FieldVisitor& visit) override {
    control::visit_vector(visit, "control", space_->partition(), space_->comm().rank(),
                          control_.values);
  }

 private:
  const control::SpaceTime* space_;
  control::Primal control_;
};

class HeatControl : public solve::Instance {
 public:
  HeatControl(const parallel::Comm& comm, state::Config& config) {
    config.read("problem", options_);
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
    const int dim = static_cast<int>(options_.dimension);
    problem_ = std::make_shared<control::Heat>();
    problem_->hierarchy = std::make_shared<control::Hierarchy>(
        comm, control::GridShape{
                  .dimension = dim, .cells = options_.cells, .element = control::Element::fd});
    problem_->steps = options_.steps;
    problem_->beta = options_.beta;
    problem_->theta = options_.scheme == "euler" ? 1.0 : 0.5;
    problem_->terminal = options_.tracking == "terminal";
    // sin(pi t) vanishes at the end: there the target is the hump alone.
    problem_->target = [dim, terminal = problem_->terminal](const Point& x, double t) {
      return goal(x, terminal ? 0.5 : t, dim);
    };
    space_ = std::make_unique<control::SpaceTime>(problem_);
  }

  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format("heat-control dimension={} cells={} steps={} beta={} scheme={}{}",
                       options_.dimension, options_.cells, options_.steps, options_.beta,
                       options_.scheme, problem_->terminal ? " terminal" : "");
  }
  [[nodiscard]] solve::Facts facts() const override {
    return {{"unknowns of the control", std::to_string(problem_->grid().nodes() * options_.steps)},
            {"states kept in memory", std::to_string(std::min(options_.snapshots, options_.steps))},
            {"states kept on disk", std::to_string(options_.disk_snapshots)},
            {"advances in a derivative",
             std::to_string(control::reversal_advances(
                 options_.steps, options_.snapshots + options_.disk_snapshots))}};
  }
  [[nodiscard]] std::vector<std::string> methods() const override { return {"reduced-cg"}; }

  std::unique_ptr<solve::Method> make_method(const std::string& name, state::Config&) override {
    if (name != "reduced-cg") {
      throw ConfigurationError("heat-control is solved by reduced-cg, not by `{}`", name);
    }
    auto method = std::make_unique<control::ReducedCg>(std::make_shared<control::HeatFunctional>(
        problem_,
        control::Snapshots{options_.snapshots, options_.disk_snapshots, options_.disk_directory}));
    petsc_->reject_unused();
    return method;
  }

  std::unique_ptr<state::Stateful> solution_storage() override {
    return std::make_unique<SpaceTimeSolution>(*space_);
  }

  solve::Certificate certify(state::Stateful& solution) override;

  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override;
  /// Control and state at the end of every step, as a temporal collection.
  std::vector<std::string> export_xdmf(state::Stateful& solution,
                                       const std::string& directory) override;

 private:
  [[nodiscard]] control::Primal control_of(state::Stateful& solution) const;
  HeatOptions options_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
  std::shared_ptr<control::Heat> problem_;
  std::unique_ptr<control::SpaceTime> space_;
};

/// One step of the scheme by multigrid and the products of the grid's directions.
class Stepper {
 public:
  explicit Stepper(const control::Heat& problem)
      : grid_(problem.grid()),
        scheme_(problem.hierarchy, problem.theta * problem.dt(), 1.0, "certificate_"),
        outside_((1.0 - problem.theta) * problem.dt()),
        image_(grid_.vector()),
        stiffness_(grid_.vector()) {}
  /// v := B^-1 (M (v + factor w) - (1 - theta) dt K v), B = M + theta dt K. **Collective.**
  void advance(Vec v, double factor, Vec w) {
    grid_.apply(v, stiffness_, nullptr);
    check(VecAXPY(v, factor, w));
    grid_.apply(v, nullptr, image_);
    check(VecAXPY(image_, -outside_, stiffness_));
    scheme_.solve(image_, v, 1e-12);
  }

 private:
  const control::Grid& grid_;
  control::Multigrid scheme_;
  double outside_;
  linalg::Vector image_, stiffness_;
};

/// Takes the one partitioned array named `control` out of any solution.
control::Primal HeatControl::control_of(state::Stateful& solution) const {
  control::Primal result = space_->primal();
  linalg::Entries entries(result.values);
  const auto values = partitioned_values(solution, "control");
  if (static_cast<std::int64_t>(values.size()) != entries.size()) {
    throw CheckpointError("the stored solution has no control of {} values",
                          space_->partition().size());
  }
  std::copy(values.begin(), values.end(), entries.span().begin());
  return result;
}

/// The gradient beta u + p from states and adjoints by multigrid, all states kept, with the
/// products of the grid's directions; relative to the gradient at u = 0 in L2 of space and time.
solve::Certificate HeatControl::certify(state::Stateful& solution) {
  const control::Grid& grid = problem_->grid();
  const double dt = problem_->dt();
  Stepper scheme(*problem_);
  const auto target_at = [&](double time) {
    return grid.interpolate([&](const Point& x) { return problem_->target(x, time); });
  };
  const auto gradient = [&](const control::Primal& u, double& cost) {
    std::vector<linalg::Vector> states;
    auto state = grid.vector(), slice = grid.vector();
    cost = 0.0;
    if (problem_->theta < 1.0 && !problem_->terminal) {
      const auto start = target_at(0.0);
      cost += 0.25 * dt * grid.inner(start, start);
    }
    for (std::int64_t k = 0; k < options_.steps; ++k) {
      space_->read(u.values, k, slice);
      cost += 0.5 * dt * options_.beta * grid.inner(slice, slice);
      scheme.advance(state, dt, slice);
      states.push_back(linalg::copy(state));
    }
    control::Primal result = space_->primal();
    auto adjoint = grid.vector();
    for (std::int64_t k = options_.steps - 1; k >= 0; --k) {
      auto& misfit = states[static_cast<std::size_t>(k)];
      check(VecAXPY(misfit, -1.0, target_at(dt * static_cast<double>(k + 1))));
      cost += 0.5 * problem_->weight(k) * grid.inner(misfit, misfit);
      scheme.advance(adjoint, problem_->weight(k), misfit);
      space_->read(u.values, k, slice);
      check(VecAXPBY(slice, 1.0, options_.beta, adjoint));
      space_->write(slice, k, result.values);
    }
    return std::sqrt(space_->inner(result, result));
  };
  double cost = 0.0, unused = 0.0;
  const double at_start = gradient(space_->primal(), unused);
  const double relative = gradient(control_of(solution), cost) / at_start;
  return {{{"cost", cost}, {"gradient_dual_norm_relative", relative}}, relative};
}

std::vector<std::string> HeatControl::export_csv(state::Stateful& solution,
                                                 const std::string& directory) {
  const std::string path = directory + "/control.csv";
  const auto u = control_of(solution);
  const linalg::ConstEntries values(u.values);
  const parallel::Comm& comm = space_->comm();
  for (int turn = 0; turn < comm.size(); ++turn) {
    parallel::agree(comm, [&] {
      if (comm.rank() != turn) return;
      std::ofstream file(path, turn == 0 ? std::ios::trunc : std::ios::app);
      if (turn == 0) file << "node,step,control\n";
      const auto begin = space_->partition().range(turn).begin;
      for (std::int64_t i = 0; i < values.size(); ++i) {
        file << fmt::format("{},{},{:.17g}\n", (begin + i) / options_.steps,
                            (begin + i) % options_.steps, values[i]);
      }
      if (!file.flush())
        throw InputError("cannot write `{}`; is there such a directory, with room?", path);
    });
  }
  return {path};
}

std::vector<std::string> HeatControl::export_xdmf(state::Stateful& solution,
                                                  const std::string& directory) {
  const control::Grid& grid = problem_->grid();
  const auto u = control_of(solution);
  formats::XdmfPiece piece;
  piece.dimension = grid.shape().dimension;
  piece.axes = grid.coordinates();
  piece.first_node = grid.owned().begin;
  piece.nodes = grid.nodes();
  Stepper scheme(*problem_);
  auto state = grid.vector(), slice = grid.vector();
  for (std::int64_t k = 0; k < options_.steps; ++k) {
    space_->read(u.values, k, slice);
    scheme.advance(state, problem_->dt(), slice);
    const double time = problem_->dt() * static_cast<double>(k + 1);
    const auto add = [&](const std::string& name, Vec v) {
      const linalg::ConstEntries values(v);
      piece.fields.push_back({fmt::format("{}_{}", name, k + 1),
                              {values.span().begin(), values.span().end()},
                              name,
                              time});
    };
    add("control", slice);
    add("state", state);
  }
  return formats::write_xdmf(grid.comm(), directory, piece);
}

}  // namespace

solve::ProblemEntry heat_control_entry() {
  return {
      "control", "heat-control",
      "track sin(pi t) prod sin(pi x_i) under y_t - Lap y = u, adjoints from few stored states",
      [](state::OptionVisitor& visit) { HeatOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<HeatControl>(comm, config);
      }};
}

}  // namespace equipoise::problems
