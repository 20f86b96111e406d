#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/pareto/dominance.hpp>
#include <equipoise/pareto/evaluation.hpp>
#include <equipoise/pareto/subdivision.hpp>
#include <equipoise/partition/partition.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace equipoise::pareto {

void SubdivisionOptions::describe(state::OptionVisitor& visit) {
  visit.choice("selection", selection, {"auto", "sampling", "gradient"},
               "boxes stay by nondominated test points, or where common descent leads");
  visit.option("depth", depth, "bisections in all, 0: six per variable", {0.0, 360.0});
  visit.option("samples", samples, "test points of a box, 0: by the number of variables",
               state::non_negative);
  visit.option("descents", descents, "gradient: descent steps of a test point at most",
               state::at_least_one);
  visit.option("max_boxes", max_boxes,
               "boxes of a step at most; where the next would have more, that depth is the last",
               state::at_least_one);
  visit.option("radius", goldstein.radius, "non-smooth: ball whose subgradients count",
               state::positive);
  visit.option("tolerance", goldstein.tolerance, "non-smooth: norm at which descent ends",
               state::positive);
}

Subdivision::Subdivision(parallel::Comm comm, ProblemView problem,
                         const SubdivisionOptions& options, std::uint64_t seed)
    : comm_(std::move(comm)),
      problem_(problem),
      options_(options),
      seed_(seed),
      n_(problem.dimension()),
      k_(problem.objectives()) {
  require_valid(problem, true);
  const auto refuse = [&](const std::string& why) {
    throw ConfigurationError("method subdivision {}; use a population method for {}", why,
                             problem.fingerprint());
  };
  if (n_ > 12) refuse("covers sets of up to 12 variables");
  if (problem.constraints() > 0) refuse("takes bounds but no constraints");
  for (std::size_t j = 0; j < n_; ++j) {
    if (problem.integer(j)) refuse("bisects real variables only");
  }
  gradient_ = options_.selection == "gradient" ||
              (options_.selection == "auto" && problem.differentiable());
  if (gradient_ && !problem.differentiable())
    throw ConfigurationError("method.selection = gradient needs gradients, which {} does not give",
                             problem.fingerprint());
  if (options_.depth == 0) options_.depth = 6 * static_cast<std::int64_t>(n_);
  if (options_.depth > 60 * static_cast<std::int64_t>(n_))
    throw ConfigurationError("method.depth = {}: at most 60 bisections per variable",
                             options_.depth);
  if (options_.samples == 0)
    options_.samples =
        std::min<std::int64_t>(33, (std::int64_t{1} << std::min<std::size_t>(n_, 5)) + 1);
  places_.assign(n_, 0);
}

/// Parts that coordinate j is cut into by now.
std::int64_t Subdivision::divisions(std::size_t j) const {
  const auto n = static_cast<std::int64_t>(n_);
  const std::int64_t cuts = (depth_ + n - 1 - static_cast<std::int64_t>(j)) / n;
  return std::int64_t{1} << cuts;
}

std::vector<double> Subdivision::radius() const {
  std::vector<double> r(n_);
  for (std::size_t j = 0; j < n_; ++j)
    r[j] = 0.5 * (problem_.upper(j) - problem_.lower(j)) / static_cast<double>(divisions(j));
  return r;
}

std::vector<double> Subdivision::centre(std::size_t box) const {
  const auto r = radius();
  std::vector<double> x(n_);
  for (std::size_t j = 0; j < n_; ++j)
    x[j] = problem_.lower(j) + (2.0 * static_cast<double>(places_[box * n_ + j]) + 1.0) * r[j];
  return x;
}

std::vector<std::int64_t> Subdivision::place_of(std::span<const double> x) const {
  std::vector<std::int64_t> place(n_, 0);
  for (std::size_t j = 0; j < n_; ++j) {
    const double width = problem_.upper(j) - problem_.lower(j);
    if (!(width > 0.0)) continue;
    const auto parts = divisions(j);
    const double share = (x[j] - problem_.lower(j)) / width;
    place[j] = std::clamp(static_cast<std::int64_t>(share * static_cast<double>(parts)),
                          std::int64_t{0}, parts - 1);
  }
  return place;
}

void Subdivision::bisect() {
  const auto j = static_cast<std::size_t>(depth_) % n_;
  std::vector<std::int64_t> halves;
  halves.reserve(2 * places_.size());
  for (std::size_t b = 0; b < boxes(); ++b) {
    for (const std::int64_t side : {0, 1}) {
      const auto from = places_.begin() + static_cast<std::ptrdiff_t>(b * n_);
      halves.insert(halves.end(), from, from + static_cast<std::ptrdiff_t>(n_));
      auto& place = halves[halves.size() - n_ + j];
      place = 2 * place + side;
    }
  }
  places_ = std::move(halves);
  ++depth_;
}

/// The centre and points that lie alike in every box of this depth.
std::vector<double> Subdivision::test_points(std::int64_t begin, std::int64_t end) const {
  const auto r = radius();
  const parallel::Draw draw(seed_, parallel::Purpose::start, depth_, 0);
  std::vector<double> points;
  for (std::int64_t b = begin; b < end; ++b) {
    const auto middle = centre(static_cast<std::size_t>(b));
    for (std::int64_t s = 0; s < options_.samples; ++s) {
      for (std::size_t j = 0; j < n_; ++j) {
        const double at =
            s == 0 ? 0.0 : 2.0 * draw.uniform(static_cast<std::uint64_t>(s) * n_ + j) - 1.0;
        points.push_back(middle[j] + at * r[j]);
      }
    }
  }
  return points;
}

/// Common descent until the steps fall below half a box.
void Subdivision::descend(std::vector<double>& x) {
  const auto r = radius();
  std::vector<double> f(k_);
  std::vector<double> g(k_ * n_);
  std::vector<double> y(n_);
  std::vector<double> next(k_);
  for (std::int64_t i = 0; i < options_.descents; ++i) {
    CommonDescent descent;
    if (problem_.smooth()) {
      problem_.gradients(x, f, g);
      counts_.gradients += static_cast<std::int64_t>(k_);
      descent = steepest_common_descent(problem_, x, g);
    } else {
      descent = goldstein_descent(problem_, x, options_.goldstein, counts_);
      f = descent.values;
      if (descent.criticality <= options_.goldstein.tolerance) return;
    }
    ++counts_.iterations;
    const double square = problem_.inner(descent.direction, descent.direction);
    if (!(square > 0.0)) return;
    bool moved = false;
    for (double t = 1.0; t > 1e-10 && !moved; t *= 0.5) {
      for (std::size_t j = 0; j < n_; ++j)
        y[j] = std::clamp(x[j] + t * descent.direction[j], problem_.lower(j), problem_.upper(j));
      problem_.evaluate(y, next, {});
      counts_.values += static_cast<std::int64_t>(k_);
      moved = true;
      for (std::size_t o = 0; o < k_; ++o) moved = moved && next[o] <= f[o] - 0.1 * t * square;
    }
    if (!moved) return;
    double step = 0.0;
    for (std::size_t j = 0; j < n_; ++j) {
      if (r[j] > 0.0) step = std::max(step, std::abs(y[j] - x[j]) / r[j]);
    }
    x = y;
    if (step < 0.01) return;
  }
}

void Subdivision::step() {
  bisect();
  const auto owners =
      partition::Partition::uniform(static_cast<std::int64_t>(boxes()), comm_.size());
  const auto mine = owners.range(comm_.rank());
  const auto points = test_points(mine.begin, mine.end);
  Population own{n_, k_, {}, {}, {}};
  parallel::agree(comm_, [&] {
    std::vector<double> f(k_);
    std::vector<double> x(n_);
    for (auto at = points.begin(); at != points.end(); at += static_cast<std::ptrdiff_t>(n_)) {
      x.assign(at, at + static_cast<std::ptrdiff_t>(n_));
      if (gradient_) descend(x);
      double violation = 0.0;
      // Where an evaluation fails there is no point.
      if (!evaluate_one(problem_, x, f, violation).empty()) continue;
      counts_.values += static_cast<std::int64_t>(k_);
      own.x.insert(own.x.end(), x.begin(), x.end());
      own.f.insert(own.f.end(), f.begin(), f.end());
    }
  });
  own.violation.assign(own.size(), 0.0);
  if (!gradient_) own = own.subset(nondominated(own.values()));
  std::vector<double> rows;
  for (std::size_t i = 0; i < own.size(); ++i) {
    rows.insert(rows.end(), own.point(i).begin(), own.point(i).end());
    rows.insert(rows.end(), own.value(i).begin(), own.value(i).end());
  }
  std::vector<double> sizes(static_cast<std::size_t>(comm_.size()), 0.0);
  sizes[static_cast<std::size_t>(comm_.rank())] = static_cast<double>(rows.size());
  comm_.max(sizes);
  std::vector<int> counts;
  std::vector<int> offsets;
  int total = 0;
  for (const double s : sizes) {
    counts.push_back(static_cast<int>(s));
    offsets.push_back(total);
    total += counts.back();
  }
  std::vector<double> all(static_cast<std::size_t>(total));
  MPI_Allgatherv(rows.data(), static_cast<int>(rows.size()), MPI_DOUBLE, all.data(), counts.data(),
                 offsets.data(), MPI_DOUBLE, comm_.handle());
  keep(all);
  report_.residual = 0.0;
  for (std::size_t j = 0; j < n_; ++j)
    report_.residual = std::max(report_.residual, 1.0 / static_cast<double>(divisions(j)));
  report_.fresh = true;
  look_ahead();
}

/// Finished at the last depth, or where the next step would have too many boxes.
void Subdivision::look_ahead() {
  report_.finished = report_.budget_spent = depth_ >= options_.depth;
  if (report_.finished || 2 * static_cast<std::int64_t>(boxes()) <= options_.max_boxes) return;
  report_.finished = true;
  report_.message = fmt::format(
      "ended at depth {} of {}: the next would have {} boxes, more than method.max_boxes; the set "
      "has too many dimensions for that depth, or its boxes do not differ enough{}",
      depth_, options_.depth, 2 * boxes(),
      gradient_ ? ": method.selection=sampling compares values instead of descending"
                : ": more method.samples tell them apart");
}

/// The boxes of the points that count, and the front among these.
void Subdivision::keep(const std::vector<double>& rows) {
  Population all{n_, k_, {}, {}, {}};
  const std::size_t width = n_ + k_;
  for (std::size_t i = 0; i < rows.size(); i += width) {
    const auto at = rows.begin() + static_cast<std::ptrdiff_t>(i);
    const auto middle = at + static_cast<std::ptrdiff_t>(n_);
    all.x.insert(all.x.end(), at, middle);
    all.f.insert(all.f.end(), middle, middle + static_cast<std::ptrdiff_t>(k_));
    all.violation.push_back(0.0);
  }
  if (all.size() == 0)
    throw NotFiniteError("subdivision: every evaluation at depth {} failed", depth_);
  const Population best = all.subset(nondominated(all.values()));
  const Population& counted = gradient_ ? all : best;
  std::set<std::vector<std::int64_t>> hit;
  for (std::size_t i = 0; i < counted.size(); ++i) hit.insert(place_of(counted.point(i)));
  places_.clear();
  for (const auto& place : hit) places_.insert(places_.end(), place.begin(), place.end());
  front_.variables = static_cast<std::int64_t>(n_);
  front_.objectives = static_cast<std::int64_t>(k_);
  front_.x = best.x;
  front_.f = best.f;
}

solve::Counters Subdivision::counters() const {
  return {{"descent_step", counts_.iterations},
          {"objective_value", counts_.values},
          {"gradient", counts_.gradients}};
}

void Subdivision::fields(state::FieldVisitor& visit) {
  visit.scalar("depth", depth_);
  visit.replicated("places", places_);
  front_.fields(visit);
  look_ahead();
}

void Subdivision::solution(state::FieldVisitor& visit) { front_.fields(visit); }

}  // namespace equipoise::pareto
