#pragma once

#include "obstacle_grid.hpp"

#include <equipoise/problems/vi/obstacle.hpp>
#include <equipoise/solve/method.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace equipoise::problems {

struct ObstacleActiveSetOptions {
  std::int64_t inner_iterations = 50;
  double inner_reduction = 1e-2;
  void describe(state::OptionVisitor& visit);
};

/// Primal-dual active sets (Hintermueller, Ito, Kunisch, SIOPT 13, 2002) for the obstacle problem:
/// u = psi where active, A u = b elsewhere, by conjugate gradients with a multigrid cycle on the
/// free points of every grid; then active := { A u - b > 0 where active, u < psi elsewhere }. The
/// first step is a nested iteration from the coarsest grid: each grid starts from the next
/// coarser one's solution, active where the interpolated indicator is at least 1/2. The number of
/// steps then does not grow with the grid. Grids are halved while n - 1 is even.
///
/// A cycle costs about 40 flops a point, the memory is 9 vectors and a third of that for the
/// coarser grids. The same bits on any number of ranks.
class ObstacleActiveSet final : public solve::Method {
 public:
  /// **Collective.**
  ObstacleActiveSet(parallel::Comm comm, std::shared_ptr<const Obstacle> problem, std::int64_t n,
                    const ObstacleActiveSetOptions& options);
  /// Whether the grid can be halved down to 65 points a side or fewer.
  [[nodiscard]] static bool fits(std::int64_t n);

  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;

 private:
  void nested_start();
  void enter(std::size_t level);
  /// One linear solve and the new active set; returns how many points changed sides.
  std::int64_t improve(std::size_t level);
  void solve(std::size_t level);
  void cycle(std::size_t level);
  void hand_down(std::size_t level);
  [[nodiscard]] double natural_residual(std::size_t level);
  void copy_out();

  parallel::Comm comm_;
  std::shared_ptr<const Obstacle> problem_;
  ObstacleActiveSetOptions options_;
  std::vector<ObstacleGrid> grids_;  ///< the finest first
  std::vector<double> z_;
  std::vector<std::int64_t> active_;
  double reference_ = 0.0;
  std::int64_t steps_ = 0, cycles_ = 0;
  solve::Report report_;
};

}  // namespace equipoise::problems
