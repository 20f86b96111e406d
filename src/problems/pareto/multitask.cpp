#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/dataset.hpp>
#include <equipoise/problems/pareto/multitask.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::problems {
namespace {

double margin(const partition::SparseRows& rows, std::int64_t row, std::span<const double> x) {
  const auto index = rows.row_index(row);
  const auto values = rows.row_values(row);
  double sum = 0.0;
  for (std::size_t j = 0; j < index.size(); ++j)
    sum += values[j] * x[static_cast<std::size_t>(index[j])];
  return rows.labels[static_cast<std::size_t>(row)] * sum;
}

/// log(1 + exp(-m)) without overflow, and 1/(1 + exp(m)).
double loss(double m) { return m > 0.0 ? std::log1p(std::exp(-m)) : -m + std::log1p(std::exp(m)); }
double share(double m) {
  const double e = std::exp(-std::abs(m));
  return m > 0.0 ? e / (1.0 + e) : 1.0 / (1.0 + e);
}

double square(std::span<const double> x) {
  double sum = 0.0;
  for (const double v : x) sum += v * v;
  return sum;
}

}  // namespace

double Multitask::lower(std::int64_t) const { return -std::numeric_limits<double>::infinity(); }

void Multitask::evaluate(std::span<const double> x, std::span<double> f) const {
  std::fill(f.begin(), f.end(), 0.0);
  for (std::int64_t r = 0; r < rows.rows(); ++r)
    f[static_cast<std::size_t>(group[static_cast<std::size_t>(r)])] += loss(margin(rows, r, x));
  for (std::size_t t = 0; t < f.size(); ++t)
    f[t] = f[t] / static_cast<double>(sizes[t]) + 0.5 * ridge * square(x);
}

void Multitask::gradients(std::span<const double> x, std::span<double> f,
                          std::span<double> g) const {
  evaluate(x, f);
  const auto n = static_cast<std::size_t>(features);
  for (std::size_t t = 0; t < sizes.size(); ++t) {
    for (std::size_t j = 0; j < n; ++j) g[t * n + j] = ridge * x[j];
  }
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    const auto t = static_cast<std::size_t>(group[static_cast<std::size_t>(r)]);
    const double factor = -rows.labels[static_cast<std::size_t>(r)] * share(margin(rows, r, x)) /
                          static_cast<double>(sizes[t]);
    const auto index = rows.row_index(r);
    const auto values = rows.row_values(r);
    for (std::size_t j = 0; j < index.size(); ++j)
      g[t * n + static_cast<std::size_t>(index[j])] += factor * values[j];
  }
}

void Multitask::hessian_product(std::span<const double> weights, std::span<const double> x,
                                std::span<const double> v, std::span<double> out) const {
  double all = 0.0;
  for (const double w : weights) all += w;
  for (std::size_t j = 0; j < out.size(); ++j) out[j] = ridge * all * v[j];
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    const auto index = rows.row_index(r);
    const auto values = rows.row_values(r);
    double along = 0.0;
    for (std::size_t j = 0; j < index.size(); ++j)
      along += values[j] * v[static_cast<std::size_t>(index[j])];
    if (along == 0.0) continue;
    const auto t = static_cast<std::size_t>(group[static_cast<std::size_t>(r)]);
    const double s = share(margin(rows, r, x));
    const double factor = weights[t] * s * (1.0 - s) * along / static_cast<double>(sizes[t]);
    for (std::size_t j = 0; j < index.size(); ++j)
      out[static_cast<std::size_t>(index[j])] += factor * values[j];
  }
}

pareto::Facts Multitask::facts() const {
  std::string each;
  for (const auto s : sizes) each += fmt::format("{}{}", each.empty() ? "" : ", ", s);
  return {{"rows by group", each}, {"features", std::to_string(features)}};
}

void MultitaskOptions::describe(state::OptionVisitor& visit) {
  visit.option("data", data, "LIBSVM file with labels of two values");
  visit.choice("scale", scale, {"auto", "none", "max-abs"}, "how columns are scaled");
  visit.choice("split", split, {"label", "feature"},
               "groups of rows: by label, or by whether `feature` is there");
  visit.option("feature", feature, "column that splits, counted from 1", state::non_negative);
  visit.option("ridge", ridge, "factor of |x|^2/2 in every objective", state::positive);
}

Multitask make_multitask(const parallel::Comm& comm, const MultitaskOptions& options) {
  if (options.data.empty())
    throw ConfigurationError("problem.data is missing: the LIBSVM file to read");
  if (options.split == "feature" && options.feature < 1)
    throw ConfigurationError("problem.split = feature needs problem.feature, counted from 1");
  const LoadedDataset loaded = load_dataset(comm, options.data, 1, options.scale);
  Multitask problem;
  problem.rows = replicate_shard(comm, loaded.data, 0);
  problem.features = loaded.data.features;
  problem.ridge = options.ridge;
  problem.name = fmt::format("multitask {} split={} feature={} ridge={}", loaded.fingerprint,
                             options.split, options.feature, options.ridge);
  auto& labels = problem.rows.labels;
  const auto [low, high] = std::minmax_element(labels.begin(), labels.end());
  const double small = *low;
  const double large = *high;
  for (double& label : labels) {
    if (label != small && label != large) {
      throw InputError("{}: labels of two values are needed, found {}, {} and {}", options.data,
                       small, label, large);
    }
    label = label == large ? 1.0 : -1.0;
  }
  problem.sizes.assign(2, 0);
  for (std::int64_t r = 0; r < problem.rows.rows(); ++r) {
    const auto index = problem.rows.row_index(r);
    const bool first = options.split == "label" ? labels[static_cast<std::size_t>(r)] > 0.0
                                                : std::find(index.begin(), index.end(),
                                                            options.feature - 1) != index.end();
    problem.group.push_back(first ? 0 : 1);
    ++problem.sizes[first ? 0 : 1];
  }
  if (problem.sizes[0] == 0 || problem.sizes[1] == 0) {
    throw ConfigurationError(
        "problem.split = {}: all {} rows are in one group, so there is a single objective",
        options.split, problem.rows.rows());
  }
  return problem;
}

}  // namespace equipoise::problems
