#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::problems {

/// One grid of the multigrid for obstacle problems: n x n points with the boundary, stored as rows
/// of n, the owned interior rows and around them the rows that are read, foreign ones or the
/// boundary. A is the five-point stencil / h^2; every operation touches free points alone, those
/// with `free` 1 (others have 0). Each point is computed by one rank: the same bits on any number
/// of ranks.
class ObstacleGrid {
 public:
  using Vector = std::vector<double>;  ///< all stored points

  /// `offsets`: interior rows by rank. `also`: further interior rows that this rank reads.
  /// **Collective.**
  ObstacleGrid(const parallel::Comm& comm, std::int64_t n, std::vector<std::int64_t> offsets,
               partition::Range also);
  /// The grid with every other point, its rows with the owners of the coinciding ones here.
  /// **Collective.**
  [[nodiscard]] ObstacleGrid coarser() const;
  [[nodiscard]] bool can_be_halved() const { return n_ % 2 == 1 && n_ > 5; }

  [[nodiscard]] std::int64_t points() const { return n_; }
  [[nodiscard]] partition::Range owned() const { return owned_; }  ///< interior rows
  /// Interior row i, from its boundary column on; -1 and n - 2 are the boundary.
  double* row(Vector& v, std::int64_t i) const { return v.data() + (i - first_) * n_; }
  [[nodiscard]] const double* row(const Vector& v, std::int64_t i) const {
    return v.data() + (i - first_) * n_;
  }
  /// Fills the rows of `v` that belong to others. **Collective** among neighbours.
  void exchange(Vector& v);
  [[nodiscard]] double dot(const Vector& a, const Vector& b) const;

  /// out := A v at free points, 0 elsewhere. **Collective** among neighbours.
  void apply(Vector& v, Vector& out);
  /// A v at one owned point; the rows around it must be there.
  [[nodiscard]] double stencil(const Vector& v, std::int64_t i, std::int64_t j) const;
  /// Gauss-Seidel for A e = r at the free points of one colour. **Collective** among neighbours.
  void smooth(Vector& e, const Vector& r, std::int64_t colour);
  /// coarse := what the adjoint of bilinear interpolation (over 4) makes of v. **Collective.**
  void restrict_to(ObstacleGrid& coarse, Vector& v, Vector& to);
  /// to := to + the interpolated `from`, at free points, or everywhere inside. **Collective.**
  void add_from(ObstacleGrid& coarse, Vector& from, Vector& to, bool everywhere) const;

  Vector u, psi, free;
  Vector r, e, p, ap;  ///< of conjugate gradients
  [[nodiscard]] double scale() const { return scale_; }

 private:
  parallel::Comm comm_;
  std::int64_t n_;
  std::vector<std::int64_t> offsets_;
  partition::Range owned_;
  std::int64_t first_ = -1, last_ = 0;  ///< rows stored
  partition::Layout layout_;
  partition::Halo halo_;
  double scale_;
};

}  // namespace equipoise::problems
