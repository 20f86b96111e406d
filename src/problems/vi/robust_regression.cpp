#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/dataset.hpp>
#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/problems/vi/robust_regression.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace equipoise::problems {

using partition::SparseRows;

void RobustRegressionOptions::describe(state::OptionVisitor& visit) {
  visit.option("data", data, "LIBSVM file, plain or packed (.gz, .bz2)");
  visit.option("lambda", lambda, "weight of norm(x)^2 / 2", state::positive);
  visit.option("beta", beta, "weight of norm(y)^2 / 2; concave in y while norm(x)^2 <= beta",
               state::positive);
  visit.option("radius", radius, "largest norm1(x), an l1 ball; 0 for no constraint",
               state::non_negative);
  visit.choice(
      "scale", scale, {"auto", "none", "max-abs"},
      "auto divides the columns that exceed 1 in magnitude by their largest, max-abs all columns");
}

RobustRegression::RobustRegression(partition::DistributedDataset data, SparseRows surrogate,
                                   const RobustRegressionOptions& options, std::string fingerprint)
    : RowAgents(std::move(data), options.scale, std::move(fingerprint)),
      surrogate_(std::move(surrogate)),
      lambda_(options.lambda),
      beta_(options.beta) {}

/// out = (mean r_i (a_i + y) + lambda x, -mean r_i x + beta y) with r_i = x'(a_i + y) - b_i.
template <class Rows>
void RobustRegression::apply_rows(const SparseRows& shard, const Rows& rows, std::int64_t count,
                                  std::span<const double> z, std::span<double> out) const {
  const auto p = static_cast<std::size_t>(data_.features);
  const auto x = z.first(p);
  const auto y = z.last(p);
  const auto gradient_x = out.first(p);
  std::fill(out.begin(), out.end(), 0.0);
  const double xy = linalg::dot(x, y);
  double residuals = 0.0;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t row = rows(k);
    const auto first = static_cast<std::size_t>(shard.offsets[static_cast<std::size_t>(row)]);
    const auto last = static_cast<std::size_t>(shard.offsets[static_cast<std::size_t>(row) + 1]);
    const std::int32_t* index = shard.index.data();
    const double* value = shard.values.data();
    double r = xy - shard.labels[static_cast<std::size_t>(row)];
    for (std::size_t i = first; i < last; ++i)
      r += value[i] * x[static_cast<std::size_t>(index[i])];
    for (std::size_t i = first; i < last; ++i)
      gradient_x[static_cast<std::size_t>(index[i])] += r * value[i];
    residuals += r;
  }
  const double share = 1.0 / static_cast<double>(count);
  const double mean = residuals * share;
  for (std::size_t i = 0; i < p; ++i) {
    gradient_x[i] = gradient_x[i] * share + mean * y[i] + lambda_ * x[i];
    out[p + i] = beta_ * y[i] - mean * x[i];
  }
}

void RobustRegression::apply(std::int64_t agent, std::span<const double> z,
                             std::span<double> out) const {
  const SparseRows& rows = shard(agent);
  apply_rows(rows, in_order(), rows.rows(), z, out);
}

void RobustRegression::surrogate(std::span<const double> z, std::span<double> out) const {
  apply_rows(surrogate_, in_order(), surrogate_.rows(), z, out);
}

void RobustRegression::apply_batch(std::int64_t agent, std::span<const double> z,
                                   std::span<const std::int64_t> batch,
                                   std::span<double> out) const {
  apply_rows(shard(agent), of_batch(batch), std::ssize(batch), z, out);
}

vi::Facts RobustRegression::facts() const {
  return {{"rows", std::to_string(data_.rows.size())},
          {"features", std::to_string(data_.features)},
          {"agents", std::to_string(agents())},
          {"dimension", std::to_string(dimension())},
          {"columns", scale_}};
}

vi::Facts RobustRegression::check(std::span<const double> z) const {
  const auto x = z.first(static_cast<std::size_t>(data_.features));
  const double square = linalg::dot(x, x);
  return {{"norm_x_squared", fmt::format("{:.6g}", square)},
          {"concave_in_y", square <= beta_ ? "1" : "0"}};
}

BallRegression::BallRegression(RobustRegression problem, double radius)
    : RobustRegression(std::move(problem)), ball_(radius) {}

vi::Facts BallRegression::check(std::span<const double> z) const {
  vi::Facts facts = RobustRegression::check(z);
  double sum = 0.0;
  std::int64_t zeros = 0;
  for (const double x : z.first(z.size() / 2)) {
    sum += std::fabs(x);
    zeros += x == 0.0 ? 1 : 0;
  }
  facts.emplace_back("norm1_x", fmt::format("{:.15g}", sum));
  facts.emplace_back("zeros_in_x", std::to_string(zeros));
  return facts;
}

solve::ProblemEntry robust_regression_problem() {
  return {
      "vi", "robust-regression",
      "linear regression against a worst-case disturbance of the features, any LIBSVM file",
      [](state::OptionVisitor& visit) { RobustRegressionOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        RobustRegressionOptions options;
        config.read("problem", options);
        LoadedDataset loaded = load_rows(comm, config, options.data, options.scale);
        SparseRows first = replicate_shard(comm, loaded.data, 0);
        options.scale = loaded.scale;
        std::string fingerprint = fmt::format("robust-regression {} lambda={} beta={}",
                                              loaded.fingerprint, options.lambda, options.beta);
        if (options.radius > 0.0) fingerprint += fmt::format(" radius={}", options.radius);
        RobustRegression problem(std::move(loaded.data), std::move(first), options, fingerprint);
        if (options.radius == 0.0) return make_instance(comm, config, std::move(problem));
        return make_instance(comm, config, BallRegression(std::move(problem), options.radius));
      }};
}

}  // namespace equipoise::problems
