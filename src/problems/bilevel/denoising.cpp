#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/denoising.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <fmt/ranges.h>

#include <algorithm>

namespace equipoise::problems {
namespace {

double square(double a) { return a * a; }

formats::GreyImage drawn(std::int64_t index, std::int64_t size, std::uint64_t seed) {
  const parallel::Draw draw(seed, parallel::Purpose::problem, 1, index);
  const double side = static_cast<double>(size);
  formats::GreyImage out{
      size, size,
      std::vector<double>(static_cast<std::size_t>(size * size), 0.2 + 0.2 * draw.uniform(0))};
  for (std::uint64_t shape = 0; shape < 6; ++shape) {
    const auto number = [&](std::uint64_t k) { return draw.uniform(1 + 8 * shape + k); };
    const double row = side * number(0), column = side * number(1), level = number(2);
    const double high = side * (0.08 + 0.2 * number(3)), wide = side * (0.08 + 0.2 * number(4));
    for (std::int64_t r = 0; r < size; ++r) {
      for (std::int64_t c = 0; c < size; ++c) {
        const double down = (static_cast<double>(r) + 0.5 - row) / high,
                     across = (static_cast<double>(c) + 0.5 - column) / wide;
        const bool inside = shape % 2 == 0 ? std::max(std::abs(down), std::abs(across)) < 1.0
                                           : square(down) + square(across) < 1.0;
        if (inside) out.levels[static_cast<std::size_t>(r * size + c)] = level;
      }
    }
  }
  return out;
}

/// The square of this side in the middle of an image.
formats::GreyImage middle(const formats::GreyImage& image, std::int64_t size,
                          const std::string& path) {
  if (image.rows < size || image.columns < size) {
    throw ConfigurationError("problem.size = {}: {} has only {} x {} pixels", size, path,
                             image.rows, image.columns);
  }
  const std::int64_t top = (image.rows - size) / 2, left = (image.columns - size) / 2;
  formats::GreyImage out{size, size, {}};
  for (std::int64_t r = 0; r < size; ++r) {
    for (std::int64_t c = 0; c < size; ++c) {
      out.levels.push_back(
          image.levels[static_cast<std::size_t>((top + r) * image.columns + left + c)]);
    }
  }
  return out;
}

double peak_ratio(const std::vector<double>& clean, bilevel::In seen) {
  double sum = 0.0;
  for (std::size_t p = 0; p < seen.size(); ++p) sum += square(seen[p] - clean[p]);
  return -10.0 * std::log10(sum / static_cast<double>(seen.size()));
}

}  // namespace

void DenoisingOptions::describe(state::OptionVisitor& visit) {
  visit.option("images", images, "PNG files, one lower problem each; none: drawn images");
  visit.option("blocks", blocks, "how many images are drawn where no files are named",
               state::at_least_one);
  visit.option("size", size, "side in pixels of the square cut from the middle, or drawn",
               {2.0, 16384.0});
  visit.option("noise", noise, "standard deviation of the noise (grey levels are in [0, 1])",
               state::non_negative);
  visit.option("start", start, "both entries of the first x");
  visit.option("low", low, "smallest entry of x");
  visit.option("high", high, "largest entry of x");
}

std::vector<NoisyImage> noisy_images(const DenoisingOptions& options, partition::Range owned,
                                     std::uint64_t seed) {
  std::vector<NoisyImage> out;
  for (std::int64_t i = owned.begin; i < owned.end; ++i) {
    NoisyImage image;
    if (options.images.empty()) {
      image.clean = drawn(i, options.size, seed);
    } else {
      const std::string path = data_path(options.images[static_cast<std::size_t>(i)]);
      image.clean = middle(formats::read_png(path), options.size, path);
    }
    image.seen = image.clean.levels;
    const parallel::Draw draw(seed, parallel::Purpose::problem, 2, i);
    for (std::size_t p = 0; p < image.seen.size(); ++p)
      image.seen[p] += options.noise * draw.normal(p);
    out.push_back(std::move(image));
  }
  return out;
}

TotalVariation::TotalVariation(std::vector<NoisyImage> images, const DenoisingOptions& options,
                               partition::Range owned)
    : images_(std::move(images)), options_(options), owned_(owned) {
  if (!(options.low < options.high)) {
    throw ConfigurationError("problem.low = {} must be below problem.high = {}", options.low,
                             options.high);
  }
}

const NoisyImage& TotalVariation::block(std::int64_t i) const {
  return images_.at(static_cast<std::size_t>(i - owned_.begin));
}

/// All blocks have one size, but for images given one by one (tests), where this rank has them all.
std::int64_t TotalVariation::dim_inner(std::int64_t i) const {
  return owned_.contains(i) ? static_cast<std::int64_t>(block(i).seen.size())
                            : options_.size * options_.size;
}

void TotalVariation::grad_y_f(std::int64_t i, Batch, In, In y, Out out) const {
  const auto& clean = block(i).clean.levels;
  for (std::size_t p = 0; p < y.size(); ++p)
    out[p] = (y[p] - clean[p]) / static_cast<double>(y.size());
}

void TotalVariation::grad_x_f(std::int64_t, Batch, In, In, Out out) const {
  std::fill(out.begin(), out.end(), 0.0);
}

double TotalVariation::f(std::int64_t i, Batch, In, In y) const {
  const auto& clean = block(i).clean.levels;
  double sum = 0.0;
  for (std::size_t p = 0; p < y.size(); ++p) sum += square(y[p] - clean[p]);
  return 0.5 * sum / static_cast<double>(y.size());
}

double TotalVariation::g(std::int64_t i, Batch, In x, In y) const {
  const NoisyImage& image = block(i);
  double sum = 0.0;
  for (std::size_t p = 0; p < y.size(); ++p) sum += 0.5 * square(y[p] - image.seen[p]);
  const double weight = std::exp(x[0]), floor = std::exp(2.0 * x[1]);
  differences(image, y, [&](std::size_t, std::size_t, std::size_t, double a, double b) {
    sum += weight * std::sqrt(a * a + b * b + floor);
  });
  return sum;
}

bilevel::Bounds TotalVariation::bounds(std::int64_t i, In x, In y) const {
  const NoisyImage& image = block(i);
  const double directions =
      (image.clean.rows > 1 ? 4.0 : 0.0) + (image.clean.columns > 1 ? 4.0 : 0.0);
  const double weight = std::exp(x[0]), width = std::exp(x[1]);
  bilevel::Bounds out;
  out.strong_convexity = 1.0;
  out.smoothness = 1.0 + directions * weight / width;
  out.hessian_lipschitz = 0.86 * std::pow(directions, 1.5) * weight / (width * width);
  // The columns of Hxy: e^th_1 D^T z / root and e^th_1 D^T (-nu^2 z / root^3), their norms bounded
  // by |D| times those of the pixel values.
  double first = 0.0, second = 0.0;
  differences(image, y, [&](std::size_t, std::size_t, std::size_t, double a, double b) {
    const double r = a * a + b * b, floor = width * width;
    first += r / (r + floor);
    second += floor * floor * r / std::pow(r + floor, 3.0);
  });
  out.cross = weight * std::sqrt(directions * (first + second));
  out.cross_lipschitz = std::sqrt(2.0) * directions * weight / width;
  out.upper_smoothness = 1.0 / static_cast<double>(y.size());
  out.certified = true;
  return out;
}

void TotalVariation::proj_x(Out x) const {
  for (double& entry : x) entry = std::clamp(entry, options_.low, options_.high);
}

void TotalVariation::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

void TotalVariation::start_inner(std::int64_t i, Out y) const {
  const auto& seen = block(i).seen;
  std::copy(seen.begin(), seen.end(), y.begin());
}

void TotalVariation::figures(std::int64_t i, In, In y, bilevel::Figures& out) const {
  out.emplace_back("peak_signal_to_noise_seen_db",
                   peak_ratio(block(i).clean.levels, block(i).seen));
  out.emplace_back("peak_signal_to_noise_denoised_db", peak_ratio(block(i).clean.levels, y));
}

std::string TotalVariation::fingerprint() const {
  return fmt::format("denoising {} images={} size={} noise={} start={} box={} {}", options_.count(),
                     fmt::join(options_.images, ","), options_.size, options_.noise, options_.start,
                     options_.low, options_.high);
}

bilevel::Facts TotalVariation::facts() const {
  return {{"images",
           fmt::format("{}{} of {} x {}", options_.count(), options_.images.empty() ? " drawn" : "",
                       options_.size, options_.size)},
          {"noise", fmt::format("{}", options_.noise)}};
}

}  // namespace equipoise::problems
