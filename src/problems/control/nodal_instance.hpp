#pragma once

#include <equipoise/problems/control/nodal.hpp>
#include <equipoise/solve/instance.hpp>

#include <memory>
#include <string>
#include <vector>

namespace equipoise::problems {

/// What all problems with nodal functions on one grid share: PETSc options, storage and export.
class NodalInstance : public solve::Instance {
 public:
  /// Takes `petsc.*`. **Collective.**
  NodalInstance(const parallel::Comm& comm, state::Config& config,
                std::vector<std::string> functions)
      : functions_(std::move(functions)) {
    linalg::start_petsc(comm);
    petsc_ = std::make_unique<linalg::SolverOptions>(config.take("petsc"));
  }
  [[nodiscard]] solve::Facts facts() const override {
    return {{"unknowns of the state", std::to_string(grid().nodes())},
            {"cells per direction", std::to_string(grid().shape().cells)}};
  }
  std::unique_ptr<state::Stateful> solution_storage() override {
    return std::make_unique<NodalSolution>(grid(), functions_);
  }
  std::vector<std::string> export_csv(state::Stateful& solution,
                                      const std::string& directory) override {
    return {stored(solution).export_csv(directory)};
  }
  std::vector<std::string> export_xdmf(state::Stateful& solution,
                                       const std::string& directory) override {
    return formats::write_xdmf(grid().comm(), directory, xdmf_piece(grid(), stored(solution)));
  }

 protected:
  [[nodiscard]] virtual const control::Grid& grid() const = 0;
  [[nodiscard]] NodalSolution stored(state::Stateful& solution) const {
    return {grid(), functions_, solution};
  }
  /// Call it once the solvers of a method exist: those of methods that make them later read no
  /// options.
  void reject_unused_petsc_options() const { petsc_->reject_unused(); }
  /// |f|/|g| of two functionals in the dual L2 norm, |f| where g is 0. **Collective.**
  [[nodiscard]] double dual_ratio(Vec f, Vec g) const {
    const double scale = dual_norm(g);
    return dual_norm(f) / (scale > 0.0 ? scale : 1.0);
  }
  [[nodiscard]] double dual_norm(Vec f) const {
    linalg::Vector image = grid().vector();
    grid().solve_mass(f, image);
    return std::sqrt(linalg::dot(f, image));
  }

 private:
  std::vector<std::string> functions_;
  std::unique_ptr<linalg::SolverOptions> petsc_;
};

}  // namespace equipoise::problems
