#pragma once

#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/vi/problem.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

/// A membrane over an obstacle: -Lap u >= 0, u >= psi, and equality in one of them everywhere, on
/// the square
/// [-2, 2]^2; psi is the upper half of the unit ball for r <= 0.9, continued by its tangent in r.
/// The boundary values are those of the exact solution
///
///     u = psi                (r <  a),   a = 0.697965148223374,
///     u = -A ln r + B        (r >= a),   A = a^2 / sqrt(1 - a^2),  B = A ln 2.
///
/// Discretised by the five-point stencil / h^2 on n x n grid points with the boundary, h = 4 / (n -
/// 1). The unknowns are the (n-2)^2 interior points, row by row in y and x fastest; a chunk is a
/// grid row, and a rank owns whole rows. F(u) = A u - b with b the boundary values / h^2; Z = { u
/// >= psi }. A is symmetric positive definite, so the inequality is also min_{u >= psi} u'Au/2 -
/// b'u. `solution` is the exact continuous u: the discrete one differs from it by about O(h^2).
class Obstacle {
 public:
  /// `rank` is who this object serves, among `ranks`. Throws a ConfigurationError for n < 3 or n >
  /// 30000.
  explicit Obstacle(std::int64_t n, int ranks = 1, int rank = 0);

  /// Exact solution and obstacle at distance r from the centre.
  [[nodiscard]] static double exact(double r);
  [[nodiscard]] static double psi(double r);

  [[nodiscard]] const partition::Layout& layout() const { return layout_; }
  /// The rows next to the owned ones.
  [[nodiscard]] std::vector<std::int64_t> ghosts(int rank) const;
  /// Owned entries of A u - b. `owned` may be any range of whole rows. 7 flops an unknown,
  /// vectorised.
  void apply_partitioned(partition::Range owned, std::span<const double> u,
                         std::span<const double> ghost_values, std::span<double> out) const;
  /// u := max(u, psi) for any step. `owned` must lie in this rank's rows, as below.
  void prox(double step, partition::Range owned, std::span<double> u) const;
  /// max(psi, 0).
  void start(partition::Range owned, std::span<double> u) const;
  bool solution(partition::Range owned, std::span<double> u) const;
  /// The largest and smallest eigenvalue of A, exactly: 8/h^2 cos^2 and sin^2 of pi / (2 (n - 1)).
  [[nodiscard]] equipoise::vi::Constants constants() const;
  /// F is the gradient of the membrane's energy.
  [[nodiscard]] bool symmetric() const { return true; }
  [[nodiscard]] equipoise::vi::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const;
  /// Grid width.
  [[nodiscard]] double width() const { return 4.0 / static_cast<double>(n_ - 1); }

 private:
  /// Coordinate of interior line i along an axis.
  [[nodiscard]] double at(std::int64_t i) const {
    return -2.0 + static_cast<double>(i + 1) * width();
  }
  /// value(r) at the owned points.
  template <class Value>
  void fill(partition::Range owned, std::span<double> out, Value value) const;

  std::int64_t n_;
  std::int64_t m_;  // interior points a side
  partition::Layout layout_;
  partition::Range owned_;
  std::vector<double> psi_;   // of the owned points
  std::vector<double> edge_;  // [m] boundary values along one side; the four sides are alike
};

static_assert(equipoise::vi::PartitionedProblem<Obstacle>);

/// Registry entries: family vi, name obstacle, and its own method.
solve::ProblemEntry obstacle_problem();
solve::MethodEntry nested_active_set_method();

}  // namespace equipoise::problems
