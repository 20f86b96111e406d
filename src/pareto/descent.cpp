#include <equipoise/linalg/min_norm.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/descent.hpp>
#include <equipoise/pareto/dominance.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>

namespace equipoise::pareto {

void DescentOptions::describe(state::OptionVisitor& visit) {
  visit.option("starts", starts, "points that descend, each on its own", state::at_least_one);
  visit.choice("layout", layout, {"grid", "random"},
               "where the starts lie; a grid needs starts = m^variables");
  visit.option("start_from", start_from, "least start of a variable without bounds");
  visit.option("start_to", start_to, "largest start of a variable without bounds");
  visit.option("radius", goldstein.radius,
               "gebken-peitz: radius of the ball whose subgradients count", state::positive);
  visit.option("tolerance", goldstein.tolerance, "gebken-peitz: norm at which a start is done",
               state::positive);
  visit.option("decrease", decrease,
               "mgda, newton: share of the predicted decrease that a step must reach",
               {0.0, 0.5, true});
}

Descent::Descent(parallel::Comm comm, ProblemView problem, const std::string& kind,
                 const DescentOptions& options, std::uint64_t seed)
    : comm_(std::move(comm)),
      problem_(problem),
      kind_(kind),
      options_(options),
      owners_(partition::Partition::uniform(options.starts, comm_.size())) {
  require_valid(problem, false);
  if (!problem.differentiable()) {
    throw ConfigurationError("method {} needs gradients, which {} does not give", kind,
                             problem.fingerprint());
  }
  if (kind == "newton" && !problem.has_hessian()) {
    throw ConfigurationError(
        "method newton needs Hessian products, which {} does not give; use mgda",
        problem.fingerprint());
  }
  if (problem.constraints() > 0) {
    throw ConfigurationError("method {} takes bounds but no constraints, {} has {}", kind,
                             problem.fingerprint(), problem.constraints());
  }
  const std::size_t n = problem.dimension();
  const auto side = static_cast<std::int64_t>(
      std::llround(std::pow(static_cast<double>(options.starts), 1.0 / static_cast<double>(n))));
  const bool grid = options.layout == "grid" && side > 1 &&
                    std::pow(static_cast<double>(side), static_cast<double>(n)) ==
                        static_cast<double>(options.starts);
  const auto range = owners_.range(comm_.rank());
  for (std::int64_t s = range.begin; s < range.end; ++s) {
    Walker walker;
    std::int64_t rest = s;
    for (std::size_t j = 0; j < n; ++j) {
      const double low = std::isfinite(problem.lower(j)) ? problem.lower(j) : options.start_from;
      const double high = std::isfinite(problem.upper(j)) ? problem.upper(j) : options.start_to;
      const parallel::Draw draw(seed, parallel::Purpose::start, 0, s);
      const double share =
          grid ? static_cast<double>(rest % side) / static_cast<double>(side - 1) : draw.uniform(j);
      rest /= std::max<std::int64_t>(side, 1);
      walker.x.push_back(low + share * (high - low));
    }
    walkers_.push_back(std::move(walker));
  }
}

void Descent::step() {
  parallel::agree(comm_, [&] {
    for (auto& walker : walkers_) {
      if (!walker.done) advance(walker);
    }
  });
  ++iteration_;
  double worst = 0.0;
  bool going = false;
  for (const auto& walker : walkers_) {
    worst = std::max(worst, walker.done ? 0.0 : walker.criticality);
    going = going || !walker.done;
  }
  report_.residual = comm_.max(worst);
  report_.fresh = true;
  report_.finished = !comm_.any(going);
  keep_front();
}

solve::Counters Descent::counters() const {
  DescentCounts sum;
  for (const auto& walker : walkers_) {
    sum.iterations += walker.counts.iterations;
    sum.values += walker.counts.values;
    sum.gradients += walker.counts.gradients;
  }
  return {{"descent_step", sum.iterations},
          {"objective_value", sum.values},
          {"subgradient", sum.gradients}};
}

std::vector<double> Descent::values(std::span<const double> x, Walker& walker) const {
  std::vector<double> f(problem_.objectives());
  problem_.evaluate(x, f, {});
  walker.counts.values += static_cast<std::int64_t>(f.size());
  return f;
}

void Descent::advance(Walker& walker) {
  if (kind_ == "gebken-peitz") {
    const auto descent = goldstein_descent(problem_, walker.x, options_.goldstein, walker.counts);
    walker.criticality = descent.criticality;
    walker.f = descent.values;
    if (descent.criticality <= options_.goldstein.tolerance) {
      walker.done = true;
      return;
    }
    ++walker.counts.iterations;
    line_search(walker, descent, descent.values);
    return;
  }
  const auto descent = smooth_direction(walker);
  walker.criticality = descent.criticality;
  walker.f = descent.values;
  ++walker.counts.iterations;
  line_search(walker, descent, descent.values);
}

/// The direction of mgda, or the minimizer of max_i g_i^T s + s^T H_i s / 2 through its dual for
/// newton: with the weights of the steepest direction, s = -H_w^{-1} sum_i w_i g_i, weights
/// corrected once in that metric.
CommonDescent Descent::smooth_direction(Walker& walker) const {
  const std::size_t n = problem_.dimension();
  const std::size_t k = problem_.objectives();
  std::vector<double> f(k);
  std::vector<double> g(k * n);
  problem_.gradients(walker.x, f, g);
  walker.counts.gradients += static_cast<std::int64_t>(k);
  walker.counts.values += static_cast<std::int64_t>(k);
  for (std::size_t i = 0; i < k; ++i) {
    if (!std::isfinite(f[i])) {
      throw NotFiniteError("objective {} is {} in a descent; the front may be unbounded below",
                           i + 1, f[i]);
    }
  }
  CommonDescent descent = steepest_common_descent(problem_, walker.x, g);
  descent.values = f;
  if (kind_ != "newton" || descent.criticality == 0.0) return descent;
  const auto size = static_cast<Eigen::Index>(n);
  std::vector<double> weights = descent.weights;
  // Fixed point on the dual weights; the metric changes little from round to round near the set.
  for (int round = 0; round < 3; ++round) {
    Eigen::MatrixXd hessian(size, size);
    std::vector<double> unit(n, 0.0);
    std::vector<double> column(n);
    for (std::size_t j = 0; j < n; ++j) {
      unit[j] = 1.0;
      problem_.hessian_product(weights, walker.x, unit, column);
      unit[j] = 0.0;
      for (std::size_t i = 0; i < n; ++i)
        hessian(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) = column[i];
    }
    // Held variables keep their place; a shift makes the metric positive.
    for (std::size_t j = 0; j < n; ++j) {
      const bool held = descent.direction[j] == 0.0 &&
                        (walker.x[j] <= problem_.lower(j) || walker.x[j] >= problem_.upper(j));
      if (!held) continue;
      const auto at = static_cast<Eigen::Index>(j);
      hessian.row(at).setZero();
      hessian.col(at).setZero();
      hessian(at, at) = 1.0;
      for (std::size_t i = 0; i < k; ++i) g[i * n + j] = 0.0;
    }
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(0.5 *
                                                               (hessian + hessian.transpose()));
    const Eigen::VectorXd metric = eigen.eigenvalues().cwiseAbs().cwiseMax(
        1e-8 * eigen.eigenvalues().cwiseAbs().maxCoeff() + 1e-300);
    Eigen::MatrixXd rows(size, static_cast<Eigen::Index>(k));
    for (std::size_t i = 0; i < k; ++i) {
      rows.col(static_cast<Eigen::Index>(i)) =
          Eigen::Map<const Eigen::VectorXd>(g.data() + i * n, size);
    }
    const Eigen::MatrixXd scaled =
        metric.cwiseSqrt().cwiseInverse().asDiagonal() * (eigen.eigenvectors().transpose() * rows);
    const Eigen::MatrixXd gram = scaled.transpose() * scaled;
    const auto least = linalg::min_norm_point({gram.data(), k * k});
    weights = least.weights;
    Eigen::VectorXd w =
        Eigen::Map<const Eigen::VectorXd>(weights.data(), static_cast<Eigen::Index>(k));
    const Eigen::VectorXd step =
        -(eigen.eigenvectors() * (metric.cwiseSqrt().cwiseInverse().asDiagonal() * (scaled * w)));
    descent.direction.assign(step.data(), step.data() + n);
  }
  descent.weights = weights;
  return descent;
}

void Descent::line_search(Walker& walker, const CommonDescent& descent,
                          const std::vector<double>& f) {
  const std::size_t n = problem_.dimension();
  const bool nonsmooth = kind_ == "gebken-peitz";
  const double norm = std::sqrt(problem_.inner(descent.direction, descent.direction));
  if (norm == 0.0) return;
  const double floor = nonsmooth ? options_.goldstein.radius / norm : 0.0;
  const double share = nonsmooth ? options_.goldstein.decrease : options_.decrease;
  double t = nonsmooth ? std::max(1.0 / norm, floor) : 1.0;
  std::vector<double> y(n);
  std::vector<double> g;
  for (int halving = 0; halving < 60; ++halving, t = std::max(0.5 * t, floor)) {
    for (std::size_t j = 0; j < n; ++j) {
      y[j] =
          std::clamp(walker.x[j] + t * descent.direction[j], problem_.lower(j), problem_.upper(j));
    }
    g = values(y, walker);
    if (t <= floor) break;
    const double slope =
        nonsmooth ? norm * norm : descent.criticality * std::min(norm, descent.criticality);
    bool falls = true;
    for (std::size_t i = 0; i < f.size(); ++i) falls = falls && g[i] <= f[i] - share * t * slope;
    if (falls) break;
    // Steps below the rounding of the values lead nowhere: the point is as critical as it gets.
    if (halving == 59) {
      walker.done = true;
      return;
    }
  }
  walker.x = y;
  walker.f = g;
}

Population Descent::points() const {
  const std::size_t n = problem_.dimension();
  const std::size_t k = problem_.objectives();
  const std::size_t width = n + k;
  std::vector<double> all(static_cast<std::size_t>(options_.starts) * width);
  std::vector<int> counts;
  std::vector<int> offsets;
  for (int r = 0; r < comm_.size(); ++r) {
    counts.push_back(static_cast<int>(owners_.range(r).size() * static_cast<std::int64_t>(width)));
    offsets.push_back(static_cast<int>(owners_.range(r).begin * static_cast<std::int64_t>(width)));
  }
  std::vector<double> mine;
  for (const auto& walker : walkers_) {
    mine.insert(mine.end(), walker.x.begin(), walker.x.end());
    mine.insert(mine.end(), walker.f.begin(), walker.f.end());
  }
  MPI_Allgatherv(mine.data(), static_cast<int>(mine.size()), MPI_DOUBLE, all.data(), counts.data(),
                 offsets.data(), MPI_DOUBLE, comm_.handle());
  Population result{n, k, {}, {}, {}};
  for (auto at = all.begin(); at != all.end(); at += static_cast<std::ptrdiff_t>(width)) {
    const auto middle = at + static_cast<std::ptrdiff_t>(n);
    result.x.insert(result.x.end(), at, middle);
    result.f.insert(result.f.end(), middle, middle + static_cast<std::ptrdiff_t>(k));
    result.violation.push_back(0.0);
  }
  return result;
}

void Descent::keep_front() {
  const Population all = points();
  const Population best = all.subset(nondominated(all.values()));
  front_.variables = static_cast<std::int64_t>(best.variables);
  front_.objectives = static_cast<std::int64_t>(best.objectives);
  front_.x = best.x;
  front_.f = best.f;
}

void Descent::fields(state::FieldVisitor& visit) {
  const auto n = static_cast<std::int64_t>(problem_.dimension());
  std::vector<double> x;
  std::vector<double> f;
  std::vector<double> criticality;
  std::vector<std::int64_t> counts;
  const auto k = static_cast<std::int64_t>(problem_.objectives());
  for (auto& w : walkers_) {
    w.f.resize(problem_.objectives());
    f.insert(f.end(), w.f.begin(), w.f.end());
    x.insert(x.end(), w.x.begin(), w.x.end());
    criticality.push_back(w.criticality);
    counts.insert(counts.end(),
                  {w.done ? 1 : 0, w.counts.iterations, w.counts.values, w.counts.gradients});
  }
  visit.scalar("iteration", iteration_);
  front_.fields(visit);
  visit.partitioned("points", owners_, comm_.rank(), n, x);
  visit.partitioned("values", owners_, comm_.rank(), k, f);
  visit.partitioned("criticality", owners_, comm_.rank(), 1, criticality);
  visit.partitioned("counts", owners_, comm_.rank(), 4, counts);
  for (std::size_t i = 0; i < walkers_.size(); ++i) {
    Walker& w = walkers_[i];
    const auto at = static_cast<std::ptrdiff_t>(i) * n;
    w.x.assign(x.begin() + at, x.begin() + at + n);
    w.f.assign(f.begin() + static_cast<std::ptrdiff_t>(i) * k,
               f.begin() + static_cast<std::ptrdiff_t>(i + 1) * k);
    w.criticality = criticality[i];
    w.done = counts[4 * i] != 0;
    w.counts = {counts[4 * i + 1], counts[4 * i + 2], counts[4 * i + 3]};
  }
}

void Descent::solution(state::FieldVisitor& visit) { front_.fields(visit); }

}  // namespace equipoise::pareto
