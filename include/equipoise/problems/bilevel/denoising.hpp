#pragma once

#include <equipoise/bilevel/auto_oracle.hpp>
#include <equipoise/formats/png.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/state/options.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::problems {

struct DenoisingOptions {
  std::vector<std::string> images;  ///< PNG files; empty takes drawn ones
  std::int64_t blocks = 4;          ///< how many images are drawn
  std::int64_t size = 32;           ///< side of the square cut from the middle, or drawn
  double noise = 0.1;
  double start = -5.0;
  double low = -10.0, high = 3.0;
  void describe(state::OptionVisitor& visit);
  [[nodiscard]] std::int64_t count() const {
    return images.empty() ? blocks : static_cast<std::int64_t>(images.size());
  }
};

/// A clean image and what is seen of it.
struct NoisyImage {
  formats::GreyImage clean;
  std::vector<double> seen;
};

/// The parameters of smoothed total variation, learnt from pairs of clean and noisy images, one
/// lower problem for each: x = (th_1, th_2) in [low, high]^2,
///
///     g_i = |y - seen_i|^2 / 2 + exp(th_1) sum_p sqrt(|(Dy)_p|^2 + exp(2 th_2)),
///     f_i = |y - clean_i|^2 / (2 pixels),
///
/// D the forward differences along rows and columns (0 behind the last), the norm taken over both
/// directions of a pixel. An image of one row is the one-dimensional problem. All constants are
/// proved: mu = 1, L = 1 + |D|^2 e^(th_1 - th_2), |D|^2 <= 4 a direction; third derivatives of
/// sqrt(r^2 + nu^2) <= 0.86 / nu^2. Only the gradients are written; second derivatives come from
/// dual numbers (`AutoOracle`). Source of the problem: Ehrhardt and Roberts, Inexact
/// derivative-free optimization for bilevel learning (2021).
class TotalVariation {
 public:
  /// Images of the blocks in `owned` only.
  TotalVariation(std::vector<NoisyImage> images, const DenoisingOptions& options,
                 partition::Range owned);

  using In = bilevel::In;
  using Out = bilevel::Out;
  using Batch = bilevel::Batch;
  [[nodiscard]] std::int64_t dim_outer() const { return 2; }
  [[nodiscard]] std::int64_t num_blocks() const { return options_.count(); }
  [[nodiscard]] std::int64_t dim_inner(std::int64_t i) const;
  [[nodiscard]] std::int64_t num_samples(std::int64_t, bilevel::Level) const { return 1; }
  template <class S>
  void grad_y_g(std::int64_t i, Batch, std::span<const S> x, std::span<const S> y,
                std::span<S> out) const {
    using std::exp;
    using std::sqrt;
    const NoisyImage& image = block(i);
    const S weight = exp(x[0]), floor = exp(x[1] * S(2.0));
    for (std::size_t p = 0; p < y.size(); ++p) out[p] = y[p] - S(image.seen[p]);
    differences(image, y,
                [&](std::size_t p, std::size_t right, std::size_t below, const S& a, const S& b) {
                  const S pull = weight / sqrt(a * a + b * b + floor);
                  const S across = pull * a, down = pull * b;
                  out[right] += across;
                  out[below] += down;
                  out[p] -= across + down;
                });
  }
  template <class S>
  void grad_x_g(std::int64_t i, Batch, std::span<const S> x, std::span<const S> y,
                std::span<S> out) const {
    using std::exp;
    using std::sqrt;
    const S weight = exp(x[0]), floor = exp(x[1] * S(2.0));
    out[0] = out[1] = S(0.0);
    differences(block(i), y, [&](std::size_t, std::size_t, std::size_t, const S& a, const S& b) {
      const S root = sqrt(a * a + b * b + floor);
      out[0] += weight * root;
      out[1] += weight * floor / root;
    });
  }
  void grad_y_f(std::int64_t i, Batch, In x, In y, Out out) const;
  void grad_x_f(std::int64_t i, Batch, In x, In y, Out out) const;
  [[nodiscard]] double f(std::int64_t i, Batch, In x, In y) const;
  [[nodiscard]] double g(std::int64_t i, Batch, In x, In y) const;
  [[nodiscard]] bilevel::Bounds bounds(std::int64_t i, In x, In y) const;
  void proj_x(Out x) const;
  void start(Out x) const;
  void start_inner(std::int64_t i, Out y) const;
  /// Peak signal to noise ratios of the seen and the denoised image in decibels.
  void figures(std::int64_t i, In x, In y, bilevel::Figures& out) const;
  [[nodiscard]] std::string fingerprint() const;
  [[nodiscard]] bilevel::Facts facts() const;

 private:
  [[nodiscard]] const NoisyImage& block(std::int64_t i) const;
  /// visit(p, right, below, difference to the right, difference to below) for every pixel; a
  /// neighbour that is not there is the pixel itself.
  template <class S, class Visit>
  static void differences(const NoisyImage& image, std::span<const S> y, Visit visit) {
    const auto rows = static_cast<std::size_t>(image.clean.rows),
               columns = static_cast<std::size_t>(image.clean.columns);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < columns; ++c) {
        const std::size_t p = r * columns + c;
        const std::size_t right = c + 1 < columns ? p + 1 : p;
        const std::size_t below = r + 1 < rows ? p + columns : p;
        visit(p, right, below, y[right] - y[p], y[below] - y[p]);
      }
    }
  }

  std::vector<NoisyImage> images_;
  DenoisingOptions options_;
  partition::Range owned_;
};

static_assert(bilevel::TemplatedGradients<TotalVariation>);
using Denoising = bilevel::AutoOracle<TotalVariation>;
static_assert(bilevel::Oracle<Denoising>);

/// The images of `owned`, read and cut, or drawn (rectangles and discs on a ground), with noise by
/// `seed`. On this process alone.
[[nodiscard]] std::vector<NoisyImage> noisy_images(const DenoisingOptions& options,
                                                   partition::Range owned, std::uint64_t seed);

}  // namespace equipoise::problems
