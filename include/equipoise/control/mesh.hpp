#pragma once

#include <equipoise/control/grid.hpp>
#include <equipoise/parallel/comm.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::control {

/// A mesh of triangles or tetrahedra, whole: points, cells (the first dimension + 1 entries of each
/// array are its corners) and boundary facets (the first `dimension` entries), with the physical
/// tags of both; 0 where the file gives none.
struct Mesh {
  int dimension = 2;
  std::vector<Point> points;
  std::vector<std::array<std::int64_t, 4>> cells;
  std::vector<std::int64_t> cell_tags;
  std::vector<std::array<std::int64_t, 3>> facets;
  std::vector<std::int64_t> facet_tags;
  std::string origin;  ///< file or description, for messages

  /// Volume (area in 2-D) of a cell, negative for one turned inside out.
  [[nodiscard]] double volume(std::size_t cell) const;
};

/// Reads a Gmsh file (.msh) by PETSc's DMPlex and refines it `refinements` times, each cell into 4
/// triangles or 8 tetrahedra. Rank 0 reads; every rank gets the whole mesh. Throws InputError (on
/// all ranks) for a file that is missing, broken, of mixed dimension or of other cells than
/// triangles or tetrahedra, or with a cell of no volume. **Collective.**
[[nodiscard]] Mesh read_gmsh(const parallel::Comm& comm, const std::string& path,
                             std::int64_t refinements);

/// The unit box, `cells` intervals a direction graded as in `GridShape`, every square cut into two
/// triangles, every cube into six tetrahedra. Facet tags 1, 2 for the ends of x, 3, 4 of y, 5, 6
/// of z. Communication-free.
[[nodiscard]] Mesh box_mesh(int dimension, std::int64_t cells, double grading = 0.0);

}  // namespace equipoise::control
