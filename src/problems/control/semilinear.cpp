#include "entries_private.hpp"
#include "nodal_instance.hpp"

#include <equipoise/control/semilinear.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

using control::Point;
using linalg::check;

struct ModelOptions {
  std::int64_t cells = 32;
  double kappa = 100.0;
  double weight = 1e-2;
  std::string target = "lobes";
  void describe(state::OptionVisitor& visit) {
    visit.option("cells", cells, "cells per direction", {2.0, 1e6});
    visit.option("kappa", kappa, "factor of max(0, y)", state::non_negative);
    visit.option("weight", weight, "s in (1-s)/2 |y-yd|^2 + s/2 |u|^2", {1e-12, 1.0 - 1e-12});
    visit.choice("target", target, {"lobes", "slanted", "rings"},
                 "sin(2 pi x) sin(pi y), sin(2 pi (x + 0.3 y)), or cos(6 pi |x - (0.45, 0.55)|)");
  }
};

double target_value(const std::string& name, const Point& x) {
  constexpr double pi = std::numbers::pi;
  if (name == "lobes") return std::sin(2 * pi * x[0]) * std::sin(pi * x[1]);
  if (name == "slanted") return std::sin(2 * pi * (x[0] + 0.3 * x[1]));
  return std::cos(6 * pi * std::hypot(x[0] - 0.45, x[1] - 0.55));
}

/// The plain iteration has no options.
struct ThreeSetOptions {
  std::int64_t descend_after = control::SemilinearOptions{}.descend_after;
  control::CoupledOptions coupled = {};
  void describe(state::OptionVisitor& visit) {
    coupled.describe(visit);
    visit.option("descend_after", descend_after, "solves after which every step lowers the cost",
                 state::at_least_one);
  }
};

class SemilinearInstance : public NodalInstance {
 public:
  SemilinearInstance(const parallel::Comm& comm, state::Config& config)
      : NodalInstance(comm, config, {"control", "state", "adjoint"}) {
    config.read("problem", options_);
    problem_ = std::make_shared<control::Semilinear>();
    problem_->grid = std::make_shared<control::Grid>(
        comm, control::GridShape{.cells = options_.cells, .element = control::Element::fd});
    problem_->kappa = options_.kappa;
    problem_->misfit = 1.0 - options_.weight;
    problem_->cost = options_.weight;
    problem_->target =
        grid().interpolate([&](const Point& x) { return target_value(options_.target, x); });
    problem_->source = grid().vector();
  }

  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format("semilinear cells={} kappa={} weight={} target={}", options_.cells,
                       options_.kappa, options_.weight, options_.target);
  }
  [[nodiscard]] std::vector<std::string> methods() const override {
    return {"three-set", "pseudo-newton"};
  }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    control::SemilinearOptions options;
    if (name == "three-set") {
      ThreeSetOptions given;
      config.read("method", given);
      options.descend_after = given.descend_after;
      options.coupled = given.coupled;
    } else if (name == "pseudo-newton") {
      options.kink_set = false;
    } else {
      throw ConfigurationError("semilinear is solved by three-set or pseudo-newton, not by `{}`",
                               name);
    }
    auto method = std::make_unique<control::SemilinearControl>(problem_, options);
    reject_unused_petsc_options();
    return method;
  }

  /// The measure is the largest of the relative residuals of the state equation and of
  /// C-stationarity: the distance of W^-1 (misfit M (y - yd) - K p) from kappa [0, 1] p at nodes
  /// with |y| <= 1e-12 max|y|, from kappa p above and from 0 below.
  solve::Certificate certify(state::Stateful& solution) override {
    const NodalSolution functions = stored(solution);
    const auto u = functions.vector("control"), y = functions.vector("state");
    const auto p = functions.vector("adjoint");
    auto image = grid().vector(), work = grid().vector(), scale = grid().vector();
    double largest = 0.0;
    check(VecNorm(y, NORM_INFINITY, &largest));
    const double guard = 1e-12 * largest;
    grid().apply(y, image, nullptr);
    grid().solve_mass(image, image);
    std::int64_t kinks = 0;
    std::int64_t weak = 0;
    {
      const linalg::ConstEntries ye(y), ue(u), e(problem_->source);
      linalg::Entries r(image), s(scale);
      for (std::int64_t i = 0; i < r.size(); ++i) {
        r[i] += options_.kappa * std::max(0.0, ye[i]) - ue[i] - e[i];
        s[i] = ue[i] + e[i];
      }
    }
    const double state = grid().norm(image) / std::max(grid().norm(scale), 1e-300);
    check(VecWAXPY(work, -1.0, problem_->target, y));
    check(VecScale(work, problem_->misfit));
    check(VecCopy(work, scale));
    grid().apply(p, image, nullptr);
    grid().solve_mass(image, image);
    {
      const linalg::ConstEntries ye(y), pe(p);
      linalg::Entries r(image), s(scale);
      for (std::int64_t i = 0; i < r.size(); ++i) {
        const double slope = options_.kappa * pe[i];
        const double term = s[i] - r[i];
        const bool kink = std::abs(ye[i]) <= guard;
        const double low = kink ? std::min(slope, 0.0) : ye[i] > 0.0 ? slope : 0.0;
        const double high = kink ? std::max(slope, 0.0) : ye[i] > 0.0 ? slope : 0.0;
        r[i] = term - std::clamp(term, low, high);
        kinks += kink ? 1 : 0;
        weak += kink && pe[i] > 0.0 ? 1 : 0;
      }
    }
    const double stationarity = grid().norm(image) / std::max(grid().norm(scale), 1e-300);
    return {{{"state_residual_relative", state},
             {"c_stationarity_residual_relative", stationarity},
             {"kink_nodes", static_cast<double>(grid().comm().sum(kinks))},
             {"kink_nodes_not_strongly_stationary", static_cast<double>(grid().comm().sum(weak))}},
            std::max(state, stationarity)};
  }

 protected:
  [[nodiscard]] const control::Grid& grid() const override { return *problem_->grid; }

 private:
  ModelOptions options_;
  std::shared_ptr<control::Semilinear> problem_;
};

}  // namespace

solve::ProblemEntry semilinear_entry() {
  return {
      "control", "semilinear", "track a target under the non-smooth -Lap y + kappa max(0, y) = u",
      [](state::OptionVisitor& visit) { ModelOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<SemilinearInstance>(comm, config);
      }};
}

std::vector<solve::MethodEntry> semilinear_methods() {
  return {{"control", "three-set",
           "pseudo-semismooth Newton with a set of nodes held at the kink, cured of chattering",
           [](state::OptionVisitor& visit) { ThreeSetOptions{}.describe(visit); }},
          {"control", "pseudo-newton", "plain pseudo-semismooth Newton for max(0, y)",
           [](state::OptionVisitor&) {}}};
}

}  // namespace equipoise::problems
