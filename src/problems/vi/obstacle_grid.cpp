#include "obstacle_grid.hpp"

#include <equipoise/partition/distributed_vector.hpp>
#include <equipoise/problems/vi/obstacle.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {
namespace {

std::vector<std::int64_t> times(std::vector<std::int64_t> offsets, std::int64_t factor) {
  for (std::int64_t& v : offsets) v *= factor;
  return offsets;
}

/// Interior rows that a rank reads: the neighbours of its own, and `also`.
partition::Range read_rows(partition::Range owned, partition::Range also, std::int64_t n) {
  partition::Range rows{owned.begin - 1, owned.end + 1};
  if (also.size() > 0) rows = {std::min(rows.begin, also.begin), std::max(rows.end, also.end)};
  return {std::max<std::int64_t>(rows.begin, -1), std::min(rows.end, n - 1)};
}

std::vector<std::int64_t> ghosts_of(partition::Range owned, partition::Range rows, std::int64_t n) {
  std::vector<std::int64_t> ghosts;
  for (std::int64_t i = std::max<std::int64_t>(rows.begin, 0); i < std::min(rows.end, n - 2); ++i) {
    if (owned.contains(i)) continue;
    for (std::int64_t j = 0; j < n; ++j) ghosts.push_back(i * n + j);
  }
  return ghosts;
}

partition::Layout row_layout(const std::vector<std::int64_t>& offsets, std::int64_t n) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i <= n - 2; ++i) rows.push_back(i * n);
  return {partition::Partition::from_offsets(std::move(rows)),
          partition::Partition::from_offsets(offsets)};
}

}  // namespace

ObstacleGrid::ObstacleGrid(const parallel::Comm& comm, std::int64_t n,
                           std::vector<std::int64_t> offsets, partition::Range also)
    : comm_(comm),
      n_(n),
      offsets_(std::move(offsets)),
      owned_{offsets_[static_cast<std::size_t>(comm.rank())],
             offsets_[static_cast<std::size_t>(comm.rank()) + 1]},
      layout_(row_layout(offsets_, n)),
      halo_(comm, partition::Partition::from_offsets(times(offsets_, n)),
            ghosts_of(owned_, read_rows(owned_, also, n), n)),
      scale_(std::pow(static_cast<double>(n - 1) / 4.0, 2)) {
  const partition::Range rows = read_rows(owned_, also, n);
  first_ = rows.begin;
  last_ = rows.end;
  const auto size = static_cast<std::size_t>((last_ - first_) * n_);
  for (Vector* v : {&u, &psi, &free, &r, &e, &p, &ap}) v->assign(size, 0.0);
  const double h = 4.0 / static_cast<double>(n_ - 1);
  for (std::int64_t i = first_; i < last_; ++i) {
    for (std::int64_t j = 0; j < n_; ++j) {
      const double distance =
          std::hypot(-2.0 + h * static_cast<double>(j), -2.0 + h * static_cast<double>(i + 1));
      const bool edge = j == 0 || j == n_ - 1 || i == -1 || i == n_ - 2;
      row(psi, i)[j] = Obstacle::psi(distance);
      row(u, i)[j] = edge ? Obstacle::exact(distance) : std::max(Obstacle::psi(distance), 0.0);
      row(free, i)[j] = edge ? 0.0 : 1.0;
    }
  }
}

ObstacleGrid ObstacleGrid::coarser() const {
  std::vector<std::int64_t> offsets = offsets_;
  for (std::int64_t& v : offsets) v /= 2;
  // The rows [a, b) here lie between the coarser rows (a - 1)/2 and b/2.
  partition::Range also;
  if (owned_.size() > 0) also = {(owned_.begin + 1) / 2 - 1, owned_.end / 2 + 1};
  return {comm_, (n_ - 1) / 2 + 1, std::move(offsets), also};
}

void ObstacleGrid::exchange(Vector& v) {
  const auto values = halo_.exchange(
      std::span<const double>(row(v, owned_.begin), static_cast<std::size_t>(owned_.size() * n_)));
  const auto ghosts = halo_.ghosts();
  for (std::size_t k = 0; k < ghosts.size(); k += static_cast<std::size_t>(n_))
    std::copy_n(values.data() + k, n_, row(v, ghosts[k] / n_));
}

double ObstacleGrid::dot(const Vector& a, const Vector& b) const {
  const auto size = static_cast<std::size_t>(owned_.size() * n_);
  return partition::dot(comm_, layout_, {row(a, owned_.begin), size}, {row(b, owned_.begin), size});
}

double ObstacleGrid::stencil(const Vector& v, std::int64_t i, std::int64_t j) const {
  const double* here = row(v, i);
  return scale_ *
         (4.0 * here[j] - ((here[j - 1] + here[j + 1]) + (row(v, i - 1)[j] + row(v, i + 1)[j])));
}

void ObstacleGrid::apply(Vector& v, Vector& out) {
  exchange(v);
  for (std::int64_t i = owned_.begin; i < owned_.end; ++i) {
    const double* here = row(v, i);
    const double* above = here - n_;
    const double* below = here + n_;
    const double* mask = row(free, i);
    double* to = row(out, i);
    for (std::int64_t j = 1; j < n_ - 1; ++j) {
      to[j] = mask[j] * scale_ *
              (4.0 * here[j] - ((here[j - 1] + here[j + 1]) + (above[j] + below[j])));
    }
  }
}

void ObstacleGrid::smooth(Vector& v, const Vector& right, std::int64_t colour) {
  exchange(v);
  const double square = 1.0 / scale_;
  for (std::int64_t i = owned_.begin; i < owned_.end; ++i) {
    double* here = row(v, i);
    const double* above = here - n_;
    const double* below = here + n_;
    const double* mask = row(free, i);
    const double* force = row(right, i);
    for (std::int64_t j = 1 + ((i + colour) & 1); j < n_ - 1; j += 2) {
      here[j] = mask[j] * 0.25 *
                (square * force[j] + ((here[j - 1] + here[j + 1]) + (above[j] + below[j])));
    }
  }
}

void ObstacleGrid::restrict_to(ObstacleGrid& coarse, Vector& v, Vector& to) {
  exchange(v);
  for (std::int64_t i = coarse.owned().begin; i < coarse.owned().end; ++i) {
    const double* a = row(v, 2 * i);
    const double* b = row(v, 2 * i + 1);
    const double* c = row(v, 2 * i + 2);
    const double* mask = coarse.row(coarse.free, i);
    double* out = coarse.row(to, i);
    for (std::int64_t j = 1; j < coarse.points() - 1; ++j) {
      const std::int64_t k = 2 * j;
      out[j] = mask[j] * (0.0625 * ((a[k - 1] + a[k + 1]) + (c[k - 1] + c[k + 1])) +
                          0.125 * ((a[k] + c[k]) + (b[k - 1] + b[k + 1])) + 0.25 * b[k]);
    }
  }
}

void ObstacleGrid::add_from(ObstacleGrid& coarse, Vector& from, Vector& to, bool everywhere) const {
  coarse.exchange(from);
  for (std::int64_t i = owned_.begin; i < owned_.end; ++i) {
    const bool between = i % 2 == 0;
    const double* a = coarse.row(from, between ? i / 2 - 1 : (i - 1) / 2);
    const double* b = between ? coarse.row(from, i / 2) : a;
    const double* mask = row(free, i);
    double* out = row(to, i);
    for (std::int64_t j = 1; j < n_ - 1; ++j) {
      const std::int64_t k = j / 2;
      const double left = 0.5 * (a[k] + b[k]);
      const double value = j % 2 == 0 ? left : 0.5 * (left + 0.5 * (a[k + 1] + b[k + 1]));
      out[j] += everywhere ? value : mask[j] * value;
    }
  }
}

}  // namespace equipoise::problems
