#pragma once

#include <equipoise/partition/halo.hpp>
#include <equipoise/problems/vi/obstacle.hpp>
#include <equipoise/solve/method.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace equipoise::problems {

struct ObstacleMultigridOptions {
  std::int64_t smoothings = 2;
  void describe(state::OptionVisitor& visit);
};

/// One grid: rows of points with the boundary columns, the owned interior rows and around them the
/// rows that are read, foreign ones or the boundary.
class ObstacleLevel {
 public:
  /// `offsets`: interior rows by rank. `also`: further interior rows that this rank reads.
  ObstacleLevel(const parallel::Comm& comm, std::int64_t n, std::vector<std::int64_t> offsets,
                partition::Range also);

  [[nodiscard]] std::int64_t points() const { return n_; }
  [[nodiscard]] const std::vector<std::int64_t>& offsets() const { return offsets_; }
  [[nodiscard]] partition::Range owned() const { return owned_; }  ///< interior rows
  /// Interior row i, from its boundary column on; -1 and n - 2 are the boundary.
  double* row(std::vector<double>& v, std::int64_t i) const { return v.data() + (i - first_) * n_; }
  [[nodiscard]] const double* row(const std::vector<double>& v, std::int64_t i) const {
    return v.data() + (i - first_) * n_;
  }
  /// Fills the rows of `v` that belong to others. **Collective** among neighbours.
  void exchange(std::vector<double>& v);
  /// So many sweeps u := max(psi, (h^2 f + sum of neighbours) / 4), red points first.
  /// **Collective.**
  void smooth(std::int64_t sweeps);
  /// out := f - A u at row i, [n].
  void residual(std::int64_t i, bool free_only, double* out) const;

  std::vector<double> u, f, psi;
  std::vector<double> work;    ///< the residual, before it is taken to the coarser grid
  std::vector<double> before;  ///< u as it came from the finer grid, then its change

 private:
  std::int64_t n_;
  std::vector<std::int64_t> offsets_;
  partition::Range owned_;
  std::int64_t first_ = -1, last_ = 0;  ///< rows stored
  partition::Halo halo_;
  double scale_;
};

/// Projected full approximation scheme (Brandt and Cryer 1983) for the obstacle problem: V-cycles
/// of projected red-black Gauss-Seidel, where residuals are taken over to the coarser grid from
/// points off the obstacle alone, so that the solution is a fixed point. The first step is a nested
/// iteration from the coarsest grid. Grids need n - 1 = c 2^k with c <= 64. A few dozen flops a
/// point and cycle, about 7 vectors; every point is computed by one rank: the same bits on any
/// number of ranks.
class ObstacleMultigrid final : public solve::Method {
 public:
  /// `start`: z of the problem's start, [owned]. **Collective.**
  ObstacleMultigrid(parallel::Comm comm, std::shared_ptr<const Obstacle> problem, std::int64_t n,
                    const ObstacleMultigridOptions& options);
  /// Whether the grid can be halved often enough.
  [[nodiscard]] static bool fits(std::int64_t n);

  void step() override;
  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] parallel::Traffic traffic() const override { return {}; }
  [[nodiscard]] solve::Counters counters() const override;
  void fields(state::FieldVisitor& visit) override;
  void solution(state::FieldVisitor& visit) override;

 private:
  void cycle(std::size_t level);
  void restrict_to(std::size_t level);
  void correct_from(std::size_t level);
  void nested_start();
  void measure();
  void to_vector();

  parallel::Comm comm_;
  std::shared_ptr<const Obstacle> problem_;
  ObstacleMultigridOptions options_;
  std::vector<ObstacleLevel> levels_;  ///< the finest first
  std::vector<double> z_, scratch_, line_;
  double reference_ = 0.0;
  std::int64_t cycles_ = 0;
  solve::Report report_;
};

}  // namespace equipoise::problems
