#include "program_newton.hpp"

namespace equipoise::problems {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

RelativeKkt local_kkt(const LocalProgram& p, const std::vector<double>& x,
                      const std::vector<double>& y) {
  std::vector<double> ax(y.size()), z(p.cost), qx(x.size());
  for (const auto& [i, j, value] : p.matrix) {
    ax[at(i)] += value * x[at(j)];
    z[at(j)] -= value * y[at(i)];
  }
  for (const auto& [i, j, value] : p.quadratic) qx[at(i)] += value * x[at(j)];
  KktMaxima maxima;
  double primal = p.constant, dual = p.constant;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double scale = p.column_scale[j];
    primal += (p.cost[j] + 0.5 * qx[j]) * x[j];
    dual +=
        maxima.add((z[j] + qx[j]) / scale, x[j] * scale, p.lower[j] * scale, p.upper[j] * scale) -
        0.5 * qx[j] * x[j];
  }
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double scale = p.row_scale[i];
    dual += maxima.add(y[i] * scale, ax[i] / scale, p.row_lower[i] / scale, p.row_upper[i] / scale);
  }
  return relative_kkt(maxima, primal, dual, p.largest_bound, p.largest_cost);
}

void equilibrate(LocalProgram& p) {
  const std::size_t n = p.cost.size();
  const std::size_t m = p.row_lower.size();
  p.column_scale.assign(n, 1.0);
  p.row_scale.assign(m, 1.0);
  std::vector<double> column(n), row(m);
  for (int pass = 0; pass < 10; ++pass) {
    std::fill(column.begin(), column.end(), 0.0);
    std::fill(row.begin(), row.end(), 0.0);
    for (const auto& [i, j, value] : p.matrix) {
      row[at(i)] = std::max(row[at(i)], std::abs(value));
      column[at(j)] = std::max(column[at(j)], std::abs(value));
    }
    for (const auto& [i, j, value] : p.quadratic)
      column[at(j)] = std::max(column[at(j)], std::abs(value));
    // Powers of two, so that scaling rounds nothing.
    for (auto* factors : {&column, &row}) {
      for (double& f : *factors) f = f > 0.0 ? std::exp2(-std::round(0.5 * std::log2(f))) : 1.0;
    }
    for (auto& entry : p.matrix) entry.value *= row[at(entry.row)] * column[at(entry.column)];
    for (auto& entry : p.quadratic) entry.value *= column[at(entry.row)] * column[at(entry.column)];
    for (std::size_t i = 0; i < m; ++i) {
      p.row_scale[i] *= row[i];
      p.row_lower[i] *= row[i];
      p.row_upper[i] *= row[i];
    }
    for (std::size_t j = 0; j < n; ++j) {
      p.column_scale[j] *= column[j];
      p.cost[j] *= column[j];
      p.lower[j] /= column[j];
      p.upper[j] /= column[j];
    }
  }
}

std::vector<double> infeasibility_ray(const LocalProgram& program, NewtonResult& work) {
  LocalProgram elastic = program;
  std::fill(elastic.cost.begin(), elastic.cost.end(), 0.0);
  elastic.quadratic.clear();
  elastic.constant = 0.0;
  elastic.largest_cost = 1.0;
  const auto add = [&](std::int64_t row, double sign) {
    elastic.matrix.push_back({row, std::ssize(elastic.cost), sign});
    elastic.cost.push_back(1.0);
    elastic.lower.push_back(0.0);
    elastic.upper.push_back(HUGE_VAL);
    elastic.column_scale.push_back(1.0);
  };
  for (std::size_t i = 0; i < program.row_lower.size(); ++i) {
    if (std::isfinite(program.row_lower[i])) add(static_cast<std::int64_t>(i), 1.0);
    if (std::isfinite(program.row_upper[i])) add(static_cast<std::int64_t>(i), -1.0);
  }
  std::vector<double> x(elastic.cost.size()), y(program.row_lower.size());
  for (std::size_t j = 0; j < program.cost.size(); ++j)
    x[j] = clip(0.0, program.lower[j], program.upper[j]);
  const NewtonResult result = newton_polish(elastic, 1e-12, x, y);
  work.factorizations += result.factorizations;
  for (std::size_t i = 0; i < y.size(); ++i) y[i] *= program.row_scale[i];
  return y;
}

std::vector<double> recession_ray(const LocalProgram& program, NewtonResult& work) {
  LocalProgram cone = program;
  cone.constant = 0.0;
  const auto bound = [](double& low, double& high, double limit) {
    low = std::isfinite(low) ? 0.0 : -limit;
    high = std::isfinite(high) ? 0.0 : limit;
  };
  for (std::size_t j = 0; j < cone.cost.size(); ++j) bound(cone.lower[j], cone.upper[j], 1.0);
  for (std::size_t i = 0; i < cone.row_lower.size(); ++i)
    bound(cone.row_lower[i], cone.row_upper[i], HUGE_VAL);
  // Without curvature along the ray: Qd = 0.
  const auto rows = std::ssize(cone.row_lower);
  for (const auto& [i, j, value] : cone.quadratic) cone.matrix.push_back({rows + i, j, value});
  if (!cone.quadratic.empty()) {
    const std::size_t all = cone.row_lower.size() + cone.cost.size();
    cone.row_lower.resize(all, 0.0);
    cone.row_upper.resize(all, 0.0);
    cone.row_scale.resize(all, 1.0);
  }
  cone.quadratic.clear();
  std::vector<double> x(cone.cost.size()), y(cone.row_lower.size());
  const NewtonResult result = newton_polish(cone, 1e-12, x, y);
  work.factorizations += result.factorizations;
  for (std::size_t j = 0; j < x.size(); ++j) x[j] *= program.column_scale[j];
  return x;
}

}  // namespace equipoise::problems
