#include "safeguard.hpp"
#include "similarity.hpp"

#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::vi {
namespace {

struct ThreePillarsOptions {
  std::string step = "auto";
  double snapshot_probability = 0.0;
  double inner_tolerance = 1e-3;
  Compression compression{.codec = "bf16s+permk"};
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step, "auto (adapted at snapshots), theory, or a number");
    visit.option("p", snapshot_probability,
                 "probability of an uncompressed snapshot; 0 takes the density of the codec",
                 {0.0, 1.0});
    visit.option("inner_tolerance", inner_tolerance,
                 "what the residual of a local subproblem must fall to", state::probability);
    visit.option("codec", compression.codec, "codec from agents to owners, unbiased");
    visit.option("server_codec", compression.server_codec, "codec from owners to all, unbiased");
    visit.option("collective", compression.collective, compress::collective_choices);
  }
};

/// Three Pillars: similarity, local steps and compression (Beznosikov, Takac and Gasnikov 2023),
/// with G_m = F_m - F_1 and G exact at the snapshot w:
///
///     u  = prox_{s h}(z + p (w - z) - s G(w) - s F_1(u))       on every rank, without
///     communication z+ = P_Z(u - s compressed mean of [G_m(u) - G_m(w)]) w+ = z+ with probability
///     p (all agents send G_m(w+) uncompressed), else w
///
/// Automatic steps are adapted at snapshots, where F is known. Vectors on each rank: z, w, u, G(w),
/// F_1, x, the best w, and two per hosted agent.
class ThreePillars final : public Base {
 public:
  ThreePillars(const Setting& setting, const ProblemView& problem,
               const ThreePillarsOptions& options)
      : Base(setting, problem, options.compression),
        rule_(StepRule::parse(options.step)),
        p_(options.snapshot_probability),
        inner_tolerance_(options.inner_tolerance),
        z_(start()),
        w_(z_),
        u_(vector()),
        at_w_(vector()),
        first_(vector()),
        x_(vector()),
        rows_at_w_(f_.rows_size()),
        rows_(f_.rows_size()),
        similarity_(estimate_similarity(f_, z_)),
        resolvent_(f_, similarity_.surrogate) {
    require_unbiased(f_, "three-pillars", options.compression);
    measures_ = p_ == 0.0;
    if (measures_) p_ = usual_snapshot_probability(f_);
    const double step = first_step();
    move_snapshot(z_);
    guard_.tolerated = 5.0;  // the residual at snapshots of this method is far from monotone
    guard_.begin(step, residual_at_w(), 1.0);
    if (adaptive()) best_ = w_;
  }

  void step() override {
    report_.fresh = false;
    local_solve();
    f_.agents(u_, rows_);
    subtract_from_rows(first_, rows_);
    const std::size_t n = rows_.size();
    for (std::size_t i = 0; i < n; ++i) rows_[i] -= rows_at_w_[i];
    f_.compressed(iteration_, rows_, x_);
    if (iteration_ == 0 && measures_) (void)measure_compression(p_, rows_);
    linalg::add_scaled(u_, -guard_.step, x_, z_);
    f_.prox(0.0, z_);
    const parallel::Draw coin(f_.setting().seed, parallel::Purpose::coin, iteration_);
    ++iteration_;
    if (!measure_.needs_operator()) {
      assess(z_, at_w_, x_);
      report_.fresh = false;  // a noisy figure: progress is judged at snapshots
    }
    if (coin.uniform(0) < p_) {
      move_snapshot(z_);
      if (adaptive()) adapt();
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
    if (adaptive()) f_.visit(visit, "best", best_);
    resolvent_.fields(visit);
  }
  void solution(state::FieldVisitor& visit) override {
    f_.visit(visit, "z", measure_.needs_operator() ? w_ : z_);
  }

 private:
  [[nodiscard]] bool adaptive() const { return rule_.automatic(); }

  double first_step() {
    if (rule_.kind == StepRule::Kind::number) return rule_.value;
    const double delta = std::max(similarity_.rms, 1e-3 * similarity_.surrogate);
    const double step = (adaptive() ? 4.0 : 1.0) * std::sqrt(p_) / delta;
    notes_.emplace_back("step", fmt::format("{:.4g}, p = {:.4g}, rms of delta = {:.4g}", step, p_,
                                            similarity_.rms));
    return step;
  }

  /// u, and F_1(u) in first_.
  void local_solve() {
    const std::size_t n = z_.size();
    for (std::size_t i = 0; i < n; ++i) {
      x_[i] = z_[i] + p_ * (w_[i] - z_[i]) - guard_.step * at_w_[i];
    }
    u_ = z_;
    f_.surrogate(u_, first_);
    resolvent_.solve(guard_.step, x_, inner_tolerance_, u_, first_);
  }

  /// w := z, G_m(w) and G(w) exact.
  void move_snapshot(const std::vector<double>& z) {
    w_ = z;
    f_.agents(w_, rows_at_w_);
    f_.surrogate(w_, first_);
    subtract_from_rows(first_, rows_at_w_);
    f_.average(rows_at_w_, at_w_);
    linalg::add_scaled(at_w_, 1.0, first_, u_);
    if (measure_.needs_operator()) assess(w_, u_, x_);
    report_.fresh = true;
  }

  [[nodiscard]] double residual_at_w() {
    return measure_.needs_operator() ? report_.residual : f_.natural_residual(w_, u_, x_);
  }

  void adapt() {
    const Safeguard::Verdict verdict = guard_.judge(residual_at_w());
    if (verdict == Safeguard::Verdict::best) best_ = w_;
    if (verdict != Safeguard::Verdict::back) return;
    z_ = best_;
    report_.failed = false;
    move_snapshot(best_);
  }

  bool measures_ = false;
  StepRule rule_;
  double p_;
  double inner_tolerance_;
  Safeguard guard_;
  std::vector<double> z_, w_, u_, at_w_, first_, x_, rows_at_w_, rows_, best_;
  Similarity similarity_;
  Resolvent resolvent_;
};

}  // namespace

MethodSpec three_pillars_spec() {
  return spec_of<ThreePillars, ThreePillarsOptions>(
      "three-pillars",
      "subproblems with a data sample that every rank holds, compressed corrections (default "
      "bf16s+permk)",
      refuse_without_surrogate);
}

}  // namespace equipoise::vi
