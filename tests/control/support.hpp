#pragma once

#include <equipoise/control/all_at_once.hpp>
#include <equipoise/control/reduced_cg.hpp>
#include <equipoise/control/tracking.hpp>

#include <cmath>
#include <numbers>

namespace equipoise::control {

inline const parallel::Comm& world() {
  static const parallel::Comm comm = parallel::Comm::duplicate(MPI_COMM_WORLD);
  return comm;
}

/// A number in [-0.5, 0.5) that depends on the global index alone.
inline double scrambled(std::int64_t i) {
  const double x = std::sin(static_cast<double>(i + 1) * 12.9898) * 43758.5453;
  return x - std::floor(x) - 0.5;
}

inline linalg::Vector noise(const Grid& grid, std::int64_t seed = 0) {
  linalg::Vector v = grid.vector();
  linalg::Entries e(v);
  for (std::int64_t i = 0; i < e.size(); ++i)
    e[i] = scrambled(grid.owned().begin + i + 7919 * seed);
  return v;
}

/// Steps until the residual is at most `tolerance`; the number of steps, or -1 after `limit`.
inline int run(solve::Method& method, double tolerance, int limit = 500) {
  for (int step = 1; step <= limit; ++step) {
    method.step();
    if (method.report().residual <= tolerance) return step;
  }
  return -1;
}

/// (2x-1)^2 (2y-1)^2 on [0,1/2]^2 and 0 elsewhere: the target of Rees, Dollar and Wathen.
inline double corner_target(const Point& x) {
  if (x[0] > 0.5 || x[1] > 0.5) return 0.0;
  return std::pow(2.0 * x[0] - 1.0, 2) * std::pow(2.0 * x[1] - 1.0, 2);
}

inline std::shared_ptr<Tracking> tracking(const GridShape& shape, double beta,
                                          const std::function<double(const Point&)>& target) {
  auto problem = std::make_shared<Tracking>();
  problem->hierarchy = std::make_shared<Hierarchy>(world(), shape);
  problem->beta = beta;
  problem->target = problem->grid().interpolate(target);
  problem->source = problem->grid().vector();
  return problem;
}

}  // namespace equipoise::control
