#include "base.hpp"

#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace equipoise::vi {

StepRule StepRule::parse(const std::string& text) {
  if (text == "auto") return {Kind::automatic, 0.0};
  if (text == "theory") return {Kind::theory, 0.0};
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value > 0.0) ||
      std::isinf(value)) {
    throw ConfigurationError("method.step = {}: give auto, theory, or a positive number", text);
  }
  return {Kind::number, value};
}

Measure::Measure(Evaluation& evaluation, const std::string& name)
    : evaluation_(evaluation), distance_(name == "distance") {
  if (!distance_) return;
  solution_.resize(evaluation.size());
  if (!evaluation.problem().solution(evaluation.owned(), solution_)) {
    throw ConfigurationError(
        "stop.measure = distance needs a problem whose solution is known; use stop.measure = "
        "residual");
  }
  reference_ = evaluation.norm(solution_);
}

double Measure::at(std::span<const double> z, std::span<const double> operator_value,
                   std::span<double> scratch) {
  if (distance_) {
    const double error = evaluation_.distance(z, solution_, scratch);
    const double relative = reference_ > 0.0 ? error / reference_ : error;
    return relative * relative;
  }
  const double residual = evaluation_.natural_residual(z, operator_value, scratch);
  if (reference_ == 0.0) {
    // A start that solves the problem up to rounding leaves nothing to be relative to.
    const double rounding = 1e-14 * std::max(1.0, evaluation_.norm(z));
    reference_ = residual > rounding ? residual : 1.0;
  }
  return reference_ > 0.0 ? residual / reference_ : residual;
}

void Base::assess(std::span<const double> z, std::span<const double> operator_value,
                  std::span<double> scratch) {
  report_.residual = measure_.at(z, operator_value, scratch);
  report_.fresh = true;
  if (!std::isfinite(report_.residual)) {
    f_.rethrow_failure();
    report_.failed = true;
    report_.message = "the measure is not a finite number; a smaller method.step may help";
  }
}

namespace {

/// v := a unit vector of random normals, equal on every rank.
void random_direction(Evaluation& f, std::span<double> v) {
  const parallel::Draw draw(f.setting().seed, parallel::Purpose::probe, 0);
  for (std::size_t i = 0; i < v.size(); ++i) {
    v[i] = draw.normal(static_cast<std::uint64_t>(f.owned().begin) + i);
  }
  const double length = f.norm(v);
  for (double& x : v) x /= length;
}

}  // namespace

double power_iteration(Evaluation& f, std::span<const double> z, int rounds, const Apply& apply) {
  std::vector<double> v(f.size());
  std::vector<double> moved(f.size());
  std::vector<double> at_z(f.size());
  std::vector<double> value(f.size());
  random_direction(f, v);
  apply(z, std::span<double>(at_z));
  const double t = 1e-3 * std::max(1.0, f.norm(z));
  double largest = 0.0;
  for (int k = 0; k < rounds; ++k) {
    linalg::add_scaled(z, t, v, moved);
    apply(moved, std::span<double>(value));
    linalg::add_scaled(value, -1.0, at_z, v);
    const double ratio = f.norm(v) / t;
    if (!(ratio > 0.0)) break;
    largest = std::max(largest, ratio);
    for (double& x : v) x /= ratio * t;
  }
  return largest;
}

void require_unbiased(const Evaluation& f, const std::string& method,
                      const Compression& compression, bool server_feedback) {
  const auto check = [&](const compress::Descriptor& codec, const std::string& key,
                         const std::string& text) {
    if (!codec.needs_error_feedback) return;
    throw ConfigurationError(
        "{} = {} is biased, and {} needs an unbiased codec; use masha2, or one of randk, permk, "
        "natural, qsgd",
        key, text, method);
  };
  check(f.mean().device(), "method.codec", compression.codec);
  if (!server_feedback) check(f.mean().server(), "method.server_codec", compression.server_codec);
}

void require_contractive(const Evaluation& f, const Compression& compression, bool server_alone) {
  const auto check = [](const compress::Descriptor& codec, const std::string& key,
                        const std::string& text) {
    if (codec.kind != compress::Descriptor::Kind::unbiased || !(codec.omega >= 1.0)) return;
    throw ConfigurationError(
        "{} = {} is not contractive (omega = {:.3g}), and error feedback would let its errors "
        "grow without bound; use topk, randk-unscaled or natural, or masha1",
        key, text, codec.omega);
  };
  if (!server_alone) check(f.mean().device(), "method.codec", compression.codec);
  check(f.mean().server(), "method.server_codec", compression.server_codec);
}

std::string refuse_partitioned(const ProblemView& problem, const std::string& method) {
  if (!problem.partitioned()) return "";
  return method +
         " exchanges a mean over agents, but this problem's vector is partitioned over ranks; use "
         "extragradient";
}

namespace {

/// Chunks that the codecs of a mean cut a vector into.
int chunk_count(const Evaluation& f) {
  return f.setting().chunks > 0 ? static_cast<int>(f.setting().chunks)
                                : partition::default_chunks(f.problem().dimension());
}

}  // namespace

SampledMean sampled_mean(const Evaluation& f, std::int64_t participants,
                         const Compression& compression) {
  const ProblemView& problem = f.problem();
  const std::int64_t d = problem.dimension();
  const int chunks = chunk_count(f);
  return {f.setting().comm,
          f.setting().seed,
          f.mean().setting().weights,
          participants,
          compress::make_codec(compression.codec, {d, problem.agents(), chunks}),
          d,
          chunks,
          compression.server_codec};
}

namespace {

double snapshot_probability(const Evaluation& f, double beta) {
  const compress::Descriptor device = f.mean().device();
  const double d = static_cast<double>(f.problem().dimension());
  const double density = device.q > 2.0 ? 1.0 / device.q : 0.0;  // a sparsifier's
  const double share = beta > 0.0 ? 1.0 / beta : 0.0;            // an unknown beta is NaN
  return std::clamp(std::max({share, density, 1.0 / d}), 0.0, 1.0);
}

}  // namespace

double usual_snapshot_probability(const Evaluation& f) {
  return snapshot_probability(f, f.mean().device().beta);
}

double Base::measure_compression(double& p, std::span<const double> rows) {
  if (!std::isnan(f_.mean().device().beta)) return 1.0;
  const auto d = static_cast<std::int64_t>(f_.size());
  const auto chunks = partition::Partition::uniform(d, chunk_count(f_));
  const auto codec =
      compress::make_codec(f_.mean().setting().codec, {d, f_.problem().agents(), chunks.parts()});
  std::int64_t largest = 1;
  compress::Selection selection;
  std::vector<std::byte> message;
  for (std::int64_t m = f_.hosted().begin; m < f_.hosted().end; ++m) {
    const auto row = rows.subspan(static_cast<std::size_t>((m - f_.hosted().begin) * d), f_.size());
    const parallel::Draw draw(f_.setting().seed, parallel::Purpose::mask, iteration_, m);
    message.clear();
    codec->prepare(row, draw, m, selection);
    codec->encode(row, selection, {0, d}, chunks, draw, message);
    largest = std::max(largest, static_cast<std::int64_t>(message.size()));
  }
  largest = f_.setting().comm.max(largest);
  const double before = p;
  p = snapshot_probability(f_, 8.0 * static_cast<double>(d) / static_cast<double>(largest));
  return p / before;
}

double estimate_lipschitz_rms(Evaluation& f, std::span<const double> z) {
  const Constants known = f.problem().constants();
  if (known.lipschitz_rms > 0.0) return known.lipschitz_rms;
  std::vector<double> by_agent(static_cast<std::size_t>(f.hosted().size()));
  for (std::size_t a = 0; a < by_agent.size(); ++a) {
    by_agent[a] = power_iteration(f, z, 10, [&](std::span<const double> at, std::span<double> out) {
      f.agent(f.hosted().begin + static_cast<std::int64_t>(a), at, out);
    });
  }
  f.rethrow_failure();
  const std::vector<double> all = f.gather(by_agent);
  double sum = 0.0;
  for (std::size_t m = 0; m < all.size(); ++m) {
    sum += f.problem().weight(static_cast<std::int64_t>(m)) * all[m] * all[m];
  }
  return std::sqrt(sum);
}

double estimate_lipschitz(Evaluation& f, std::span<const double> z, int rounds) {
  const Constants known = f.problem().constants();
  if (known.lipschitz > 0.0) return known.lipschitz;
  return 1.1 * power_iteration(
                   f, z, rounds,
                   [&](std::span<const double> at, std::span<double> out) { f.full(at, out); });
}

}  // namespace equipoise::vi
