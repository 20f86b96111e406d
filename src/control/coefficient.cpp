#include <equipoise/control/coefficient.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::control {

using linalg::check;

namespace {

constexpr int nodes_p2 = 6;

/// Six points and weights exact for polynomials of degree 4 (Dunavant, IJNME 21, 1985), weights
/// summing to 1.
struct QuadraturePoint {
  std::array<double, 3> lambda;
  double weight;
};
std::array<QuadraturePoint, 6> quadrature() {
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

Triangle triangle(std::int64_t i, std::int64_t j, int half, double h) {
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

Shapes shapes(const std::array<double, 3>& lambda, const std::array<std::array<double, 2>, 3>& g) {
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

/// P1 functions on the vertices with the L2 inner product; all matrices of the discrete problem
/// live here.
struct CoefficientFunctional::Discretization : public Space {
  Discretization(const parallel::Comm& communicator, const CoefficientOptions& options)
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
    make_windows();
    state_solver = linalg::direct_solver(a, "state_");
    mass_solver = linalg::direct_solver(mass1, "riesz_");
    regular_solver = linalg::direct_solver(regular, "regularization_");
  }

  [[nodiscard]] Primal primal() const override { return {linalg::like(m)}; }
  [[nodiscard]] Dual dual() const override { return {linalg::like(m)}; }
  void to_dual(const Primal& v, Dual& out) const override {
    check(MatMult(mass1, v.values, out.values));
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
  void make_windows() {
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

  static void fetch(VecScatter scatter, Vec global, Vec local) {
    check(VecScatterBegin(scatter, global, local, INSERT_VALUES, SCATTER_FORWARD));
    check(VecScatterEnd(scatter, global, local, INSERT_VALUES, SCATTER_FORWARD));
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

  void assemble_constant(double regularization);
  void assemble_state();
  void assemble_coupling(Vec v, Mat c, Vec local);
  void assemble_second();
};

void CoefficientFunctional::Discretization::assemble_constant(double regularization) {
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
        for (std::size_t k = 0; k < 9; ++k) r1[k] = regularization * (k1[k] + m1[k]);
        check(MatSetValues(regular, 3, mr.data(), 3, mr.data(), r1.data(), ADD_VALUES));
      });
  for (Mat matrix : {mass.get(), laplace.get(), mass1.get(), regular.get()}) finish(matrix);
  check(VecAssemblyBegin(load));
  check(VecAssemblyEnd(load));
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

CoefficientFunctional::CoefficientFunctional(const parallel::Comm& comm,
                                             const CoefficientOptions& options,
                                             const Coefficient& truth)
    : options_(options), discrete_(std::make_unique<Discretization>(comm, options)) {
  Discretization& x = *discrete_;
  x.assemble_constant(options.regularization);
  const Primal m = interpolate(truth);
  assemble(m.values);
  check(VecCopy(x.u, x.ud));
  double largest = 0.0;
  check(VecNorm(x.u, NORM_INFINITY, &largest));
  const parallel::Draw draw(static_cast<std::uint64_t>(options.seed), parallel::Purpose::noise, 0);
  linalg::Entries data(x.ud);
  const auto begin = x.states.range(comm.rank()).begin;
  for (std::int64_t i = 0; i < data.size(); ++i) {
    data[i] += options.noise * largest * draw.normal(static_cast<std::uint64_t>(begin + i));
  }
  state_solves_ = factorisations_ = 0;
}

CoefficientFunctional::~CoefficientFunctional() = default;

const Space& CoefficientFunctional::space() const { return *discrete_; }
Vec CoefficientFunctional::state() const { return discrete_->u; }
Vec CoefficientFunctional::adjoint() const { return discrete_->p; }

Primal CoefficientFunctional::interpolate(const Coefficient& coefficient) const {
  Primal m = discrete_->primal();
  linalg::Entries values(m.values);
  const auto begin = discrete_->coefficients.range(discrete_->comm_.rank()).begin;
  const auto n = discrete_->n;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const std::int64_t node = begin + i;
    values[i] = coefficient({static_cast<double>(node % (n + 1)) / static_cast<double>(n),
                             static_cast<double>(node / (n + 1)) / static_cast<double>(n), 0.0});
  }
  return m;
}

/// The state for a coefficient. The factorisation serves all solves until the next call.
void CoefficientFunctional::assemble(Vec m) {
  Discretization& x = *discrete_;
  check(VecCopy(m, x.m));
  x.assemble_state();
  linalg::solve(x.state_solver, x.load, x.u);
  ++state_solves_;
  ++factorisations_;
  second_ready_ = false;
}

double CoefficientFunctional::value(const Primal& m) {
  Discretization& x = *discrete_;
  assemble(m.values);
  check(VecWAXPY(x.w, -1.0, x.ud, x.u));
  check(MatMult(x.mass, x.w, x.work));
  misfit_ = 0.5 * linalg::dot(x.w, x.work);
  check(MatMult(x.laplace, x.m, x.image));
  penalty_ = 0.5 * options_.regularization * linalg::dot(x.m, x.image);
  return misfit_ + penalty_;
}

void CoefficientFunctional::derivative(Dual& out) {
  Discretization& x = *discrete_;
  check(VecWAXPY(x.w, -1.0, x.ud, x.u));
  check(MatMult(x.mass, x.w, x.work));
  linalg::solve(x.state_solver, x.work, x.p);
  ++adjoint_solves_;
  x.assemble_coupling(x.u, x.cu, x.local_u);
  check(MatMultTranspose(x.cu, x.p, x.image));
  check(MatMult(x.laplace, x.m, out.values));
  check(VecAXPBY(out.values, -1.0, options_.regularization, x.image));
  second_ready_ = false;
}

void CoefficientFunctional::hessian(const Primal& d, Dual& out, Curvature curvature) {
  Discretization& x = *discrete_;
  const bool full = curvature == Curvature::full;
  if (full && !second_ready_) {
    x.assemble_second();
    second_ready_ = true;
  }
  check(MatMult(x.cu, d.values, x.work));
  check(VecScale(x.work, -1.0));
  linalg::solve(x.state_solver, x.work, x.w);
  check(MatMult(x.mass, x.w, x.work));
  if (full) {
    check(MatMult(x.cp, d.values, x.q));
    check(VecAXPY(x.work, -1.0, x.q));
  }
  linalg::solve(x.state_solver, x.work, x.q);
  check(MatMult(x.laplace, d.values, out.values));
  check(MatMultTranspose(x.cu, x.q, x.image));
  check(VecAXPBY(out.values, -1.0, options_.regularization, x.image));
  if (full) {
    check(MatMult(x.d, d.values, x.image));
    check(VecAXPY(out.values, -1.0, x.image));
    check(MatMultTranspose(x.cp, x.w, x.image));
    check(VecAXPY(out.values, -1.0, x.image));
  }
  ++hessian_actions_;
}

void CoefficientFunctional::precondition(const Dual& f, Primal& out) {
  linalg::solve(discrete_->regular_solver, f.values, out.values);
}

solve::Counters CoefficientFunctional::counters() const {
  return {{"state_solves", state_solves_},
          {"adjoint_solves", adjoint_solves_},
          {"hessian_actions", hessian_actions_},
          {"factorisations", factorisations_}};
}

void CoefficientFunctional::visit_state(state::FieldVisitor& visit) {
  const int part = discrete_->comm_.rank();
  visit_vector(visit, "state", discrete_->states, part, discrete_->u);
  visit_vector(visit, "adjoint", discrete_->states, part, discrete_->p);
}

}  // namespace equipoise::control
