#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::formats {

/// Values at the nodes that a rank owns. Fields of a series in time have a time each and share the
/// name `series`; the names of their datasets differ.
struct NodalField {
  std::string name;
  std::vector<double> values;
  std::string series = {};
  double time = 0.0;
};

/// What one rank holds of functions on a mesh: the nodes first_node, first_node + 1, ... of `nodes`
/// in all. Either an unstructured mesh (`cell` names its XDMF topology), or, with `axes`, the box
/// that has these coordinates in every direction; there the nodes are the interior ones, x fastest,
/// and functions are 0 on the boundary.
struct XdmfPiece {
  int dimension = 2;
  std::int64_t first_node = 0, nodes = 0;
  std::vector<double> points;       ///< 3 coordinates an owned node (unstructured)
  std::vector<std::int64_t> cells;  ///< node numbers of the cells that this rank writes
  std::string cell;                 ///< Triangle, Triangle_6, Tetrahedron, Tetrahedron_10
  std::vector<double> axes;
  std::vector<NodalField> fields;
};

/// Writes DIRECTORY/solution.xdmf, which ParaView opens, and DIRECTORY/solution.h5, which it points
/// to: /points and /cells, or /axis, and one dataset a function. Where fields are series, all must
/// be, in the order of time: a temporal collection. Ranks write their rows in turn.
/// **Collective.** Returns both paths. Throws CheckpointError where the files cannot be written.
std::vector<std::string> write_xdmf(const parallel::Comm& comm, const std::string& directory,
                                    const XdmfPiece& piece);

}  // namespace equipoise::formats
