#include "obstacle_multigrid.hpp"

#include <equipoise/partition/distributed_vector.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

constexpr std::int64_t coarsest_side = 64, coarsest_sweeps = 400, least_side = 4;

std::vector<std::int64_t> times(std::vector<std::int64_t> offsets, std::int64_t factor) {
  for (std::int64_t& v : offsets) v *= factor;
  return offsets;
}

/// Interior rows that a rank reads around those it owns.
std::vector<std::int64_t> ghosts_of(partition::Range owned, partition::Range also, std::int64_t n) {
  std::vector<std::int64_t> ghosts;
  const auto add = [&](std::int64_t row) {
    if (row < 0 || row >= n - 2 || owned.contains(row)) return;
    for (std::int64_t j = 0; j < n; ++j) ghosts.push_back(row * n + j);
  };
  std::int64_t begin = also.begin, end = also.end;
  if (owned.size() > 0) {
    begin = std::min(begin, owned.begin - 1);
    end = std::max(end, owned.end + 1);
  }
  for (std::int64_t row = begin; row < end; ++row) add(row);
  return ghosts;
}

}  // namespace

void ObstacleMultigridOptions::describe(state::OptionVisitor& visit) {
  visit.option("smoothings", smoothings, "sweeps before and after each visit of a coarser grid",
               state::at_least_one);
}

ObstacleLevel::ObstacleLevel(const parallel::Comm& comm, std::int64_t n,
                             std::vector<std::int64_t> offsets, partition::Range also)
    : n_(n),
      offsets_(std::move(offsets)),
      owned_{offsets_[static_cast<std::size_t>(comm.rank())],
             offsets_[static_cast<std::size_t>(comm.rank()) + 1]},
      halo_(comm, partition::Partition::from_offsets(times(offsets_, n)),
            ghosts_of(owned_, also, n)),
      scale_(std::pow(static_cast<double>(n - 1) / 4.0, 2)) {
  first_ = owned_.begin - 1;
  last_ = owned_.end + 1;
  if (also.size() > 0) {
    first_ = std::min(first_, also.begin);
    last_ = std::max(last_, also.end);
  }
  const auto size = static_cast<std::size_t>((last_ - first_) * n_);
  for (auto* v : {&u, &f, &psi, &work, &before}) v->assign(size, 0.0);
  const double h = 4.0 / static_cast<double>(n_ - 1);
  const auto last_line = n_ - 1;
  for (std::int64_t i = first_; i < last_; ++i) {
    for (std::int64_t j = 0; j < n_; ++j) {
      const double x = -2.0 + h * static_cast<double>(j);
      const double y = -2.0 + h * static_cast<double>(i + 1);
      const double r = std::hypot(x, y);
      const bool edge = j == 0 || j == last_line || i == -1 || i == n_ - 2;
      row(psi, i)[j] = edge ? Obstacle::exact(r) : Obstacle::psi(r);
      row(u, i)[j] = edge ? Obstacle::exact(r) : std::max(Obstacle::psi(r), 0.0);
    }
  }
}

void ObstacleLevel::exchange(std::vector<double>& v) {
  const auto values = halo_.exchange(
      std::span<const double>(row(v, owned_.begin), static_cast<std::size_t>(owned_.size() * n_)));
  const auto ghosts = halo_.ghosts();
  for (std::size_t k = 0; k < ghosts.size(); k += static_cast<std::size_t>(n_)) {
    std::copy_n(values.data() + k, n_, row(v, ghosts[k] / n_));
  }
}

void ObstacleLevel::smooth(std::int64_t sweeps) {
  const double square = 1.0 / scale_;
  for (std::int64_t k = 0; k < 2 * sweeps; ++k) {
    exchange(u);
    for (std::int64_t i = owned_.begin; i < owned_.end; ++i) {
      double* here = row(u, i);
      const double* above = row(u, i - 1);
      const double* below = row(u, i + 1);
      const double* right = row(f, i);
      const double* least = row(psi, i);
      for (std::int64_t j = 1 + ((i + k) & 1); j < n_ - 1; j += 2) {
        const double t =
            0.25 * (square * right[j] + ((here[j - 1] + here[j + 1]) + (above[j] + below[j])));
        here[j] = std::max(t, least[j]);
      }
    }
  }
  exchange(u);
}

void ObstacleLevel::residual(std::int64_t i, bool free_only, double* out) const {
  const double* here = row(u, i);
  const double* above = row(u, i - 1);
  const double* below = row(u, i + 1);
  const double* right = row(f, i);
  const double* least = row(psi, i);
  out[0] = out[n_ - 1] = 0.0;
  for (std::int64_t j = 1; j < n_ - 1; ++j) {
    const double r =
        right[j] - scale_ * (4.0 * here[j] - ((here[j - 1] + here[j + 1]) + (above[j] + below[j])));
    out[j] = free_only && here[j] <= least[j] ? 0.0 : r;
  }
}

bool ObstacleMultigrid::fits(std::int64_t n) {
  std::int64_t side = n - 1;
  while (side % 2 == 0 && side > least_side) side /= 2;
  return side <= coarsest_side;
}

ObstacleMultigrid::ObstacleMultigrid(parallel::Comm comm, std::shared_ptr<const Obstacle> problem,
                                     std::int64_t n, const ObstacleMultigridOptions& options)
    : comm_(std::move(comm)), problem_(std::move(problem)), options_(options) {
  std::vector<std::int64_t> offsets = {0};
  for (int r = 0; r < comm_.size(); ++r)
    offsets.push_back(problem_->layout().owned(r).end / (n - 2));
  levels_.emplace_back(comm_, n, offsets, partition::Range{});
  while ((n - 1) % 2 == 0 && n - 1 > least_side) {
    // The finer rows [a, b) lie between the coarser rows (a-1)/2 and b/2.
    const partition::Range finer = levels_.back().owned();
    partition::Range also;
    if (finer.size() > 0) also = {(finer.begin + 1) / 2 - 1, finer.end / 2 + 1};
    n = (n - 1) / 2 + 1;
    also.end = std::min(also.end, n - 1);
    for (std::int64_t& v : offsets) v /= 2;
    levels_.emplace_back(comm_, n, offsets, also);
  }
  line_.resize(static_cast<std::size_t>(levels_[0].points()));
  const auto owned = problem_->layout().owned(comm_.rank());
  z_.resize(static_cast<std::size_t>(owned.size()));
  scratch_ = z_;
  measure();
}

/// f and u of the next coarser grid from the residual and u here.
void ObstacleMultigrid::restrict_to(std::size_t level) {
  ObstacleLevel& fine = levels_[level - 1];
  ObstacleLevel& coarse = levels_[level];
  for (std::int64_t i = fine.owned().begin; i < fine.owned().end; ++i)
    fine.residual(i, true, fine.row(fine.work, i));
  fine.exchange(fine.work);
  const std::int64_t n = coarse.points();
  for (std::int64_t i = coarse.owned().begin; i < coarse.owned().end; ++i) {
    const double* a = fine.row(fine.work, 2 * i);
    const double* b = fine.row(fine.work, 2 * i + 1);
    const double* c = fine.row(fine.work, 2 * i + 2);
    double* right = coarse.row(coarse.f, i);
    for (std::int64_t j = 1; j < n - 1; ++j) {
      const std::int64_t k = 2 * j;
      right[j] = 0.0625 * ((a[k - 1] + a[k + 1]) + (c[k - 1] + c[k + 1])) +
                 0.125 * ((a[k] + c[k]) + (b[k - 1] + b[k + 1])) + 0.25 * b[k];
      coarse.row(coarse.u, i)[j] = fine.row(fine.u, 2 * i + 1)[k];
    }
  }
  coarse.exchange(coarse.u);
  coarse.before = coarse.u;
  // f := A u + restricted residual.
  for (std::int64_t i = coarse.owned().begin; i < coarse.owned().end; ++i) {
    double* right = coarse.row(coarse.f, i);
    std::copy_n(right, n, line_.data());
    std::fill_n(right, n, 0.0);
    coarse.residual(i, false, right);
    for (std::int64_t j = 0; j < n; ++j) right[j] = line_[static_cast<std::size_t>(j)] - right[j];
  }
}

/// Adds the interpolated change of the coarser u, or all of it where `before` is zero.
void ObstacleMultigrid::correct_from(std::size_t level) {
  ObstacleLevel& fine = levels_[level - 1];
  ObstacleLevel& coarse = levels_[level];
  for (std::size_t k = 0; k < coarse.u.size(); ++k)
    coarse.before[k] = coarse.u[k] - coarse.before[k];
  const std::int64_t n = fine.points();
  for (std::int64_t i = fine.owned().begin; i < fine.owned().end; ++i) {
    const bool between = i % 2 == 0;
    const double* a = coarse.row(coarse.before, between ? i / 2 - 1 : (i - 1) / 2);
    const double* b = between ? coarse.row(coarse.before, i / 2) : a;
    double* u = fine.row(fine.u, i);
    const double* psi = fine.row(fine.psi, i);
    for (std::int64_t j = 1; j < n - 1; ++j) {
      const std::int64_t k = j / 2;
      const double left = 0.5 * (a[k] + b[k]);
      const double change = j % 2 == 0 ? left : 0.5 * (left + 0.5 * (a[k + 1] + b[k + 1]));
      u[j] = std::max(psi[j], u[j] + change);
    }
  }
}

void ObstacleMultigrid::cycle(std::size_t level) {
  ObstacleLevel& here = levels_[level];
  if (level + 1 == levels_.size()) return here.smooth(coarsest_sweeps);
  here.smooth(options_.smoothings);
  restrict_to(level + 1);
  cycle(level + 1);
  correct_from(level + 1);
  here.smooth(options_.smoothings);
}

/// Solves from the coarsest grid up, two cycles a grid.
void ObstacleMultigrid::nested_start() {
  for (std::size_t level = levels_.size(); level-- > 0;) {
    ObstacleLevel& here = levels_[level];
    std::fill(here.f.begin(), here.f.end(), 0.0);
    if (level + 1 < levels_.size()) {
      ObstacleLevel& coarse = levels_[level + 1];
      std::fill(coarse.before.begin(), coarse.before.end(), 0.0);
      for (std::int64_t i = here.owned().begin; i < here.owned().end; ++i)
        std::fill_n(here.row(here.u, i) + 1, here.points() - 2, 0.0);
      correct_from(level + 1);
    }
    cycle(level);
    if (level > 0) cycle(level);
  }
}

void ObstacleMultigrid::step() {
  if (cycles_ == 0) {
    nested_start();
  } else {
    cycle(0);
  }
  ++cycles_;
  measure();
}

void ObstacleMultigrid::to_vector() {
  const ObstacleLevel& here = levels_[0];
  double* to = z_.data();
  for (std::int64_t i = here.owned().begin; i < here.owned().end; ++i)
    to = std::copy_n(here.row(here.u, i) + 1, here.points() - 2, to);
}

/// norm(z - max(psi, z - F(z))), relative to the start.
void ObstacleMultigrid::measure() {
  ObstacleLevel& here = levels_[0];
  here.exchange(here.u);
  std::size_t at = 0;
  for (std::int64_t i = here.owned().begin; i < here.owned().end; ++i) {
    here.residual(i, false, line_.data());
    for (std::int64_t j = 1; j < here.points() - 1; ++j) {
      const double u = here.row(here.u, i)[j];
      scratch_[at++] =
          u - std::max(here.row(here.psi, i)[j], u + line_[static_cast<std::size_t>(j)]);
    }
  }
  const double residual = partition::norm(comm_, problem_->layout(), scratch_);
  if (reference_ == 0.0) reference_ = residual > 0.0 ? residual : 1.0;
  report_.residual = residual / reference_;
  report_.fresh = true;
  report_.failed = !std::isfinite(residual);
}

solve::Counters ObstacleMultigrid::counters() const {
  return {{"cycle", comm_.rank() == 0 ? cycles_ : 0}};
}

void ObstacleMultigrid::fields(state::FieldVisitor& visit) {
  visit.scalar("cycles", cycles_);
  visit.scalar("reference", reference_);
  visit.scalar("report/residual", report_.residual);
  solution(visit);
  ObstacleLevel& here = levels_[0];
  const double* from = z_.data();
  for (std::int64_t i = here.owned().begin; i < here.owned().end; ++i) {
    std::copy_n(from, here.points() - 2, here.row(here.u, i) + 1);
    from += here.points() - 2;
  }
}

void ObstacleMultigrid::solution(state::FieldVisitor& visit) {
  to_vector();
  visit.partitioned("z", problem_->layout().coordinates(), comm_.rank(), 1, z_);
}

}  // namespace equipoise::problems
