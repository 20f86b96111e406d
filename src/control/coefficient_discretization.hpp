#pragma once

#include <equipoise/control/coefficient.hpp>

#include <algorithm>
#include <array>

namespace equipoise::control {

constexpr int nodes_p2 = 6;

/// Six points and weights exact for polynomials of degree 4 (Dunavant, IJNME 21, 1985), weights
/// summing to 1.
struct QuadraturePoint {
  std::array<double, 3> lambda;
  double weight;
};
inline std::array<QuadraturePoint, 6> quadrature() {
  std::array<QuadraturePoint, 6> points{};
  const std::array<std::array<double, 2>, 2> orbits = {
      {{0.445948490915964886, 0.223381589678011465}, {0.091576213509770744, 0.109951743655321868}}};
  for (std::size_t o = 0; o < 2; ++o) {
    for (std::size_t k = 0; k < 3; ++k) {
      auto& point = points[3 * o + k];
      point.lambda = {orbits[o][0], orbits[o][0], orbits[o][0]};
      point.lambda[k] = 1.0 - 2.0 * orbits[o][0];
      point.weight = orbits[o][1];
    }
  }
  return points;
}

/// A triangle of the mesh: lattice positions of its six nodes (vertices, then midpoints opposite to
/// vertices 0, 1, 2), grid positions of its vertices, and the gradients of the barycentric
/// coordinates.
struct Triangle {
  std::array<std::array<std::int64_t, 2>, 3> vertex;
  std::array<std::array<std::int64_t, 2>, nodes_p2> node;
  std::array<std::array<double, 2>, 3> gradient;
};

inline Triangle triangle(std::int64_t i, std::int64_t j, int half, double h) {
  Triangle t{};
  if (half == 0) {
    t.vertex = {{{i, j}, {i + 1, j}, {i + 1, j + 1}}};
    t.gradient = {{{-1.0 / h, 0.0}, {1.0 / h, -1.0 / h}, {0.0, 1.0 / h}}};
  } else {
    t.vertex = {{{i, j}, {i + 1, j + 1}, {i, j + 1}}};
    t.gradient = {{{0.0, -1.0 / h}, {1.0 / h, 0.0}, {-1.0 / h, 1.0 / h}}};
  }
  for (std::size_t v = 0; v < 3; ++v) {
    const std::size_t a = (v + 1) % 3, b = (v + 2) % 3;
    for (std::size_t d = 0; d < 2; ++d) {
      t.node[v][d] = 2 * t.vertex[v][d];
      t.node[3 + v][d] = t.vertex[a][d] + t.vertex[b][d];
    }
  }
  return t;
}

struct Shapes {
  std::array<double, nodes_p2> value;
  std::array<std::array<double, 2>, nodes_p2> gradient;
};

inline Shapes shapes(const std::array<double, 3>& lambda,
                     const std::array<std::array<double, 2>, 3>& g) {
  Shapes s{};
  for (std::size_t v = 0; v < 3; ++v) {
    const std::size_t a = (v + 1) % 3, b = (v + 2) % 3;
    s.value[v] = lambda[v] * (2.0 * lambda[v] - 1.0);
    s.value[3 + v] = 4.0 * lambda[a] * lambda[b];
    for (std::size_t d = 0; d < 2; ++d) {
      s.gradient[v][d] = (4.0 * lambda[v] - 1.0) * g[v][d];
      s.gradient[3 + v][d] = 4.0 * (lambda[a] * g[b][d] + lambda[b] * g[a][d]);
    }
  }
  return s;
}

/// P1 functions on the vertices with the L2 inner product; all matrices of the discrete problem
/// live here.
struct CoefficientFunctional::Discretization : public Space {
  Discretization(const parallel::Comm& communicator, const CoefficientOptions& options);

  [[nodiscard]] Primal primal() const override { return {linalg::like(m)}; }
  [[nodiscard]] Dual dual() const override { return {linalg::like(m)}; }
  void to_dual(const Primal& v, Dual& out) const override {
    linalg::check(MatMult(mass1, v.values, out.values));
  }
  void to_primal(const Dual& f, Primal& out) const override {
    linalg::solve(mass_solver, f.values, out.values);
  }
  [[nodiscard]] const partition::Partition& partition() const override { return coefficients; }
  [[nodiscard]] const parallel::Comm& comm() const override { return comm_; }

  /// Index of a lattice position among the unknowns of the state, -1 on the boundary.
  [[nodiscard]] std::int64_t state_index(const std::array<std::int64_t, 2>& at) const {
    const bool inside = at[0] > 0 && at[0] < 2 * n && at[1] > 0 && at[1] < 2 * n;
    return inside ? (at[1] - 1) * (2 * n - 1) + at[0] - 1 : -1;
  }
  [[nodiscard]] std::int64_t coefficient_index(const std::array<std::int64_t, 2>& at) const {
    return at[1] * (n + 1) + at[0];
  }

  /// A rank works on a range of rows of cells and fetches the rows of nodes that they touch.
  void make_windows();

  static void fetch(VecScatter scatter, Vec global, Vec local) {
    linalg::check(VecScatterBegin(scatter, global, local, INSERT_VALUES, SCATTER_FORWARD));
    linalg::check(VecScatterEnd(scatter, global, local, INSERT_VALUES, SCATTER_FORWARD));
  }

  /// What one triangle contributes: calls `use(state rows, coefficient rows, quadrature weight,
  /// shapes, lambda)` at every quadrature point of every triangle of this rank. Boundary nodes have
  /// row -1, which PETSc skips.
  template <class Begin, class Use, class End>
  void each_triangle(const Begin& begin, const Use& use, const End& end) const {
    const double h = 1.0 / static_cast<double>(n);
    static const auto points = quadrature();
    std::array<PetscInt, nodes_p2> state_rows{};
    std::array<PetscInt, 3> rows_m{};
    for (std::int64_t j = rows.begin; j < rows.end; ++j) {
      for (std::int64_t i = 0; i < n; ++i) {
        for (int half = 0; half < 2; ++half) {
          const Triangle t = triangle(i, j, half, h);
          for (std::size_t k = 0; k < nodes_p2; ++k) {
            state_rows[k] = static_cast<PetscInt>(state_index(t.node[k]));
          }
          for (std::size_t k = 0; k < 3; ++k) {
            rows_m[k] = static_cast<PetscInt>(coefficient_index(t.vertex[k]));
          }
          begin(state_rows, rows_m);
          for (const auto& point : points) {
            use(point.weight * 0.5 * h * h, point.lambda, shapes(point.lambda, t.gradient),
                t.gradient);
          }
          end(state_rows, rows_m);
        }
      }
    }
  }

  parallel::Comm comm_;
  std::int64_t n;
  partition::Partition states, coefficients;
  linalg::Matrix a, mass, cu, cp, d, laplace, mass1, regular;
  linalg::Solver state_solver, mass_solver, regular_solver;
  linalg::Vector m, image, u, p, w, q, ud, load, work;
  partition::Range rows;
  std::int64_t first_m = 0, first_u = 0;
  linalg::Vector local_m, local_u, local_p;
  linalg::Scatter scatter_m, scatter_u;

  std::unique_ptr<BilaplacianPrior> prior;  ///< null for the gradient penalty
  linalg::Vector shifted;                   ///< m minus the mean of the prior
  void assemble_constant(const CoefficientOptions& options);
  /// out = penalty matrix times v: the precision of the prior, or K.
  void penalty(Vec v, Vec out) const;
  void assemble_state();
  void assemble_coupling(Vec v, Mat c, Vec local);
  void assemble_second();
};

}  // namespace equipoise::control
