#include "base.hpp"

#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace equipoise::vi {
namespace {

struct SgdaOptions {
  std::string step = "auto";
  std::int64_t batch = 32;
  double momentum = 0.9;
  std::int64_t horizon = 2000;
  std::int64_t check_every = 0;
  std::int64_t participants = 0;
  Compression compression{.codec = "max-norm:15", .server_codec = ""};
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step,
                 "auto and theory (0.5/L at the start, less with a codec that keeps little), or a "
                 "number; it falls to 0 along a line");
    visit.option("batch", batch, "parts of its data that an agent draws for a message; 0 for all",
                 state::non_negative);
    visit.option("momentum", momentum, "share of the last direction that is kept", {0.0, 0.999});
    visit.option("horizon", horizon, "iterations after which the run is complete",
                 state::at_least_one);
    visit.option("check_every", check_every,
                 "iterations between evaluations of the residual, one exact mean each; 0 for none",
                 state::non_negative);
    visit.option("participants", participants,
                 "agents that take part in an iteration, drawn anew each time; 0 for all. With "
                 "fewer the codec must be unbiased",
                 state::non_negative);
    visit.option("codec", compression.codec, "codec from agents to owners, with error feedback");
    visit.option(
        "server_codec", compression.server_codec,
        "codec from owners to all, with error feedback; empty takes method.codec, and none "
        "with participants");
    visit.option("collective", compression.collective, compress::collective_choices);
  }
};

/// Stochastic gradient descent-ascent with momentum and compressed messages, for training: a run of
/// fixed length whose certificate is the problem's own figure.
///
///     g = mean of C(F_m(z; batch) + e_m) both ways, with error feedback (Karimireddy et al., Error
///         feedback fixes SignSGD, 2019),   v = momentum v + g,   z+ = prox(z - s_k v)
///
/// With constant steps it ends at a noise floor, so the step falls to 0 over `horizon` iterations.
/// Vectors on each rank: z, v, g, and two per hosted agent (with `participants` one).
class Sgda final : public Base {
 public:
  Sgda(const Setting& setting, const ProblemView& problem, const SgdaOptions& options)
      : Base(setting, problem, resolved(options).compression),
        options_(resolved(options)),
        z_(start()),
        direction_(vector()),
        mean_(vector()),
        scratch_(vector()),
        rows_(f_.rows_size()) {
    if (options_.batch > 0 && !problem.finite_sum()) options_.batch = 0;
    if (options_.participants > 0) {
      require_unbiased(f_, "sgda with method.participants", options_.compression);
      sampled_.emplace(sampled_mean(f_, options_.participants, options_.compression));
    } else {
      require_contractive(f_, options_.compression);
      for (std::int64_t m = f_.hosted().begin; m < f_.hosted().end; ++m) hosted_.push_back(m);
    }
    const StepRule rule = StepRule::parse(options.step);
    step_ = rule.kind == StepRule::Kind::number ? rule.value : first_step();
    if (options_.check_every > 0 || !measure_.needs_operator()) check();
  }

  void step() override {
    report_.fresh = false;
    if (sampled_) sampled_->draw(iteration_);
    const auto active = sampled_ ? sampled_->hosted() : std::span<const std::int64_t>(hosted_);
    const std::size_t d = z_.size();
    for (std::size_t k = 0; k < active.size(); ++k) {
      evaluate(active[k], std::span(rows_).subspan(k * d, d));
    }
    if (sampled_) {
      (*sampled_)(std::span(rows_).first(active.size() * d), mean_);
      f_.require_finite(rows_, active, mean_);
    } else {
      f_.compressed(iteration_, rows_, mean_);
    }
    linalg::add_scaled(mean_, options_.momentum, direction_, direction_);
    const double left =
        1.0 - static_cast<double>(iteration_) / static_cast<double>(options_.horizon);
    const double s = step_ * std::max(left, 0.0);
    linalg::add_scaled(z_, -s, direction_, z_);
    f_.prox(s, z_);
    ++iteration_;
    report_.finished = report_.budget_spent = iteration_ >= options_.horizon;
    const bool due = options_.check_every > 0 && iteration_ % options_.check_every == 0;
    if (due || !measure_.needs_operator()) check();
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    visit.scalar("step", step_);
    if (sampled_) sampled_->fields(visit);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "direction", direction_);
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }
  [[nodiscard]] parallel::Traffic traffic() const override {
    parallel::Traffic total = Base::traffic();
    if (sampled_) total += sampled_->traffic();
    return total;
  }

 private:
  static SgdaOptions resolved(SgdaOptions options) {
    Compression& compression = options.compression;
    compression.error_feedback = options.participants == 0;
    if (compression.server_codec.empty()) {
      compression.server_codec = options.participants > 0 ? "identity" : compression.codec;
    }
    return options;
  }

  double first_step() {
    const double lipschitz = estimate_lipschitz(f_, z_, 5);
    const double step = 0.5 * patience() / (lipschitz > 0.0 ? lipschitz : 1.0);
    notes_.emplace_back("step",
                        fmt::format("{:.4g} at the start, L there = {:.4g}", step, lipschitz));
    return step;
  }

  /// A codec that keeps a share alpha of a vector delays the rest by 1/alpha iterations, which
  /// momentum does not bear at full step; at the least, momentum adds nothing.
  [[nodiscard]] double patience() const {
    double share = 1.0;
    for (const compress::Descriptor& codec : {f_.mean().device(), f_.mean().server()}) {
      const bool unbiased = codec.kind == compress::Descriptor::Kind::unbiased;
      const double kept = unbiased ? 1.0 / codec.q : codec.alpha;  // NaN where data decide
      share = std::min(share, kept > 0.0 ? 4.0 * kept : 0.0);
    }
    return std::max(share, 1.0 - options_.momentum);
  }

  /// out = F_m(z) over a batch drawn with replacement, or over everything.
  void evaluate(std::int64_t m, std::span<double> out) {
    if (options_.batch == 0) return f_.agent(m, z_, out);
    const parallel::Draw draw(f_.setting().seed, parallel::Purpose::batch, iteration_, m);
    const auto r = static_cast<std::uint64_t>(f_.problem().samples(m));
    parts_.resize(static_cast<std::size_t>(options_.batch));
    for (std::size_t j = 0; j < parts_.size(); ++j) {
      parts_[j] = static_cast<std::int64_t>(draw.below(r, j));
    }
    f_.batch(m, z_, parts_, out);
  }

  void check() {
    if (measure_.needs_operator()) f_.full(z_, mean_);
    assess(z_, mean_, scratch_);
  }

  SgdaOptions options_;
  double step_ = 0.0;
  std::optional<SampledMean> sampled_;
  std::vector<std::int64_t> hosted_, parts_;
  std::vector<double> z_, direction_, mean_, scratch_, rows_;
};

}  // namespace

MethodSpec sgda_spec() {
  return spec_of<Sgda, SgdaOptions>(
      "sgda",
      "stochastic descent-ascent of a fixed length, compressed with error feedback (default "
      "max-norm:15 both ways)",
      refuse_partitioned);
}

}  // namespace equipoise::vi
