#include "elements_rule.hpp"

#include <equipoise/parallel/agree.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace equipoise::control {

using linalg::check;

namespace {

/// Position on Morton's curve of a point of the unit box.
std::uint64_t morton(const Point& x, const Point& lower, const Point& upper, int dimension) {
  std::uint64_t code = 0;
  std::array<std::uint64_t, 3> cell{};
  for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d) {
    const double t = (x[d] - lower[d]) / std::max(upper[d] - lower[d], 1e-300);
    cell[d] = static_cast<std::uint64_t>(std::clamp(t, 0.0, 1.0) * ((1 << 20) - 1));
  }
  for (int bit = 19; bit >= 0; --bit) {
    for (std::size_t d = 0; d < static_cast<std::size_t>(dimension); ++d)
      code = code << 1U | (cell[d] >> static_cast<unsigned>(bit) & 1U);
  }
  return code;
}

using Edge = std::pair<std::int64_t, std::int64_t>;
Edge edge(std::int64_t a, std::int64_t b) { return {std::min(a, b), std::max(a, b)}; }

/// The nodes of a mesh as first found: corners, then the middles of edges.
struct Nodes {
  std::vector<Point> points;
  std::vector<std::array<std::int64_t, 10>> cells;
  std::map<Edge, std::int64_t> middles;
};

Nodes find_nodes(const Mesh& mesh, int degree) {
  Nodes nodes{mesh.points, {}, {}};
  const auto corners = static_cast<std::size_t>(mesh.dimension) + 1;
  nodes.cells.reserve(mesh.cells.size());
  for (const auto& cell : mesh.cells) {
    auto& all = nodes.cells.emplace_back();
    std::copy(cell.begin(), cell.begin() + static_cast<std::ptrdiff_t>(corners), all.begin());
    std::size_t k = corners;
    for (std::size_t b = 1; degree == 2 && b < corners; ++b) {
      for (std::size_t a = 0; a < b; ++a) {
        const auto key = edge(cell[a], cell[b]);
        const auto [found, added] =
            nodes.middles.try_emplace(key, static_cast<std::int64_t>(nodes.points.size()));
        if (added) {
          const Point& p = mesh.points[static_cast<std::size_t>(cell[a])];
          const Point& q = mesh.points[static_cast<std::size_t>(cell[b])];
          nodes.points.push_back({0.5 * (p[0] + q[0]), 0.5 * (p[1] + q[1]), 0.5 * (p[2] + q[2])});
        }
        all[k++] = found->second;
      }
    }
  }
  return nodes;
}

/// Marks the nodes of the boundary facets with these tags.
std::vector<char> find_fixed(const Mesh& mesh, const Nodes& nodes,
                             const std::vector<std::int64_t>& tags) {
  const std::set<std::int64_t> present(mesh.facet_tags.begin(), mesh.facet_tags.end());
  for (const auto wanted : tags) {
    if (!present.contains(wanted)) {
      throw ConfigurationError("no boundary facet of {} has the tag {}; there are {}", mesh.origin,
                               wanted, fmt::join(present, ", "));
    }
  }
  std::vector<char> fixed(nodes.points.size(), 0);
  const auto size = static_cast<std::size_t>(mesh.dimension);
  for (std::size_t f = 0; f < mesh.facets.size(); ++f) {
    if (!tags.empty() && std::find(tags.begin(), tags.end(), mesh.facet_tags[f]) == tags.end())
      continue;
    for (std::size_t a = 0; a < size; ++a) {
      fixed[static_cast<std::size_t>(mesh.facets[f][a])] = 1;
      for (std::size_t b = a + 1; b < size; ++b) {
        const auto middle = nodes.middles.find(edge(mesh.facets[f][a], mesh.facets[f][b]));
        if (middle != nodes.middles.end()) fixed[static_cast<std::size_t>(middle->second)] = 1;
      }
    }
  }
  return fixed;
}

}  // namespace

FiniteElements::FiniteElements(const parallel::Comm& comm, const Mesh& mesh, int degree,
                               const std::vector<std::int64_t>& dirichlet)
    : comm_(comm), dimension_(mesh.dimension), degree_(degree) {
  if (degree != 1 && degree != 2)
    throw ConfigurationError("elements have degree 1 or 2, not {}", degree);
  linalg::start_petsc(comm);
  parallel::agree(comm_, [&] { number(mesh, dirichlet); });
  make_pattern();
  Vec layout = nullptr;
  linalg::Vector any = vector();
  layout = any;
  std::vector<PetscInt> index(local_.begin(), local_.end());
  linalg::IndexSet from, to;
  const auto size = static_cast<PetscInt>(index.size());
  check(ISCreateGeneral(PETSC_COMM_SELF, size, index.data(), PETSC_COPY_VALUES, from.put()));
  check(ISCreateStride(PETSC_COMM_SELF, size, 0, 1, to.put()));
  check(VecCreateSeq(PETSC_COMM_SELF, size, ghost_.put()));
  check(VecScatterCreate(layout, from, ghost_, to, scatter_.put()));
}

void FiniteElements::number(const Mesh& mesh, const std::vector<std::int64_t>& dirichlet) {
  const Nodes nodes = find_nodes(mesh, degree_);
  const auto count = nodes.points.size();
  if (count > 400'000'000)
    throw ConfigurationError("{}: {} nodes are too many", mesh.origin, count);
  const std::vector<char> fixed = find_fixed(mesh, nodes, dirichlet);
  lower_ = upper_ = mesh.points[static_cast<std::size_t>(mesh.cells[0][0])];
  std::vector<char> used(count, 0);
  for (const auto& cell : nodes.cells) {
    for (std::size_t k = 0; k < width(); ++k) {
      const auto node = static_cast<std::size_t>(cell[k]);
      used[node] = 1;
      for (std::size_t d = 0; d < 3; ++d) {
        lower_[d] = std::min(lower_[d], nodes.points[node][d]);
        upper_[d] = std::max(upper_[d], nodes.points[node][d]);
      }
    }
  }
  // The order along the curve; points that no cell uses drop out.
  std::vector<std::int64_t> order;
  std::vector<std::uint64_t> code(count);
  for (std::size_t i = 0; i < count; ++i) {
    code[i] = morton(nodes.points[i], lower_, upper_, dimension_);
    if (used[i] != 0) order.push_back(static_cast<std::int64_t>(i));
  }
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return code[static_cast<std::size_t>(a)] < code[static_cast<std::size_t>(b)];
  });
  std::vector<std::int64_t> place(count, -1);
  for (std::size_t i = 0; i < order.size(); ++i)
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  partition_ = partition::Partition::uniform(static_cast<std::int64_t>(order.size()), comm_.size());

  cell_count_ = static_cast<std::int64_t>(mesh.cells.size());
  std::vector<std::array<std::int64_t, 10>> kept;
  for (std::size_t c = 0; c < mesh.cells.size(); ++c) {
    volume_ += std::abs(mesh.volume(c));
    auto cell = nodes.cells[c];
    bool mine = false;
    for (std::size_t k = 0; k < width(); ++k) {
      cell[k] = place[static_cast<std::size_t>(cell[k])];
      mine = mine || owned().contains(cell[k]);
    }
    if (!mine) continue;
    kept.push_back(cell);
    cells_.push_back({{}, mesh.cell_tags[c]});
    local_.insert(local_.end(), cell.begin(), cell.begin() + static_cast<std::ptrdiff_t>(width()));
  }
  std::sort(local_.begin(), local_.end());
  local_.erase(std::unique(local_.begin(), local_.end()), local_.end());
  for (std::size_t c = 0; c < kept.size(); ++c) {
    for (std::size_t k = 0; k < width(); ++k) {
      cells_[c].nodes[k] = static_cast<std::int32_t>(
          std::lower_bound(local_.begin(), local_.end(), kept[c][k]) - local_.begin());
    }
  }
  for (const auto node : local_) {
    const auto old = static_cast<std::size_t>(order[static_cast<std::size_t>(node)]);
    local_points_.push_back(nodes.points[old]);
    local_fixed_.push_back(fixed[old]);
  }
  for (std::int64_t node = owned().begin; node < owned().end; ++node) {
    const auto old = static_cast<std::size_t>(order[static_cast<std::size_t>(node)]);
    points_.push_back(nodes.points[old]);
    fixed_.push_back(fixed[old]);
  }
}

void FiniteElements::make_pattern() {
  std::vector<std::vector<PetscInt>> rows(static_cast<std::size_t>(owned().size()));
  for (const Cell& cell : cells_) {
    for (std::size_t k = 0; k < width(); ++k) {
      const auto node = local_[static_cast<std::size_t>(cell.nodes[k])];
      if (!owned().contains(node)) continue;
      auto& row = rows[static_cast<std::size_t>(node - owned().begin)];
      for (std::size_t j = 0; j < width(); ++j)
        row.push_back(static_cast<PetscInt>(local_[static_cast<std::size_t>(cell.nodes[j])]));
    }
  }
  row_begin_ = {0};
  for (auto& row : rows) {
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
    columns_.insert(columns_.end(), row.begin(), row.end());
    row_begin_.push_back(static_cast<PetscInt>(columns_.size()));
  }
}

std::vector<std::vector<std::int64_t>> FiniteElements::written_cells() const {
  std::vector<std::vector<std::int64_t>> result;
  for (const Cell& cell : cells_) {
    std::vector<std::int64_t> nodes(width());
    for (std::size_t k = 0; k < width(); ++k)
      nodes[k] = local_[static_cast<std::size_t>(cell.nodes[k])];
    if (owned().contains(nodes[0])) result.push_back(std::move(nodes));
  }
  return result;
}

linalg::Vector FiniteElements::vector() const {
  linalg::Vector v;
  check(VecCreateMPI(comm_.handle(), static_cast<PetscInt>(owned().size()),
                     static_cast<PetscInt>(nodes()), v.put()));
  check(VecSet(v, 0.0));
  return v;
}

linalg::Vector FiniteElements::interpolate(const std::function<double(const Point&)>& f) const {
  linalg::Vector v = vector();
  linalg::Entries values(v);
  for (std::size_t i = 0; i < points_.size(); ++i)
    values[static_cast<std::int64_t>(i)] = f(points_[i]);
  return v;
}

FiniteElements::Geometry FiniteElements::geometry(const Cell& cell) const {
  return simplex_geometry<Geometry>(dimension_, [&](std::size_t k) {
    return local_points_[static_cast<std::size_t>(cell.nodes[k])];
  });
}

const FiniteElements::Rule& FiniteElements::rule() const {
  static const std::array<Rule, 4> rules = {Rule(2, 1), Rule(2, 2), Rule(3, 1), Rule(3, 2)};
  return rules[static_cast<std::size_t>(2 * (dimension_ - 2) + degree_ - 1)];
}

std::vector<double> FiniteElements::local_values(Vec function) const {
  std::vector<double> values(local_.size());
  check(VecScatterBegin(scatter_, function, ghost_, INSERT_VALUES, SCATTER_FORWARD));
  check(VecScatterEnd(scatter_, function, ghost_, INSERT_VALUES, SCATTER_FORWARD));
  const linalg::ConstEntries ghost(ghost_);
  std::copy(ghost.span().begin(), ghost.span().end(), values.begin());
  return values;
}

template <class Visit, class Finish>
void FiniteElements::for_each_point(const Functions& functions, Visit&& visit,
                                    Finish&& finish) const {
  std::vector<std::vector<double>> values;
  for (Vec function : functions) values.push_back(local_values(function));
  const Rule& quadrature = rule();
  for (const Cell& cell : cells_) {
    const Geometry g = geometry(cell);
    for (const auto& q : quadrature.points) {
      Place place;
      place.tag = cell.tag;
      for (std::size_t k = 0; k < corners(); ++k) {
        const Point& corner = local_points_[static_cast<std::size_t>(cell.nodes[k])];
        for (std::size_t d = 0; d < 3; ++d) place.x[d] += q.barycentric[k] * corner[d];
      }
      Slopes slopes = q.slopes(g.slopes, width(), corners());
      for (std::size_t f = 0; f < values.size(); ++f) {
        for (std::size_t k = 0; k < width(); ++k) {
          const double v = values[f][static_cast<std::size_t>(cell.nodes[k])];
          place.values[f] += v * q.values[k];
          for (std::size_t d = 0; f == 0 && d < 3; ++d) place.gradient[d] += v * slopes[k][d];
        }
      }
      visit(q, slopes, place, q.weight * g.volume);
    }
    finish(cell);
  }
}

linalg::Matrix FiniteElements::assemble(const Coefficient& form, bool constrained,
                                        const Functions& functions) const {
  linalg::Matrix matrix;
  const auto rows = static_cast<PetscInt>(owned().size());
  check(MatCreate(comm_.handle(), matrix.put()));
  check(MatSetSizes(matrix, rows, rows, PETSC_DETERMINE, PETSC_DETERMINE));
  check(MatSetType(matrix, MATAIJ));
  check(MatSeqAIJSetPreallocationCSR(matrix, row_begin_.data(), columns_.data(), nullptr));
  check(MatMPIAIJSetPreallocationCSR(matrix, row_begin_.data(), columns_.data(), nullptr));
  assemble(form, constrained, functions, matrix);
  return matrix;
}

void FiniteElements::assemble(const Coefficient& form, bool constrained, const Functions& functions,
                              Mat matrix) const {
  std::vector<double> values(columns_.size(), 0.0);
  const auto begin = owned().begin;
  const std::size_t n = width();
  std::array<std::array<double, 10>, 10> part{};  // of one cell
  const auto accumulate = [&](const QuadraturePoint& q, const Slopes& slopes, const Place& place,
                              double weight) {
    const Form f = form(place);
    for (std::size_t j = 0; j < n; ++j) {
      const double lower_order = inner(f.advection, slopes[j]) + f.reaction * q.values[j];
      const double along = f.directed * inner(f.direction, slopes[j]);
      for (std::size_t i = 0; i < n; ++i) {
        part[i][j] += weight * (f.diffusion * inner(slopes[j], slopes[i]) +
                                along * inner(f.direction, slopes[i]) + lower_order * q.values[i]);
      }
    }
  };
  const auto scatter = [&](const Cell& cell) {
    for (std::size_t i = 0; i < n; ++i) {
      const auto row = local_[static_cast<std::size_t>(cell.nodes[i])];
      const bool gone = constrained && local_fixed_[static_cast<std::size_t>(cell.nodes[i])] != 0;
      if (gone || !owned().contains(row)) continue;
      const auto r = static_cast<std::size_t>(row - begin);
      const auto first = columns_.begin() + row_begin_[r];
      const auto last = columns_.begin() + row_begin_[r + 1];
      for (std::size_t j = 0; j < n; ++j) {
        const auto local = static_cast<std::size_t>(cell.nodes[j]);
        if (constrained && local_fixed_[local] != 0) continue;
        const auto at = std::lower_bound(first, last, static_cast<PetscInt>(local_[local]));
        values[static_cast<std::size_t>(at - columns_.begin())] += part[i][j];
      }
    }
    part = {};
  };
  for_each_point(functions, accumulate, scatter);
  for (std::int64_t row = 0; row < owned().size(); ++row) {
    const auto r = static_cast<std::size_t>(row);
    const PetscInt first = row_begin_[r], size = row_begin_[r + 1] - first;
    const auto global = static_cast<PetscInt>(begin + row);
    if (constrained && fixed_[r] != 0) {
      const auto at =
          std::lower_bound(columns_.begin() + first, columns_.begin() + first + size, global);
      values[static_cast<std::size_t>(at - columns_.begin())] = 1.0;
    }
    check(MatSetValues(matrix, 1, &global, size, columns_.data() + first, values.data() + first,
                       INSERT_VALUES));
  }
  check(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
}

void FiniteElements::load(const Source& f, const Functions& functions, Vec out) const {
  check(VecSet(out, 0.0));
  linalg::Entries entries(out);
  std::array<double, 10> part{};  // of one cell
  const auto accumulate = [&](const QuadraturePoint& q, const Slopes&, const Place& place,
                              double weight) {
    const double value = weight * f(place);
    for (std::size_t i = 0; i < width(); ++i) part[i] += value * q.values[i];
  };
  const auto scatter = [&](const Cell& cell) {
    for (std::size_t i = 0; i < width(); ++i) {
      const auto row = local_[static_cast<std::size_t>(cell.nodes[i])];
      if (owned().contains(row)) entries[row - owned().begin] += part[i];
    }
    part = {};
  };
  for_each_point(functions, accumulate, scatter);
}

double FiniteElements::integrate(const Source& f, const Functions& functions) const {
  // Each node takes its share of the integral, so that cells on two ranks count once.
  linalg::Vector parts = vector();
  load(f, functions, parts);
  double sum = 0.0;
  check(VecSum(parts, &sum));
  return sum;
}

void FiniteElements::clear_dirichlet(Vec v) const {
  linalg::Entries values(v);
  for (std::size_t i = 0; i < fixed_.size(); ++i) {
    if (fixed_[i] != 0) values[static_cast<std::int64_t>(i)] = 0.0;
  }
}

linalg::Matrix FiniteElements::evaluation(const std::vector<Point>& points) const {
  // The finder of a point is the lowest rank that holds a cell with it whose first node it owns.
  std::vector<double> finder(points.size(), -1.0e9);
  std::vector<std::pair<const Cell*, std::array<double, 4>>> found(points.size());
  for (std::size_t p = 0; p < points.size(); ++p) {
    for (const Cell& cell : cells_) {
      if (!owned().contains(local_[static_cast<std::size_t>(cell.nodes[0])])) continue;
      const auto l =
          barycentric(geometry(cell).slopes, local_points_[static_cast<std::size_t>(cell.nodes[0])],
                      points[p], corners());
      if (*std::min_element(l.begin(), l.begin() + static_cast<std::ptrdiff_t>(corners())) < -1e-10)
        continue;
      finder[p] = -comm_.rank();
      found[p] = {&cell, l};
      break;
    }
  }
  comm_.max(finder);
  for (std::size_t p = 0; p < points.size(); ++p) {
    if (finder[p] < -1e8) {
      throw ConfigurationError("the observation point ({}) lies outside the mesh",
                               fmt::join(points[p], ", "));
    }
  }
  const auto rows =
      partition::Partition::uniform(static_cast<std::int64_t>(points.size()), comm_.size());
  linalg::Matrix matrix;
  const auto local_rows = static_cast<PetscInt>(rows.range(comm_.rank()).size());
  const auto local_columns = static_cast<PetscInt>(owned().size());
  const auto full = static_cast<PetscInt>(width());
  check(MatCreateAIJ(comm_.handle(), local_rows, local_columns, PETSC_DETERMINE, PETSC_DETERMINE,
                     full, nullptr, full, nullptr, matrix.put()));
  for (std::size_t p = 0; p < points.size(); ++p) {
    if (-static_cast<int>(finder[p]) != comm_.rank()) continue;
    const auto& [cell, l] = found[p];
    const auto values = basis_values(l, width(), corners());
    for (std::size_t k = 0; k < width(); ++k) {
      const auto column = static_cast<PetscInt>(local_[static_cast<std::size_t>(cell->nodes[k])]);
      const auto row = static_cast<PetscInt>(p);
      check(MatSetValue(matrix, row, column, values[k], INSERT_VALUES));
    }
  }
  check(MatAssemblyBegin(matrix, MAT_FINAL_ASSEMBLY));
  check(MatAssemblyEnd(matrix, MAT_FINAL_ASSEMBLY));
  return matrix;
}

std::pair<double, double> FiniteElements::mass_bounds() const {
  return reference_mass_bounds(rule().points, width());
}

}  // namespace equipoise::control
