#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/problems/bilevel/coupled.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::problems {
namespace {

double sum(bilevel::In a) { return std::accumulate(a.begin(), a.end(), 0.0); }

}  // namespace

void CoupledOptions::describe(state::OptionVisitor& visit) {
  visit.option("size", size, "dimension of x; y has twice as many entries", state::at_least_one);
  visit.option("start", start, "every entry of the first x and y");
  visit.option("scaled", scaled, "divide the constraint by the norm of its row");
}

double CoupledToy::scale() const {
  return options_.scaled ? 1.0 / std::sqrt(3.0 * static_cast<double>(options_.size)) : 1.0;
}

void CoupledToy::grad_y_g(std::int64_t, Batch, In x, In y, Out out) const {
  const std::size_t n = x.size();
  for (std::size_t k = 0; k < n; ++k) {
    out[k] = y[k] - x[k];
    out[n + k] = 1.0;
  }
}

void CoupledToy::grad_x_g(std::int64_t, Batch, In x, In y, Out out) const {
  for (std::size_t k = 0; k < x.size(); ++k) out[k] = -y[k];
}

void CoupledToy::grad_y_f(std::int64_t, Batch, In x, In y, Out out) const {
  const std::size_t n = x.size();
  for (std::size_t k = 0; k < n; ++k) {
    out[k] = y[k] - 1.0;
    out[n + k] = y[n + k] - x[k];
  }
}

void CoupledToy::grad_x_f(std::int64_t, Batch, In x, In y, Out out) const {
  for (std::size_t k = 0; k < x.size(); ++k) out[k] = x[k] - y[x.size() + k];
}

double CoupledToy::f(std::int64_t, Batch, In x, In y) const {
  double value = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double a = x[k] - y[x.size() + k], b = y[k] - 1.0;
    value += 0.5 * (a * a + b * b);
  }
  return value;
}

double CoupledToy::g(std::int64_t, Batch, In x, In y) const {
  const In y1 = y.first(x.size());
  return 0.5 * bilevel::dot(y1, y1) - bilevel::dot(x, y1) + sum(y.subspan(x.size()));
}

void CoupledToy::con(std::int64_t, In x, In y, Out out) const {
  out[0] = scale() * (sum(x) + sum(y));
}

void CoupledToy::con_jt_x(std::int64_t, In, In, In lambda, Out out) const {
  std::fill(out.begin(), out.end(), scale() * lambda[0]);
}

void CoupledToy::con_jt_y(std::int64_t, In, In, In lambda, Out out) const {
  std::fill(out.begin(), out.end(), scale() * lambda[0]);
}

void CoupledToy::proj_joint(Out x, Out y) const {
  const double mean = (sum(x) + sum(y)) / static_cast<double>(x.size() + y.size());
  for (double& entry : x) entry -= mean;
  for (double& entry : y) entry -= mean;
}

void CoupledToy::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }
void CoupledToy::start_inner(std::int64_t, Out y) const {
  std::fill(y.begin(), y.end(), options_.start);
}

bool CoupledToy::optimum(Out x) const {
  std::fill(x.begin(), x.end(), -0.3);
  return true;
}

bool CoupledToy::exact(In x, Out hypergradient, double& value) const {
  const double n = static_cast<double>(x.size()), gap = 3.0 * sum(x) / n + 1.0;
  for (std::size_t k = 0; k < x.size(); ++k) hypergradient[k] = x[k] + 3.0 * gap;
  value = 0.5 * bilevel::dot(x, x) + 0.5 * n * gap * gap;
  return true;
}

std::string CoupledToy::fingerprint() const {
  return fmt::format("coupled n={} start={} scaled={}", options_.size, options_.start,
                     options_.scaled);
}

}  // namespace equipoise::problems
