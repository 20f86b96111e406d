#include <equipoise/control/cubic_interpolation.hpp>

#include <algorithm>

namespace equipoise::control {

namespace {

/// Weights of the cubic through x[0..3] at t.
std::array<double, 4> lagrange(const double* x, double t) {
  std::array<double, 4> weight{1.0, 1.0, 1.0, 1.0};
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      if (j != i) weight[i] *= (t - x[j]) / (x[i] - x[j]);
    }
  }
  return weight;
}

std::int64_t power(std::int64_t base, int exponent) {
  std::int64_t result = 1;
  for (int i = 0; i < exponent; ++i) result *= base;
  return result;
}

}  // namespace

CubicInterpolation::CubicInterpolation(const Grid& coarse, const Grid& fine)
    : dimension_(fine.shape().dimension),
      coarse_line_(coarse.line()),
      fine_line_(fine.line()),
      owned_(fine.owned()) {
  const std::int64_t cells = coarse.shape().cells;
  if (cells < 3 || fine.shape().cells != 2 * cells) {
    throw ConfigurationError(
        "cubic interpolation leads from 3 or more cells to twice as many, "
        "not from {} to {}",
        cells, fine.shape().cells);
  }
  const auto& from = coarse.coordinates();
  for (std::int64_t i = 1; i <= fine_line_; ++i) {
    Stencil stencil;
    stencil.first = std::clamp<std::int64_t>((i - 1) / 2 - i % 2, 0, cells - 3);
    stencil.weight = lagrange(&from[static_cast<std::size_t>(stencil.first)],
                              fine.coordinates()[static_cast<std::size_t>(i)]);
    stencils_.push_back(stencil);
  }
  const std::int64_t plane = power(coarse_line_, dimension_ - 1);
  for (int d = 0; d < dimension_; ++d) {
    layers_.emplace_back(static_cast<std::size_t>(power(coarse_line_, d)));
  }
  // The coarse planes, counted without the boundary, that the owned fine planes are made of.
  partition::Range planes{0, 0};
  if (owned_.size() > 0) {
    const std::int64_t fine_plane = power(fine_line_, dimension_ - 1);
    const auto& low = stencils_[static_cast<std::size_t>(owned_.begin / fine_plane)];
    const auto& high = stencils_[static_cast<std::size_t>((owned_.end - 1) / fine_plane)];
    planes = {std::max<std::int64_t>(low.first - 1, 0), std::min(high.first + 3, coarse_line_)};
  }
  window_ = std::make_unique<PlaneWindow>(
      coarse.vector(), partition::Range{planes.begin * plane, planes.end * plane}, plane,
      coarse_line_, 0);
}

/// layer := the combination of the coarse layers that `stencil` names; `coarse` begins with layer
/// `first`.
void CubicInterpolation::combine(const Stencil& stencil, const double* coarse, std::int64_t first,
                                 std::vector<double>& layer) const {
  std::fill(layer.begin(), layer.end(), 0.0);
  for (std::size_t j = 0; j < 4; ++j) {
    const std::int64_t at = stencil.first + static_cast<std::int64_t>(j) - 1;
    if (at < 0 || at >= coarse_line_) continue;  // on the boundary
    const double* source = coarse + (at - first) * static_cast<std::int64_t>(layer.size());
    for (std::size_t k = 0; k < layer.size(); ++k) layer[k] += stencil.weight[j] * source[k];
  }
}

/// The fine block of `directions` directions from a coarse one.
void CubicInterpolation::expand(int directions, const double* coarse, double* fine) {
  if (directions == 0) {
    *fine = *coarse;
    return;
  }
  const std::int64_t stride = power(fine_line_, directions - 1);
  auto& layer = layers_[static_cast<std::size_t>(directions - 1)];
  for (std::int64_t i = 0; i < fine_line_; ++i) {
    combine(stencils_[static_cast<std::size_t>(i)], coarse, 0, layer);
    expand(directions - 1, layer.data(), fine + i * stride);
  }
}

void CubicInterpolation::apply(Vec coarse, Vec fine) {
  window_->fetch(coarse);
  if (owned_.size() == 0) return;
  const linalg::ConstEntries held(window_->local());
  linalg::Entries result(fine);
  const std::int64_t size = power(fine_line_, dimension_ - 1);
  std::vector<double> plane(static_cast<std::size_t>(size));
  for (std::int64_t p = owned_.begin / size; p * size < owned_.end; ++p) {
    combine(stencils_[static_cast<std::size_t>(p)], held.span().data(), window_->first_plane(),
            layers_.back());
    expand(dimension_ - 1, layers_.back().data(), plane.data());
    const std::int64_t first = std::max(p * size, owned_.begin);
    const std::int64_t end = std::min((p + 1) * size, owned_.end);
    std::copy(plane.begin() + (first - p * size), plane.begin() + (end - p * size),
              &result[first - owned_.begin]);
  }
}

}  // namespace equipoise::control
