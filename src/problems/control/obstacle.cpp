#include "entries_private.hpp"
#include "nodal_instance.hpp"

#include <equipoise/control/moreau_yosida.hpp>
#include <equipoise/control/obstacle.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using control::Point;
using linalg::check;

/// A membrane over the upper half of the unit ball on (-2,2)^2; it touches up to this radius.
constexpr double contact_radius = 0.6979651482;

double ball(const Point& x) {
  const double r2 = x[0] * x[0] + x[1] * x[1];
  return r2 < 1.0 ? std::sqrt(1.0 - r2) : -1.0;
}

double membrane(const Point& x) {
  const double r = std::hypot(x[0], x[1]);
  const double c = contact_radius * contact_radius;
  return r <= contact_radius ? std::sqrt(1.0 - r * r) : -c * std::log(r / 2.0) / std::sqrt(1.0 - c);
}

struct BallOptions {
  std::int64_t cells = 128;
  void describe(state::OptionVisitor& visit) {
    visit.option("cells", cells, "cells per direction", {2.0, 1e6});
  }
};

class ObstacleInstance : public NodalInstance {
 public:
  ObstacleInstance(const parallel::Comm& comm, state::Config& config)
      : NodalInstance(comm, config, {"state", "multiplier"}) {
    config.read("problem", options_);
    problem_.hierarchy = std::make_shared<control::Hierarchy>(
        comm,
        control::GridShape{
            .cells = options_.cells, .element = control::Element::fd, .lower = -2.0, .upper = 2.0});
    problem_.obstacle = ball;
    problem_.load = [](const Point&) { return 0.0; };
    problem_.boundary = membrane;
  }

  [[nodiscard]] std::string fingerprint() const override {
    return fmt::format("obstacle-control ball cells={}", options_.cells);
  }
  [[nodiscard]] std::vector<std::string> methods() const override {
    return {"obstacle-active-set", "moreau-yosida"};
  }

  std::unique_ptr<solve::Method> make_method(const std::string& name,
                                             state::Config& config) override {
    std::unique_ptr<solve::Method> method;
    if (name == "obstacle-active-set") {
      control::ObstacleOptions options;
      config.read("method", options);
      method = std::make_unique<control::ObstacleMethod>(problem_, options);
    } else if (name == "moreau-yosida") {
      control::PathOptions options;
      config.read("method", options);
      method = std::make_unique<control::PenalisedObstacle>(problem_, options);
    } else {
      throw ConfigurationError(
          "obstacle-control is solved by obstacle-active-set or moreau-yosida, not by `{}`", name);
    }
    reject_unused_petsc_options();
    return method;
  }

  /// From the stored state alone: lambda = -Lap y by the five-point formula. The measure is
  /// |min(lambda, y - psi)| in L2 relative to |psi|.
  solve::Certificate certify(state::Stateful& solution) override {
    const auto y = stored(solution).vector("state");
    auto lambda = grid().vector();
    grid().apply(y, lambda, nullptr);
    const double h = 4.0 / static_cast<double>(options_.cells);
    const auto psi = grid().interpolate(ball);
    double error = 0.0;
    std::int64_t active = 0;
    {
      linalg::Entries out(lambda);
      const linalg::ConstEntries ye(y), obstacle(psi);
      for (std::int64_t i = 0; i < out.size(); ++i) {
        const Point x = grid().point(grid().owned().begin + i);
        double value = out[i] / (h * h);
        for (std::size_t d = 0; d < 2; ++d) {
          for (const double side : {-1.0, 1.0}) {
            if (std::abs(x[d] + side * h) < 2.0 - 0.5 * h) continue;
            Point edge = x;
            edge[d] = 2.0 * side;
            value -= membrane(edge) / (h * h);
          }
        }
        out[i] = std::min(value, ye[i] - obstacle[i]);
        // What the solver left of lambda off the contact set is roundoff of y/h^2.
        active += ye[i] <= obstacle[i] + 1e-14 ? 1 : 0;
        error = std::max(error, std::abs(ye[i] - membrane(x)));
      }
    }
    const double residual = grid().norm(lambda) / grid().norm(psi);
    return {{{"natural_residual_relative", residual},
             {"contact_nodes", static_cast<double>(grid().comm().sum(active))},
             {"distance_to_exact_solution_max_norm", grid().comm().max(error)}},
            residual};
  }

 protected:
  [[nodiscard]] const control::Grid& grid() const override { return problem_.hierarchy->finest(); }

 private:
  BallOptions options_;
  control::Obstacle problem_;
};

}  // namespace

solve::ProblemEntry obstacle_entry() {
  return {
      "control", "obstacle-control", "a membrane over a ball, with known contact set and solution",
      [](state::OptionVisitor& visit) { BallOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        return std::make_unique<ObstacleInstance>(comm, config);
      }};
}

std::vector<solve::MethodEntry> obstacle_methods() {
  return {{"control", "obstacle-active-set", "active sets carried from grid to grid",
           [](state::OptionVisitor& visit) { control::ObstacleOptions{}.describe(visit); }}};
}

}  // namespace equipoise::problems
