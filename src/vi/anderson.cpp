#include <equipoise/linalg/kernels.hpp>
#include <equipoise/vi/anderson.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Entries worked on at a time: a block of x, r and their differences stays in the nearest cache
/// while the memory passes by once.
constexpr std::size_t block = 1024;

}  // namespace

Anderson::Anderson(std::size_t dimension, std::int64_t memory, Products products)
    : dimension_(dimension),
      memory_(memory),
      over_ranks_(std::move(products)),
      x_(dimension),
      r_(dimension),
      residuals_(at(memory), Vector(dimension)),
      images_(residuals_),
      gram_(at(memory * memory)),
      factor_(at(memory * memory)),
      products_(at(memory)),
      weights_(at(memory)) {}

/// Keeps the difference to the last pair, if there is one, and projects r on all that are kept.
void Anderson::remember(std::span<const double> x, std::span<const double> r) {
  const bool paired = paired_ != 0;
  if (paired) ++count_;
  const std::int64_t known = std::min(count_, memory_);
  const std::int64_t slot = (count_ + memory_ - 1) % memory_;
  std::fill(products_.begin(), products_.end(), 0.0);
  if (paired) std::fill_n(&gram_[at(slot * memory_)], known, 0.0);
  if (known > 0) {
    over_ranks_ ? project_over_ranks(x, r, slot) : project_here(x, r, slot);
  }
  for (std::int64_t j = 0; j < known && paired; ++j) {
    gram_[at(j * memory_ + slot)] = gram_[at(slot * memory_ + j)];
  }
}

void Anderson::difference(std::span<const double> x, std::span<const double> r, std::int64_t slot,
                          std::size_t begin, std::size_t end) {
  Vector& dr = residuals_[at(slot)];
  Vector& ds = images_[at(slot)];
  for (std::size_t i = begin; i < end; ++i) {
    dr[i] = r[i] - r_[i];
    ds[i] = x[i] - x_[i] + dr[i];
  }
}

/// One pass over the memory.
void Anderson::project_here(std::span<const double> x, std::span<const double> r,
                            std::int64_t slot) {
  const std::int64_t known = std::min(count_, memory_);
  for (std::size_t begin = 0; begin < dimension_; begin += block) {
    const std::size_t size = std::min(block, dimension_ - begin);
    if (paired_ != 0) difference(x, r, slot, begin, begin + size);
    const auto part = [&](std::span<const double> v) { return v.subspan(begin, size); };
    for (std::int64_t j = 0; j < known; ++j) {
      const auto kept = part(residuals_[at(j)]);
      if (paired_ != 0) {
        gram_[at(slot * memory_ + j)] += linalg::dot(kept, part(residuals_[at(slot)]));
      }
      products_[at(j)] += linalg::dot(kept, part(r));
    }
  }
}

/// One reduction.
void Anderson::project_over_ranks(std::span<const double> x, std::span<const double> r,
                                  std::int64_t slot) {
  const std::int64_t known = std::min(count_, memory_);
  if (paired_ != 0) difference(x, r, slot, 0, dimension_);
  std::vector<partition::DotPair> pairs;
  for (std::int64_t j = 0; j < known; ++j) {
    pairs.push_back({residuals_[at(j)], r});
    pairs.push_back({residuals_[at(j)], residuals_[at(slot)]});
  }
  Vector out(pairs.size());
  over_ranks_(pairs, out);
  for (std::int64_t j = 0; j < known; ++j) {
    products_[at(j)] = out[at(2 * j)];
    if (paired_ != 0) gram_[at(slot * memory_ + j)] = out[at(2 * j + 1)];
  }
}

/// weights := (D'D + 1e-13 I)^{-1} D'r for the differences D scaled to length 1, by Cholesky.
void Anderson::solve() {
  const std::int64_t k = std::min(count_, memory_);
  const auto scale = [&](std::int64_t i) {
    const double square = gram_[at(i * memory_ + i)];
    return square > 0.0 ? 1.0 / std::sqrt(square) : 0.0;
  };
  for (std::int64_t i = 0; i < k; ++i) {
    double w = scale(i) * products_[at(i)];
    for (std::int64_t j = 0; j <= i; ++j) {
      double a = gram_[at(i * memory_ + j)] * scale(i) * scale(j) + (i == j ? 1e-13 : 0.0);
      for (std::int64_t l = 0; l < j; ++l)
        a -= factor_[at(i * memory_ + l)] * factor_[at(j * memory_ + l)];
      factor_[at(i * memory_ + j)] =
          i == j ? std::sqrt(std::max(a, 1e-13)) : a / factor_[at(j * memory_ + j)];
    }
    for (std::int64_t l = 0; l < i; ++l) w -= factor_[at(i * memory_ + l)] * weights_[at(l)];
    weights_[at(i)] = w / factor_[at(i * memory_ + i)];
  }
  for (std::int64_t i = k - 1; i >= 0; --i) {
    double w = weights_[at(i)];
    for (std::int64_t l = i + 1; l < k; ++l) w -= factor_[at(l * memory_ + i)] * weights_[at(l)];
    weights_[at(i)] = w / factor_[at(i * memory_ + i)];
  }
  for (std::int64_t i = 0; i < k; ++i) weights_[at(i)] *= scale(i);
}

void Anderson::propose(std::span<const double> x, std::span<const double> r,
                       std::span<double> next) {
  remember(x, r);
  solve();
  const std::int64_t known = std::min(count_, memory_);
  for (std::size_t begin = 0; begin < dimension_; begin += block) {
    const std::size_t n = std::min(block, dimension_ - begin);
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(begin), n, &x_[begin]);
    std::copy_n(r.begin() + static_cast<std::ptrdiff_t>(begin), n, &r_[begin]);
    const auto part = next.subspan(begin, n);
    linalg::add_scaled(std::span(x_).subspan(begin, n), 1.0, std::span(r_).subspan(begin, n), part);
    for (std::int64_t j = 0; j < known; ++j) {
      linalg::add_scaled(part, -weights_[at(j)], std::span(images_[at(j)]).subspan(begin, n), part);
    }
  }
  paired_ = 1;
}

void Anderson::fields(state::FieldVisitor& visit, const std::string& prefix) {
  fields(visit, prefix, [&](std::string_view name, Vector& v) { visit.replicated(name, v); });
}

void Anderson::fields(state::FieldVisitor& visit, const std::string& prefix,
                      const VisitVector& vector) {
  visit.scalar(prefix + "/count", count_);
  visit.scalar(prefix + "/paired", paired_);
  visit.replicated(prefix + "/gram", gram_);
  vector(prefix + "/x", x_);
  vector(prefix + "/r", r_);
  for (std::size_t k = 0; k < residuals_.size(); ++k) {
    vector(fmt::format("{}/residual_difference_{}", prefix, k), residuals_[k]);
    vector(fmt::format("{}/image_difference_{}", prefix, k), images_[k]);
  }
}

}  // namespace equipoise::vi
