#include "hypervolume_kernels.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

namespace equipoise::pareto::detail {
void sort_keys(std::vector<Keyed>& keys, std::vector<Keyed>& scratch) {
  if (keys.size() < 400) {
    std::sort(keys.begin(), keys.end());
    return;
  }
  // Bits of a double, sign folded in, ascend like the numbers.
  const auto bits = [](double v) {
    const auto raw = std::bit_cast<std::uint64_t>(v + 0.0);
    return raw ^ ((raw >> 63U) != 0 ? ~std::uint64_t{0} : std::uint64_t{1} << 63U);
  };
  constexpr unsigned width = 11;
  scratch.resize(keys.size());
  for (unsigned shift = 0; shift < 64; shift += width) {
    std::array<std::size_t, (1U << width) + 1> start{};
    const auto digit = [&](const Keyed& key) {
      return (bits(key.first) >> shift) & ((1U << width) - 1);
    };
    for (const Keyed& key : keys) ++start[digit(key) + 1];
    if (start[digit(keys[0]) + 1] == keys.size()) continue;
    std::partial_sum(start.begin(), start.end(), start.begin());
    for (const Keyed& key : keys) scratch[start[digit(key)]++] = key;
    keys.swap(scratch);
  }
}

void Rows::sort_by(std::size_t j) {
  const std::size_t n = size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto less = [&](std::size_t a, std::size_t b) {
    const double* p = (*this)[a];
    const double* q = (*this)[b];
    if (p[j] != q[j]) return p[j] < q[j];
    return std::lexicographical_compare(p, p + width_, q, q + width_);
  };
  std::sort(order.begin(), order.end(), less);
  std::vector<double> sorted(data_.size());
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n((*this)[order[i]], width_, sorted.data() + i * width_);
  }
  data_.swap(sorted);
}

void BitTree::reset(std::size_t n) {
  depth_ = 0;
  do {
    n = n / 64 + 1;
    if (levels_.size() == depth_) levels_.emplace_back();
    levels_[depth_++].assign(n, 0);
  } while (n > 1);
}

void BitTree::insert(std::size_t i) {
  for (std::size_t l = 0; l < depth_; ++l, i /= 64)
    levels_[l][i / 64] |= std::uint64_t{1} << (i % 64);
}

void BitTree::erase(std::size_t i) {
  for (std::size_t l = 0; l < depth_; ++l, i /= 64) {
    std::uint64_t& word = levels_[l][i / 64];
    word &= ~(std::uint64_t{1} << (i % 64));
    if (word != 0) return;
  }
}

std::size_t BitTree::before(std::size_t i) const {
  for (std::size_t l = 0; l < depth_; ++l, i /= 64) {
    const std::uint64_t word = levels_[l][i / 64] & ((std::uint64_t{1} << (i % 64)) - 1);
    if (word == 0) continue;
    i = i / 64 * 64 + static_cast<std::size_t>(std::bit_width(word)) - 1;
    while (l-- > 0) {
      i = i * 64 + static_cast<std::size_t>(std::bit_width(levels_[l][i])) - 1;
    }
    return i;
  }
  return none;
}

std::size_t BitTree::after(std::size_t i) const {
  for (std::size_t l = 0; l < depth_; ++l, i /= 64) {
    const std::uint64_t word = levels_[l][i / 64] & ~((std::uint64_t{2} << (i % 64)) - 1);
    if (word == 0) continue;
    i = i / 64 * 64 + static_cast<std::size_t>(std::countr_zero(word));
    while (l-- > 0) i = i * 64 + static_cast<std::size_t>(std::countr_zero(levels_[l][i]));
    return i;
  }
  return none;
}

double Workspace::volume(Rows rows) {
  if (rows.size() == 0) return 0.0;
  if (rows.width() == 2) return volume_2d(rows);
  return rows.width() == 3 ? volume_3d(rows) : volume_4d(rows);
}

double Workspace::exclusive(const Rows& rows, std::size_t i) {
  const std::size_t k = rows.width();
  const std::span<const double> p{rows[i], k};
  double box = 1.0;
  for (std::size_t j = 0; j < k; ++j) box *= reference_[j] - p[j];
  // The others limited to the box of p.
  Rows limited(k);
  std::vector<double> corner(k);
  for (std::size_t other = 0; other < rows.size(); ++other) {
    if (other == i) continue;
    for (std::size_t j = 0; j < k; ++j) corner[j] = std::max(p[j], rows[other][j]);
    if (std::equal(p.begin(), p.end(), corner.begin())) return 0.0;
    limited.push(corner);
  }
  return std::max(0.0, box - volume(std::move(limited)));
}

double Workspace::volume_2d(Rows& rows) const {
  rows.sort_by(0);
  double area = 0.0;
  double best = reference_[1];
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double* p = rows[i];
    if (p[1] >= best) continue;
    area += (reference_[0] - p[0]) * (best - p[1]);
    best = p[1];
  }
  return area;
}

double Workspace::volume_3d(Rows& rows) {
  const std::size_t n = rows.size();
  // Ranks in x (ties by y) make the staircase a set of integers.
  rank_.resize(n);
  x_.resize(n);
  y_.resize(n);
  order_.resize(n);
  for (std::size_t i = 0; i < n; ++i) order_[i] = {rows[i][0], i};
  sort_keys(order_, order_scratch_);
  for (std::size_t r = 0; r < n; ++r) {
    const std::size_t i = order_[r].second;
    rank_[i] = r;
    x_[r] = rows[i][0];
    y_[r] = rows[i][1];
  }
  for (std::size_t i = 0; i < n; ++i) order_[i] = {rows[i][2], i};
  sort_keys(order_, order_scratch_);
  stairs_.reset(n);
  double area = 0.0;
  double volume = 0.0;
  for (std::size_t s = 0; s < n; ++s) {
    const std::size_t r = rank_[order_[s].second];
    const double top = s + 1 < n ? order_[s + 1].first : reference_[2];
    const std::size_t left = stairs_.before(r);
    const double y = y_[r];
    double outline = left == BitTree::none ? reference_[1] : y_[left];
    if (outline > y) {
      double x = x_[r];
      std::size_t next = stairs_.after(r);
      while (next != BitTree::none && y_[next] >= y) {
        area += (x_[next] - x) * (outline - y);
        outline = y_[next];
        x = x_[next];
        stairs_.erase(next);
        next = stairs_.after(next);
      }
      area += ((next == BitTree::none ? reference_[0] : x_[next]) - x) * (outline - y);
      stairs_.insert(r);
    }
    volume += area * (top - order_[s].first);
  }
  return volume;
}

Workspace::Cover Workspace::added_3d(double px, double py, double pz) {
  const auto level =
      static_cast<std::size_t>(std::upper_bound(z_.begin(), z_.end(), pz) - z_.begin());
  double right = reference_[0];
  double upper = reference_[1];
  for (std::size_t i = 0; i < level; ++i) {
    right = y_[i] <= py && x_[i] < right ? x_[i] : right;
    upper = x_[i] <= px && y_[i] < upper ? y_[i] : upper;
  }
  if (right <= px) return {0.0, true};
  area_ = (right - px) * (upper - py);
  stair_x_.clear();
  stair_y_.clear();
  for (std::size_t i = 0; i < level; ++i) {
    if ((x_[i] > px) & (x_[i] < right) & (y_[i] > py) & (y_[i] < upper))
      add_stair(x_[i], y_[i], right, upper);
  }
  double z = pz;
  double volume = 0.0;
  for (std::size_t i = level; i < x_.size(); ++i) {
    if (x_[i] >= right || y_[i] >= upper) continue;
    volume += area_ * (z_[i] - z);
    z = z_[i];
    if (x_[i] <= px && y_[i] <= py) return {volume, false};
    const double x = std::max(x_[i], px);
    const double y = std::max(y_[i], py);
    const std::size_t at = add_stair(x, y, right, upper);
    if (at == none) continue;
    if (y == py) {
      right = x;
      stair_x_.resize(at);
      stair_y_.resize(at);
    } else if (x == px) {
      upper = y;
      stair_x_.erase(stair_x_.begin());
      stair_y_.erase(stair_y_.begin());
    }
  }
  return {volume + area_ * (reference_[2] - z), false};
}

std::size_t Workspace::add_stair(double x, double y, double right, double upper) {
  const std::size_t count = stair_x_.size();
  std::size_t at = 0;
  while (at < count && stair_x_[at] <= x) ++at;
  double outline = at > 0 ? stair_y_[at - 1] : upper;
  if (outline <= y) return none;
  double left = x;
  std::size_t end = at;
  for (; end < count && stair_y_[end] >= y; ++end) {
    area_ -= (stair_x_[end] - left) * (outline - y);
    outline = stair_y_[end];
    left = stair_x_[end];
  }
  area_ -= ((end < count ? stair_x_[end] : right) - left) * (outline - y);
  // An equal x further up is replaced: stairs rise strictly.
  if (at > 0 && stair_x_[at - 1] == x) --at;
  const auto from = static_cast<std::ptrdiff_t>(at);
  if (end > at) {
    stair_x_[at] = x;
    stair_y_[at] = y;
    stair_x_.erase(stair_x_.begin() + from + 1,
                   stair_x_.begin() + static_cast<std::ptrdiff_t>(end));
    stair_y_.erase(stair_y_.begin() + from + 1,
                   stair_y_.begin() + static_cast<std::ptrdiff_t>(end));
  } else {
    stair_x_.insert(stair_x_.begin() + from, x);
    stair_y_.insert(stair_y_.begin() + from, y);
  }
  return at;
}

void Workspace::insert_3d(double px, double py, double pz) {
  const auto level =
      static_cast<std::size_t>(std::lower_bound(z_.begin(), z_.end(), pz) - z_.begin());
  std::size_t kept = level;
  for (std::size_t i = level; i < x_.size(); ++i) {
    if ((x_[i] >= px) & (y_[i] >= py)) continue;
    x_[kept] = x_[i];
    y_[kept] = y_[i];
    z_[kept] = z_[i];
    ++kept;
  }
  for (auto* column : {&x_, &y_, &z_}) column->resize(kept);
  const auto at = static_cast<std::ptrdiff_t>(level);
  x_.insert(x_.begin() + at, px);
  y_.insert(y_.begin() + at, py);
  z_.insert(z_.begin() + at, pz);
}

double Workspace::volume_4d(Rows& rows) {
  const std::size_t n = rows.size();
  std::vector<std::pair<double, std::size_t>> order(n);
  for (std::size_t i = 0; i < n; ++i) order[i] = {rows[i][3], i};
  std::sort(order.begin(), order.end());
  x_.clear();
  y_.clear();
  z_.clear();
  double section = 0.0;
  double volume = 0.0;
  for (std::size_t s = 0; s < n; ++s) {
    const double* p = rows[order[s].second];
    const double top = s + 1 < n ? order[s + 1].first : reference_[3];
    const Cover cover = added_3d(p[0], p[1], p[2]);
    if (!cover.dominated) {
      section += cover.volume;
      insert_3d(p[0], p[1], p[2]);
    }
    volume += section * (top - order[s].first);
  }
  return volume;
}

std::vector<double> Workspace::contributions_3d(const Rows& rows) {
  Rows sorted = rows;
  const std::size_t n = rows.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return rows[a][2] < rows[b][2]; });
  x_.resize(n);
  y_.resize(n);
  z_.resize(n);
  for (std::size_t r = 0; r < n; ++r) {
    x_[r] = rows[order[r]][0];
    y_[r] = rows[order[r]][1];
    z_[r] = rows[order[r]][2];
  }
  std::vector<double> result(n);
  for (std::size_t r = 0; r < n; ++r) {
    // Out of the way while its own share is measured.
    const double x = std::exchange(x_[r], reference_[0]);
    const Cover cover = added_3d(x, y_[r], z_[r]);
    x_[r] = x;
    result[order[r]] = cover.dominated ? 0.0 : std::max(0.0, cover.volume);
  }
  return result;
}

std::vector<double> contributions_2d(const Rows& rows, std::span<const double> reference) {
  const std::size_t n = rows.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(rows[a][0], rows[a][1]) < std::pair(rows[b][0], rows[b][1]);
  });
  std::vector<std::size_t> front;
  for (const std::size_t i : order) {
    if (front.empty() || rows[i][1] < rows[front.back()][1]) front.push_back(i);
  }
  std::vector<double> result(n, 0.0);
  // What a front point adds loses the part that a dominated point would cover in its place.
  std::vector<Rows> shadow(front.size(), Rows(2));
  for (const std::size_t i : order) {
    for (std::size_t f = 0; f < front.size(); ++f) {
      const double* a = rows[front[f]];
      if (i == front[f] || a[0] > rows[i][0] || a[1] > rows[i][1]) continue;
      shadow[f].push({rows[i], 2});
    }
  }
  for (std::size_t f = 0; f < front.size(); ++f) {
    const double right = f + 1 < front.size() ? rows[front[f + 1]][0] : reference[0];
    double upper = f > 0 ? rows[front[f - 1]][1] : reference[1];
    const double* a = rows[front[f]];
    double area = (right - a[0]) * (upper - a[1]);
    for (std::size_t s = 0; s < shadow[f].size(); ++s) {
      const double* q = shadow[f][s];
      if (q[0] >= right || q[1] >= upper) continue;
      area -= (right - q[0]) * (upper - q[1]);
      upper = q[1];
    }
    result[front[f]] = std::max(0.0, area);
  }
  return result;
}

}  // namespace equipoise::pareto::detail
