#include "program_spread.hpp"

#include <equipoise/formats/mps.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/state/field_map.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

using formats::MpsProgram;
using Vector = std::vector<double>;
using Figures = std::vector<std::pair<std::string, double>>;

constexpr double rounding_of_ray = 1e-9;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

/// The program as the certificate sees it: vectors in full on every rank, of the matrices a share.
struct Shared {
  const parallel::Comm& comm;
  MpsProgram p;

  /// M v, or with M transposed, in plain sums. **Collective**, one allreduce.
  [[nodiscard]] Vector product(const std::vector<formats::MpsEntry>& matrix, const Vector& v,
                               bool transposed, std::size_t size) const {
    Vector out(size);
    for (const auto& e : matrix) {
      if (transposed) {
        out[at(e.column)] += e.value * v[at(e.row)];
      } else {
        out[at(e.row)] += e.value * v[at(e.column)];
      }
    }
    MPI_Allreduce(MPI_IN_PLACE, out.data(), static_cast<int>(out.size()), MPI_DOUBLE, MPI_SUM,
                  comm.handle());
    return out;
  }
};

double inner(const Vector& a, const Vector& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// The bounds that positive and negative multipliers belong to: their support value, the largest
/// multiplier without a bound, and the largest product with the distance of the activity.
struct Support {
  double value = 0.0, loose = 0.0, slack = 0.0;
  Support(const Vector& multiplier, const Vector& activity, const Vector& lower,
          const Vector& upper) {
    for (std::size_t i = 0; i < multiplier.size(); ++i) {
      const double bound = multiplier[i] > 0.0 ? lower[i] : upper[i];
      if (std::isinf(bound)) {
        loose = std::max(loose, std::abs(multiplier[i]));
      } else {
        value += multiplier[i] * bound;
        slack = std::max(slack, std::abs(multiplier[i] * (activity[i] - bound)));
      }
    }
  }
};

double violation(const Vector& activity, const Vector& lower, const Vector& upper) {
  double worst = 0.0;
  for (std::size_t i = 0; i < activity.size(); ++i) {
    worst = std::max({worst, lower[i] - activity[i], activity[i] - upper[i]});
  }
  return worst;
}

double largest_finite(const Vector& a, const Vector& b) {
  double largest = 0.0;
  for (const Vector* v : {&a, &b}) {
    for (const double t : *v) {
      if (std::isfinite(t)) largest = std::max(largest, std::abs(t));
    }
  }
  return largest;
}

Figures certify_pair(const Shared& s, const Vector& x, const Vector& y) {
  const MpsProgram& p = s.p;
  const Vector ax = s.product(p.matrix, x, false, y.size());
  const Vector qx = s.product(p.quadratic, x, false, x.size());
  const Vector aty = s.product(p.matrix, y, true, x.size());
  Vector z = p.cost;
  for (std::size_t j = 0; j < z.size(); ++j) z[j] += qx[j] - aty[j];
  const Support rows(y, ax, p.row_lower, p.row_upper);
  const Support columns(z, x, p.lower, p.upper);
  const double bend = inner(x, qx);
  const double primal = 0.5 * bend + inner(p.cost, x) + p.constant;
  const double dual = rows.value + columns.value - 0.5 * bend + p.constant;
  const double worst =
      std::max(violation(ax, p.row_lower, p.row_upper), violation(x, p.lower, p.upper));
  const double loose = std::max(rows.loose, columns.loose);
  const double slack = std::max(rows.slack, columns.slack);
  const double size = 1.0 + std::abs(primal);
  const double sign = p.maximise ? -1.0 : 1.0;
  return {{"primal_objective", sign * primal},
          {"dual_objective", sign * dual},
          {"primal_residual_max", worst},
          {"dual_residual_max", loose},
          {"complementarity_max", slack},
          {"primal_residual_relative", worst / (1.0 + largest_finite(p.row_lower, p.row_upper))},
          {"dual_residual_relative", loose / (1.0 + largest_finite(p.cost, {}))},
          {"complementarity_relative", slack / size},
          {"gap_relative", std::abs(primal - dual) / size}};
}

/// y scaled to max |y| = 1; entries of A'y below 1e-9 count as zero.
Figures certify_dual_ray(const Shared& s, Vector y) {
  const MpsProgram& p = s.p;
  const double size = largest_finite(y, {});
  for (double& v : y) v /= size;
  Vector z = s.product(p.matrix, y, true, p.cost.size());
  for (double& v : z) v = std::abs(v) < rounding_of_ray ? 0.0 : -v;
  const Support rows(y, Vector(y.size()), p.row_lower, p.row_upper);
  const Support columns(z, Vector(z.size()), p.lower, p.upper);
  return {{"infeasibility_margin", rows.value + columns.value},
          {"infeasibility_not_carried", std::max(rows.loose, columns.loose)}};
}

/// x scaled to max |x| = 1.
Figures certify_direction(const Shared& s, Vector x) {
  const MpsProgram& p = s.p;
  const double size = largest_finite(x, {});
  for (double& v : x) v /= size;
  const Vector ax = s.product(p.matrix, x, false, p.row_lower.size());
  const Vector qx = s.product(p.quadratic, x, false, x.size());
  const auto leaves = [](const Vector& change, const Vector& lower, const Vector& upper) {
    double worst = 0.0;
    for (std::size_t i = 0; i < change.size(); ++i) {
      if (std::isfinite(lower[i])) worst = std::max(worst, -change[i]);
      if (std::isfinite(upper[i])) worst = std::max(worst, change[i]);
    }
    return worst;
  };
  return {{"unbounded_slope", inner(p.cost, x)},
          {"unbounded_leaves_rows_or_bounds",
           std::max({leaves(ax, p.row_lower, p.row_upper), leaves(x, p.lower, p.upper),
                     largest_finite(qx, {})})}};
}

/// The whole of a vector of which every rank holds a part. **Collective.**
Vector everywhere(const parallel::Comm& comm, const partition::Layout& layout,
                  std::span<const double> owned) {
  Vector whole = gather(comm, Vector(owned.begin(), owned.end()));
  whole.resize(static_cast<std::size_t>(layout.dimension()));
  comm.broadcast(std::span<double>(whole));
  return whole;
}

/// Reads the file again on rank 0, or makes this rank's columns again. **Collective.**
Shared load(const parallel::Comm& comm, const DistributedProgram& program) {
  Shared s{comm, parallel::agree(comm, [&] {
             return comm.rank() == 0 && !program.generator ? formats::read_mps(program.path)
                                                           : MpsProgram();
           })};
  MpsProgram& p = s.p;
  if (program.generator) {
    for (const auto& e : program.entries(comm.rank())) {
      p.matrix.push_back(
          {static_cast<std::int32_t>(e.row), static_cast<std::int32_t>(e.column), e.value});
    }
    p.cost = everywhere(comm, program.columns, program.cost);
    p.lower = everywhere(comm, program.columns, program.lower);
    p.upper = everywhere(comm, program.columns, program.upper);
    p.row_lower = everywhere(comm, program.rows, program.row_lower);
    p.row_upper = everywhere(comm, program.rows, program.row_upper);
    return s;
  }
  for (Vector* v : {&p.cost, &p.lower, &p.upper}) {
    v->resize(static_cast<std::size_t>(program.columns.dimension()));
    comm.broadcast(std::span<double>(*v));
  }
  for (Vector* v : {&p.row_lower, &p.row_upper}) {
    v->resize(static_cast<std::size_t>(program.rows.dimension()));
    comm.broadcast(std::span<double>(*v));
  }
  comm.broadcast(std::span<double>(&p.constant, 1));
  p.maximise = program.maximise;
  return s;
}

}  // namespace

solve::Certificate LinearProgramInstance::certify(state::Stateful& solution) {
  state::FieldMap map;
  solution.fields(map);
  const auto status = static_cast<ProgramStatus>(map.integers("status")[0]);
  const Vector x = everywhere(comm_, program_->columns, map.doubles("x"));
  const Vector y = everywhere(comm_, program_->rows, map.doubles("y"));
  const Shared shared = load(comm_, *program_);
  solve::Certificate c;
  if (status == ProgramStatus::infeasible) {
    c.values = certify_dual_ray(shared, y);
    c.measure = c.values[0].second > 1e-6 ? c.values[1].second : HUGE_VAL;
  } else if (status == ProgramStatus::unbounded) {
    c.values = certify_direction(shared, x);
    c.measure = c.values[0].second < -1e-6 ? c.values[1].second : HUGE_VAL;
  } else {
    c.values = certify_pair(shared, x, y);
    for (std::size_t k = 5; k < c.values.size(); ++k)
      c.measure = std::max(c.measure, c.values[k].second);
    if (!std::isnan(program_->optimum)) {
      c.values.emplace_back(
          "objective_error_relative",
          std::abs(c.values[0].second - program_->optimum) / (1.0 + std::abs(program_->optimum)));
    }
  }
  return c;
}

}  // namespace equipoise::problems
