#include "coefficient_discretization.hpp"

#include <cmath>

namespace equipoise::control {

using linalg::check;

namespace {

linalg::Matrix sparse(const parallel::Comm& comm, std::int64_t rows, std::int64_t columns,
                      int width) {
  linalg::Matrix matrix;
  check(MatCreateAIJ(comm.handle(), static_cast<PetscInt>(rows), static_cast<PetscInt>(columns),
                     PETSC_DETERMINE, PETSC_DETERMINE, width, nullptr, width, nullptr,
                     matrix.put()));
  return matrix;
}

void finish(Mat matrix) {
  check(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
}

std::pair<partition::Partition, partition::Partition> partitions(
    const parallel::Comm& comm, const CoefficientOptions& options) {
  const std::int64_t n = options.cells;
  if (n < 2 || n > 8192) {
    throw ConfigurationError("the inversion needs 2 to 8192 cells per direction, not {}", n);
  }
  if (!(options.regularization > 0.0)) {
    throw ConfigurationError("the regularization must be positive, not {}", options.regularization);
  }
  if (!(options.noise >= 0.0)) {
    throw ConfigurationError("the noise must not be negative, it is {}", options.noise);
  }
  return {partition::Partition::uniform((2 * n - 1) * (2 * n - 1), comm.size()),
          partition::Partition::uniform((n + 1) * (n + 1), comm.size())};
}

}  // namespace

CoefficientFunctional::Discretization::Discretization(const parallel::Comm& communicator,
                                                      const CoefficientOptions& options)
    : comm_(communicator), n(options.cells) {
  linalg::start_petsc(comm_);
  std::tie(states, coefficients) = partitions(comm_, options);
  const auto state_rows = states.range(comm_.rank()).size();
  const auto own = coefficients.range(comm_.rank()).size();
  a = sparse(comm_, state_rows, state_rows, 20);
  mass = sparse(comm_, state_rows, state_rows, 20);
  cu = sparse(comm_, state_rows, own, 8);
  cp = sparse(comm_, state_rows, own, 8);
  d = sparse(comm_, own, own, 8);
  laplace = sparse(comm_, own, own, 8);
  mass1 = sparse(comm_, own, own, 8);
  regular = sparse(comm_, own, own, 8);
  check(MatCreateVecs(cu, m.put(), u.put()));
  for (auto* v : {&p, &w, &q, &ud, &load, &work}) *v = linalg::like(u);
  check(VecSetOption(load, VEC_IGNORE_NEGATIVE_INDICES, PETSC_TRUE));
  image = linalg::like(m);
  shifted = linalg::like(m);
  make_windows();
  state_solver = linalg::direct_solver(a, "state_");
  mass_solver = linalg::direct_solver(mass1, "riesz_");
  regular_solver = linalg::direct_solver(regular, "regularization_");
}

void CoefficientFunctional::Discretization::make_windows() {
  rows = partition::Partition::uniform(n, comm_.size()).range(comm_.rank());
  const bool any = rows.size() > 0;
  first_m = any ? rows.begin * (n + 1) : 0;
  const std::int64_t end_m = any ? (rows.end + 1) * (n + 1) : 0;
  first_u = any ? std::max<std::int64_t>(0, 2 * rows.begin - 1) * (2 * n - 1) : 0;
  const std::int64_t end_u = any ? std::min(2 * n - 1, 2 * rows.end) * (2 * n - 1) : 0;
  const auto window = [](Vec global, std::int64_t first, std::int64_t end, linalg::Vector& local,
                         linalg::Scatter& scatter) {
    const auto size = static_cast<PetscInt>(std::max<std::int64_t>(0, end - first));
    check(VecCreateSeq(PETSC_COMM_SELF, size, local.put()));
    linalg::IndexSet wanted;
    check(ISCreateStride(PETSC_COMM_SELF, size, static_cast<PetscInt>(first), 1, wanted.put()));
    check(VecScatterCreate(global, wanted, local, nullptr, scatter.put()));
  };
  window(m, first_m, end_m, local_m, scatter_m);
  window(u, first_u, end_u, local_u, scatter_u);
  check(VecDuplicate(local_u, local_p.put()));
}

void CoefficientFunctional::Discretization::assemble_constant(const CoefficientOptions& options) {
  std::array<double, 36> me{};
  std::array<double, 6> fe{};
  std::array<double, 9> k1{}, m1{}, r1{};
  each_triangle(
      [&](const auto&, const auto&) { me.fill(0.0), fe.fill(0.0), k1.fill(0.0), m1.fill(0.0); },
      [&](double weight, const auto& lambda, const Shapes& s, const auto& g) {
        for (std::size_t i = 0; i < 6; ++i) {
          fe[i] += weight * s.value[i];
          for (std::size_t j = 0; j < 6; ++j) me[6 * i + j] += weight * s.value[i] * s.value[j];
        }
        for (std::size_t i = 0; i < 3; ++i) {
          for (std::size_t j = 0; j < 3; ++j) {
            k1[3 * i + j] += weight * (g[i][0] * g[j][0] + g[i][1] * g[j][1]);
            m1[3 * i + j] += weight * lambda[i] * lambda[j];
          }
        }
      },
      [&](const auto& sr, const auto& mr) {
        check(MatSetValues(mass, 6, sr.data(), 6, sr.data(), me.data(), ADD_VALUES));
        check(VecSetValues(load, 6, sr.data(), fe.data(), ADD_VALUES));
        check(MatSetValues(laplace, 3, mr.data(), 3, mr.data(), k1.data(), ADD_VALUES));
        check(MatSetValues(mass1, 3, mr.data(), 3, mr.data(), m1.data(), ADD_VALUES));
        for (std::size_t k = 0; k < 9; ++k) r1[k] = options.regularization * (k1[k] + m1[k]);
        check(MatSetValues(regular, 3, mr.data(), 3, mr.data(), r1.data(), ADD_VALUES));
      });
  for (Mat matrix : {mass.get(), laplace.get(), mass1.get(), regular.get()}) finish(matrix);
  check(VecAssemblyBegin(load));
  check(VecAssemblyEnd(load));
  if (options.prior == "bilaplacian") {
    prior = std::make_unique<BilaplacianPrior>(laplace, mass1, options.prior_gamma,
                                               options.prior_delta);
  }
}

void CoefficientFunctional::Discretization::penalty(Vec v, Vec out) const {
  if (prior) {
    prior->precision(v, out);
  } else {
    check(MatMult(laplace, v, out));
  }
}

/// A = int e^m grad phi . grad phi for the coefficient in `m`, which stays in `local_m`.
void CoefficientFunctional::Discretization::assemble_state() {
  fetch(scatter_m, m, local_m);
  const linalg::ConstEntries values(local_m);
  check(MatZeroEntries(a));
  std::array<double, 36> ae{};
  std::array<double, 3> me{};
  each_triangle(
      [&](const auto&, const auto& mr) {
        ae.fill(0.0);
        for (std::size_t k = 0; k < 3; ++k) me[k] = values[mr[k] - first_m];
      },
      [&](double weight, const auto& lambda, const Shapes& s, const auto&) {
        const double e =
            weight * std::exp(me[0] * lambda[0] + me[1] * lambda[1] + me[2] * lambda[2]);
        for (std::size_t i = 0; i < 6; ++i) {
          for (std::size_t j = 0; j < 6; ++j) {
            ae[6 * i + j] +=
                e * (s.gradient[i][0] * s.gradient[j][0] + s.gradient[i][1] * s.gradient[j][1]);
          }
        }
      },
      [&](const auto& sr, const auto&) {
        check(MatSetValues(a, 6, sr.data(), 6, sr.data(), ae.data(), ADD_VALUES));
      });
  finish(a);
}

namespace {

/// The gradient of a P2 function at a quadrature point.
std::array<double, 2> gradient_of(const std::array<double, 6>& values, const Shapes& s) {
  std::array<double, 2> g{};
  for (std::size_t k = 0; k < 6; ++k) {
    g[0] += values[k] * s.gradient[k][0];
    g[1] += values[k] * s.gradient[k][1];
  }
  return g;
}

}  // namespace

/// C_v[i,a] = int e^m psi_a grad v . grad phi_i; v stays in `local`.
void CoefficientFunctional::Discretization::assemble_coupling(Vec v, Mat c, Vec local) {
  fetch(scatter_u, v, local);
  const linalg::ConstEntries values(local_m), function(local);
  check(MatZeroEntries(c));
  std::array<double, 18> ce{};
  std::array<double, 3> me{};
  std::array<double, 6> ve{};
  each_triangle(
      [&](const auto& sr, const auto& mr) {
        ce.fill(0.0);
        for (std::size_t k = 0; k < 3; ++k) me[k] = values[mr[k] - first_m];
        for (std::size_t k = 0; k < 6; ++k) ve[k] = sr[k] < 0 ? 0.0 : function[sr[k] - first_u];
      },
      [&](double weight, const auto& lambda, const Shapes& s, const auto&) {
        const double e =
            weight * std::exp(me[0] * lambda[0] + me[1] * lambda[1] + me[2] * lambda[2]);
        const auto g = gradient_of(ve, s);
        for (std::size_t i = 0; i < 6; ++i) {
          const double slope = e * (g[0] * s.gradient[i][0] + g[1] * s.gradient[i][1]);
          for (std::size_t k = 0; k < 3; ++k) ce[3 * i + k] += slope * lambda[k];
        }
      },
      [&](const auto& sr, const auto& mr) {
        check(MatSetValues(c, 6, sr.data(), 3, mr.data(), ce.data(), ADD_VALUES));
      });
  finish(c);
}

/// C_p, and D[a,b] = int e^m psi_a psi_b grad u . grad p.
void CoefficientFunctional::Discretization::assemble_second() {
  assemble_coupling(p, cp, local_p);
  const linalg::ConstEntries values(local_m), state(local_u), adjoint(local_p);
  check(MatZeroEntries(d));
  std::array<double, 9> de{};
  std::array<double, 3> me{};
  std::array<double, 6> ue{}, pe{};
  each_triangle(
      [&](const auto& sr, const auto& mr) {
        de.fill(0.0);
        for (std::size_t k = 0; k < 3; ++k) me[k] = values[mr[k] - first_m];
        for (std::size_t k = 0; k < 6; ++k) {
          ue[k] = sr[k] < 0 ? 0.0 : state[sr[k] - first_u];
          pe[k] = sr[k] < 0 ? 0.0 : adjoint[sr[k] - first_u];
        }
      },
      [&](double weight, const auto& lambda, const Shapes& s, const auto&) {
        const double e =
            weight * std::exp(me[0] * lambda[0] + me[1] * lambda[1] + me[2] * lambda[2]);
        const auto gu = gradient_of(ue, s), gp = gradient_of(pe, s);
        const double product = e * (gu[0] * gp[0] + gu[1] * gp[1]);
        for (std::size_t i = 0; i < 3; ++i) {
          for (std::size_t j = 0; j < 3; ++j) de[3 * i + j] += product * lambda[i] * lambda[j];
        }
      },
      [&](const auto&, const auto& mr) {
        check(MatSetValues(d, 3, mr.data(), 3, mr.data(), de.data(), ADD_VALUES));
      });
  finish(d);
}

}  // namespace equipoise::control
