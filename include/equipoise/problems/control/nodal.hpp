#pragma once

#include <equipoise/control/grid.hpp>
#include <equipoise/state/fields.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::problems {

/// The local values of the partitioned array `name` among the fields of a solution; empty if it has
/// none.
[[nodiscard]] std::vector<double> partitioned_values(state::Stateful& solution,
                                                     const std::string& name);

/// Named nodal functions of a grid: what a control problem stores as its solution.
class NodalSolution : public state::Stateful {
 public:
  NodalSolution(const control::Grid& grid, const std::vector<std::string>& names);
  /// Takes the functions out of the fields of any other solution; missing ones stay zero.
  NodalSolution(const control::Grid& grid, const std::vector<std::string>& names,
                state::Stateful& source);
  void fields(state::FieldVisitor& visit) override;
  [[nodiscard]] bool has(const std::string& name) const;
  /// A function as a vector of the grid. Throws CheckpointError if the source lacked it.
  [[nodiscard]] linalg::Vector vector(const std::string& name) const;
  /// Writes node coordinates and values, a line a node in natural order, to
  /// `directory`/solution.csv.
  /// **Collective**: ranks write in turn. Returns the path.
  std::string export_csv(const std::string& directory) const;

 private:
  struct Function {
    std::string name;
    std::vector<double> values;
    bool found = false;
  };
  const control::Grid* grid_;
  std::vector<Function> functions_;
};

}  // namespace equipoise::problems
