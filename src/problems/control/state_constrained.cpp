#include "entries_private.hpp"
#include "nodal_instance.hpp"

#include <equipoise/control/moreau_yosida.hpp>

#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

using control::Point;
using linalg::check;

struct ConstrainedOptions {
  std::int64_t dimension = 2, cells = 64;
  double beta = 1e-4;
  double upper = 0.1;
  std::string target = "manufactured";
  void describe(state::OptionVisitor& visit) {
    visit.option("dimension", dimension, "dimension of the unit box", {1.0, 3.0});
    visit.option("cells", cells, "cells per direction", {2.0, 1e6});
    visit.option("beta", beta, "cost of the control", state::positive);
    visit.option("upper", upper, "upper bound of the state (targets corner and sines)");
    visit.choice("target", target, {"manufactured", "corner", "sines"},
                 "a problem with known solution and variable bound, or a target");
  }
};

double sines(const Point& x, int dimension, double frequency) {
  double value = 1.0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d)
    value *= std::sin(frequency * std::numbers::pi * x[d]);
  return value;
}

/// y = sin..sin (a hump) touches the bound in the ball of squared radius 0.1 around the middle of
/// the box, where the multiplier is 10 max(0, 0.1 - r^2); p = -beta sin 2..sin 2.
double hump(const Point& x, int dimension) {
  double squared = 0.0;
  for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d)
    squared += std::pow(x[d] - 0.5, 2);
  return 0.1 - squared;
}

class StateConstrainedProblem : public NodalInstance {
 public:
  StateConstrainedProblem(const parallel::Comm& comm, state::Config& config)
      : NodalInstance(comm, config, {"control", "state", "adjoint", "multiplier"}) {
    config.read("problem", options_);
    problem_ = std::make_shared<control::Tracking>();
    problem_->hierarchy = std::make_shared<control::Hierarchy>(
        comm, control::GridShape{.dimension = static_cast<int>(options_.dimension),
                                 .cells = options_.cells,
                                 .element = control::Element::fd});
    problem_->beta = options_.beta;
    const int dim = static_cast<int>(options_.dimension);
    if (options_.target == "manufactured") {
      const double lambda = dim * std::pow(std::numbers::pi, 2);
      problem_->target = grid().interpolate([&](const Point& x) {
        const double p = -options_.beta * sines(x, dim, 2.0);
        return sines(x, dim, 1.0) + 10.0 * std::max(0.0, hump(x, dim)) - 4.0 * lambda * p;
      });
      problem_->source = grid().interpolate(
          [&](const Point& x) { return lambda * sines(x, dim, 1.0) - sines(x, dim, 2.0); });
    } else {
      problem_->target = grid().interpolate([&](const Point& x) {
        if (options_.target == "sines") return sines(x, dim, 1.0);
        double value = 1.0;
        for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d)
          value *= x[d] > 0.5 ? 0.0 : std::pow(2.0 * x[d] - 1.0, 2);
        return value;
      });
      problem_->source = grid().vector();
    }
  }
  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format("state-constrained dimension={} cells={} beta={} upper={} target={}",
                       options_.dimension, options_.cells, options_.beta, options_.upper,
                       options_.target);
  }
  [[nodiscard]] std::vector<std::string> methods() const override { return {"moreau-yosida"}; }
  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    if (name != "moreau-yosida") {
      throw ConfigurationError("state-constrained is solved by moreau-yosida, not by `{}`", name);
    }
    control::PathOptions options;
    config.read("method", options);
    auto method = std::make_unique<control::StateConstrained>(problem_, bound(), options);
    reject_unused_petsc_options();
    return method;
  }

  /// Residuals of the state equation, of the adjoint equation with the stored multiplier, of
  /// beta u + p = 0; the largest violation of the bound over the largest |bound| (the measure); and
  /// the complementarity |lambda (bound - y)|_1 over |lambda|_1 |bound|_max.
  solve::Certificate certify(state::Stateful& solution) override {
    const NodalSolution functions = stored(solution);
    const auto u = functions.vector("control"), y = functions.vector("state");
    const auto p = functions.vector("adjoint"), multiplier = functions.vector("multiplier");
    const auto upper = bound();
    auto work = grid().vector(), image = grid().vector(), load = grid().vector();
    check(VecWAXPY(work, 1.0, u, problem_->source));
    const double state = ratio(y, work, image, load);
    check(VecWAXPY(work, -1.0, problem_->target, y));
    check(VecAXPY(work, 1.0, multiplier));
    const double adjoint = ratio(p, work, image, load);
    check(VecWAXPY(work, problem_->beta, u, p));
    const double size = grid().norm(p);
    const double pointwise = grid().norm(work) / (size > 0.0 ? size : 1.0);
    double largest = 0.0, violation = 0.0, total = 0.0, product = 0.0;
    check(VecNorm(upper, NORM_INFINITY, &largest));
    check(VecNorm(multiplier, NORM_1, &total));
    check(VecWAXPY(work, -1.0, upper, y));
    check(VecMax(work, nullptr, &violation));
    check(VecPointwiseMult(work, work, multiplier));
    check(VecNorm(work, NORM_1, &product));
    const double scale = largest > 0.0 ? largest : 1.0;
    violation = std::max(0.0, violation) / scale;
    solve::Certificate certificate{
        {{"cost", problem_->cost(y, u)},
         {"state_residual_relative", state},
         {"adjoint_residual_relative", adjoint},
         {"control_residual_relative", pointwise},
         {"violation_relative", violation},
         {"complementarity_relative", total > 0.0 ? product / (total * scale) : 0.0}},
        violation};
    if (options_.target == "manufactured") {
      const int dim = static_cast<int>(options_.dimension);
      const auto error = [&](Vec v, double frequency) {
        check(VecCopy(v, work));
        const auto exact =
            grid().interpolate([&](const Point& x) { return sines(x, dim, frequency); });
        check(VecAXPY(work, -1.0, exact));
        return grid().norm(work);
      };
      certificate.values.emplace_back("state_error_l2", error(y, 1.0));
      certificate.values.emplace_back("control_error_l2", error(u, 2.0));
    }
    return certificate;
  }

 protected:
  [[nodiscard]] const control::Grid& grid() const override { return problem_->grid(); }

 private:
  [[nodiscard]] linalg::Vector bound() const {
    const int dim = static_cast<int>(options_.dimension);
    return grid().interpolate([&](const Point& x) {
      if (options_.target != "manufactured") return options_.upper;
      return sines(x, dim, 1.0) + std::max(0.0, -hump(x, dim));
    });
  }
  /// |K v - W f| over |W f| in the dual L2 norm.
  double ratio(Vec v, Vec f, Vec image, Vec load) const {
    grid().apply(f, nullptr, load);
    grid().apply(v, image, nullptr);
    check(VecAXPY(image, -1.0, load));
    return dual_ratio(image, load);
  }
  ConstrainedOptions options_;
  std::shared_ptr<control::Tracking> problem_;
};

}  // namespace

solve::ProblemEntry state_constrained_entry() {
  return {
      "control", "state-constrained",
      "track a target under -Lap y = u + f with an upper bound of the state",
      [](state::OptionVisitor& visit) { ConstrainedOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<StateConstrainedProblem>(comm, config);
      }};
}

std::vector<solve::MethodEntry> state_constrained_methods() {
  return {{"control", "moreau-yosida",
           "path following in the weight of a penalty for bounds of the state",
           [](state::OptionVisitor& visit) { control::PathOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
