#pragma once

#include <equipoise/control/grid.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/state/options.hpp>

#include <functional>
#include <memory>
#include <vector>

namespace equipoise::control {

/// Find y >= psi with -Lap y >= f and (-Lap y - f)(y - psi) = 0, y = g on the boundary, in finite
/// differences on every grid of a hierarchy.
struct Obstacle {
  std::shared_ptr<const Hierarchy> hierarchy;
  std::function<double(const Point&)> obstacle, load, boundary;  ///< psi, f, g
};

/// Adds to a load what Dirichlet data contribute: -K times the boundary values. Communication-free.
void add_boundary(const Grid& grid, const std::function<double(const Point&)>& data, Vec load);

struct ObstacleOptions {
  bool nested = true;  ///< start each grid from the active set of the next coarser one
  void describe(state::OptionVisitor& visit);
};

/// Primal-dual active set method with grid sequencing: active = {lambda + psi - y > 0}, y = psi
/// there and -Lap y = f elsewhere, until the set repeats; then the indicator of the set is
/// interpolated to the next finer grid, active where it is at least 1/2. From a cold start the
/// count grows with the mesh; nested it does not. Source: Hintermueller, Ito, Kunisch, SIOPT 13
/// (2002).
class ObstacleMethod : public solve::Method {
 public:
  /// The grids must have the element `fd`. **Collective.**
  ObstacleMethod(Obstacle problem, const ObstacleOptions& options);
  /// One linear solve on the current grid. **Collective.**
  void step() override;
  /// The residual is |min(lambda, y - psi)| on the finest grid, in L2 relative to |psi|; unknown
  /// before it.
  [[nodiscard]] solve::Report report() const override;
  /// Solves in all and on each grid.
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;
  [[nodiscard]] bool done() const { return done_; }
  /// Solves on each grid, finest first, the confirming ones included.
  [[nodiscard]] const std::vector<std::int64_t>& solves_per_grid() const { return per_grid_; }
  [[nodiscard]] std::int64_t active_nodes() const { return active_nodes_; }
  [[nodiscard]] const std::vector<double>& state() const { return y_; }
  [[nodiscard]] const std::vector<double>& multiplier() const { return lambda_; }

 private:
  [[nodiscard]] const Grid& grid() const {
    return *problem_.hierarchy->grids[static_cast<std::size_t>(level_)];
  }
  void enter();   // makes the vectors and the load of the current grid
  void solve();   // y and lambda for the current active set
  void refine();  // takes the active set to the next finer grid
  Obstacle problem_;
  std::int64_t level_ = 0;  // index into the grids, finest first
  linalg::Vector load_, obstacle_;
  std::int64_t entered_ = -1;  // the grid that load_ and obstacle_ belong to
  std::vector<std::int64_t> active_, per_grid_;
  std::vector<double> y_, lambda_;
  double residual_ = solve::Report::unknown;
  std::int64_t solves_ = 0, active_nodes_ = 0, done_ = 0;
};

}  // namespace equipoise::control
