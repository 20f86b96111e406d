#pragma once

#include <equipoise/control/elements.hpp>
#include <equipoise/control/grid.hpp>
#include <equipoise/formats/xdmf.hpp>
#include <equipoise/state/fields.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::problems {

/// The local values of the partitioned array `name` among the fields of a solution; empty if it has
/// none.
[[nodiscard]] std::vector<double> partitioned_values(state::Stateful& solution,
                                                     const std::string& name);

/// Where nodal values live: who owns which node, and where it lies.
struct NodeLayout {
  parallel::Comm comm;
  partition::Partition rows;
  int dimension = 2;
  std::function<control::Point(std::int64_t)> point;  ///< of an owned node
};
/// The grid or the elements must outlive the layout.
[[nodiscard]] NodeLayout node_layout(const control::Grid& grid);
[[nodiscard]] NodeLayout node_layout(const control::FiniteElements& elements);

/// Named nodal functions: what a control problem stores as its solution.
class NodalSolution : public state::Stateful {
 public:
  NodalSolution(NodeLayout layout, const std::vector<std::string>& names);
  /// Takes the functions out of the fields of any other solution; missing ones stay zero.
  NodalSolution(NodeLayout layout, const std::vector<std::string>& names, state::Stateful& source);
  NodalSolution(const control::Grid& grid, const std::vector<std::string>& names)
      : NodalSolution(node_layout(grid), names) {}
  NodalSolution(const control::Grid& grid, const std::vector<std::string>& names,
                state::Stateful& source)
      : NodalSolution(node_layout(grid), names, source) {}
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] bool has(const std::string& name) const;
  /// A function as a vector of the grid. Throws CheckpointError if the source lacked it.
  [[nodiscard]] linalg::Vector vector(const std::string& name) const;
  /// Writes node coordinates and values, a line a node in natural order, to
  /// `directory`/solution.csv.
  /// **Collective**: ranks write in turn. Returns the path.
  std::string export_csv(const std::string& directory) const;
  /// Name and local values of every function that the source had.
  [[nodiscard]] std::vector<formats::NodalField> fields_found() const;

 private:
  struct Function {
    std::string name;
    std::vector<double> values;
    bool found = false;
  };
  NodeLayout layout_;
  std::vector<Function> functions_;
};

/// The nodes and cells of elements, and of a grid with its boundary (where functions are 0), as
/// XDMF wants them, with these functions. **Collective** for a grid: nothing is exchanged, but
/// every rank must give its part.
[[nodiscard]] formats::XdmfPiece xdmf_piece(const control::FiniteElements& elements,
                                            const NodalSolution& functions);
[[nodiscard]] formats::XdmfPiece xdmf_piece(const control::Grid& grid,
                                            const NodalSolution& functions);

}  // namespace equipoise::problems
