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

NodalSolution::NodalSolution(const control::Grid& grid, const std::vector<std::string>& names)
    : grid_(&grid) {
  for (const auto& name : names) {
    functions_.push_back(
        {name, std::vector<double>(static_cast<std::size_t>(grid.owned().size())), false});
  }
}

NodalSolution::NodalSolution(const control::Grid& grid, const std::vector<std::string>& names,
                             state::Stateful& source)
    : NodalSolution(grid, names) {
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
    visit.partitioned(function.name, grid_->partition(), grid_->comm().rank(), 1, function.values);
  }
}

bool NodalSolution::has(const std::string& name) const {
  return std::any_of(functions_.begin(), functions_.end(),
                     [&](const Function& f) { return f.name == name && f.found; });
}

linalg::Vector NodalSolution::vector(const std::string& name) const {
  linalg::Vector result = grid_->vector();
  for (const auto& function : functions_) {
    if (function.name != name || !function.found) continue;
    linalg::Entries entries(result);
    std::copy(function.values.begin(), function.values.end(), entries.span().begin());
    return result;
  }
  throw CheckpointError("the stored solution has no function `{}` on this grid of {} nodes", name,
                        grid_->nodes());
}

std::string NodalSolution::export_csv(const std::string& directory) const {
  const std::string path = directory + "/solution.csv";
  const parallel::Comm& comm = grid_->comm();
  const int dimension = grid_->shape().dimension;
  for (int turn = 0; turn < comm.size(); ++turn) {
    parallel::agree(comm, [&] {
      if (comm.rank() != turn) return;
      std::ofstream file(path, turn == 0 ? std::ios::trunc : std::ios::app);
      if (turn == 0) {
        for (int d = 0; d < dimension; ++d) file << (d > 0 ? "," : "") << "xyz"[d];
        for (const auto& function : functions_) file << "," << function.name;
        file << "\n";
      }
      for (std::int64_t i = 0; i < grid_->owned().size(); ++i) {
        const auto x = grid_->point(grid_->owned().begin + i);
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

}  // namespace equipoise::problems
