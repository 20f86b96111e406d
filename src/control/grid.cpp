#include "tridiagonal.hpp"

#include <equipoise/control/grid.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace equipoise::control {
namespace {

using linalg::check;

constexpr std::int64_t mass_overlap = 32;  // (2 - sqrt 3)^32 = 5e-19

void validate(const GridShape& shape) {
  if (shape.dimension < 1 || shape.dimension > 3) {
    throw ConfigurationError("a grid has 1, 2 or 3 dimensions, not {}", shape.dimension);
  }
  if (shape.cells < 2) {
    throw ConfigurationError("a grid needs at least 2 cells per direction, not {}", shape.cells);
  }
  if (!(shape.lower < shape.upper)) {
    throw ConfigurationError("the box ({}, {}) is empty", shape.lower, shape.upper);
  }
  if (!(std::abs(shape.grading) < 1.0)) {
    throw ConfigurationError("grading must lie in (-1, 1), not {}", shape.grading);
  }
  const double nodes = std::pow(static_cast<double>(shape.cells - 1), shape.dimension);
  if (nodes > static_cast<double>(std::numeric_limits<PetscInt>::max())) {
    throw ConfigurationError(
        "{:.0f} unknowns are more than this build of PETSc can number; use fewer cells or a build "
        "with "
        "64-bit integers",
        nodes);
  }
}

partition::Partition pieces(const parallel::Comm& comm, const GridShape& shape) {
  validate(shape);
  std::int64_t nodes = 1;
  for (int d = 0; d < shape.dimension; ++d) nodes *= shape.cells - 1;
  return partition::Partition::uniform(nodes, comm.size());
}

/// Eigenvalues of the cell matrices of one direction on the vectors (1,1) and (1,-1), for width 1.
struct CellSymbol {
  std::array<double, 2> stiffness = {0.0, 2.0};
  std::array<double, 2> mass = {0.5, 0.5};
  double stiffness_diagonal = 1.0;
  double mass_diagonal = 0.5;
};

CellSymbol cell_symbol(Element element) {
  CellSymbol symbol;
  if (element == Element::q1) {
    symbol.mass = {0.5, 1.0 / 6.0};
    symbol.mass_diagonal = 1.0 / 3.0;
  }
  return symbol;
}

}  // namespace

PlaneWindow::PlaneWindow(Vec layout, partition::Range owned, std::int64_t plane,
                         std::int64_t planes_in_all, std::int64_t overlap)
    : plane_(plane), owned_planes_{owned.begin / plane, (owned.end + plane - 1) / plane} {
  if (owned.size() == 0) owned_planes_ = {0, 0};
  first_ = std::max<std::int64_t>(0, owned_planes_.begin - overlap);
  planes_ = owned.size() == 0 ? 0 : std::min(planes_in_all, owned_planes_.end + overlap) - first_;
  const auto size = static_cast<PetscInt>(planes_ * plane_);
  check(VecCreateSeq(PETSC_COMM_SELF, size, local_.put()));
  linalg::IndexSet wanted;
  check(ISCreateStride(PETSC_COMM_SELF, size, static_cast<PetscInt>(first_ * plane_), 1,
                       wanted.put()));
  check(VecScatterCreate(layout, wanted, local_, nullptr, scatter_.put()));
}

void PlaneWindow::fetch(Vec global) {
  check(VecScatterBegin(scatter_, global, local_, INSERT_VALUES, SCATTER_FORWARD));
  check(VecScatterEnd(scatter_, global, local_, INSERT_VALUES, SCATTER_FORWARD));
}

/// The images of three consecutive planes (by plane mod 3), a plane of zeros that stands for the
/// boundary, and the same for the lines within a plane in 3-D.
struct Grid::Product {
  explicit Product(PlaneWindow&& planes)
      : window(std::move(planes)),
        zero(static_cast<std::size_t>(window.plane())),
        line_k(zero.size()),
        line_m(zero.size()),
        k_out(zero.size()),
        m_out(zero.size()) {
    k.fill(zero);
    m.fill(zero);
  }
  PlaneWindow window;
  std::vector<double> zero, line_k, line_m, k_out, m_out;
  std::array<std::vector<double>, 3> k, m;
};

Grid::~Grid() = default;

Grid::Grid(const parallel::Comm& comm, const GridShape& shape)
    : comm_(comm), shape_(shape), partition_(pieces(comm, shape)) {
  linalg::start_petsc(comm);
  const auto n = static_cast<std::size_t>(shape.cells);
  coordinates_.resize(n + 1);
  for (std::size_t i = 0; i <= n; ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(n);
    const double pi2 = 2.0 * std::numbers::pi;
    const double s = t - shape.grading * std::sin(pi2 * t) / pi2;
    coordinates_[i] = shape.lower + (shape.upper - shape.lower) * s;
  }
  coordinates_[n] = shape.upper;
  const CellSymbol cell = cell_symbol(shape.element);
  const double mass_off = shape.element == Element::q1 ? 1.0 / 6.0 : 0.0;
  for (std::size_t i = 0; i + 1 < n; ++i) {
    const double left = coordinates_[i + 1] - coordinates_[i];
    const double right = coordinates_[i + 2] - coordinates_[i + 1];
    stiffness_diagonal_.push_back(1.0 / left + 1.0 / right);
    stiffness_next_.push_back(-1.0 / right);
    mass_diagonal_.push_back(cell.mass_diagonal * (left + right));
    mass_next_.push_back(mass_off * right);
  }
  check(VecCreateMPI(comm_.handle(), static_cast<PetscInt>(owned().size()),
                     static_cast<PetscInt>(nodes()), work_.put()));
  stiffness_ = assemble(1.0, 0.0);
  mass_ = assemble(0.0, 1.0);
  lumped_ = vector();
  linalg::Entries lumped(lumped_);
  for (auto node = owned().begin; node < owned().end; ++node) {
    double weight = 1.0;
    const auto p = position(node);
    for (int d = 0; d < shape_.dimension; ++d) {
      const auto i = static_cast<std::size_t>(p[static_cast<std::size_t>(d)]);
      weight *= 0.5 * (coordinates_[i + 2] - coordinates_[i]);
    }
    lumped[node - owned().begin] = weight;
  }
  std::int64_t plane = 1;
  for (int d = 1; d < shape_.dimension; ++d) plane *= line();
  product_ = std::make_unique<Product>(PlaneWindow(work_, owned(), plane, line(), 1));
  if (shape.element == Element::fd) return;
  mass_window_ = std::make_unique<PlaneWindow>(work_, owned(), plane, line(), mass_overlap);
  const auto first = static_cast<std::size_t>(mass_window_->first_plane());
  const auto count = static_cast<std::size_t>(mass_window_->planes());
  factor_tridiagonal(std::span(mass_diagonal_).subspan(first, count),
                     std::span(mass_next_).subspan(first, count), across_factor_, across_inverse_);
  factor_tridiagonal(mass_diagonal_, mass_next_, within_factor_, within_inverse_);
}

std::array<std::int64_t, 3> Grid::position(std::int64_t node) const {
  return {node % line(), shape_.dimension > 1 ? node / line() % line() : 0,
          shape_.dimension > 2 ? node / (line() * line()) : 0};
}

Point Grid::point(std::int64_t node) const {
  Point x{};
  const auto p = position(node);
  for (std::size_t d = 0; d < static_cast<std::size_t>(shape_.dimension); ++d) {
    x[d] = coordinates_[static_cast<std::size_t>(p[d] + 1)];
  }
  return x;
}

linalg::Matrix Grid::assemble(double stiffness_factor, double mass_factor) const {
  const int dim = shape_.dimension;
  const auto local = static_cast<PetscInt>(owned().size());
  const int width = dim == 1 ? 3 : dim == 2 ? 9 : 27;
  linalg::Matrix matrix;
  check(MatCreateAIJ(comm_.handle(), local, local, PETSC_DETERMINE, PETSC_DETERMINE, width, nullptr,
                     width, nullptr, matrix.put()));
  const auto entry = [](const std::vector<double>& diagonal, const std::vector<double>& next,
                        std::int64_t i, int step) {
    if (step == 0) return diagonal[static_cast<std::size_t>(i)];
    return next[static_cast<std::size_t>(step > 0 ? i : i - 1)];
  };
  std::vector<PetscInt> columns;
  std::vector<PetscScalar> values;
  for (auto node = owned().begin; node < owned().end; ++node) {
    columns.clear();
    values.clear();
    const auto p = position(node);
    for (int neighbour = 0; neighbour < width; ++neighbour) {
      const std::array<int, 3> step = {neighbour % 3 - 1, neighbour / 3 % 3 - 1, neighbour / 9 - 1};
      std::int64_t column = 0;
      std::array<double, 3> k{};
      std::array<double, 3> m = {1.0, 1.0, 1.0};
      bool inside = true;
      for (int d = dim - 1; d >= 0 && inside; --d) {
        const auto a = static_cast<std::size_t>(d);
        const int s = step[a];
        inside = p[a] + s >= 0 && p[a] + s < line();
        if (!inside) break;
        column = column * line() + p[a] + s;
        k[a] = entry(stiffness_diagonal_, stiffness_next_, p[a], s);
        m[a] = entry(mass_diagonal_, mass_next_, p[a], s);
      }
      if (!inside) continue;
      double value = mass_factor * m[0] * m[1] * m[2];
      value += stiffness_factor * k[0] * m[1] * m[2];
      if (dim > 1) value += stiffness_factor * m[0] * k[1] * m[2];
      if (dim > 2) value += stiffness_factor * m[0] * m[1] * k[2];
      if (value == 0.0 && column != node) continue;
      columns.push_back(static_cast<PetscInt>(column));
      values.push_back(value);
    }
    const auto row = static_cast<PetscInt>(node);
    check(MatSetValues(matrix, 1, &row, static_cast<PetscInt>(columns.size()), columns.data(),
                       values.data(), INSERT_VALUES));
  }
  check(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
  check(MatSetOption(matrix, MAT_SYMMETRIC, PETSC_TRUE));
  check(MatSetOption(matrix, MAT_SYMMETRY_ETERNAL, PETSC_TRUE));
  return matrix;
}

linalg::Vector Grid::vector() const { return linalg::like(work_); }

linalg::Vector Grid::interpolate(const std::function<double(const Point&)>& function) const {
  linalg::Vector result = vector();
  linalg::Entries values(result);
  for (std::int64_t i = 0; i < values.size(); ++i) values[i] = function(point(owned().begin + i));
  return result;
}

void Grid::solve_mass(Vec b, Vec x) const {
  if (!mass_window_) return check(VecPointwiseDivide(x, b, lumped_));
  PlaneWindow& window = *mass_window_;
  window.fetch(b);
  if (owned().size() == 0) return;
  linalg::Entries all(window.local());
  const std::int64_t size = window.plane();
  solve_along(across_factor_, across_inverse_, size, &all[0]);
  const partition::Range planes = window.owned_planes();
  double* owned_part = &all[(planes.begin - window.first_plane()) * size];
  if (shape_.dimension == 3) {
    for (std::int64_t p = 0; p < planes.size(); ++p) {
      solve_along(within_factor_, within_inverse_, line(), owned_part + p * size);
    }
  }
  if (shape_.dimension > 1) {
    solve_lines(within_factor_, within_inverse_, planes.size() * size / line(), owned_part);
  }
  linalg::Entries result(x);
  std::copy_n(&all[owned().begin - window.first_plane() * size], result.size(), &result[0]);
}

/// One plane of K = K' (x) m + M' (x) k and M = M' (x) m, from the images k', m' of the planes
/// before, at and after it.
void Grid::combine(std::int64_t plane, std::int64_t count, const std::array<const double*, 3>& k,
                   const std::array<const double*, 3>& m, double* k_out, double* m_out) const {
  const auto i = static_cast<std::size_t>(plane);
  const double md = mass_diagonal_[i], mb = i > 0 ? mass_next_[i - 1] : 0.0, ma = mass_next_[i];
  const double kd = stiffness_diagonal_[i], kb = i > 0 ? stiffness_next_[i - 1] : 0.0;
  const double ka = stiffness_next_[i];
  for (std::int64_t a = 0; a < count; ++a) {
    k_out[a] = (md * k[1][a] + kd * m[1][a]) + (mb * k[0][a] + kb * m[0][a]) +
               (ma * k[2][a] + ka * m[2][a]);
    m_out[a] = md * m[1][a] + mb * m[0][a] + ma * m[2][a];
  }
}

/// k = K x and m = M x of one direction.
void Grid::apply_line(const double* x, double* k, double* m) const {
  const auto n = static_cast<std::size_t>(line());
  const double* kd = stiffness_diagonal_.data();
  const double* kn = stiffness_next_.data();
  const double* md = mass_diagonal_.data();
  const double* mn = mass_next_.data();
  const auto row = [&](std::size_t i, double before, double after) {
    const double kb = i > 0 ? kn[i - 1] : 0.0, mb = i > 0 ? mn[i - 1] : 0.0;
    k[i] = kd[i] * x[i] + kb * before + kn[i] * after;
    m[i] = md[i] * x[i] + mb * before + mn[i] * after;
  };
  row(0, 0.0, n > 1 ? x[1] : 0.0);
  for (std::size_t i = 1; i + 1 < n; ++i) {
    k[i] = kd[i] * x[i] + kn[i - 1] * x[i - 1] + kn[i] * x[i + 1];
    m[i] = md[i] * x[i] + mn[i - 1] * x[i - 1] + mn[i] * x[i + 1];
  }
  if (n > 1) row(n - 1, x[n - 2], 0.0);
}

/// The same of all directions but the last, on one plane.
void Grid::apply_plane(const double* x, double* k, double* m) const {
  const std::int64_t n = line();
  if (shape_.dimension == 1) {
    *k = 0.0;
    *m = *x;
  } else if (shape_.dimension == 2) {
    apply_line(x, k, m);
  } else {
    Product& work = *product_;
    for (std::int64_t j = 0; j < n; ++j)
      apply_line(x + j * n, &work.line_k[static_cast<std::size_t>(j * n)],
                 &work.line_m[static_cast<std::size_t>(j * n)]);
    const auto at = [&](const std::vector<double>& lines, std::int64_t j) {
      return j >= 0 && j < n ? &lines[static_cast<std::size_t>(j * n)] : work.zero.data();
    };
    for (std::int64_t j = 0; j < n; ++j) {
      combine(j, n, {at(work.line_k, j - 1), at(work.line_k, j), at(work.line_k, j + 1)},
              {at(work.line_m, j - 1), at(work.line_m, j), at(work.line_m, j + 1)}, k + j * n,
              m + j * n);
    }
  }
}

void Grid::apply(Vec x, Vec stiffness_image, Vec mass_image) const {
  Product& work = *product_;
  PlaneWindow& window = work.window;
  window.fetch(x);
  if (owned().size() == 0) return;
  const linalg::ConstEntries all(window.local());
  const std::int64_t size = window.plane();
  const std::int64_t begin = window.owned_planes().begin;
  const auto held = [&](std::int64_t p) {
    return p >= window.first_plane() && p < window.first_plane() + window.planes();
  };
  const auto image = [&](std::int64_t p) {
    if (!held(p)) return;
    const auto slot = static_cast<std::size_t>(p % 3);
    apply_plane(&all[(p - window.first_plane()) * size], work.k[slot].data(), work.m[slot].data());
  };
  const auto at = [&](const std::array<std::vector<double>, 3>& planes, std::int64_t p) {
    return held(p) ? planes[static_cast<std::size_t>(p % 3)].data() : work.zero.data();
  };
  std::unique_ptr<linalg::Entries> k_target, m_target;
  if (stiffness_image != nullptr) k_target = std::make_unique<linalg::Entries>(stiffness_image);
  if (mass_image != nullptr) m_target = std::make_unique<linalg::Entries>(mass_image);
  image(begin - 1);
  image(begin);
  for (std::int64_t p = begin; p < window.owned_planes().end; ++p) {
    image(p + 1);
    combine(p, size, {at(work.k, p - 1), at(work.k, p), at(work.k, p + 1)},
            {at(work.m, p - 1), at(work.m, p), at(work.m, p + 1)}, work.k_out.data(),
            work.m_out.data());
    const std::int64_t first = std::max(p * size, owned().begin) - p * size;
    const std::int64_t count = std::min((p + 1) * size, owned().end) - p * size - first;
    const std::int64_t offset = p * size + first - owned().begin;
    if (k_target)
      std::copy_n(&work.k_out[static_cast<std::size_t>(first)], count, &(*k_target)[offset]);
    if (m_target)
      std::copy_n(&work.m_out[static_cast<std::size_t>(first)], count, &(*m_target)[offset]);
  }
}

double Grid::inner(Vec a, Vec b) const {
  check(MatMult(mass_, b, work_));
  return linalg::dot(a, work_);
}

double Grid::norm(Vec v) const { return std::sqrt(std::max(0.0, inner(v, v))); }

double Grid::jacobi_bound(double stiffness_factor, double mass_factor) const {
  const CellSymbol cell = cell_symbol(shape_.element);
  double narrow = std::numeric_limits<double>::infinity();
  double wide = 0.0;
  for (std::size_t i = 0; i + 1 < coordinates_.size(); ++i) {
    narrow = std::min(narrow, coordinates_[i + 1] - coordinates_[i]);
    wide = std::max(wide, coordinates_[i + 1] - coordinates_[i]);
  }
  // The ratio is largest at cells whose widths are extreme in each direction.
  double bound = 0.0;
  const auto dim = static_cast<unsigned>(shape_.dimension);
  for (unsigned widths = 0; widths < 1U << dim; ++widths) {
    for (unsigned signs = 0; signs < 1U << dim; ++signs) {
      const auto width = [&](unsigned d) { return (widths >> d & 1U) != 0U ? wide : narrow; };
      double value = mass_factor;
      double diagonal = mass_factor;
      for (unsigned d = 0; d < dim; ++d) {
        value *= cell.mass[signs >> d & 1U] * width(d);
        diagonal *= cell.mass_diagonal * width(d);
      }
      for (unsigned d = 0; d < dim; ++d) {
        double k = stiffness_factor * cell.stiffness[signs >> d & 1U] / width(d);
        double kd = stiffness_factor * cell.stiffness_diagonal / width(d);
        for (unsigned e = 0; e < dim; ++e) {
          if (e == d) continue;
          k *= cell.mass[signs >> e & 1U] * width(e);
          kd *= cell.mass_diagonal * width(e);
        }
        value += k;
        diagonal += kd;
      }
      bound = std::max(bound, value / diagonal);
    }
  }
  return bound;
}

}  // namespace equipoise::control
