#include <equipoise/control/coupled.hpp>

#include <cmath>

namespace equipoise::control {

using linalg::check;

CoupledCoefficients::CoupledCoefficients(std::int64_t owned) {
  for (auto* values : {&a, &b, &c, &d, &r, &s})
    values->assign(static_cast<std::size_t>(owned), 0.0);
  pinned.assign(static_cast<std::size_t>(owned), 0);
}

linalg::Matrix paired_matrix(MPI_Comm comm, PetscInt rows, PetscInt columns, PetscInt width) {
  linalg::Matrix matrix;
  check(MatCreate(comm, matrix.put()));
  check(MatSetSizes(matrix, rows, columns, PETSC_DETERMINE, PETSC_DETERMINE));
  check(MatSetBlockSize(matrix, 2));
  check(MatSetType(matrix, MATAIJ));
  check(MatSeqAIJSetPreallocation(matrix, width, nullptr));
  check(MatMPIAIJSetPreallocation(matrix, width, nullptr, width, nullptr));
  return matrix;
}

CoupledSolver::CoupledSolver(const Grid& grid, const CoupledOptions& options)
    : grid_(&grid), options_(options) {
  if (grid.shape().element != Element::fd) {
    throw ConfigurationError(
        "methods with sets of nodes need the lumped mass matrix: choose problem.element = \"fd\"");
  }
  const auto local = static_cast<PetscInt>(2 * grid.owned().size());
  const PetscInt width = 2 * grid.shape().dimension + 3;
  matrix_ = paired_matrix(grid.comm().handle(), local, local, width);
  check(MatCreateVecs(matrix_, unknowns_.put(), right_side_.put()));
  if (options_.solver == "iterative") {
    multigrid_ = std::make_unique<CoupledMultigrid>(grid, matrix_, options_);
  } else {
    solver_ = linalg::direct_solver(matrix_, "coupled_");
  }
}

void CoupledSolver::solve(const CoupledCoefficients& coefficients, std::vector<double>& y,
                          std::vector<double>& p, std::vector<double>& m) {
  // Pinned neighbours on other ranks drop out of the state equation too.
  linalg::Vector pinned = grid_->vector();
  {
    linalg::Entries entries(pinned);
    for (std::int64_t i = 0; i < entries.size(); ++i) {
      entries[i] = coefficients.pinned[static_cast<std::size_t>(i)];
    }
  }
  std::int64_t plane = 1;
  for (int d = 1; d < grid_->shape().dimension; ++d) plane *= grid_->line();
  PlaneWindow window(pinned, grid_->owned(), plane, grid_->line(), 1);
  window.fetch(pinned);
  const linalg::ConstEntries around(window.local());
  const linalg::ConstEntries weight(grid_->lumped_mass());

  check(MatZeroEntries(matrix_));
  std::vector<PetscInt> state_columns, adjoint_columns;
  std::vector<double> state_values, adjoint_values;
  const auto begin = grid_->owned().begin;
  {
    linalg::Entries right(right_side_);
    for (std::int64_t i = 0; i < grid_->owned().size(); ++i) {
      const auto k = static_cast<std::size_t>(i);
      const auto node = static_cast<PetscInt>(begin + i);
      PetscInt count = 0;
      const PetscInt* columns = nullptr;
      const PetscScalar* values = nullptr;
      check(MatGetRow(grid_->stiffness(), node, &count, &columns, &values));
      state_columns.clear(), adjoint_columns.clear(), state_values.clear(), adjoint_values.clear();
      for (PetscInt c = 0; c < count; ++c) {
        const bool own = columns[c] == node;
        const bool gone = around[columns[c] - window.first_plane() * plane] != 0.0;
        state_columns.push_back(2 * columns[c]);
        state_values.push_back(gone ? 0.0
                                    : values[c] + (own ? weight[i] * coefficients.a[k] : 0.0));
        adjoint_columns.push_back(2 * columns[c] + 1);
        adjoint_values.push_back(values[c] + (own ? weight[i] * coefficients.c[k] : 0.0));
      }
      check(MatRestoreRow(grid_->stiffness(), node, &count, &columns, &values));
      state_columns.push_back(2 * node + 1);
      state_values.push_back(weight[i] * coefficients.b[k]);
      adjoint_columns.push_back(2 * node);
      adjoint_values.push_back(weight[i] * (coefficients.pinned[k] != 0 ? 1.0 : coefficients.d[k]));
      const PetscInt rows[2] = {2 * node, 2 * node + 1};
      check(MatSetValues(matrix_, 1, rows, static_cast<PetscInt>(state_columns.size()),
                         state_columns.data(), state_values.data(), INSERT_VALUES));
      check(MatSetValues(matrix_, 1, rows + 1, static_cast<PetscInt>(adjoint_columns.size()),
                         adjoint_columns.data(), adjoint_values.data(), INSERT_VALUES));
      right[2 * i] = weight[i] * coefficients.r[k];
      right[2 * i + 1] = weight[i] * coefficients.s[k];
    }
  }
  check(MatAssemblyBegin(matrix_, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(matrix_, MAT_FINAL_ASSEMBLY));
  if (multigrid_) {
    multigrid_->update(coefficients.pinned);
    iterations_ += linalg::solve(multigrid_->solver(), right_side_, unknowns_);
  } else {
    linalg::solve(solver_, right_side_, unknowns_);
  }
  ++solves_;

  const linalg::ConstEntries solution(unknowns_);
  const auto size = static_cast<std::size_t>(grid_->owned().size());
  y.assign(size, 0.0), p.assign(size, 0.0), m.assign(size, 0.0);
  for (std::size_t i = 0; i < size; ++i) {
    (coefficients.pinned[i] != 0 ? m : y)[i] = solution[static_cast<std::int64_t>(2 * i)];
    p[i] = solution[static_cast<std::int64_t>(2 * i + 1)];
  }
}

}  // namespace equipoise::control
