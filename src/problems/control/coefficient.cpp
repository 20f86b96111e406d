#include "entries_private.hpp"

#include <equipoise/control/coefficient.hpp>
#include <equipoise/control/newton_cg.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/control/nodal.hpp>

#include <cmath>
#include <fstream>

namespace equipoise::problems {
namespace {

using control::Point;

double disc(const Point& x) {
  return std::hypot(x[0] - 0.5, x[1] - 0.5) <= 0.2 ? std::log(2.0) : std::log(9.0);
}

struct InversionOptions {
  control::CoefficientOptions values;
  void describe(state::OptionVisitor& visit) {
    visit.option("cells", values.cells, "cells per direction, two triangles each", {2.0, 8192.0});
    visit.option("regularization", values.regularization, "gamma in gamma/2 |grad m|^2",
                 state::positive);
    visit.option("noise", values.noise, "standard deviation of the data error over max |u|",
                 state::non_negative);
    visit.option("seed", values.seed, "of the noise", state::non_negative);
  }
};

/// The coefficient at the vertices, and nothing else: state and adjoint follow from it.
class CoefficientSolution : public state::Stateful {
 public:
  explicit CoefficientSolution(const control::Space& space) : space_(&space), m_(space.primal()) {}
  void fields(state::FieldVisitor& visit) override {
    control::visit_vector(visit, "control", space_->partition(), space_->comm().rank(), m_.values);
  }

 private:
  const control::Space* space_;
  control::Primal m_;
};

class Inversion : public solve::Instance {
 public:
  Inversion(const parallel::Comm& comm, state::Config& config) {
    config.read("problem", options_);
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
    functional_ = std::make_shared<control::CoefficientFunctional>(comm, options_.values, disc);
    petsc_->reject_unused();
  }

  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format("coefficient cells={} regularization={} noise={} seed={}",
                       options_.values.cells, options_.values.regularization, options_.values.noise,
                       options_.values.seed);
  }
  [[nodiscard]] solve::Facts facts() const override {
    const auto n = options_.values.cells;
    return {{"unknowns of the coefficient", std::to_string((n + 1) * (n + 1))},
            {"unknowns of the state", std::to_string((2 * n - 1) * (2 * n - 1))}};
  }
  [[nodiscard]] std::vector<std::string> methods() const override { return {"newton-cg"}; }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    if (name != "newton-cg") {
      throw ConfigurationError("coefficient is solved by newton-cg, not by `{}`", name);
    }
    control::NewtonCgOptions options;
    config.read("method", options);
    return std::make_unique<control::NewtonCg>(functional_, start(), options);
  }

  std::unique_ptr<state::Stateful> solution_storage() override {
    return std::make_unique<CoefficientSolution>(functional_->space());
  }

  /// The gradient at the stored coefficient, from new solves, in the dual L2 norm relative to the
  /// start; and, as an independent check of that gradient, the difference quotient of the cost
  /// along it.
  solve::Certificate certify(state::Stateful& solution) override {
    const control::Space& space = functional_->space();
    control::Dual derivative = space.dual();
    const control::Primal first = start();
    functional_->value(first);
    functional_->derivative(derivative);
    const double at_start = space.norm(derivative);
    // Away from the minimizer the quotient is well above rounding: 1 up to 1e-5 or so.
    control::Primal gradient = space.primal(), moved = space.primal();
    space.to_primal(derivative, gradient);
    const double t = 1e-4 / at_start;
    double ends[2] = {};
    for (const int side : {0, 1}) {
      linalg::check(VecWAXPY(moved.values, side == 0 ? -t : t, gradient.values, first.values));
      ends[side] = functional_->value(moved);
    }
    const double quotient = (ends[1] - ends[0]) / (2.0 * t * at_start * at_start);
    const control::Primal m = stored(solution);
    const double cost = functional_->value(m);
    functional_->derivative(derivative);
    const double relative = space.norm(derivative) / at_start;
    return {{{"cost", cost},
             {"misfit", functional_->misfit()},
             {"penalty", functional_->penalty()},
             {"difference_quotient_over_slope_at_start", quotient},
             {"gradient_dual_norm_relative", relative}},
            relative};
  }

  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override {
    const std::string path = directory + "/coefficient.csv";
    const auto m = stored(solution);
    const linalg::ConstEntries values(m.values);
    const parallel::Comm& comm = functional_->space().comm();
    const auto n = options_.values.cells;
    for (int turn = 0; turn < comm.size(); ++turn) {
      parallel::agree(comm, [&] {
        if (comm.rank() != turn) return;
        std::ofstream file(path, turn == 0 ? std::ios::trunc : std::ios::app);
        if (turn == 0) file << "x,y,m\n";
        const auto begin = functional_->space().partition().range(turn).begin;
        for (std::int64_t i = 0; i < values.size(); ++i) {
          const auto node = begin + i;
          file << fmt::format("{:.17g},{:.17g},{:.17g}\n",
                              static_cast<double>(node % (n + 1)) / static_cast<double>(n),
                              static_cast<double>(node / (n + 1)) / static_cast<double>(n),
                              values[i]);
        }
        if (!file.flush())
          throw InputError("cannot write `{}`; is there such a directory, with room?", path);
      });
    }
    return {path};
  }

 private:
  [[nodiscard]] control::Primal start() const {
    return functional_->interpolate([](const Point&) { return std::log(2.0); });
  }
  [[nodiscard]] control::Primal stored(state::Stateful& solution) const {
    control::Primal m = functional_->space().primal();
    linalg::Entries entries(m.values);
    const auto values = partitioned_values(solution, "control");
    if (static_cast<std::int64_t>(values.size()) != entries.size()) {
      throw CheckpointError("the stored solution has no coefficient on {} cells",
                            options_.values.cells);
    }
    std::copy(values.begin(), values.end(), entries.span().begin());
    return m;
  }

  InversionOptions options_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
  std::shared_ptr<control::CoefficientFunctional> functional_;
};

}  // namespace

solve::ProblemEntry coefficient_entry() {
  return {
      "control", "coefficient",
      "recover m in -div(exp(m) grad u) = 1 from noisy values of u (P2 state, P1 coefficient)",
      [](state::OptionVisitor& visit) { InversionOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<Inversion>(comm, config);
      }};
}

std::vector<solve::MethodEntry> coefficient_methods() {
  return {{"control", "newton-cg", "inexact Newton-CG with a Gauss-Newton start and backtracking",
           [](state::OptionVisitor& visit) { control::NewtonCgOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
