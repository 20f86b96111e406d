#include "program_spread.hpp"

#include <equipoise/formats/mps.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/problems/vi/linear_program.hpp>
#include <equipoise/state/field_map.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace equipoise::problems {
namespace {

using formats::MpsProgram;
using Vector = std::vector<double>;
using Figures = std::vector<std::pair<std::string, double>>;

constexpr double rounding_of_ray = 1e-9;

std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }

/// out += factor * M v, or with M transposed.
void add_product(const std::vector<formats::MpsEntry>& matrix, const Vector& v, double factor,
                 bool transposed, Vector& out) {
  for (const auto& e : matrix) {
    if (transposed) {
      out[at(e.column)] += factor * e.value * v[at(e.row)];
    } else {
      out[at(e.row)] += factor * e.value * v[at(e.column)];
    }
  }
}

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

Figures certify_pair(const MpsProgram& p, const Vector& x, const Vector& y) {
  Vector ax(y.size()), qx(x.size());
  add_product(p.matrix, x, 1.0, false, ax);
  add_product(p.quadratic, x, 1.0, false, qx);
  Vector z = p.cost;
  add_product(p.matrix, y, -1.0, true, z);
  for (std::size_t j = 0; j < z.size(); ++j) z[j] += qx[j];
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
Figures certify_dual_ray(const MpsProgram& p, Vector y) {
  const double size = largest_finite(y, {});
  for (double& v : y) v /= size;
  Vector z(p.cost.size());
  add_product(p.matrix, y, -1.0, true, z);
  for (double& v : z) v = std::abs(v) < rounding_of_ray ? 0.0 : v;
  const Support rows(y, Vector(y.size()), p.row_lower, p.row_upper);
  const Support columns(z, Vector(z.size()), p.lower, p.upper);
  return {{"infeasibility_margin", rows.value + columns.value},
          {"infeasibility_not_carried", std::max(rows.loose, columns.loose)}};
}

/// x scaled to max |x| = 1.
Figures certify_direction(const MpsProgram& p, Vector x) {
  const double size = largest_finite(x, {});
  for (double& v : x) v /= size;
  Vector ax(p.row_lower.size()), qx(x.size());
  add_product(p.matrix, x, 1.0, false, ax);
  add_product(p.quadratic, x, 1.0, false, qx);
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

Figures certify_serially(const MpsProgram& p, ProgramStatus status, const Vector& x,
                         const Vector& y, double& measure) {
  Figures figures;
  if (status == ProgramStatus::infeasible) {
    figures = certify_dual_ray(p, y);
    measure = figures[0].second > 1e-6 ? figures[1].second : HUGE_VAL;
  } else if (status == ProgramStatus::unbounded) {
    figures = certify_direction(p, x);
    measure = figures[0].second < -1e-6 ? figures[1].second : HUGE_VAL;
  } else {
    figures = certify_pair(p, x, y);
    measure = 0.0;
    for (std::size_t k = 5; k < figures.size(); ++k) measure = std::max(measure, figures[k].second);
  }
  return figures;
}

}  // namespace

solve::Certificate LinearProgramInstance::certify(state::Stateful& solution) {
  state::FieldMap map;
  solution.fields(map);
  const auto status = static_cast<ProgramStatus>(map.integers("status")[0]);
  const auto x_owned = map.doubles("x");
  const auto y_owned = map.doubles("y");
  const Vector x = gather(comm_, program_->columns, {x_owned.begin(), x_owned.end()});
  const Vector y = gather(comm_, program_->rows, {y_owned.begin(), y_owned.end()});
  solve::Certificate certificate;
  parallel::agree(comm_, [&] {
    if (comm_.rank() != 0) return;
    certificate.values =
        certify_serially(formats::read_mps(program_->path), status, x, y, certificate.measure);
  });
  // The others learn the figures: the names in one text, the numbers behind them.
  std::string names;
  Vector numbers = {certificate.measure};
  for (const auto& [name, value] : certificate.values) {
    names += name + '\n';
    numbers.push_back(value);
  }
  names = comm_.broadcast(names);
  numbers.resize(1 + static_cast<std::size_t>(std::count(names.begin(), names.end(), '\n')));
  comm_.broadcast(std::span<double>(numbers));
  certificate = {{}, numbers[0]};
  std::size_t begin = 0;
  for (std::size_t k = 1; k < numbers.size(); ++k) {
    const std::size_t end = names.find('\n', begin);
    certificate.values.emplace_back(names.substr(begin, end - begin), numbers[k]);
    begin = end + 1;
  }
  return certificate;
}

}  // namespace equipoise::problems
