#include "obstacle_active_set.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::problems {
namespace {

constexpr std::int64_t coarsest_side = 64;
constexpr int nested_steps = 20;

}  // namespace

void ObstacleActiveSetOptions::describe(state::OptionVisitor& visit) {
  visit.option("inner_iterations", inner_iterations, "multigrid cycles of a linear solve, at most",
               state::at_least_one);
  visit.option("inner_reduction", inner_reduction,
               "a linear solve ends at this share of the natural residual before it",
               state::positive);
}

bool ObstacleActiveSet::fits(std::int64_t n) {
  std::int64_t side = n - 1;
  while (side % 2 == 0 && side > 4) side /= 2;
  return side <= coarsest_side;
}

ObstacleActiveSet::ObstacleActiveSet(parallel::Comm comm, std::shared_ptr<const Obstacle> problem,
                                     std::int64_t n, const ObstacleActiveSetOptions& options)
    : comm_(std::move(comm)), problem_(std::move(problem)), options_(options) {
  std::vector<std::int64_t> offsets = {0};
  for (int r = 0; r < comm_.size(); ++r)
    offsets.push_back(problem_->layout().owned(r).end / (n - 2));
  grids_.emplace_back(comm_, n, std::move(offsets), partition::Range{});
  while (grids_.back().can_be_halved()) grids_.push_back(grids_.back().coarser());
  const auto owned = static_cast<std::size_t>(problem_->layout().owned(comm_.rank()).size());
  z_.resize(owned);
  active_.resize(owned);
  const double start = natural_residual(0);
  reference_ = start > 0.0 ? start : 1.0;
  report_.residual = start / reference_;
  report_.fresh = true;
}

/// |min(u - psi, A u - b)|, which is the natural residual.
double ObstacleActiveSet::natural_residual(std::size_t level) {
  ObstacleGrid& grid = grids_[level];
  grid.exchange(grid.u);
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i) {
    for (std::int64_t j = 1; j < grid.points() - 1; ++j) {
      grid.row(grid.r, i)[j] =
          std::min(grid.row(grid.u, i)[j] - grid.row(grid.psi, i)[j], grid.stencil(grid.u, i, j));
    }
  }
  return std::sqrt(grid.dot(grid.r, grid.r));
}

/// The free points of the coarser grids.
void ObstacleActiveSet::hand_down(std::size_t level) {
  for (; level + 1 < grids_.size(); ++level) {
    ObstacleGrid& fine = grids_[level];
    ObstacleGrid& coarse = grids_[level + 1];
    fine.exchange(fine.free);
    for (std::int64_t i = coarse.owned().begin; i < coarse.owned().end; ++i) {
      for (std::int64_t j = 1; j < coarse.points() - 1; ++j)
        coarse.row(coarse.free, i)[j] = fine.row(fine.free, 2 * i + 1)[2 * j];
    }
  }
}

/// e := about A^{-1} r on the free points: a symmetric cycle, black undoing the order of red.
void ObstacleActiveSet::cycle(std::size_t level) {
  ObstacleGrid& grid = grids_[level];
  std::fill(grid.e.begin(), grid.e.end(), 0.0);
  if (level + 1 == grids_.size()) {
    const std::int64_t sweeps = 2 * grid.points();
    for (std::int64_t k = 0; k < sweeps; ++k) {
      grid.smooth(grid.e, grid.r, k < sweeps / 2 ? 0 : 1);
      grid.smooth(grid.e, grid.r, k < sweeps / 2 ? 1 : 0);
    }
    return;
  }
  ObstacleGrid& coarse = grids_[level + 1];
  grid.smooth(grid.e, grid.r, 0);
  grid.smooth(grid.e, grid.r, 1);
  grid.apply(grid.e, grid.ap);
  for (std::size_t k = 0; k < grid.ap.size(); ++k) grid.ap[k] = grid.r[k] - grid.ap[k];
  grid.restrict_to(coarse, grid.ap, coarse.r);
  cycle(level + 1);
  grid.add_from(coarse, coarse.e, grid.e, false);
  grid.smooth(grid.e, grid.r, 1);
  grid.smooth(grid.e, grid.r, 0);
}

/// A u = b on the free points by conjugate gradients, down to `inner_reduction` times the natural
/// residual, or to what rounding leaves.
void ObstacleActiveSet::solve(std::size_t level) {
  ObstacleGrid& grid = grids_[level];
  const double rounding = 8.0 * std::numeric_limits<double>::epsilon() * grid.scale() *
                          std::sqrt(grid.dot(grid.u, grid.u));
  const double goal = std::max(options_.inner_reduction * natural_residual(level), rounding);
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i) {
    for (std::int64_t j = 1; j < grid.points() - 1; ++j) {
      if (grid.row(grid.free, i)[j] == 0.0) grid.row(grid.u, i)[j] = grid.row(grid.psi, i)[j];
    }
  }
  grid.apply(grid.u, grid.r);
  for (double& v : grid.r) v = -v;
  double product = 0.0;
  std::fill(grid.p.begin(), grid.p.end(), 0.0);
  for (std::int64_t k = 0; k < options_.inner_iterations; ++k) {
    if (std::sqrt(grid.dot(grid.r, grid.r)) <= goal) break;
    cycle(level);
    ++cycles_;
    const double next = grid.dot(grid.r, grid.e);
    const double turn = k == 0 ? 0.0 : next / product;
    product = next;
    for (std::size_t t = 0; t < grid.p.size(); ++t) grid.p[t] = grid.e[t] + turn * grid.p[t];
    grid.apply(grid.p, grid.ap);
    const double length = product / grid.dot(grid.p, grid.ap);
    for (std::size_t t = 0; t < grid.p.size(); ++t) {
      grid.u[t] += length * grid.p[t];
      grid.r[t] -= length * grid.ap[t];
    }
  }
  grid.exchange(grid.u);
}

std::int64_t ObstacleActiveSet::improve(std::size_t level) {
  ObstacleGrid& grid = grids_[level];
  hand_down(level);
  solve(level);
  std::int64_t changes = 0;
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i) {
    for (std::int64_t j = 1; j < grid.points() - 1; ++j) {
      double& free = grid.row(grid.free, i)[j];
      const bool active = free == 0.0 ? grid.stencil(grid.u, i, j) > 0.0
                                      : grid.row(grid.u, i)[j] < grid.row(grid.psi, i)[j];
      changes += active == (free != 0.0) ? 1 : 0;
      free = active ? 0.0 : 1.0;
    }
  }
  return comm_.sum(changes);
}

/// u and the active set from the next coarser grid.
void ObstacleActiveSet::enter(std::size_t level) {
  ObstacleGrid& grid = grids_[level];
  ObstacleGrid& coarse = grids_[level + 1];
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i) {
    std::fill_n(grid.row(grid.u, i) + 1, grid.points() - 2, 0.0);
    std::fill_n(grid.row(grid.e, i) + 1, grid.points() - 2, 0.0);
  }
  grid.add_from(coarse, coarse.u, grid.u, true);
  std::fill(coarse.e.begin(), coarse.e.end(), 0.0);
  for (std::int64_t i = coarse.owned().begin; i < coarse.owned().end; ++i) {
    for (std::int64_t j = 1; j < coarse.points() - 1; ++j)
      coarse.row(coarse.e, i)[j] = 1.0 - coarse.row(coarse.free, i)[j];
  }
  grid.add_from(coarse, coarse.e, grid.e, true);
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i) {
    for (std::int64_t j = 1; j < grid.points() - 1; ++j)
      grid.row(grid.free, i)[j] = grid.row(grid.e, i)[j] >= 0.5 ? 0.0 : 1.0;
  }
}

void ObstacleActiveSet::nested_start() {
  for (std::size_t level = grids_.size() - 1; level > 0; --level) {
    if (level + 1 < grids_.size()) enter(level);
    for (int k = 0; k < nested_steps && improve(level) > 0; ++k) {
    }
  }
  if (grids_.size() > 1) enter(0);
}

void ObstacleActiveSet::step() {
  if (steps_++ == 0) nested_start();
  improve(0);
  const double residual = natural_residual(0);
  report_.residual = residual / reference_;
  report_.fresh = true;
  report_.failed = !std::isfinite(residual);
}

solve::Counters ObstacleActiveSet::counters() const {
  const bool counts = comm_.rank() == 0;
  return {{"linear_solve", counts ? steps_ : 0}, {"cycle", counts ? cycles_ : 0}};
}

void ObstacleActiveSet::copy_out() {
  const ObstacleGrid& grid = grids_[0];
  auto to = z_.begin();
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i)
    to = std::copy_n(grid.row(grid.u, i) + 1, grid.points() - 2, to);
}

void ObstacleActiveSet::fields(state::FieldVisitor& visit) {
  visit.scalar("steps", steps_);
  visit.scalar("cycles", cycles_);
  visit.scalar("reference", reference_);
  visit.scalar("report/residual", report_.residual);
  ObstacleGrid& grid = grids_[0];
  const std::int64_t width = grid.points() - 2;
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i) {
    for (std::int64_t j = 0; j < width; ++j) {
      active_[static_cast<std::size_t>((i - grid.owned().begin) * width + j)] =
          grid.row(grid.free, i)[j + 1] == 0.0 ? 1 : 0;
    }
  }
  visit.partitioned("active", problem_->layout().coordinates(), comm_.rank(), 1, active_);
  solution(visit);
  for (std::int64_t i = grid.owned().begin; i < grid.owned().end; ++i) {
    for (std::int64_t j = 0; j < width; ++j) {
      const auto at = static_cast<std::size_t>((i - grid.owned().begin) * width + j);
      grid.row(grid.free, i)[j + 1] = active_[at] != 0 ? 0.0 : 1.0;
      grid.row(grid.u, i)[j + 1] = z_[at];
    }
  }
}

void ObstacleActiveSet::solution(state::FieldVisitor& visit) {
  copy_out();
  visit.partitioned("z", problem_->layout().coordinates(), comm_.rank(), 1, z_);
}

}  // namespace equipoise::problems
