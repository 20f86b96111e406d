#include "support.hpp"

#include <gtest/gtest.h>

namespace equipoise::control {
namespace {

TEST(Grid, MassSolveInvertsTheMassMatrixInEveryDimension) {
  for (const Element element : {Element::q1, Element::fd}) {
    for (int dim = 1; dim <= 3; ++dim) {
      const std::int64_t cells = dim == 1 ? 200 : dim == 2 ? 24 : 9;
      const Grid grid(world(),
                      {.dimension = dim, .cells = cells, .element = element, .grading = 0.6});
      const auto x = noise(grid);
      auto b = grid.vector();
      linalg::check(MatMult(grid.mass(), x, b));
      grid.solve_mass(b, b);
      linalg::check(VecAXPY(b, -1.0, x));
      EXPECT_LT(std::sqrt(linalg::dot(b, b)), 1e-13 * std::sqrt(linalg::dot(x, x)));
    }
  }
}

TEST(Grid, ProductsFromTheDirectionsAgreeWithTheAssembledMatrices) {
  for (const Element element : {Element::q1, Element::fd}) {
    for (int dim = 1; dim <= 3; ++dim) {
      for (const std::int64_t cells : {2, 3, dim == 3 ? 8 : 20}) {
        const Grid grid(world(),
                        {.dimension = dim, .cells = cells, .element = element, .grading = -0.4});
        const auto x = noise(grid);
        auto k = grid.vector(), m = grid.vector(), expected = grid.vector();
        grid.apply(x, k, m);
        linalg::check(MatMult(grid.stiffness(), x, expected));
        linalg::check(VecAXPY(k, -1.0, expected));
        EXPECT_LE(linalg::dot(k, k), 1e-28 * linalg::dot(expected, expected));
        linalg::check(MatMult(grid.mass(), x, expected));
        linalg::check(VecAXPY(m, -1.0, expected));
        EXPECT_LE(linalg::dot(m, m), 1e-28 * linalg::dot(expected, expected));
      }
    }
  }
}

TEST(Grid, StiffnessHasTheEigenvaluesOfTheFormula) {
  for (int dim = 1; dim <= 3; ++dim) {
    const std::int64_t n = dim == 3 ? 8 : 16;
    const double h = 1.0 / static_cast<double>(n);
    const double pi = std::numbers::pi;
    for (const Element element : {Element::q1, Element::fd}) {
      const Grid grid(world(), {.dimension = dim, .cells = n, .element = element});
      const auto mode = grid.interpolate([&](const Point& x) {
        double v = 1.0;
        for (std::size_t d = 0; d < static_cast<std::size_t>(dim); ++d) v *= std::sin(pi * x[d]);
        return v;
      });
      auto image = grid.vector();
      linalg::check(MatMult(grid.stiffness(), mode, image));
      grid.solve_mass(image, image);
      const double lumped = 4.0 / (h * h) * std::pow(std::sin(pi * h / 2.0), 2);
      const double shift = element == Element::q1 ? (2.0 + std::cos(pi * h)) / 3.0 : 1.0;
      const double expected = dim * lumped / shift;
      linalg::check(VecAXPY(image, -expected, mode));
      EXPECT_LT(grid.norm(image), 1e-11 * expected * grid.norm(mode));
    }
  }
}

TEST(Grid, JacobiBoundIsTheLargestEigenvalueOnUniformGrids) {
  // Fourier: 3/2 for bilinear elements in 2-D and trilinear in 3-D, 2 for finite differences.
  for (int dim = 2; dim <= 3; ++dim) {
    const Grid q1(world(), {.dimension = dim, .cells = 4});
    EXPECT_NEAR(q1.jacobi_bound(1.0, 0.0), 1.5, 1e-14);
    const Grid fd(world(), {.dimension = dim, .cells = 4, .element = Element::fd});
    EXPECT_NEAR(fd.jacobi_bound(1.0, 0.0), 2.0, 1e-14);
  }
}

TEST(Grid, RefusesShapesThatMakeNoSense) {
  EXPECT_THROW(Grid(world(), {.dimension = 4}), ConfigurationError);
  EXPECT_THROW(Grid(world(), {.cells = 1}), ConfigurationError);
  EXPECT_THROW(Grid(world(), {.lower = 1.0, .upper = 1.0}), ConfigurationError);
  EXPECT_THROW(Grid(world(), {.grading = 1.0}), ConfigurationError);
  EXPECT_THROW(Grid(world(), {.dimension = 3, .cells = 2000}), ConfigurationError);
}

TEST(Multigrid, IterationsDoNotDependOnTheMeshNorOnTheShift) {
  for (const double shift : {0.0, 1.0, 1e4}) {
    for (int dim = 1; dim <= 3; ++dim) {
      for (const std::int64_t cells : {dim == 3 ? 8 : 32, dim == 3 ? 16 : 64}) {
        const auto hierarchy =
            std::make_shared<Hierarchy>(world(), GridShape{.dimension = dim, .cells = cells});
        const Grid& grid = hierarchy->finest();
        Multigrid solver(hierarchy, 1.0, shift, "test_");
        const auto b = noise(grid);
        auto x = grid.vector(), k = grid.vector(), m = grid.vector();
        EXPECT_LE(solver.solve(b, x, 1e-10), shift < 1e4 ? 9 : 16);
        grid.apply(x, k, m);
        linalg::check(VecAXPBYPCZ(k, shift, -1.0, 1.0, m, b));
        EXPECT_LT(linalg::dot(k, k), 1.1e-20 * linalg::dot(b, b));
      }
    }
  }
}

TEST(Multigrid, ACycleIsSymmetric) {
  const auto hierarchy =
      std::make_shared<Hierarchy>(world(), GridShape{.cells = 32, .grading = 0.3});
  Multigrid solver(hierarchy, 1.0, 10.0, "test_");
  const auto a = noise(hierarchy->finest(), 1), b = noise(hierarchy->finest(), 2);
  auto za = linalg::like(a), zb = linalg::like(a);
  for (const int cycles : {1, 2}) {
    solver.cycles(a, za, cycles);
    solver.cycles(b, zb, cycles);
    EXPECT_NEAR(linalg::dot(za, b), linalg::dot(a, zb), 1e-12 * std::sqrt(linalg::dot(za, za)));
    EXPECT_GT(linalg::dot(za, a), 0.0);
  }
}

TEST(Multigrid, AFailedSolveIsNamedAndOptionsReachTheSolver) {
  const auto hierarchy = std::make_shared<Hierarchy>(world(), GridShape{.cells = 64});
  const linalg::SolverOptions options({std::pair<std::string, std::string>("few_ksp_max_it", "2")});
  Multigrid solver(hierarchy, 1.0, 0.0, "few_");
  EXPECT_NO_THROW(options.reject_unused());
  auto x = hierarchy->finest().vector();
  auto b = noise(hierarchy->finest());
  const auto refusal = [&](Exit code) -> std::string {
    try {
      solver.solve(b, x, 1e-12);
    } catch (const linalg::PetscError& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal(Exit::limit).find("`few_` ended with DIVERGED_ITS"), std::string::npos);
  linalg::check(VecSet(b, std::nan("")));
  EXPECT_NE(refusal(Exit::diverged).find("DIVERGED_NANORINF"), std::string::npos);
}

TEST(SolverOptions, UnusedOnesAreErrors) {
  const linalg::SolverOptions options(
      {std::pair<std::string, std::string>("stat_ksp_rtol", "1e-3")});
  try {
    options.reject_unused();
    ADD_FAILURE() << "an unused option was accepted";
  } catch (const ConfigurationError& error) {
    EXPECT_NE(std::string(error.what()).find("petsc.stat_ksp_rtol"), std::string::npos);
  }
}

}  // namespace
}  // namespace equipoise::control
