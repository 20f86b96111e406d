#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/dataset.hpp>
#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/problems/vi/robust_classification.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace equipoise::problems {
namespace {

using partition::SparseRows;

partition::Partition cut_into_groups(std::int64_t rows, std::int64_t groups) {
  if (groups > rows) {
    throw ConfigurationError("problem.groups = {}: there are {} rows; give at most as many, or 0",
                             groups, rows);
  }
  return partition::Partition::uniform(rows, static_cast<int>(groups > 0 ? groups : rows));
}

linalg::Product product(std::int64_t features, int groups) {
  return linalg::Product({{static_cast<std::size_t>(features), linalg::Free{}},
                          {static_cast<std::size_t>(groups),
                           linalg::Simplex(std::sqrt(static_cast<double>(groups)))}});
}

/// log(1 + exp(t)) without overflow.
double softplus(double t) { return std::max(t, 0.0) + std::log1p(std::exp(-std::fabs(t))); }

}  // namespace

void RobustClassificationOptions::describe(state::OptionVisitor& visit) {
  visit.option("data", data, "LIBSVM file with two labels, plain or packed (.gz, .bz2)");
  visit.option("groups", groups,
               "groups of consecutive rows whose weights the adversary chooses; 0: every row its "
               "own",
               state::non_negative);
  visit.option("lambda", lambda, "weight of (1/G) norm(G p - 1)^2 / 2, which holds the adversary",
               state::positive);
  visit.option("regularisation", regularisation, "weight of norm(x)^2 / 2", state::positive);
  visit.choice(
      "scale", scale, {"auto", "none", "max-abs"},
      "auto divides the columns that exceed 1 in magnitude by their largest, max-abs all columns");
}

RobustClassification::RobustClassification(partition::DistributedDataset data,
                                           const RobustClassificationOptions& options,
                                           std::string fingerprint)
    : RowAgents(std::move(data), options.scale, std::move(fingerprint)),
      groups_(cut_into_groups(data_.rows.size(), options.groups)),
      lambda_(options.lambda),
      regularisation_(options.regularisation),
      set_(product(data_.features, groups_.parts())) {}

/// A row i of group g has the share c = N / (n_g count) in the mean over the agent's `count` rows,
/// since the weights of agents are their rows over N:
///     F_x = sum_i c (q_g / sqrt(G)) grad l_i + reg x,   F_q = -sum_i c l_i / sqrt(G) + lambda (q -
///     1/sqrt(G)).
template <class Rows>
void RobustClassification::apply_rows(const SparseRows& shard, const Rows& rows, std::int64_t count,
                                      std::span<const double> z, std::span<double> out) const {
  const auto p = static_cast<std::size_t>(data_.features);
  const auto x = z.first(p);
  const auto q = z.subspan(p);
  const double root = std::sqrt(static_cast<double>(groups_.parts()));
  for (std::size_t j = 0; j < p; ++j) out[j] = regularisation_ * x[j];
  for (std::size_t g = 0; g < q.size(); ++g) out[p + g] = lambda_ * (q[g] - 1.0 / root);
  const double all = static_cast<double>(data_.rows.size()) / static_cast<double>(count);
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t row = rows(k);
    const int group = groups_.owner(shard.first + row);
    const double share = all / static_cast<double>(groups_.range(group).size()) / root;
    const auto index = shard.row_index(row);
    const auto values = shard.row_values(row);
    const double label = shard.labels[static_cast<std::size_t>(row)];
    double product = 0.0;
    for (std::size_t i = 0; i < index.size(); ++i) {
      product += values[i] * x[static_cast<std::size_t>(index[i])];
    }
    const double margin = label * product;
    const double slope = -label / (1.0 + std::exp(margin));  // of log(1 + exp(-margin))
    const double factor = share * q[static_cast<std::size_t>(group)] * slope;
    for (std::size_t i = 0; i < index.size(); ++i) {
      out[static_cast<std::size_t>(index[i])] += factor * values[i];
    }
    out[p + static_cast<std::size_t>(group)] -= share * softplus(-margin);
  }
}

void RobustClassification::apply(std::int64_t agent, std::span<const double> z,
                                 std::span<double> out) const {
  const SparseRows& rows = shard(agent);
  apply_rows(rows, in_order(), rows.rows(), z, out);
}

void RobustClassification::start(std::span<double> z) const {
  const auto p = static_cast<std::size_t>(data_.features);
  std::fill(z.begin(), z.end(), 0.0);
  const double root = std::sqrt(static_cast<double>(groups_.parts()));
  for (double& q : z.subspan(p)) q = 1.0 / root;
}

void RobustClassification::apply_batch(std::int64_t agent, std::span<const double> z,
                                       std::span<const std::int64_t> batch,
                                       std::span<double> out) const {
  apply_rows(shard(agent), of_batch(batch), std::ssize(batch), z, out);
}

vi::Facts RobustClassification::facts() const {
  return {{"rows", std::to_string(data_.rows.size())}, {"features", std::to_string(data_.features)},
          {"groups", std::to_string(groups_.parts())}, {"agents", std::to_string(agents())},
          {"dimension", std::to_string(dimension())},  {"columns", scale_}};
}

vi::Facts RobustClassification::check(std::span<const double> z) const {
  const auto q = z.subspan(static_cast<std::size_t>(data_.features));
  const double root = std::sqrt(static_cast<double>(groups_.parts()));
  double sum = 0.0;
  double square = 0.0;
  double largest = 0.0;
  for (const double v : q) {
    sum += v / root;
    square += v * v / (root * root);
    largest = std::max(largest, v / root);
  }
  return {{"sum_of_weights", fmt::format("{:.15g}", sum)},
          {"largest_weight", fmt::format("{:.6g}", largest)},
          {"effective_groups", fmt::format("{:.6g}", square > 0.0 ? 1.0 / square : 0.0)}};
}

void make_labels_binary(const parallel::Comm& comm, partition::DistributedDataset& data,
                        const std::string& source) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const SparseRows& shard : data.shards) {
    for (const double label : shard.labels) {
      low = std::min(low, label);
      high = std::max(high, label);
    }
  }
  low = -comm.max(-low);
  high = comm.max(high);
  double odd = -std::numeric_limits<double>::infinity();
  for (SparseRows& shard : data.shards) {
    for (double& label : shard.labels) {
      if (label != low && label != high) odd = std::max(odd, label);
      label = label == high ? 1.0 : -1.0;
    }
  }
  odd = comm.max(odd);
  if (low == high || std::isfinite(odd)) {
    throw InputError("{}: two labels are needed, and there {} {:.6g}", source,
                     low == high ? "is only" : "is a third one,", low == high ? low : odd);
  }
}

solve::ProblemEntry robust_classification_problem() {
  return {
      "vi", "robust-classification",
      "logistic regression whose worst weighting of groups of rows counts, any LIBSVM file",
      [](state::OptionVisitor& visit) { RobustClassificationOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        RobustClassificationOptions options;
        config.read("problem", options);
        LoadedDataset loaded = load_rows(comm, config, options.data, options.scale);
        make_labels_binary(comm, loaded.data, options.data);
        options.scale = loaded.scale;
        const std::string fingerprint =
            fmt::format("robust-classification {} groups={} lambda={} regularisation={}",
                        loaded.fingerprint, options.groups, options.lambda, options.regularisation);
        return make_instance(comm, config,
                             RobustClassification(std::move(loaded.data), options, fingerprint));
      }};
}

}  // namespace equipoise::problems
