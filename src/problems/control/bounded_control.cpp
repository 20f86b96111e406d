#include "entries_private.hpp"
#include "nodal_instance.hpp"

#include <equipoise/control/active_set.hpp>
#include <equipoise/control/reduced_newton.hpp>

#include <cmath>
#include <limits>
#include <numbers>

namespace equipoise::problems {
namespace {

using control::Point;
using linalg::check;

struct BoundedOptions {
  std::int64_t cells = 64;
  double grading = 0.0;
  double beta = 1e-4;
  double lower = -0.5;
  double upper = 1.0;
  double sparsity = 0.0;
  std::string target = "manufactured";
  void describe(state::OptionVisitor& visit) {
    visit.option("cells", cells, "cells per direction", {2.0, 1e6});
    visit.option("grading", grading, "cells shrink by this fraction towards the boundary",
                 {-0.99, 0.99});
    visit.option("beta", beta, "L2 cost of the control", state::positive);
    visit.option("lower", lower, "lower bound of the control");
    visit.option("upper", upper, "upper bound of the control");
    visit.option("sparsity", sparsity, "l1 cost of the control", state::non_negative);
    visit.choice(
        "target", target, {"manufactured", "corner"},
        "y = sin(pi x) sin(pi y) and u = clip(2 sin(2 pi x) sin(2 pi y)), or the corner target");
  }
};

class BoundedControl : public NodalInstance {
 public:
  BoundedControl(const parallel::Comm& comm, state::Config& config)
      : NodalInstance(comm, config, {"control", "state", "adjoint"}) {
    config.read("problem", options_);
    limits_ = {options_.lower, options_.upper, options_.sparsity};
    limits_.validate();
    problem_ = std::make_shared<control::Tracking>();
    problem_->hierarchy = std::make_shared<control::Hierarchy>(
        comm,
        control::GridShape{
            .cells = options_.cells, .element = control::Element::fd, .grading = options_.grading});
    problem_->beta = options_.beta;
    if (options_.target == "corner") {
      problem_->target = grid().interpolate([](const Point& x) {
        return x[0] > 0.5 || x[1] > 0.5 ? 0.0 : std::pow((2 * x[0] - 1) * (2 * x[1] - 1), 2);
      });
      problem_->source = grid().vector();
    } else {
      manufacture();
    }
  }

  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format(
        "bounded-control cells={} grading={} beta={} lower={} upper={} sparsity={} target={}",
        options_.cells, options_.grading, options_.beta, options_.lower, options_.upper,
        options_.sparsity, options_.target);
  }
  [[nodiscard]] std::vector<std::string> methods() const override {
    return {"active-set", "reduced-newton"};
  }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    std::unique_ptr<solve::Method> method;
    if (name == "active-set") {
      method = std::make_unique<control::ActiveSet>(problem_, limits_);
    } else if (name == "reduced-newton") {
      control::ReducedNewtonOptions options;
      config.read("method", options);
      method = std::make_unique<control::ReducedNewton>(problem_, limits_, options);
    } else {
      throw ConfigurationError(
          "bounded-control is solved by active-set or reduced-newton, not by `{}`", name);
    }
    reject_unused_petsc_options();
    return method;
  }

  /// The measure is the largest of the relative residuals of the state equation, the adjoint
  /// equation and the pointwise formula of the control.
  solve::Certificate certify(state::Stateful& solution) override {
    const NodalSolution functions = stored(solution);
    const auto u = functions.vector("control"), y = functions.vector("state");
    const auto p = functions.vector("adjoint");
    auto load = grid().vector(), image = grid().vector(), work = grid().vector();
    check(VecWAXPY(work, 1.0, u, problem_->source));
    grid().apply(work, nullptr, load);
    grid().apply(y, image, nullptr);
    check(VecAXPY(image, -1.0, load));
    const double state = dual_ratio(image, load);
    check(VecWAXPY(work, -1.0, problem_->target, y));
    grid().apply(work, nullptr, load);
    grid().apply(p, image, nullptr);
    check(VecAXPY(image, -1.0, load));
    const double adjoint = dual_ratio(image, load);
    {
      const linalg::ConstEntries ue(u), pe(p);
      linalg::Entries gap(work);
      for (std::int64_t i = 0; i < gap.size(); ++i) {
        gap[i] = ue[i] - limits_.control(options_.beta, pe[i]);
      }
    }
    const double size = grid().norm(u);
    const double pointwise = grid().norm(work) / (size > 0.0 ? size : 1.0);
    return {{{"state_residual_relative", state},
             {"adjoint_residual_relative", adjoint},
             {"control_residual_relative", pointwise}},
            std::max({state, adjoint, pointwise})};
  }

 protected:
  [[nodiscard]] const control::Grid& grid() const override { return problem_->grid(); }

 private:
  /// y = sin sin, p = -2 beta sin 2 sin 2, u = control(p); source and target follow.
  void manufacture() {
    constexpr double pi = std::numbers::pi;
    const auto state = [](const Point& x) { return std::sin(pi * x[0]) * std::sin(pi * x[1]); };
    const auto adjoint = [beta = options_.beta](const Point& x) {
      return -2.0 * beta * std::sin(2 * pi * x[0]) * std::sin(2 * pi * x[1]);
    };
    problem_->target =
        grid().interpolate([&](const Point& x) { return state(x) - 8 * pi * pi * adjoint(x); });
    problem_->source = grid().interpolate([&](const Point& x) {
      return 2 * pi * pi * state(x) - limits_.control(options_.beta, adjoint(x));
    });
  }

  BoundedOptions options_;
  control::ControlLimits limits_;
  std::shared_ptr<control::Tracking> problem_;
};

}  // namespace

solve::ProblemEntry bounded_control_entry() {
  return {
      "control", "bounded-control",
      "track a target under -Lap y = u + f with bounds and an l1 cost of the control",
      [](state::OptionVisitor& visit) { BoundedOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<BoundedControl>(comm, config);
      }};
}

std::vector<solve::MethodEntry> bounded_control_methods() {
  return {{"control", "active-set", "primal-dual active sets for bounds and sparse controls",
           [](state::OptionVisitor&) {}},
          {"control", "reduced-newton",
           "Newton steps on a model of the reduced Hessian that keeps every action, with bounds",
           [](state::OptionVisitor& visit) { control::ReducedNewtonOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
