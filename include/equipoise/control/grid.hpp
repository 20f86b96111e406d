#pragma once

#include <equipoise/linalg/petsc.hpp>
#include <equipoise/partition/partition.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace equipoise::control {

using Point = std::array<double, 3>;  ///< coordinates; those beyond the dimension are 0

/// `q1`: multilinear finite elements with their consistent mass matrix. `fd`: the (2d+1)-point
/// finite differences, written as finite elements with vertex quadrature: lumped mass, h^d on a
/// uniform grid.
enum class Element { q1, fd };

/// A box (lower, upper)^dimension cut into `cells` cells per direction, with homogeneous Dirichlet
/// data. Only interior nodes are unknowns: n = 4 cells in 2-D are 3 x 3 unknowns, numbered x
/// fastest:
///
///     6 7 8
///     3 4 5      over two ranks: rank 0 owns 0..4, rank 1 owns 5..8
///     0 1 2
///
/// Node i of a direction lies at t - grading sin(2 pi t)/(2 pi), t = i/cells, scaled to the box:
/// cells grow from 1 - grading at the ends to 1 + grading in the middle, in units of the uniform
/// width.
struct GridShape {
  int dimension = 2;
  std::int64_t cells = 64;
  Element element = Element::q1;
  double lower = 0.0, upper = 1.0;
  double grading = 0.0;
};

/// Whole planes (lines in 2-D, nodes in 1-D) around the nodes that a rank owns, fetched from other
/// ranks.
class PlaneWindow {
 public:
  /// `overlap` planes on each side of the owned ones, as far as the grid goes. `layout` is any
  /// vector of the grid. **Collective.**
  PlaneWindow(Vec layout, partition::Range owned, std::int64_t plane, std::int64_t planes_in_all,
              std::int64_t overlap);
  /// Fills the window from a vector. **Collective.**
  void fetch(Vec global);
  [[nodiscard]] Vec local() const { return local_; }
  [[nodiscard]] std::int64_t first_plane() const { return first_; }
  [[nodiscard]] std::int64_t planes() const { return planes_; }  ///< planes held
  [[nodiscard]] std::int64_t plane() const { return plane_; }    ///< nodes in a plane
  /// The planes, counted in the whole grid, that hold owned nodes.
  [[nodiscard]] partition::Range owned_planes() const { return owned_planes_; }

 private:
  std::int64_t plane_, first_ = 0, planes_ = 0;
  partition::Range owned_planes_;
  linalg::Vector local_;
  linalg::Scatter scatter_;
};

/// A grid over the ranks of a communicator: unknowns in natural order, dealt in equal contiguous
/// pieces, with the stiffness matrix K and the mass matrix M.
class Grid {
 public:
  /// **Collective.** Assembles K and M. Throws ConfigurationError for a shape that makes no sense
  /// or is too large for PETSc's integers.
  Grid(const parallel::Comm& comm, const GridShape& shape);
  ~Grid();

  [[nodiscard]] const parallel::Comm& comm() const { return comm_; }
  [[nodiscard]] const GridShape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t nodes() const { return partition_.size(); }
  [[nodiscard]] std::int64_t line() const { return shape_.cells - 1; }  ///< unknowns per direction
  [[nodiscard]] const partition::Partition& partition() const { return partition_; }
  [[nodiscard]] partition::Range owned() const { return partition_.range(comm_.rank()); }
  /// Coordinates of the cells + 1 nodes of each direction, the boundary included.
  [[nodiscard]] const std::vector<double>& coordinates() const { return coordinates_; }
  [[nodiscard]] Point point(std::int64_t node) const;

  [[nodiscard]] Mat stiffness() const { return stiffness_; }
  [[nodiscard]] Mat mass() const { return mass_; }
  /// Row sums of the mass matrix over all nodes, the boundary included: the integrals of the hat
  /// functions.
  [[nodiscard]] Vec lumped_mass() const { return lumped_; }
  /// stiffness_factor K + mass_factor M. **Collective.**
  [[nodiscard]] linalg::Matrix assemble(double stiffness_factor, double mass_factor) const;
  /// A zero vector of nodal values.
  [[nodiscard]] linalg::Vector vector() const;
  /// The values of `function` at the nodes. Communication-free.
  [[nodiscard]] linalg::Vector interpolate(
      const std::function<double(const Point&)>& function) const;
  /// x = M^-1 b, exactly: M is a Kronecker product of tridiagonal matrices, solved direction by
  /// direction. Ranks exchange 32 planes on each side, beyond which the influence is below 1e-18. b
  /// and x may be the same vector. Cost: about one product with M. **Collective.**
  void solve_mass(Vec b, Vec x) const;
  /// stiffness_image = K x and mass_image = M x in one pass over x, from the tridiagonal matrices
  /// of the directions. Either image may be null. Shares no code with the assembled matrices.
  /// **Collective.**
  void apply(Vec x, Vec stiffness_image, Vec mass_image) const;
  /// sqrt(v^T M v). **Collective.**
  [[nodiscard]] double norm(Vec v) const;
  /// a^T M b. **Collective.**
  [[nodiscard]] double inner(Vec a, Vec b) const;
  /// The largest eigenvalue of diag(A)^-1 A for A = a K + b M is at most this, cell by cell
  /// (Wathen's bound).
  [[nodiscard]] double jacobi_bound(double stiffness_factor, double mass_factor) const;

 private:
  [[nodiscard]] std::array<std::int64_t, 3> position(std::int64_t node) const;
  struct Product;  // what `apply` works with
  void apply_line(const double* x, double* k, double* m) const;
  void apply_plane(const double* x, double* k, double* m) const;
  void combine(std::int64_t plane, std::int64_t count, const std::array<const double*, 3>& k,
               const std::array<const double*, 3>& m, double* k_out, double* m_out) const;

  parallel::Comm comm_;
  GridShape shape_;
  partition::Partition partition_;
  std::vector<double> coordinates_;
  // Tridiagonal matrices of one direction: diagonal and the entry towards the next node.
  std::vector<double> stiffness_diagonal_, stiffness_next_, mass_diagonal_, mass_next_;
  linalg::Matrix stiffness_, mass_;
  linalg::Vector lumped_;
  std::unique_ptr<PlaneWindow> mass_window_;
  std::unique_ptr<Product> product_;
  // L D L^T factors of the 1-D mass matrix: across the planes held, and within a plane.
  std::vector<double> across_factor_, across_inverse_, within_factor_, within_inverse_;
  linalg::Vector work_;
};

/// A grid and its coarsenings, each with half the cells, down to an odd number of cells or 4 of
/// them.
struct Hierarchy {
  std::vector<std::shared_ptr<const Grid>> grids;  ///< finest first
  std::vector<linalg::Matrix> interpolations;      ///< [l]: from grid l+1 to grid l, multilinear
  /// **Collective.**
  Hierarchy(const parallel::Comm& comm, const GridShape& shape);
  [[nodiscard]] const Grid& finest() const { return *grids.front(); }
  /// The same without the finest grid; nothing is copied.
  [[nodiscard]] std::shared_ptr<const Hierarchy> coarser() const;

 private:
  Hierarchy() = default;
};

}  // namespace equipoise::control
