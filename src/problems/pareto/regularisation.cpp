#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/dataset.hpp>
#include <equipoise/problems/pareto/regularisation.hpp>

#include <Eigen/Dense>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::problems {
namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;

class Lasso final : public pareto::WeightedSolver {
 public:
  explicit Lasso(const RegularisationPath& problem)
      : problem_(problem), rows_(partition::Partition::uniform(problem.features, 1)) {}
  [[nodiscard]] std::size_t objectives() const override { return 2; }
  [[nodiscard]] std::string fingerprint() const override { return problem_.fingerprint(); }
  [[nodiscard]] const partition::Partition& rows() const override { return rows_; }
  [[nodiscard]] std::vector<std::string> fields() const override { return {"x"}; }
  [[nodiscard]] solve::Counters counters() const override { return {{"sweep", sweeps_}}; }

  pareto::WeightedAnswer solve(std::span<const double> weights, std::vector<double>& x) override;
  [[nodiscard]] std::vector<double> sensitivity() override;

 private:
  bool polish(std::vector<double>& x);
  [[nodiscard]] double gram(std::size_t i, std::size_t j) const {
    return problem_.gram[i * static_cast<std::size_t>(problem_.features) + j];
  }
  const RegularisationPath& problem_;
  partition::Partition rows_;
  double smooth_ = 1.0, lambda_ = 0.0;
  std::vector<std::size_t> active_;
  Vector sign_;
  std::int64_t sweeps_ = 0;
};

/// Exact on the active set, if the signs survive and no other coordinate wants in.
bool Lasso::polish(std::vector<double>& x) {
  active_.clear();
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (x[j] != 0.0) active_.push_back(j);
  }
  const auto m = static_cast<Eigen::Index>(active_.size());
  Matrix h(m, m);
  Vector b(m);
  sign_ = Vector(m);
  for (Eigen::Index i = 0; i < m; ++i) {
    const std::size_t at = active_[static_cast<std::size_t>(i)];
    sign_(i) = x[at] > 0.0 ? 1.0 : -1.0;
    b(i) = problem_.right[at] - lambda_ * sign_(i);
    for (Eigen::Index j = 0; j < m; ++j) h(i, j) = gram(at, active_[static_cast<std::size_t>(j)]);
  }
  const Vector exact = h.ldlt().solve(b);
  if (m > 0 && (!exact.allFinite() || (h * exact - b).norm() > 1e-8 * (b.norm() + 1e-300)))
    return false;
  for (Eigen::Index i = 0; i < m; ++i) {
    if (exact(i) * sign_(i) < 0.0) return false;
  }
  for (std::size_t j = 0; j < x.size(); ++j) {
    if (x[j] != 0.0) continue;
    double slope = -problem_.right[j];
    for (Eigen::Index i = 0; i < m; ++i)
      slope += gram(j, active_[static_cast<std::size_t>(i)]) * exact(i);
    if (std::abs(slope) > lambda_ * (1.0 + 1e-10) + 1e-14) return false;
  }
  for (Eigen::Index i = 0; i < m; ++i) x[active_[static_cast<std::size_t>(i)]] = exact(i);
  return true;
}

pareto::WeightedAnswer Lasso::solve(std::span<const double> weights, std::vector<double>& x) {
  const auto n = static_cast<std::size_t>(problem_.features);
  x.resize(n, 0.0);
  smooth_ = std::max(weights[0], 1e-300);
  lambda_ = weights[1] / smooth_;
  std::vector<double> slope(n);  // H x - right
  for (std::size_t i = 0; i < n; ++i) {
    slope[i] = -problem_.right[i];
    for (std::size_t j = 0; j < n; ++j) slope[i] += gram(i, j) * x[j];
  }
  bool done = false;
  constexpr int limit = 20000;
  for (int sweep = 0; sweep < limit && !done; ++sweep) {
    double moved = 0.0;
    double size = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
      const double curvature = gram(j, j);
      if (curvature == 0.0) {
        x[j] = 0.0;
        continue;
      }
      const double free = x[j] - slope[j] / curvature;
      const double next = std::copysign(std::max(std::abs(free) - lambda_ / curvature, 0.0), free);
      const double step = next - x[j];
      size = std::max(size, std::abs(next));
      if (step == 0.0) continue;
      x[j] = next;
      moved = std::max(moved, std::abs(step));
      for (std::size_t i = 0; i < n; ++i) slope[i] += gram(i, j) * step;
    }
    ++sweeps_;
    if (moved <= 1e-3 * size || sweep % 50 == 49) {
      auto trial = x;
      done = polish(trial);
      if (done) x = std::move(trial);
    }
    if (!done && moved <= 1e-15 * size) {
      (void)polish(x);
      done = true;
    }
  }
  pareto::WeightedAnswer answer;
  answer.f.resize(2);
  problem_.evaluate(x, answer.f);
  if (!done) {
    answer.status = pareto::ScalarStatus::iteration_limit;
    answer.message = fmt::format("coordinate descent takes more than {} sweeps", limit);
  }
  return answer;
}

std::vector<double> Lasso::sensitivity() {
  const auto m = static_cast<Eigen::Index>(active_.size());
  if (m == 0) return {0.0, 0.0, 0.0, 0.0};
  Matrix h(m, m);
  for (Eigen::Index i = 0; i < m; ++i) {
    for (Eigen::Index j = 0; j < m; ++j)
      h(i, j) = smooth_ *
                gram(active_[static_cast<std::size_t>(i)], active_[static_cast<std::size_t>(j)]);
  }
  // Gradients on the active set: -lambda sign and sign.
  const double q = sign_.dot(h.ldlt().solve(sign_));
  return {-lambda_ * lambda_ * q, lambda_ * q, lambda_ * q, -q};
}

}  // namespace

double RegularisationPath::lower(std::int64_t) const {
  return -std::numeric_limits<double>::infinity();
}

void RegularisationPath::evaluate(std::span<const double> x, std::span<double> f) const {
  double sum = 0.0;
  for (std::int64_t r = 0; r < rows.rows(); ++r) {
    double residual = -rows.labels[static_cast<std::size_t>(r)];
    const auto index = rows.row_index(r);
    const auto values = rows.row_values(r);
    for (std::size_t j = 0; j < index.size(); ++j)
      residual += values[j] * x[static_cast<std::size_t>(index[j])];
    sum += residual * residual;
  }
  f[0] = 0.5 * sum / static_cast<double>(rows.rows());
  f[1] = 0.0;
  for (const double v : x) f[1] += std::abs(v);
}

void RegularisationPath::gradients(std::span<const double> x, std::span<double> f,
                                   std::span<double> g) const {
  evaluate(x, f);
  const auto n = static_cast<std::size_t>(features);
  for (std::size_t i = 0; i < n; ++i) {
    g[i] = -right[i];
    for (std::size_t j = 0; j < n; ++j) g[i] += gram[i * n + j] * x[j];
    g[n + i] = x[i] > 0.0 ? 1.0 : x[i] < 0.0 ? -1.0 : 0.0;
  }
}

void RegularisationOptions::describe(state::OptionVisitor& visit) {
  visit.option("data", data, "LIBSVM file; the labels are the values to fit");
  visit.choice("scale", scale, {"auto", "none", "max-abs"}, "how columns are scaled");
}

RegularisationPath make_regularisation_path(const parallel::Comm& comm,
                                            const RegularisationOptions& options) {
  if (options.data.empty())
    throw ConfigurationError("problem.data is missing: the LIBSVM file to read");
  const LoadedDataset loaded = load_dataset(comm, options.data, 1, options.scale);
  RegularisationPath problem;
  if (loaded.data.features > 4000) {
    throw ConfigurationError("{} has {} columns: the Gram matrix is meant for up to 4000",
                             options.data, loaded.data.features);
  }
  problem.rows = replicate_shard(comm, loaded.data, 0);
  problem.features = loaded.data.features;
  problem.name = fmt::format("regularisation-path {}", loaded.fingerprint);
  const auto n = static_cast<std::size_t>(problem.features);
  problem.gram.assign(n * n, 0.0);
  problem.right.assign(n, 0.0);
  const double share = 1.0 / static_cast<double>(problem.rows.rows());
  for (std::int64_t r = 0; r < problem.rows.rows(); ++r) {
    const double label = problem.rows.labels[static_cast<std::size_t>(r)];
    problem.square += share * label * label;
    const auto index = problem.rows.row_index(r);
    const auto values = problem.rows.row_values(r);
    for (std::size_t a = 0; a < index.size(); ++a) {
      const auto i = static_cast<std::size_t>(index[a]);
      problem.right[i] += share * label * values[a];
      for (std::size_t b = 0; b < index.size(); ++b)
        problem.gram[i * n + static_cast<std::size_t>(index[b])] += share * values[a] * values[b];
    }
  }
  return problem;
}

std::unique_ptr<pareto::WeightedSolver> lasso_solver(const RegularisationPath& problem) {
  return std::make_unique<Lasso>(problem);
}

}  // namespace equipoise::problems
