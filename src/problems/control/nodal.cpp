#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/control/nodal.hpp>

#include <algorithm>
#include <fstream>

namespace equipoise::problems {
namespace {

/// Collects the partitioned arrays of doubles of any stateful object by name.
class Collector : public state::FieldVisitor {
 public:
  std::vector<std::pair<std::string, std::vector<double>>> found;
  void scalar(std::string_view, double&) override {}
  void scalar(std::string_view, std::int64_t&) override {}
  void replicated(std::string_view, std::vector<double>&) override {}
  void replicated(std::string_view, std::vector<std::int64_t>&) override {}
  void partitioned(std::string_view name, const partition::Partition&, int, std::int64_t,
                   std::vector<double>& data) override {
    found.emplace_back(name, data);
  }
  void partitioned(std::string_view, const partition::Partition&, int, std::int64_t,
                   std::vector<std::int64_t>&) override {}
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<double>>&) override {}
  void ragged(std::string_view, const partition::Partition&, int,
              std::vector<std::vector<std::int64_t>>&) override {}
};

}  // namespace

std::vector<double> partitioned_values(state::Stateful& solution, const std::string& name) {
  Collector collector;
  solution.fields(collector);
  for (auto& [found, values] : collector.found) {
    if (found == name) return std::move(values);
  }
  return {};
}

NodeLayout node_layout(const control::Grid& grid) {
  return {grid.comm(), grid.partition(), grid.shape().dimension,
          [&grid](std::int64_t node) { return grid.point(node); }};
}

NodeLayout node_layout(const control::FiniteElements& elements) {
  return {elements.comm(), elements.partition(), elements.dimension(),
          [&elements](std::int64_t node) {
            return elements.points()[static_cast<std::size_t>(node - elements.owned().begin)];
          }};
}

NodalSolution::NodalSolution(NodeLayout layout, const std::vector<std::string>& names)
    : layout_(std::move(layout)) {
  const auto owned = layout_.rows.range(layout_.comm.rank());
  for (const auto& name : names) {
    functions_.push_back(
        {name, std::vector<double>(static_cast<std::size_t>(owned.size())), false});
  }
}

NodalSolution::NodalSolution(NodeLayout layout, const std::vector<std::string>& names,
                             state::Stateful& source)
    : NodalSolution(std::move(layout), names) {
  Collector collector;
  source.fields(collector);
  for (auto& function : functions_) {
    for (const auto& [name, values] : collector.found) {
      if (name == function.name && values.size() == function.values.size()) {
        function.values = values;
        function.found = true;
      }
    }
  }
}

void NodalSolution::fields(state::FieldVisitor& visit) {
  for (auto& function : functions_) {
    visit.partitioned(function.name, layout_.rows, layout_.comm.rank(), 1, function.values);
  }
}

bool NodalSolution::has(const std::string& name) const {
  return std::any_of(functions_.begin(), functions_.end(),
                     [&](const Function& f) { return f.name == name && f.found; });
}

linalg::Vector NodalSolution::vector(const std::string& name) const {
  linalg::Vector result;
  const auto owned = layout_.rows.range(layout_.comm.rank());
  linalg::check(VecCreateMPI(layout_.comm.handle(), static_cast<PetscInt>(owned.size()),
                             static_cast<PetscInt>(layout_.rows.size()), result.put()));
  for (const auto& function : functions_) {
    if (function.name != name || !function.found) continue;
    linalg::Entries entries(result);
    std::copy(function.values.begin(), function.values.end(), entries.span().begin());
    return result;
  }
  throw CheckpointError("the stored solution has no function `{}` on these {} nodes", name,
                        layout_.rows.size());
}

std::string NodalSolution::export_csv(const std::string& directory) const {
  const std::string path = directory + "/solution.csv";
  const parallel::Comm& comm = layout_.comm;
  const int dimension = layout_.dimension;
  const auto owned = layout_.rows.range(comm.rank());
  for (int turn = 0; turn < comm.size(); ++turn) {
    parallel::agree(comm, [&] {
      if (comm.rank() != turn) return;
      std::ofstream file(path, turn == 0 ? std::ios::trunc : std::ios::app);
      if (turn == 0) {
        for (int d = 0; d < dimension; ++d) file << (d > 0 ? "," : "") << "xyz"[d];
        for (const auto& function : functions_) file << "," << function.name;
        file << "\n";
      }
      for (std::int64_t i = 0; i < owned.size(); ++i) {
        const auto x = layout_.point(owned.begin + i);
        std::string line;
        for (int d = 0; d < dimension; ++d) {
          line += fmt::format("{}{:.17g}", d > 0 ? "," : "", x[static_cast<std::size_t>(d)]);
        }
        for (const auto& function : functions_) {
          line += fmt::format(",{:.17g}", function.values[static_cast<std::size_t>(i)]);
        }
        file << line << "\n";
      }
      if (!file.flush())
        throw InputError("cannot write `{}`; is there such a directory, with room?", path);
    });
  }
  return path;
}

std::vector<formats::NodalField> NodalSolution::fields_found() const {
  std::vector<formats::NodalField> result;
  for (const auto& function : functions_) {
    if (function.found) result.push_back({function.name, function.values});
  }
  return result;
}

formats::XdmfPiece xdmf_piece(const control::FiniteElements& elements,
                              const NodalSolution& functions) {
  formats::XdmfPiece piece;
  piece.dimension = elements.dimension();
  piece.cell = elements.dimension() == 2
                   ? (elements.degree() == 1 ? "Triangle" : "Triangle_6")
                   : (elements.degree() == 1 ? "Tetrahedron" : "Tetrahedron_10");
  piece.first_node = elements.owned().begin;
  piece.nodes = elements.nodes();
  for (const auto& x : elements.points())
    piece.points.insert(piece.points.end(), x.begin(), x.end());
  // XDMF wants the middles in the order 01 12 02 03 13 23; ours are 01 02 12 03 13 23.
  const std::size_t corners = static_cast<std::size_t>(elements.dimension()) + 1;
  for (auto& cell : elements.written_cells()) {
    if (elements.degree() == 2) std::swap(cell[corners + 1], cell[corners + 2]);
    piece.cells.insert(piece.cells.end(), cell.begin(), cell.end());
  }
  piece.fields = functions.fields_found();
  return piece;
}

formats::XdmfPiece xdmf_piece(const control::Grid& grid, const NodalSolution& functions) {
  formats::XdmfPiece piece;
  const auto& shape = grid.shape();
  piece.dimension = shape.dimension;
  piece.axes = grid.coordinates();
  piece.first_node = grid.owned().begin;
  piece.nodes = grid.nodes();
  piece.fields = functions.fields_found();
  return piece;
}

}  // namespace equipoise::problems
