#include <equipoise/bilevel/vectors.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/quadratic.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace equipoise::problems {
namespace {

using Vector = std::vector<double>;
double number(std::size_t k) { return static_cast<double>(k + 1); }

}  // namespace

void QuadraticOptions::describe(state::OptionVisitor& visit) {
  visit.option("blocks", blocks, "lower problems m", state::at_least_one);
  visit.option("outer", outer, "outer dimension dx", state::at_least_one);
  visit.option("inner", inner, "inner dimension dy of every block", state::at_least_one);
  visit.option("samples", samples, "samples of each block and level", state::at_least_one);
  visit.option("noise", noise, "relative noise of the samples", {0.0, 0.7});
  visit.option("start", start, "every entry of the first x");
}

MultiBlockQuadratic::MultiBlockQuadratic(const QuadraticOptions& options, partition::Range owned)
    : options_(options), owned_(owned) {
  for (std::int64_t i = owned.begin; i < owned.end; ++i) blocks_.push_back(make(i));
  if (options.noise == 0.0) return;
  const double turn = 2.0 * std::numbers::pi / static_cast<double>(options_.samples);
  for (std::int64_t j = 1; j <= options.samples; ++j) {
    waves_.emplace_back(std::cos(turn * static_cast<double>(j)),
                        std::sin(turn * static_cast<double>(j)));
  }
}

MultiBlockQuadratic::Block MultiBlockQuadratic::make(std::int64_t index) const {
  const auto dx = static_cast<std::size_t>(options_.outer),
             dy = static_cast<std::size_t>(options_.inner);
  const double i = static_cast<double>(index + 1);
  Block block{Vector(dy), Vector(dy * dx), Vector(dy), Vector(dy)};
  for (std::size_t k = 0; k < dy; ++k) {
    block.u[k] = 1.0 + 0.1 * std::cos(i + number(k));
    block.b[k] = std::cos(0.9 * i + 0.5 * number(k));
    block.t[k] = std::sin(0.4 * i - 0.8 * number(k));
    for (std::size_t l = 0; l < dx; ++l) {
      block.c[k * dx + l] = std::sin(1.3 * i + 0.7 * number(k) + 1.1 * number(k) * number(l) +
                                     0.37 * number(l) * number(l)) /
                            std::sqrt(static_cast<double>(dx));
    }
  }
  block.norm = bilevel::dot(block.u, block.u);
  block.cross = bilevel::norm(block.c);
  return block;
}

const MultiBlockQuadratic::Block& MultiBlockQuadratic::block(std::int64_t i) const {
  return blocks_.at(static_cast<std::size_t>(i - owned_.begin));
}

/// The mean of the noise over a batch: factor of A and C, and the two sums that the shifts are made
/// of.
MultiBlockQuadratic::Noise MultiBlockQuadratic::noise(Batch batch) const {
  Noise out;
  if (batch.empty() || options_.noise == 0.0) return out;
  const double scale = options_.noise * std::numbers::sqrt2 / static_cast<double>(batch.size());
  for (const auto j : batch) {
    const auto& [cosine, sine] = waves_[static_cast<std::size_t>(j)];
    out.cosine += scale * cosine;
    out.sine += scale * sine;
  }
  out.factor = 1.0 + out.cosine;
  return out;
}

double MultiBlockQuadratic::shift(const Noise& noise, std::size_t k) const {
  if (noise.cosine == 0.0 && noise.sine == 0.0) return 0.0;
  const double phase = 2.0 * std::numbers::pi * number(k) / static_cast<double>(options_.samples);
  return noise.sine * std::cos(phase) + noise.cosine * std::sin(phase);
}

double MultiBlockQuadratic::eigenvalue(std::size_t k) const {
  if (options_.inner == 1) return 0.5;
  return 0.5 + 1.5 * static_cast<double>(k) / static_cast<double>(options_.inner - 1);
}

/// out = Q D^power Q v with Q = I - 2 u u^T / (u.u).
void MultiBlockQuadratic::multiply(const Block& block, double power, In v, Out out) const {
  const double first = 2.0 * bilevel::dot(block.u, v) / block.norm;
  for (std::size_t k = 0; k < out.size(); ++k) {
    const double entry = v[k] - first * block.u[k];
    out[k] = power > 0.0 ? entry * eigenvalue(k) : entry / eigenvalue(k);
  }
  const double second = 2.0 * bilevel::dot(block.u, out) / block.norm;
  for (std::size_t k = 0; k < out.size(); ++k) out[k] -= second * block.u[k];
}

void MultiBlockQuadratic::grad_y_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  const Block& data = block(i);
  const Noise sample = noise(batch);
  multiply(data, 1.0, y, out);
  for (std::size_t k = 0; k < out.size(); ++k) {
    const double cx = bilevel::dot(In(data.c).subspan(k * x.size(), x.size()), x);
    out[k] = sample.factor * (out[k] - cx) - data.b[k] - shift(sample, k);
  }
}

void MultiBlockQuadratic::grad_x_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  jvp_xy_g(i, batch, x, y, y, out);
}

void MultiBlockQuadratic::grad_y_f(std::int64_t i, Batch batch, In, In y, Out out) const {
  const Block& data = block(i);
  const Noise sample = noise(batch);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = y[k] - data.t[k] - shift(sample, k);
}

void MultiBlockQuadratic::grad_x_f(std::int64_t, Batch, In x, In, Out out) const {
  for (std::size_t l = 0; l < out.size(); ++l) out[l] = rho * x[l];
}

void MultiBlockQuadratic::hvp_yy_g(std::int64_t i, Batch batch, In, In, In v, Out out) const {
  multiply(block(i), 1.0, v, out);
  const double factor = noise(batch).factor;
  for (double& entry : out) entry *= factor;
}

void MultiBlockQuadratic::jvp_xy_g(std::int64_t i, Batch batch, In, In, In v, Out out) const {
  const Block& data = block(i);
  const double factor = noise(batch).factor;
  std::fill(out.begin(), out.end(), 0.0);
  for (std::size_t k = 0; k < v.size(); ++k) {
    bilevel::axpy(-factor * v[k], In(data.c).subspan(k * out.size(), out.size()), out);
  }
}

void MultiBlockQuadratic::jvp_yx_g(std::int64_t i, Batch batch, In, In, In u, Out out) const {
  const Block& data = block(i);
  const double factor = noise(batch).factor;
  for (std::size_t k = 0; k < out.size(); ++k) {
    out[k] = -factor * bilevel::dot(In(data.c).subspan(k * u.size(), u.size()), u);
  }
}

void MultiBlockQuadratic::hess_yy_g(std::int64_t i, Batch batch, In x, In y, Out out) const {
  Vector unit(y.size());
  for (std::size_t k = 0; k < y.size(); ++k) {
    unit[k] = 1.0;
    hvp_yy_g(i, batch, x, y, unit, out.subspan(k * y.size(), y.size()));
    unit[k] = 0.0;
  }
}

double MultiBlockQuadratic::f(std::int64_t i, Batch batch, In x, In y) const {
  const Block& data = block(i);
  double sum = 0.0;
  if (batch.empty() && options_.noise > 0.0) {
    sum = static_cast<double>(y.size()) * options_.noise * options_.noise;
  }
  for (std::size_t k = 0; k < y.size() && batch.empty(); ++k)
    sum += (y[k] - data.t[k]) * (y[k] - data.t[k]);
  for (const auto& sample : batch) {
    const Noise one = noise(Batch(&sample, 1));
    double square = 0.0;
    for (std::size_t k = 0; k < y.size(); ++k) {
      const double gap = y[k] - data.t[k] - shift(one, k);
      square += gap * gap;
    }
    sum += square / static_cast<double>(batch.size());
  }
  return 0.5 * sum + 0.5 * rho * bilevel::dot(x, x);
}

double MultiBlockQuadratic::g(std::int64_t i, Batch batch, In x, In y) const {
  const Block& data = block(i);
  const Noise sample = noise(batch);
  Vector ay(y.size());
  multiply(data, 1.0, y, ay);
  double sum = 0.0;
  for (std::size_t k = 0; k < y.size(); ++k) {
    const double cx = bilevel::dot(In(data.c).subspan(k * x.size(), x.size()), x);
    sum += y[k] * (sample.factor * (0.5 * ay[k] - cx) - data.b[k] - shift(sample, k));
  }
  return sum;
}

bilevel::Bounds MultiBlockQuadratic::bounds(std::int64_t i, In, In) const {
  bilevel::Bounds out;
  out.strong_convexity = 0.5;
  out.smoothness = options_.inner == 1 ? 0.5 : 2.0;
  out.cross = block(i).cross;
  out.upper_smoothness = 1.0;
  out.certified = true;
  return out;
}

void MultiBlockQuadratic::start(Out x) const { std::fill(x.begin(), x.end(), options_.start); }

void MultiBlockQuadratic::accumulate(const Block& data, In x, Out hypergradient,
                                     double& value) const {
  const std::size_t dy = data.b.size();
  Vector right(dy), y(dy), v(dy);
  for (std::size_t k = 0; k < dy; ++k) {
    right[k] = bilevel::dot(In(data.c).subspan(k * x.size(), x.size()), x) + data.b[k];
  }
  multiply(data, -1.0, right, y);
  for (std::size_t k = 0; k < dy; ++k) right[k] = y[k] - data.t[k];
  multiply(data, -1.0, right, v);
  const double share = 1.0 / static_cast<double>(options_.blocks);
  for (std::size_t k = 0; k < dy; ++k) {
    bilevel::axpy(share * v[k], In(data.c).subspan(k * x.size(), x.size()), hypergradient);
  }
  value += share * 0.5 *
           (bilevel::dot(right, right) + static_cast<double>(dy) * options_.noise * options_.noise);
}

bool MultiBlockQuadratic::exact(In x, Out hypergradient, double& value) const {
  for (std::size_t l = 0; l < x.size(); ++l) hypergradient[l] = rho * x[l];
  value = 0.5 * rho * bilevel::dot(x, x);
  for (std::int64_t i = 0; i < options_.blocks; ++i) {
    if (owned_.contains(i)) {
      accumulate(block(i), x, hypergradient, value);
    } else {
      accumulate(make(i), x, hypergradient, value);
    }
  }
  return true;
}

/// Conjugate gradients on the affine map x -> grad F(x).
bool MultiBlockQuadratic::optimum(Out x) const {
  const std::size_t n = x.size();
  Vector constant(n), r(n), p(n), hp(n);
  double value = 0.0;
  std::fill(x.begin(), x.end(), 0.0);
  exact(x, constant, value);
  for (std::size_t l = 0; l < n; ++l) r[l] = p[l] = -constant[l];
  double rest = bilevel::dot(r, r);
  const double first = rest;
  for (std::size_t k = 0; k < 4 * n + 20 && rest > 1e-30 * first; ++k) {
    exact(p, hp, value);
    bilevel::axpy(-1.0, constant, hp);
    const double step = rest / bilevel::dot(p, hp);
    bilevel::axpy(step, p, x);
    bilevel::axpy(-step, hp, r);
    const double next = bilevel::dot(r, r);
    for (std::size_t l = 0; l < n; ++l) p[l] = r[l] + next / rest * p[l];
    rest = next;
  }
  return true;
}

std::string MultiBlockQuadratic::fingerprint() const {
  return fmt::format("quadratic m={} dx={} dy={} n={} noise={} start={}", options_.blocks,
                     options_.outer, options_.inner, options_.samples, options_.noise,
                     options_.start);
}

bilevel::Facts MultiBlockQuadratic::facts() const {
  return {{"blocks", fmt::format("{}", options_.blocks)},
          {"outer dimension", fmt::format("{}", options_.outer)},
          {"inner dimension", fmt::format("{} a block", options_.inner)},
          {"samples", fmt::format("{} a block", options_.samples)}};
}

}  // namespace equipoise::problems
