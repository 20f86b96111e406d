#pragma once

#include <equipoise/control/mesh.hpp>
#include <equipoise/linalg/petsc.hpp>
#include <equipoise/partition/partition.hpp>

#include <functional>
#include <vector>

namespace equipoise::control {

/// What a coefficient may depend on: the place, the tag of the cell, the values there of up to
/// three nodal functions and the gradient of the first (0 where none is given).
struct Place {
  Point x{};
  std::int64_t tag = 0;
  std::array<double, 3> values{};
  Point gradient{};
};

/// Coefficients of the bilinear form
///
///     a(v, w) = int diffusion grad v . grad w + directed (d . grad v)(d . grad w)
///               + (advection . grad v) w + reaction v w,   d = direction.
struct Form {
  double diffusion = 0.0, reaction = 0.0, directed = 0.0;
  Point advection{}, direction{};
};

/// Continuous finite elements of degree 1 or 2 on a mesh of triangles or tetrahedra, dealt to the
/// ranks in contiguous pieces.
///
/// Nodes (corners, and for degree 2 the middles of edges) are numbered along a space-filling curve
/// (Morton), independent of the number of ranks: this is the order of vectors, checkpoints and
/// output. Each rank holds the cells that touch its nodes and assembles its rows alone, cell by
/// cell in the order of the mesh: matrices and loads have the same bits on any number of ranks and
/// assembly never communicates.
class FiniteElements {
 public:
  using Coefficient = std::function<Form(const Place&)>;
  using Source = std::function<double(const Place&)>;
  using Functions = std::vector<Vec>;  ///< what Place::values are taken from, at most three
  /// Every rank gives the whole mesh. Dirichlet nodes are those of the boundary facets with one of
  /// the tags, of all boundary facets if none is given. Throws ConfigurationError for a degree
  /// other than 1 and 2 or a tag that no boundary facet has. **Collective.**
  FiniteElements(const parallel::Comm& comm, const Mesh& mesh, int degree,
                 const std::vector<std::int64_t>& dirichlet);

  [[nodiscard]] const parallel::Comm& comm() const { return comm_; }
  [[nodiscard]] int dimension() const { return dimension_; }
  [[nodiscard]] int degree() const { return degree_; }
  [[nodiscard]] std::int64_t nodes() const { return partition_.size(); }
  [[nodiscard]] const partition::Partition& partition() const { return partition_; }
  [[nodiscard]] partition::Range owned() const { return partition_.range(comm_.rank()); }
  /// Coordinates of the owned nodes, and whether they carry Dirichlet data.
  [[nodiscard]] const std::vector<Point>& points() const { return points_; }
  [[nodiscard]] const std::vector<char>& dirichlet() const { return fixed_; }
  /// Number of cells of the whole mesh, their volume, and the corners of the box around it.
  [[nodiscard]] std::int64_t cells() const { return cell_count_; }
  [[nodiscard]] double volume() const { return volume_; }
  [[nodiscard]] const Point& lower() const { return lower_; }
  [[nodiscard]] const Point& upper() const { return upper_; }
  /// Cells that this rank writes (those whose first node it owns), by node numbers: (dimension + 1)
  /// corners, then for degree 2 the middles of the edges 01 02 12 (03 13 23).
  [[nodiscard]] std::vector<std::vector<std::int64_t>> written_cells() const;

  [[nodiscard]] linalg::Vector vector() const;
  [[nodiscard]] linalg::Vector interpolate(const std::function<double(const Point&)>& f) const;
  /// The matrix of a form; with `constrained` rows and columns of Dirichlet nodes are those of the
  /// identity. **Collective.**
  [[nodiscard]] linalg::Matrix assemble(const Coefficient& form, bool constrained,
                                        const Functions& functions = {}) const;
  /// The same into a matrix made by `assemble`. **Collective.**
  void assemble(const Coefficient& form, bool constrained, const Functions& functions,
                Mat matrix) const;
  /// out_i = int f phi_i over the owned nodes. **Collective** with functions.
  void load(const Source& f, const Functions& functions, Vec out) const;
  /// int f over the domain. **Collective.**
  [[nodiscard]] double integrate(const Source& f, const Functions& functions) const;
  /// Sets the entries at Dirichlet nodes to 0.
  void clear_dirichlet(Vec v) const;
  /// The matrix [points x nodes] that evaluates functions at points of the domain, dealt uniformly.
  /// Throws ConfigurationError for a point outside. **Collective.**
  [[nodiscard]] linalg::Matrix evaluation(const std::vector<Point>& points) const;
  /// Largest and smallest eigenvalue of diag(M)^-1 M are within these bounds, those of the
  /// reference cell (Wathen, IMA J. Numer. Anal. 7, 1987).
  [[nodiscard]] std::pair<double, double> mass_bounds() const;

 private:
  struct Rule;  // quadrature with the basis functions at its points
  struct Cell {
    std::array<std::int32_t, 10> nodes{};  // into local_
    std::int64_t tag = 0;
  };
  struct Geometry {
    double volume = 0.0;
    std::array<Point, 4> slopes{};  // gradients of the barycentric coordinates
  };
  [[nodiscard]] std::size_t width() const {
    return static_cast<std::size_t>(degree_ == 1 ? dimension_ + 1
                                                 : (dimension_ + 1) * (dimension_ + 2) / 2);
  }
  [[nodiscard]] std::size_t corners() const { return static_cast<std::size_t>(dimension_) + 1; }
  [[nodiscard]] Geometry geometry(const Cell& cell) const;
  [[nodiscard]] const Rule& rule() const;
  void number(const Mesh& mesh, const std::vector<std::int64_t>& dirichlet);
  void make_pattern();
  /// Calls visit(point, slopes, place, weight) at every quadrature point of each local cell, then
  /// finish(cell).
  template <class Visit, class Finish>
  void for_each_point(const Functions& functions, Visit&& visit, Finish&& finish) const;
  [[nodiscard]] std::vector<double> local_values(Vec function) const;

  parallel::Comm comm_;
  int dimension_, degree_;
  partition::Partition partition_;
  std::vector<Point> points_, local_points_;
  std::vector<char> fixed_, local_fixed_;
  std::vector<std::int64_t> local_;  // global numbers of the nodes of local cells, ascending
  std::vector<Cell> cells_;
  std::int64_t cell_count_ = 0;
  double volume_ = 0.0;
  Point lower_{}, upper_{};
  linalg::Vector ghost_;
  linalg::Scatter scatter_;
  std::vector<PetscInt> row_begin_, columns_;  // pattern of the owned rows
};

}  // namespace equipoise::control
