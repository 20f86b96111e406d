#include <equipoise/control/grid.hpp>

namespace equipoise::control {
namespace {

using linalg::check;

/// Multilinear interpolation from `coarse` to `fine`, zero on the boundary.
linalg::Matrix interpolation(const Grid& coarse, const Grid& fine) {
  const int dim = fine.shape().dimension;
  linalg::Matrix matrix;
  check(MatCreateAIJ(fine.comm().handle(), static_cast<PetscInt>(fine.owned().size()),
                     static_cast<PetscInt>(coarse.owned().size()), PETSC_DETERMINE, PETSC_DETERMINE,
                     1 << dim, nullptr, 1 << dim, nullptr, matrix.put()));
  const auto& x = fine.coordinates();
  for (auto node = fine.owned().begin; node < fine.owned().end; ++node) {
    std::array<std::array<double, 2>, 3> weight{};
    std::array<std::array<std::int64_t, 2>, 3> index{};
    auto rest = node;
    for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d) {
      const std::int64_t i = rest % fine.line() + 1;  // counted with the boundary node
      rest /= fine.line();
      index[d] = {i / 2 - 1, i / 2};
      weight[d] = {1.0, 0.0};
      if (i % 2 == 1) {
        const auto a = static_cast<std::size_t>(i);
        const double right = (x[a] - x[a - 1]) / (x[a + 1] - x[a - 1]);
        weight[d] = {1.0 - right, right};
      }
    }
    for (unsigned corner = 0; corner < 1U << static_cast<unsigned>(dim); ++corner) {
      double value = 1.0;
      std::int64_t column = 0;
      for (int d = dim - 1; d >= 0; --d) {
        const auto a = static_cast<std::size_t>(d);
        const std::size_t side = corner >> a & 1U;
        const bool inside = index[a][side] >= 0 && index[a][side] < coarse.line();
        value *= inside ? weight[a][side] : 0.0;
        column = column * coarse.line() + index[a][side];
      }
      if (value == 0.0) continue;
      const auto row = static_cast<PetscInt>(node);
      const auto col = static_cast<PetscInt>(column);
      check(MatSetValues(matrix, 1, &row, 1, &col, &value, INSERT_VALUES));
    }
  }
  check(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
  return matrix;
}

}  // namespace

Hierarchy::Hierarchy(const parallel::Comm& comm, const GridShape& shape) {
  grids.push_back(std::make_shared<Grid>(comm, shape));
  GridShape coarse = shape;
  while (coarse.cells % 2 == 0 && coarse.cells > 4 && grids.back()->nodes() > 256) {
    coarse.cells /= 2;
    grids.push_back(std::make_shared<Grid>(comm, coarse));
    interpolations.push_back(interpolation(*grids.back(), *grids[grids.size() - 2]));
  }
}

std::shared_ptr<const Hierarchy> Hierarchy::coarser() const {
  std::shared_ptr<Hierarchy> result(new Hierarchy);
  result->grids.assign(grids.begin() + 1, grids.end());
  for (std::size_t l = 1; l < interpolations.size(); ++l) {
    result->interpolations.push_back(linalg::share(interpolations[l]));
  }
  return result;
}

}  // namespace equipoise::control
