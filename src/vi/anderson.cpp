#include "anderson.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Entries worked on at a time: a block of x, r and their differences stays in the nearest cache
/// while the rows of the memory pass by once.
constexpr std::size_t block = 1024;

}  // namespace

Anderson::Anderson(std::size_t dimension, std::int64_t memory)
    : dimension_(dimension),
      memory_(memory),
      x_(dimension),
      r_(dimension),
      residuals_(at(memory) * dimension),
      images_(at(memory) * dimension),
      gram_(at(memory * memory)),
      factor_(at(memory * memory)),
      products_(at(memory)),
      weights_(at(memory)) {}

std::span<double> Anderson::row(std::vector<double>& rows, std::int64_t j, std::size_t begin) {
  return std::span(rows).subspan(at(j) * dimension_ + begin, std::min(block, dimension_ - begin));
}

/// Keeps the difference to the last pair, if there is one, and projects r on all that are kept: one
/// pass over the memory.
void Anderson::remember(std::span<const double> x, std::span<const double> r) {
  const bool paired = paired_ != 0;
  if (paired) ++count_;
  const std::int64_t known = std::min(count_, memory_);
  const std::int64_t slot = (count_ + memory_ - 1) % memory_;
  std::fill(products_.begin(), products_.end(), 0.0);
  if (paired) std::fill_n(&gram_[at(slot * memory_)], known, 0.0);
  for (std::size_t begin = 0; begin < dimension_ && known > 0; begin += block) {
    const auto dr = row(residuals_, slot, begin);
    const auto ds = row(images_, slot, begin);
    for (std::size_t i = 0; i < dr.size() && paired; ++i) {
      dr[i] = r[begin + i] - r_[begin + i];
      ds[i] = x[begin + i] - x_[begin + i] + dr[i];
    }
    for (std::int64_t j = 0; j < known; ++j) {
      const auto kept = row(residuals_, j, begin);
      if (paired) gram_[at(slot * memory_ + j)] += linalg::dot(kept, dr);
      products_[at(j)] += linalg::dot(kept, r.subspan(begin, kept.size()));
    }
  }
  for (std::int64_t j = 0; j < known && paired; ++j) {
    gram_[at(j * memory_ + slot)] = gram_[at(slot * memory_ + j)];
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
      linalg::add_scaled(part, -weights_[at(j)], row(images_, j, begin), part);
    }
  }
  paired_ = 1;
}

void Anderson::fields(state::FieldVisitor& visit, const std::string& prefix) {
  visit.scalar(prefix + "/count", count_);
  visit.scalar(prefix + "/paired", paired_);
  visit.replicated(prefix + "/x", x_);
  visit.replicated(prefix + "/r", r_);
  visit.replicated(prefix + "/residuals", residuals_);
  visit.replicated(prefix + "/images", images_);
  visit.replicated(prefix + "/gram", gram_);
}

}  // namespace equipoise::vi
