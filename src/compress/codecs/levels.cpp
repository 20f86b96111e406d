#include <equipoise/compress/levels.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace equipoise::compress {
namespace {

/// int_0^x u^p dH for p = 0, 1, 2, from sums over whole bins and the part of one.
class Moments {
 public:
  explicit Moments(std::span<const std::int64_t> histogram)
      : width_(1.0 / static_cast<double>(histogram.size())) {
    double total = 0.0;
    for (const std::int64_t count : histogram) {
      if (count < 0)
        throw ConfigurationError("a histogram count of {}: counts cannot be negative", count);
      total += static_cast<double>(count);
    }
    if (!(total > 0.0))
      throw ConfigurationError("an empty histogram says nothing of where levels belong");
    sums_.resize(histogram.size() + 1);
    for (std::size_t b = 0; b < histogram.size(); ++b) {
      density_.push_back(static_cast<double>(histogram[b]) / total / width_);
      const double left = static_cast<double>(b) * width_;
      for (int p = 0; p < 3; ++p)
        sums_[b + 1][p] = sums_[b][p] + density_[b] * power(left, left + width_, p);
    }
  }

  [[nodiscard]] double below(double x, int p) const {
    const std::size_t bin = std::min(static_cast<std::size_t>(x / width_), density_.size() - 1);
    return sums_[bin][p] + density_[bin] * power(static_cast<double>(bin) * width_, x, p);
  }
  [[nodiscard]] double between(double a, double b, int p) const {
    return below(b, p) - below(a, p);
  }

 private:
  static double power(double a, double b, int p) {
    return (std::pow(b, p + 1) - std::pow(a, p + 1)) / (p + 1);
  }

  double width_;
  std::vector<double> density_;
  std::vector<std::array<double, 3>> sums_;
};

/// Where between its neighbours a level belongs.
double balanced(const Moments& h, double left, double right) {
  double low = left, high = right;
  for (int step = 0; step < 60; ++step) {
    const double middle = low + (high - low) / 2.0;
    const double pull = h.between(left, middle, 1) - left * h.between(left, middle, 0);
    const double push = right * h.between(middle, right, 0) - h.between(middle, right, 1);
    (pull < push ? low : high) = middle;
  }
  return low + (high - low) / 2.0;
}

double variance(const Moments& h, std::span<const double> levels) {
  double sum = 0.0;
  for (std::size_t j = 0; j + 1 < levels.size(); ++j) {
    const double a = levels[j], b = levels[j + 1];
    sum += (a + b) * h.between(a, b, 1) - a * b * h.between(a, b, 0) - h.between(a, b, 2);
  }
  return sum;
}

}  // namespace

double level_variance(std::span<const std::int64_t> histogram, std::span<const double> levels) {
  return variance(Moments(histogram), levels);
}

std::vector<double> adapted_levels(std::span<const std::int64_t> histogram, int levels,
                                   int sweeps) {
  if (levels < 1) throw ConfigurationError("{} quantization levels: at least 1 is needed", levels);
  if (histogram.empty())
    throw ConfigurationError("a histogram without bins says nothing of where levels belong");
  const Moments h(histogram);
  std::vector<double> level(static_cast<std::size_t>(levels) + 1);
  for (std::size_t j = 0; j < level.size(); ++j) level[j] = static_cast<double>(j) / levels;
  for (int sweep = 0; sweep < sweeps; ++sweep)
    for (std::size_t j = 1; j + 1 < level.size(); ++j)
      level[j] = balanced(h, level[j - 1], level[j + 1]);
  return level;
}

}  // namespace equipoise::compress
