#include <equipoise/parallel/agree.hpp>
#include <equipoise/pareto/continuation.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/partition/partition.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <bit>
#include <cmath>

namespace equipoise::pareto {
namespace {

using Vector = Eigen::VectorXd;
using Matrix = Eigen::MatrixXd;
using Index = Eigen::Index;

constexpr double cover = 0.6;     ///< steps within which a point counts as known
constexpr double farthest = 1.5;  ///< steps from its parent beyond which a point is too far

std::size_t to_size(Index i) { return static_cast<std::size_t>(i); }

std::vector<Index> members_of(std::int64_t face) {
  std::vector<Index> members;
  for (Index i = 0; face >> i != 0; ++i) {
    if ((face >> i & 1) != 0) members.push_back(i);
  }
  return members;
}

/// The corrector, on the objectives of a face: point, weights, derivatives.
class Corrector {
 public:
  Corrector(const ProblemView& problem, std::int64_t face)
      : problem_(problem),
        objectives_(members_of(face)),
        n_(static_cast<Index>(problem.dimension())),
        k_(static_cast<Index>(problem.objectives())),
        mass_(n_, n_) {
    std::vector<double> a(to_size(n_), 0.0);
    std::vector<double> b(to_size(n_), 0.0);
    for (Index i = 0; i < n_; ++i) {
      a[to_size(i)] = 1.0;
      for (Index j = 0; j < n_; ++j) {
        b[to_size(j)] = 1.0;
        mass_(i, j) = problem.inner(a, b);
        b[to_size(j)] = 0.0;
      }
      a[to_size(i)] = 0.0;
    }
  }

  Vector x, f;
  Vector w;  ///< of the face, sum 1

  void begin(std::span<const double> point, std::span<const double> weights) {
    x = Eigen::Map<const Vector>(point.data(), n_);
    w = Vector(static_cast<Index>(objectives_.size()));
    for (Index i = 0; i < w.size(); ++i) w(i) = weights[to_size(objectives_[to_size(i)])];
    w /= w.sum();
    derive();
  }

  /// Newton's step for G w = 0, sum w = 1 and the given rows R (f - target) = 0 of the face.
  bool step(const Matrix& rows, const Vector& target) {
    Matrix h = hessian();
    for (Index j = 0; j < n_; ++j) {
      if (!held_[to_size(j)]) continue;
      h.row(j).setZero();
      h.col(j).setZero();
      h(j, j) = 1.0;
    }
    const Matrix p = h.partialPivLu().solve(free_);
    const Matrix s = free_.transpose() * p;
    const Index size = w.size();
    Matrix system(size, size);
    Vector right(size);
    system.row(0).setOnes();
    right(0) = 1.0;
    system.bottomRows(size - 1) = rows * s;
    right.tail(size - 1) = rows * (values() - target);
    w = system.fullPivLu().solve(right);
    x -= p * w;
    if (!x.allFinite() || !w.allFinite()) return false;
    for (Index j = 0; j < n_; ++j)
      x(j) = std::clamp(x(j), problem_.lower(to_size(j)), problem_.upper(to_size(j)));
    derive();
    return f.allFinite() && riesz_.allFinite();
  }

  /// Values of the face.
  [[nodiscard]] Vector values() const {
    Vector v(w.size());
    for (Index i = 0; i < v.size(); ++i) v(i) = f(objectives_[to_size(i)]);
    return v;
  }
  /// |sum_i w_i grad f_i| on the free variables, over the largest |grad f_i|.
  [[nodiscard]] double criticality() const {
    Vector sum = riesz_ * w;
    for (Index j = 0; j < n_; ++j) {
      if (held_[to_size(j)]) sum(j) = 0.0;
    }
    double largest = 0.0;
    for (Index i = 0; i < w.size(); ++i)
      largest = std::max(largest, riesz_.col(i).dot(mass_ * riesz_.col(i)));
    return std::sqrt(std::max(0.0, sum.dot(mass_ * sum)) / std::max(largest, 1e-300));
  }
  [[nodiscard]] std::vector<double> all_weights() const {
    std::vector<double> all(to_size(k_), 0.0);
    for (Index i = 0; i < w.size(); ++i) all[to_size(objectives_[to_size(i)])] = w(i);
    return all;
  }

 private:
  void derive() {
    std::vector<double> all(to_size(k_ * n_));
    f.resize(k_);
    problem_.gradients({x.data(), to_size(n_)}, {f.data(), to_size(k_)}, all);
    riesz_.resize(n_, w.size());
    for (Index i = 0; i < w.size(); ++i)
      riesz_.col(i) = Eigen::Map<const Vector>(all.data() + objectives_[to_size(i)] * n_, n_);
    free_ = mass_ * riesz_;
    const Vector slope = free_ * w;
    held_.assign(to_size(n_), false);
    for (Index j = 0; j < n_; ++j) {
      const bool low = x(j) <= problem_.lower(to_size(j)) && slope(j) > 0.0;
      const bool high = x(j) >= problem_.upper(to_size(j)) && slope(j) < 0.0;
      if (!low && !high) continue;
      held_[to_size(j)] = true;
      free_.row(j).setZero();
    }
  }

  [[nodiscard]] Matrix hessian() const {
    const auto weights = all_weights();
    std::vector<double> unit(to_size(n_), 0.0);
    Matrix h(n_, n_);
    Vector column(n_);
    for (Index j = 0; j < n_; ++j) {
      unit[to_size(j)] = 1.0;
      problem_.hessian_product(weights, {x.data(), to_size(n_)}, unit,
                               {column.data(), to_size(n_)});
      unit[to_size(j)] = 0.0;
      h.col(j) = mass_ * column;
    }
    return h;
  }

  const ProblemView& problem_;
  std::vector<Index> objectives_;
  Index n_, k_;
  Matrix mass_;   ///< of the inner product
  Matrix riesz_;  ///< gradients of the face by column
  Matrix free_;   ///< derivatives by coordinate, zero at held variables
  std::vector<bool> held_;
};

}  // namespace

void ContinuationOptions::describe(state::OptionVisitor& visit) {
  visit.option("spacing", spacing, "length of a step, objectives scaled to [0, 1]",
               {0.0, 1.0, true});
  visit.option("anchor_weight", anchor_weight,
               "weight of the other objectives at the ends of the front", {0.0, 0.5});
  visit.option("max_points", max_points, "points at which to end", {3.0});
  visit.option("tolerance", tolerance, "criticality of a point, relative to its gradients",
               state::positive);
  visit.option("max_corrections", max_corrections, "Newton steps of one corrector",
               state::at_least_one);
}

Continuation::Continuation(parallel::Comm comm, ProblemView problem,
                           const ContinuationOptions& options)
    : comm_(std::move(comm)), problem_(problem), options_(options) {
  require_valid(problem, false);
  if (!problem.differentiable() || !problem.has_hessian()) {
    throw ConfigurationError(
        "method continuation needs gradients and Hessian products, which {} does not give; use "
        "front or a population method",
        problem.fingerprint());
  }
  if (problem.constraints() > 0) {
    throw ConfigurationError("method continuation takes bounds but no constraints, {} has {}",
                             problem.fingerprint(), problem.constraints());
  }
  if (problem.objectives() > 12) {
    throw ConfigurationError("method continuation is for up to 12 objectives, {} has {}",
                             problem.fingerprint(), problem.objectives());
  }
}

/// The ends first; then steps in every objective, up and down, from each open point, and into each
/// larger face.
std::vector<Continuation::Task> Continuation::tasks() const {
  std::vector<Task> tasks;
  const auto k = static_cast<std::int64_t>(problem_.objectives());
  if (size() == 0) {
    for (std::int64_t i = 0; i < k; ++i) tasks.push_back({-1, std::int64_t{1} << i, i, 1.0});
    return tasks;
  }
  if (static_cast<std::int64_t>(size()) >= options_.max_points) return tasks;
  for (auto p = open_; p < static_cast<std::int64_t>(size()); ++p) {
    const std::int64_t face = faces_[static_cast<std::size_t>(p)];
    for (std::int64_t i = 0; i < k; ++i) {
      const std::int64_t bit = std::int64_t{1} << i;
      if ((face & bit) == 0) {
        tasks.push_back({p, face | bit, i, -1.0});
      } else if (face != bit) {
        tasks.push_back({p, face, i, -1.0});
        tasks.push_back({p, face, i, 1.0});
      }
    }
  }
  return tasks;
}

Continuation::Found Continuation::end(std::int64_t objective) {
  const std::size_t k = problem_.objectives();
  std::vector<double> weights(k, options_.anchor_weight / static_cast<double>(k - 1));
  weights[static_cast<std::size_t>(objective)] = 1.0 - options_.anchor_weight;
  auto answer = SmoothSolver(problem_).solve(weighted_sum(std::move(weights)), nullptr);
  if (answer.status != ScalarStatus::converged) {
    throw NotFiniteError(
        "an end of the front cannot be computed: objective {}: {}; it may be unbounded below",
        objective + 1, answer.message);
  }
  return {true, std::move(answer.packet.x), std::move(answer.f), std::move(answer.weights)};
}

Continuation::Found Continuation::work(const Task& task) {
  if (task.parent < 0) return end(task.objective);
  const std::size_t n = problem_.dimension();
  const std::size_t k = problem_.objectives();
  const auto at = static_cast<std::size_t>(task.parent);
  const auto face = members_of(task.face);
  const auto size = static_cast<Index>(face.size());
  Corrector corrector(problem_, task.face);
  corrector.begin(std::span(x_).subspan(at * n, n), std::span(w_).subspan(at * k, k));
  Vector width(size);
  Vector normal(size);
  Vector tangent = Vector::Zero(size);
  for (Index i = 0; i < size; ++i) {
    const auto j = to_size(face[to_size(i)]);
    width(i) = std::max(range_.nadir[j] - range_.ideal[j], 1e-300);
    normal(i) = std::max(corrector.w(i), 0.0) * width(i);
    if (face[to_size(i)] == static_cast<Index>(task.objective)) tangent(i) = task.sign;
  }
  normal.normalize();
  tangent -= tangent.dot(normal) * normal;
  // Along the normal itself there is no step; the other objectives lead away from there.
  if (tangent.norm() < 0.3) return {};
  tangent.normalize();
  const Matrix across = normal;
  const Matrix frame = across.householderQr().householderQ();
  const Matrix basis = frame.rightCols(size - 1);
  const Matrix rows = basis.transpose() * width.cwiseInverse().asDiagonal();
  const Vector start = corrector.values();
  const Vector step = options_.spacing * width.cwiseProduct(tangent);
  const auto correct = [&](const Vector& target) {
    for (std::int64_t i = 0; i < options_.max_corrections; ++i) {
      ++corrections_;
      if (!corrector.step(rows, target)) return false;
      const double off = (rows * (corrector.values() - target)).norm();
      if (corrector.criticality() <= options_.tolerance && off <= 1e-6 * options_.spacing)
        return true;
    }
    return false;
  };
  // Where the front bends, the step is shorter than its tangent.
  for (double length = 1.0; length > 0.01; length *= 0.5) {
    corrector.begin(std::span(x_).subspan(at * n, n), std::span(w_).subspan(at * k, k));
    if (!correct(start + length * step) || corrector.w.minCoeff() < -1e-9) continue;
    const double distance = (corrector.values() - start).cwiseQuotient(width).norm();
    if (distance > farthest * options_.spacing) continue;
    Found found;
    found.good = true;
    found.x.assign(corrector.x.data(), corrector.x.data() + n);
    found.f.assign(corrector.f.data(), corrector.f.data() + k);
    found.w = corrector.all_weights();
    return found;
  }
  return {};
}

bool Continuation::covered(std::span<const double> f) const {
  const std::size_t k = f.size();
  const double radius = cover * options_.spacing;
  for (std::size_t p = 0; p < size(); ++p) {
    double square = 0.0;
    for (std::size_t j = 0; j < k; ++j) {
      const double d = (f[j] - f_[p * k + j]) / std::max(range_.nadir[j] - range_.ideal[j], 1e-300);
      square += d * d;
    }
    if (square < radius * radius) return true;
  }
  return false;
}

void Continuation::set_range() {
  const std::size_t k = problem_.objectives();
  range_ = range_of({std::span<const double>(f_).first(k * k), k});
}

void Continuation::step() {
  const std::size_t n = problem_.dimension();
  const std::size_t k = problem_.objectives();
  const std::size_t width = 1 + n + 2 * k;
  const auto todo = tasks();
  const auto owners =
      partition::Partition::uniform(static_cast<std::int64_t>(todo.size()), comm_.size());
  std::vector<double> rows(todo.size() * width, 0.0);
  parallel::agree(comm_, [&] {
    const auto mine = owners.range(comm_.rank());
    for (auto t = static_cast<std::size_t>(mine.begin); t < static_cast<std::size_t>(mine.end);
         ++t) {
      const Found found = work(todo[t]);
      if (!found.good) continue;
      auto row = rows.begin() + static_cast<std::ptrdiff_t>(t * width);
      *row++ = 1.0;
      for (const auto* part : {&found.x, &found.f, &found.w})
        row = std::copy(part->begin(), part->end(), row);
    }
  });
  std::vector<int> counts;
  std::vector<int> offsets;
  for (int r = 0; r < comm_.size(); ++r) {
    counts.push_back(static_cast<int>(owners.range(r).size()) * static_cast<int>(width));
    offsets.push_back(static_cast<int>(owners.range(r).begin) * static_cast<int>(width));
  }
  MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, rows.data(), counts.data(), offsets.data(),
                 MPI_DOUBLE, comm_.handle());
  const bool ends = size() == 0;
  open_ = static_cast<std::int64_t>(size());
  for (std::size_t t = 0; t < todo.size(); ++t) {
    const auto row = std::span<const double>(rows).subspan(t * width, width);
    const auto f = row.subspan(1 + n, k);
    if (row[0] == 0.0 || (!ends && covered(f))) continue;
    x_.insert(x_.end(), row.begin() + 1, row.begin() + 1 + static_cast<std::ptrdiff_t>(n));
    f_.insert(f_.end(), f.begin(), f.end());
    w_.insert(w_.end(), f.end(), row.end());
    faces_.push_back(todo[t].face);
  }
  if (ends) set_range();
  report_.residual =
      static_cast<double>(static_cast<std::int64_t>(size()) - open_) / static_cast<double>(size());
  report_.fresh = true;
  report_.finished = tasks().empty();
  if (static_cast<std::int64_t>(size()) >= options_.max_points &&
      open_ < static_cast<std::int64_t>(size()))
    report_.message = "method.max_points ended the front before all of it was followed";
}

solve::Counters Continuation::counters() const { return {{"correction", corrections_}}; }

Population Continuation::points() const {
  Population points{problem_.dimension(), problem_.objectives(), x_, f_, {}};
  points.violation.assign(points.size(), 0.0);
  return points;
}

void Continuation::fields(state::FieldVisitor& visit) {
  visit.replicated("points", x_);
  visit.replicated("values", f_);
  visit.replicated("weights", w_);
  visit.replicated("faces", faces_);
  visit.scalar("open", open_);
  if (size() > 0) set_range();
  report_.finished = size() > 0 && tasks().empty();
}

void Continuation::solution(state::FieldVisitor& visit) {
  const Population all = points();
  const Population best = all.subset(nondominated(all.values()));
  front_.variables = static_cast<std::int64_t>(best.variables);
  front_.objectives = static_cast<std::int64_t>(best.objectives);
  front_.x = best.x;
  front_.f = best.f;
  front_.fields(visit);
}

}  // namespace equipoise::pareto
