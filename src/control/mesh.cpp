#include <equipoise/control/mesh.hpp>
#include <equipoise/parallel/agree.hpp>

#include <petscdmplex.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <numbers>

namespace equipoise::control {

using linalg::check;

namespace {

using Plex = linalg::Handle<DM, DMDestroy>;

/// Corners of a cell or facet, as numbers of vertices.
std::vector<std::int64_t> corners(DM dm, PetscInt point, PetscInt first_vertex,
                                  PetscInt last_vertex) {
  PetscInt size = 0;
  PetscInt* closure = nullptr;
  check(DMPlexGetTransitiveClosure(dm, point, PETSC_TRUE, &size, &closure));
  std::vector<std::int64_t> result;
  for (PetscInt k = 0; k < size; ++k) {
    const PetscInt q = closure[2 * k];
    if (q >= first_vertex && q < last_vertex) result.push_back(q - first_vertex);
  }
  check(DMPlexRestoreTransitiveClosure(dm, point, PETSC_TRUE, &size, &closure));
  return result;
}

std::int64_t tag(DM dm, const char* label, PetscInt point) {
  PetscBool exists = PETSC_FALSE;
  check(DMHasLabel(dm, label, &exists));
  PetscInt value = 0;
  if (exists == PETSC_TRUE) check(DMGetLabelValue(dm, label, point, &value));
  return std::max<PetscInt>(value, 0);
}

void take_points(DM dm, Mesh& mesh) {
  Vec coordinates = nullptr;
  check(DMGetCoordinatesLocal(dm, &coordinates));
  const linalg::ConstEntries values(coordinates);
  PetscInt width = 0, begin = 0, end = 0;
  check(DMGetCoordinateDim(dm, &width));
  check(DMPlexGetDepthStratum(dm, 0, &begin, &end));
  PetscSection section = nullptr;
  check(DMGetCoordinateSection(dm, &section));
  for (PetscInt v = begin; v < end; ++v) {
    PetscInt offset = 0;
    check(PetscSectionGetOffset(section, v, &offset));
    Point x{};
    for (PetscInt d = 0; d < width; ++d) x[static_cast<std::size_t>(d)] = values[offset + d];
    mesh.points.push_back(x);
  }
}

void take_cells(DM dm, Mesh& mesh) {
  const auto wanted = mesh.dimension == 2 ? DM_POLYTOPE_TRIANGLE : DM_POLYTOPE_TETRAHEDRON;
  PetscInt first_vertex = 0, last_vertex = 0, begin = 0, end = 0;
  check(DMPlexGetDepthStratum(dm, 0, &first_vertex, &last_vertex));
  check(DMPlexGetHeightStratum(dm, 0, &begin, &end));
  for (PetscInt c = begin; c < end; ++c) {
    DMPolytopeType type = DM_POLYTOPE_POINT;
    check(DMPlexGetCellType(dm, c, &type));
    if (type != wanted) {
      throw InputError(
          "{}: cell {} is a {}; the mesh must consist of {} alone (mixed meshes are not supported)",
          mesh.origin, c - begin + 1, DMPolytopeTypes[type],
          mesh.dimension == 2 ? "triangles" : "tetrahedra");
    }
    const auto vertices = corners(dm, c, first_vertex, last_vertex);
    std::array<std::int64_t, 4> cell{};
    std::copy(vertices.begin(), vertices.end(), cell.begin());
    mesh.cells.push_back(cell);
    mesh.cell_tags.push_back(tag(dm, "Cell Sets", c));
  }
  check(DMPlexGetHeightStratum(dm, 1, &begin, &end));
  for (PetscInt f = begin; f < end; ++f) {
    PetscInt support = 0;
    check(DMPlexGetSupportSize(dm, f, &support));
    if (support != 1) continue;
    const auto vertices = corners(dm, f, first_vertex, last_vertex);
    std::array<std::int64_t, 3> facet{};
    std::copy(vertices.begin(), vertices.end(), facet.begin());
    mesh.facets.push_back(facet);
    mesh.facet_tags.push_back(tag(dm, "Face Sets", f));
  }
}

Mesh read_here(const std::string& path, std::int64_t refinements) {
  if (!std::ifstream(path))
    throw InputError("{}: no such mesh file; give the path of a Gmsh file (.msh)", path);
  Mesh mesh;
  mesh.origin = path;
  try {
    Plex dm;
    check(DMPlexCreateGmshFromFile(PETSC_COMM_SELF, path.c_str(), PETSC_TRUE, dm.put()));
    PetscInt dimension = 0;
    check(DMGetDimension(dm, &dimension));
    if (dimension != 2 && dimension != 3) {
      throw InputError("{}: a mesh of dimension {}; it must hold triangles or tetrahedra", path,
                       dimension);
    }
    mesh.dimension = static_cast<int>(dimension);
    for (std::int64_t k = 0; k < refinements; ++k) {
      if (k == 0) take_cells(dm, mesh);  // cells that cannot be refined are named first
      Plex fine;
      check(DMPlexSetRefinementUniform(dm, PETSC_TRUE));
      check(DMRefine(dm, PETSC_COMM_SELF, fine.put()));
      dm = std::move(fine);
    }
    mesh.cells.clear(), mesh.cell_tags.clear(), mesh.facets.clear(), mesh.facet_tags.clear();
    take_points(dm, mesh);
    take_cells(dm, mesh);
  } catch (const linalg::PetscError& error) {
    throw InputError(
        "{}: not a sound Gmsh mesh of triangles or tetrahedra with their facets ({}); write it "
        "anew "
        "in format 2.2 or 4.1",
        path, error.what());
  }
  for (std::size_t c = 0; c < mesh.cells.size(); ++c) {
    if (!(mesh.volume(c) != 0.0))
      throw InputError("{}: cell {} has no volume; repair the mesh", path, c + 1);
  }
  if (mesh.cells.empty()) throw InputError("{}: the mesh has no cells", path);
  return mesh;
}

template <class T>
void share(const parallel::Comm& comm, std::vector<T>& values) {
  std::int64_t size[1] = {static_cast<std::int64_t>(values.size())};
  comm.broadcast(size);
  values.resize(static_cast<std::size_t>(size[0]));
  MPI_Bcast(values.data(), static_cast<int>(values.size() * sizeof(T) / 8), MPI_INT64_T, 0,
            comm.handle());
}

/// Appends the facets of a cell of the box mesh that lie in a side of the box: all their corners
/// share that coordinate.
void add_sides(Mesh& mesh, const std::array<std::int64_t, 4>& cell, std::int64_t line) {
  const auto d = static_cast<std::size_t>(mesh.dimension);
  for (std::size_t skip = 0; skip <= d; ++skip) {
    std::array<std::int64_t, 3> facet{};
    std::size_t size = 0;
    for (std::size_t k = 0; k <= d; ++k) {
      if (k != skip) facet[size++] = cell[k];
    }
    std::int64_t stride = 1;
    for (std::size_t axis = 0; axis < d; ++axis, stride *= line) {
      for (const std::int64_t end : {std::int64_t{0}, line - 1}) {
        const bool inside =
            std::all_of(facet.begin(), facet.begin() + mesh.dimension,
                        [&](std::int64_t corner) { return corner / stride % line == end; });
        if (!inside) continue;
        mesh.facets.push_back(facet);
        mesh.facet_tags.push_back(static_cast<std::int64_t>(2 * axis) + (end == 0 ? 1 : 2));
      }
    }
  }
}

}  // namespace

double Mesh::volume(std::size_t cell) const {
  const auto& c = cells[cell];
  std::array<Point, 3> e{};
  for (std::size_t k = 0; k < static_cast<std::size_t>(dimension); ++k) {
    for (std::size_t d = 0; d < 3; ++d) {
      e[k][d] =
          points[static_cast<std::size_t>(c[k + 1])][d] - points[static_cast<std::size_t>(c[0])][d];
    }
  }
  if (dimension == 2) return 0.5 * (e[0][0] * e[1][1] - e[0][1] * e[1][0]);
  return (e[0][0] * (e[1][1] * e[2][2] - e[1][2] * e[2][1]) -
          e[0][1] * (e[1][0] * e[2][2] - e[1][2] * e[2][0]) +
          e[0][2] * (e[1][0] * e[2][1] - e[1][1] * e[2][0])) /
         6.0;
}

Mesh read_gmsh(const parallel::Comm& comm, const std::string& path, std::int64_t refinements) {
  linalg::start_petsc(comm);
  Mesh mesh;
  parallel::agree(comm, [&] {
    if (comm.rank() == 0) mesh = read_here(path, refinements);
    if (mesh.cells.size() > std::size_t{std::numeric_limits<int>::max()} / 4)
      throw InputError("{}: {} cells are too many for one mesh", path, mesh.cells.size());
  });
  std::int64_t dimension[1] = {mesh.dimension};
  comm.broadcast(dimension);
  mesh.dimension = static_cast<int>(dimension[0]);
  mesh.origin = path;
  share(comm, mesh.points);
  share(comm, mesh.cells);
  share(comm, mesh.cell_tags);
  share(comm, mesh.facets);
  share(comm, mesh.facet_tags);
  return mesh;
}

Mesh box_mesh(int dimension, std::int64_t cells, double grading) {
  if (dimension < 2 || dimension > 3 || cells < 1) {
    throw ConfigurationError("a box mesh of dimension {} with {} cells a direction makes no sense",
                             dimension, cells);
  }
  Mesh mesh;
  mesh.dimension = dimension;
  mesh.origin = "the unit box";
  const auto d = static_cast<std::size_t>(dimension);
  const std::int64_t line = cells + 1;
  std::array<std::int64_t, 3> extent = {cells, cells, dimension == 3 ? cells : 0};
  const auto coordinate = [&](std::int64_t i) {
    const double t = static_cast<double>(i) / static_cast<double>(cells);
    return i == cells
               ? 1.0
               : t - grading * std::sin(2.0 * std::numbers::pi * t) / (2.0 * std::numbers::pi);
  };
  const auto number = [&](const std::array<std::int64_t, 3>& i) {
    return i[0] + line * (i[1] + line * i[2]);
  };
  std::array<std::int64_t, 3> i{};
  for (i[2] = 0; i[2] <= extent[2]; ++i[2]) {
    for (i[1] = 0; i[1] <= extent[1]; ++i[1]) {
      for (i[0] = 0; i[0] <= extent[0]; ++i[0]) {
        mesh.points.push_back(
            {coordinate(i[0]), coordinate(i[1]), dimension == 3 ? coordinate(i[2]) : 0.0});
      }
    }
  }
  // Kuhn's cut: one simplex for every order in which a path runs along the axes from corner to
  // corner.
  std::array<std::size_t, 3> order = {0, 1, 2};
  std::vector<std::array<std::size_t, 3>> orders;
  do {
    orders.push_back(order);
  } while (std::next_permutation(order.begin(), order.begin() + dimension));
  for (i[2] = 0; i[2] < std::max<std::int64_t>(extent[2], 1); ++i[2]) {
    for (i[1] = 0; i[1] < cells; ++i[1]) {
      for (i[0] = 0; i[0] < cells; ++i[0]) {
        for (const auto& path : orders) {
          std::array<std::int64_t, 4> cell{};
          auto at = i;
          cell[0] = number(at);
          for (std::size_t k = 0; k < d; ++k) {
            ++at[path[k]];
            cell[k + 1] = number(at);
          }
          mesh.cells.push_back(cell);
          mesh.cell_tags.push_back(1);
          add_sides(mesh, cell, line);
        }
      }
    }
  }
  return mesh;
}

}  // namespace equipoise::control
