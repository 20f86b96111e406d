#include "safeguard.hpp"
#include "similarity.hpp"

#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace equipoise::vi {
namespace {

struct OptimisticOptions {
  std::string step = "auto";
  double snapshot_probability = 0.0;
  double inner_tolerance = 1e-3;
  std::int64_t participants = 0;
  Compression compression{.codec = "bf16s+permk"};
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step, "auto (adapted at snapshots), theory, or a number");
    visit.option("p", snapshot_probability,
                 "probability of an uncompressed snapshot; 0 takes the density of the codec",
                 {0.0, 1.0});
    visit.option("codec", compression.codec, "codec from agents to owners, unbiased");
    visit.option("server_codec", compression.server_codec, "codec from owners to all, unbiased");
  }
  void describe_all(state::OptionVisitor& visit) {
    visit.option("collective", compression.collective, compress::collective_choices);
  }
  void describe_sampled(state::OptionVisitor& visit) {
    visit.option("participants", participants,
                 "agents that take part in an iteration, drawn anew each time; 0 for ceil(sqrt M)",
                 state::non_negative);
  }
  void describe_inner(state::OptionVisitor& visit) {
    visit.option("inner_tolerance", inner_tolerance,
                 "what the residual of a local subproblem must fall to", state::probability);
  }
};

/// One iteration with two memories, z_ = the z before and w = the last snapshot (G_m = F_m - F_1):
///
///     w  = z with probability p; then G(w) is exact
///     D  = G(w) + compressed mean of [G_m(z) - G_m(w)] + a [G_m(z) - G_m(z_)]
///     z+ = prox_{s h}(z + p (w - z) - s D - s F_1(z+))
///
/// With the surrogate F_1 this is COGS: the skeleton of SVOGS (Lin et al. 2024) with its sampled
/// bracket replaced by a compressed one, a = 1; there is no published proof. With a mean over
/// `participants` drawn agents it is SVOGS itself, whose agents evaluate G_m(z_) once more instead
/// of keeping it. With F_1 = 0 it is Optimistic MASHA (Beznosikov and Gasnikov 2022), a = 1 - p.
/// Automatic steps are adapted at snapshots. Vectors on each rank: z, w, G(w), D, x, F_1, the best
/// w, and four per hosted agent (SVOGS: z_ and its F_1 as well).
class OptimisticSliding final : public Base {
 public:
  enum class Kind { optimistic_masha, cogs, svogs };

  OptimisticSliding(const Setting& setting, const ProblemView& problem,
                    const OptimisticOptions& options, Kind kind)
      : Base(setting, problem, options.compression),
        similar_(kind != Kind::optimistic_masha),
        rule_(StepRule::parse(options.step)),
        p_(options.snapshot_probability),
        inner_tolerance_(options.inner_tolerance),
        z_(start()),
        w_(z_),
        at_w_(vector()),
        x_(vector()),
        mean_(vector()),
        first_(vector()),
        rows_(f_.rows_size()),
        rows_at_w_(f_.rows_size()),
        rows_before_(f_.rows_size()),
        send_(f_.rows_size()) {
    require_unbiased(f_,
                     kind == Kind::cogs    ? "cogs"
                     : kind == Kind::svogs ? "svogs"
                                           : "optimistic-masha",
                     options.compression);
    if (kind == Kind::svogs) {
      const double root = std::sqrt(static_cast<double>(problem.agents()));
      const auto usual = static_cast<std::int64_t>(std::ceil(root));
      sampled_.emplace(sampled_mean(f_, options.participants > 0 ? options.participants : usual,
                                    options.compression));
      if (p_ == 0.0) p_ = 1.0 / (root + 8.0);
      z_before_ = z_;
      first_before_ = vector();
    }
    measures_ = p_ == 0.0;
    if (measures_) p_ = usual_snapshot_probability(f_);
    const double step = first_step();
    differences();
    forget_motion();
    snapshot();
    guard_.tolerated = 5.0;  // the residual at snapshots of these methods is far from monotone
    guard_.begin(step, residual_at_w());
    if (adaptive()) best_ = w_;
  }

  void step() override {
    report_.fresh = false;
    const parallel::Draw coin(f_.setting().seed, parallel::Purpose::coin, iteration_);
    const bool snapshot_due = iteration_ > 0 && coin.uniform(0) < p_;
    if (!sampled_ || snapshot_due) differences();
    if (snapshot_due) {
      snapshot();
      if (adaptive()) adapt();
    }
    if (sampled_) {
      sampled_bracket();
    } else {
      bracket();
    }
    if (iteration_ == 0 && measures_) (void)measure_compression(p_, send_);
    advance();
    ++iteration_;
    if (!measure_.needs_operator()) {
      assess(z_, at_w_, x_);
      report_.fresh = false;  // a noisy figure: progress is judged at snapshots
    }
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    guard_.fields(visit);
    visit.scalar("p", p_);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "w", w_);
    f_.visit(visit, "operator_at_w", at_w_);
    f_.visit_rows(visit, "agents_at_w", rows_at_w_);
    if (sampled_) {
      sampled_->fields(visit);
      f_.visit(visit, "z_before", z_before_);
      f_.visit(visit, "first_before", first_before_);
    } else {
      f_.visit_rows(visit, "agents_before", rows_before_);
    }
    if (adaptive()) f_.visit(visit, "best", best_);
    if (resolvent_) resolvent_->fields(visit);
  }
  void solution(state::FieldVisitor& visit) override {
    f_.visit(visit, "z", measure_.needs_operator() ? w_ : z_);
  }

  [[nodiscard]] parallel::Traffic traffic() const override {
    parallel::Traffic total = Base::traffic();
    if (sampled_) total += sampled_->traffic();
    return total;
  }

 private:
  [[nodiscard]] bool adaptive() const { return rule_.automatic(); }

  double first_step() {
    Similarity delta;
    if (f_.problem().has_surrogate()) delta = estimate_similarity(f_, z_);
    if (similar_) resolvent_.emplace(f_, delta.surrogate);
    if (rule_.kind == StepRule::Kind::number) return rule_.value;
    double step = 0.0;
    if (similar_) {
      const double floor = std::max(delta.max, 1e-3 * delta.surrogate);
      const bool quiet = !sampled_ && f_.mean().device().q < 2.0;
      step = (!adaptive() ? 1.0 / 32.0 : quiet ? 0.5 : 0.25) / (floor > 0.0 ? floor : 1.0);
    } else {
      const double rms = estimate_lipschitz_rms(f_, z_);
      const double lipschitz = std::min(rms, estimate_lipschitz(f_, z_, 8));
      const double unlike = delta.rms > 0.0 ? delta.rms : rms;
      step = (adaptive() ? 0.5 : 0.25) * std::min(std::sqrt(p_) / unlike, 1.0 / lipschitz);
    }
    notes_.emplace_back(
        "step", fmt::format("{:.4g}, p = {:.4g}, largest delta = {:.4g}, rms = {:.4g}", step, p_,
                            delta.max, delta.rms));
    return step;
  }

  /// rows = G_m(z), first = F_1(z).
  void differences() {
    f_.agents(z_, rows_);
    if (!similar_) return;
    f_.surrogate(z_, first_);
    subtract_from_rows(first_, rows_);
  }

  /// The previous point is this one.
  void forget_motion() {
    rows_before_ = rows_;
    if (!sampled_) return;
    z_before_ = z_;
    first_before_ = first_;
  }

  /// mean = compressed mean of [G_m(z) - G_m(w)] + a [G_m(z) - G_m(z_)] over all agents.
  void bracket() {
    const double ahead = similar_ ? 1.0 : 1.0 - p_;
    const std::size_t n = send_.size();
    for (std::size_t i = 0; i < n; ++i) {
      send_[i] = rows_[i] - rows_at_w_[i] + ahead * (rows_[i] - rows_before_[i]);
    }
    rows_before_.swap(rows_);
    f_.compressed(iteration_, send_, mean_);
  }

  /// The same with a = 1 over the agents drawn, who alone compute.
  void sampled_bracket() {
    sampled_->draw(iteration_);
    f_.surrogate(z_, first_);
    const auto drawn = sampled_->hosted();
    const std::size_t d = z_.size();
    for (std::size_t k = 0; k < drawn.size(); ++k) {
      const auto send = std::span(send_).subspan(k * d, d);
      const auto before = std::span(rows_before_).subspan(k * d, d);
      const auto local = static_cast<std::size_t>(drawn[k] - f_.hosted().begin);
      const auto at_w = std::span(rows_at_w_).subspan(local * d, d);
      f_.agent(drawn[k], z_, send);
      f_.agent(drawn[k], z_before_, before);
      for (std::size_t i = 0; i < d; ++i) {
        const double now = send[i] - first_[i];
        send[i] = now - at_w[i] + (now - (before[i] - first_before_[i]));
      }
    }
    (*sampled_)(std::span(send_).first(drawn.size() * d), mean_);
    f_.require_finite(send_, drawn, mean_);
    z_before_ = z_;
    first_before_ = first_;
  }

  /// w := z.
  void snapshot() {
    w_ = z_;
    rows_at_w_ = rows_;
    f_.average(rows_at_w_, at_w_);
    linalg::add_scaled(at_w_, 1.0, first_, mean_);
    if (measure_.needs_operator()) assess(w_, mean_, x_);
    report_.fresh = true;
  }

  [[nodiscard]] double residual_at_w() {
    return measure_.needs_operator() ? report_.residual : f_.natural_residual(w_, mean_, x_);
  }

  void adapt() {
    const Safeguard::Verdict verdict = guard_.judge(residual_at_w());
    if (verdict == Safeguard::Verdict::best) best_ = w_;
    if (verdict != Safeguard::Verdict::back) return;
    z_ = best_;
    report_.failed = false;
    differences();
    forget_motion();
    snapshot();
  }

  /// z := prox_{s h}(x - s F_1(z)) with x = z + p (w - z) - s (G(w) + mean).
  void advance() {
    const std::size_t n = z_.size();
    for (std::size_t i = 0; i < n; ++i) {
      x_[i] = z_[i] + p_ * (w_[i] - z_[i]) - guard_.step * (at_w_[i] + mean_[i]);
    }
    if (similar_) {
      resolvent_->solve(guard_.step, x_, inner_tolerance_, z_, first_);
    } else {
      z_.swap(x_);
      f_.prox(guard_.step, z_);
    }
  }

  bool similar_;
  bool measures_ = false;
  std::optional<SampledMean> sampled_;
  StepRule rule_;
  double p_;
  double inner_tolerance_;
  Safeguard guard_;
  std::vector<double> z_, w_, at_w_, x_, mean_, first_, z_before_, first_before_;
  std::vector<double> rows_, rows_at_w_, rows_before_, send_, best_;
  std::optional<Resolvent> resolvent_;
};

using Kind = OptimisticSliding::Kind;

/// The options of one of the three: what it reads, and nothing else.
struct OptionsOf {
  Kind kind;
  OptimisticOptions all;
  explicit OptionsOf(Kind which) : kind(which) {
    if (kind == Kind::svogs) all.compression.codec = "identity";
  }
  void describe(state::OptionVisitor& visit) {
    all.describe(visit);
    if (kind == Kind::svogs) {
      all.describe_sampled(visit);
    } else {
      all.describe_all(visit);
    }
    if (kind != Kind::optimistic_masha) all.describe_inner(visit);
  }
};

MethodSpec spec(Kind kind, const std::string& name, const std::string& help) {
  return {name, help, [kind](state::OptionVisitor& visit) { OptionsOf(kind).describe(visit); },
          [kind, name](const ProblemView& problem) {
            return kind == Kind::optimistic_masha ? refuse_partitioned(problem, name)
                                                  : refuse_without_surrogate(problem, name);
          },
          [kind](const Setting& setting, const ProblemView& problem, state::Config& config) {
            OptionsOf options(kind);
            config.read("method", options);
            return std::make_unique<OptimisticSliding>(setting, problem, options.all, kind);
          }};
}

}  // namespace

MethodSpec cogs_spec() {
  return spec(Kind::cogs, "cogs",
              "experimental: sliding with a replicated data sample and compressed differences to a "
              "snapshot (default bf16s+permk)");
}
MethodSpec svogs_spec() {
  return spec(Kind::svogs, "svogs",
              "sliding with a replicated data sample and a few agents drawn for each iteration");
}
MethodSpec optimistic_masha_spec() {
  return spec(
      Kind::optimistic_masha, "optimistic-masha",
      "compressed optimistic differences to a snapshot (default bf16s+permk), one operator an "
      "iteration");
}

}  // namespace equipoise::vi
