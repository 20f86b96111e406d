#include "base.hpp"
#include "safeguard.hpp"

#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/random.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace equipoise::vi {
namespace {

struct MashaOptions {
  bool contractive = false;
  std::string step = "auto";
  double snapshot_probability = 0.0;
  std::int64_t batch = 0;
  std::int64_t participants = 0;
  Compression compression;
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step, "auto (adapted at snapshots), theory, or a number");
    visit.option("p", snapshot_probability,
                 "probability of an uncompressed snapshot; 0 takes max(1/beta, 1/d)", {0.0, 1.0});
    visit.option("batch", batch,
                 "parts of its data that an agent draws for a message (VR-MASHA); 0 for all",
                 state::non_negative);
    visit.option("codec", compression.codec,
                 "codec from agents to owners (see: equipoise list compressors)");
    visit.option("server_codec", compression.server_codec, "codec from owners to all");
    visit.option("collective", compression.collective, compress::collective_choices);
    if (contractive) return;  // error feedback needs every agent's message
    visit.option("participants", participants,
                 "agents that take part in an iteration, drawn anew each time; 0 for all "
                 "(snapshots need all)",
                 state::non_negative);
  }
};

/// MASHA1 (unbiased codecs) and MASHA2 (contractive codecs with error feedback): Beznosikov et al.,
/// Distributed methods with compressed communication for solving variational inequalities (2021),
/// algorithms 1 and 2.
///
///     a  = (1-p) z + p w,   zh = prox(a - g F(w))                      no communication
///     G  = compressed mean of F_m(zh) - F_m(w)                          differences vanish at the
///     solution z+ = prox(a - g (F(w) + G))                                       MASHA2: z+ = zh -
///     mean of C(g D_m + e_m) w+ = z+ with probability p (all agents send F_m(w+) uncompressed),
///     else w
///
/// F(w) is exact at a snapshot, so the residual is known there; automatic steps are adapted there
/// as well: back to the best snapshot with half the step when the residual doubled, a fifth more
/// after ten falls in a row. With `participants` (PP-MASHA1) the mean is taken over a few agents
/// drawn anew each iteration, and only they compute. Vectors on each rank: z, w, F(w), zh, G, the
/// best w, and two per hosted agent (MASHA2: three, and a share).
class Masha final : public Base {
 public:
  Masha(const Setting& setting, const ProblemView& problem, const MashaOptions& options,
        bool contractive)
      : Base(setting, problem, with_feedback(options.compression, contractive)),
        contractive_(contractive),
        rule_(StepRule::parse(options.step)),
        p_(options.snapshot_probability),
        batch_(options.batch),
        z_(start()) {
    if (contractive_) {
      require_contractive(f_, options.compression);
    } else {
      require_unbiased(f_, "masha1", options.compression);
    }
    if (batch_ > 0) check_batch();
    if (options.participants > 0) {
      sampled_.emplace(sampled_mean(f_, options.participants, options.compression));
    } else {
      hosted_agents_.resize(static_cast<std::size_t>(f_.hosted().size()));
      std::iota(hosted_agents_.begin(), hosted_agents_.end(), f_.hosted().begin);
    }
    measures_ = p_ == 0.0 && batch_ == 0 && !sampled_;
    if (p_ == 0.0) p_ = usual_probability();
    const double step = first_step();  // before the other vectors: the estimates need room too
    w_ = z_;
    for (auto* v : {&at_w_, &half_}) *v = vector();
    if (contractive_) change_ = vector();
    for (auto* rows : {&rows_at_w_, &rows_}) rows->assign(f_.rows_size(), 0.0);
    f_.agents(w_, rows_at_w_);
    f_.average(rows_at_w_, at_w_);
    assess(w_, at_w_, half_);
    guard_.begin(step, residual_at_w());
    if (adaptive()) best_ = w_;
  }

  void step() override {
    report_.fresh = false;
    move_to(half_, {});
    if (sampled_) sampled_->draw(iteration_);
    differences();
    if (contractive_) {
      for (double& v : rows_) v *= guard_.step;
    }
    if (contractive_) {
      f_.compressed(iteration_, rows_, change_);
      linalg::add_scaled(half_, -1.0, change_, z_);
    } else {
      exchange(half_);  // zh has served: G takes its room
      move_to(z_, half_);
    }
    if (iteration_ == 0 && measures_) correct_probability();
    const parallel::Draw coin(f_.setting().seed, parallel::Purpose::coin, iteration_);
    ++iteration_;
    if (!measure_.needs_operator()) {
      assess(z_, at_w_, half_);
      report_.fresh = false;  // a noisy figure: progress is judged at snapshots
    }
    if (coin.uniform(0) < p_) snapshot();
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    guard_.fields(visit);
    visit.scalar("p", p_);
    if (sampled_) sampled_->fields(visit);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "w", w_);
    f_.visit(visit, "operator_at_w", at_w_);
    f_.visit_rows(visit, "agents_at_w", rows_at_w_);
    if (adaptive()) f_.visit(visit, "best", best_);
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
  static Compression with_feedback(Compression compression, bool contractive) {
    compression.error_feedback = contractive;
    return compression;
  }
  [[nodiscard]] bool adaptive() const { return rule_.automatic(); }

  void check_batch() const {
    if (f_.problem().finite_sum()) return;
    throw ConfigurationError(
        "method.batch = {}: this problem's operator is no mean over data (it offers no "
        "apply_batch); leave method.batch out",
        batch_);
  }

  /// VR-MASHA: min(1/beta, b/r), a snapshot about as often as an agent has seen its r parts once.
  /// PP-MASHA: as many times rarer as agents are fewer, so that snapshots send as much as messages.
  [[nodiscard]] double usual_probability() const {
    double usual = usual_snapshot_probability(f_);
    const std::int64_t agents = f_.problem().agents();
    if (sampled_) {
      usual *= static_cast<double>(sampled_->participants()) / static_cast<double>(agents);
    }
    if (batch_ == 0) return usual;
    std::int64_t parts = 1;
    for (std::int64_t m = 0; m < agents; ++m) parts = std::max(parts, f_.problem().samples(m));
    return std::min(usual, static_cast<double>(batch_) / static_cast<double>(parts));
  }

  /// Steps go with sqrt(p).
  void correct_probability() {
    const double factor = std::sqrt(measure_compression(p_, rows_));
    if (rule_.kind == StepRule::Kind::number || factor == 1.0) return;
    guard_.step *= factor;
    guard_.cap *= factor;
    f_.mean().rescale(factor);
  }

  /// The agents of this rank that take part in this iteration.
  [[nodiscard]] std::span<const std::int64_t> active() const {
    return sampled_ ? sampled_->hosted() : std::span<const std::int64_t>(hosted_agents_);
  }

  /// rows = F_m(zh) - F_m(w) of the active agents, or the mean of that over a batch of parts.
  void differences() {
    const std::size_t d = half_.size();
    for (std::size_t k = 0; k < active().size(); ++k) {
      const std::int64_t m = active()[k];
      const auto row = std::span(rows_).subspan(k * d, d);
      if (batch_ > 0) {
        batch_difference(m, row);
        continue;
      }
      f_.agent(m, half_, row);
      const auto local = static_cast<std::size_t>(m - f_.hosted().begin);
      linalg::add_scaled(row, -1.0, std::span(rows_at_w_).subspan(local * d, d), row);
    }
  }

  /// The same drawn batch at both points.
  void batch_difference(std::int64_t m, std::span<double> row) {
    parts_.resize(static_cast<std::size_t>(batch_));
    part_value_.resize(row.size());
    const parallel::Draw draw(f_.setting().seed, parallel::Purpose::batch, iteration_, m);
    const auto r = static_cast<std::uint64_t>(f_.problem().samples(m));
    for (std::size_t j = 0; j < parts_.size(); ++j) {
      parts_[j] = static_cast<std::int64_t>(draw.below(r, j));
    }
    f_.batch(m, half_, parts_, row);
    f_.batch(m, w_, parts_, part_value_);
    linalg::add_scaled(row, -1.0, part_value_, row);
  }

  /// out = the compressed mean of `rows`.
  void exchange(std::span<double> out) {
    if (!sampled_) return f_.compressed(iteration_, rows_, out);
    (*sampled_)(std::span(rows_).first(active().size() * out.size()), out);
    f_.require_finite(rows_, active(), out);
  }

  /// The constant C of E norm(G)^2 <= C^2 norm(zh - w)^2.
  [[nodiscard]] double second_moment(double lipschitz, double lipschitz_rms) const {
    const compress::Descriptor device = f_.mean().device();
    const compress::Descriptor server = f_.mean().server();
    const double q_server = std::isfinite(server.q) ? server.q : 1.0;
    const double q = std::isfinite(device.q) ? device.q : 1.0;
    const auto agents = static_cast<double>(f_.problem().agents());
    if (device.collection_a == 1.0 && device.collection_b == 1.0) {
      // PermK: exact for equal agents, so L governs where they are alike and half of the mean
      // square where not.
      const double c = adaptive() ? std::max(lipschitz, 0.5 * lipschitz_rms) : lipschitz_rms;
      return std::sqrt(q_server) * c;
    }
    // A sample of b without replacement adds (M - b)/(b (M - 1)) of the mean square, and fewer
    // messages average the codec's errors.
    const double taking = sampled_ ? static_cast<double>(sampled_->participants()) : agents;
    const double left_out = agents > 1.0 ? (agents - taking) / (taking * (agents - 1.0)) : 0.0;
    const double noise = (q - 1.0) / taking + left_out;
    return std::sqrt(q_server * (noise * lipschitz_rms * lipschitz_rms + lipschitz * lipschitz));
  }

  /// dl = 1/alpha of E norm(C(v) - v)^2 <= (1 - alpha) norm(v)^2.
  [[nodiscard]] double contraction() const {
    const compress::Descriptor device = f_.mean().device();
    const bool unbiased = device.kind == compress::Descriptor::Kind::unbiased;
    return unbiased ? 1.0 / (1.0 - device.omega) : device.delta;
  }

  double first_step() {
    if (rule_.kind == StepRule::Kind::number) return rule_.value;
    double step = 0.0;
    const double rms = estimate_lipschitz_rms(f_, z_);
    const double lipschitz = std::min(rms, estimate_lipschitz(f_, z_, adaptive() ? 8 : 30));
    f_.release_scratch();
    if (contractive_) {
      const double delta = contraction();
      const double scale = std::isfinite(delta) ? delta : 1.0 / p_;
      step = (adaptive() ? 4.0 : 1.0) * std::sqrt(p_) / (scale * rms);
    } else {
      step = (adaptive() ? 1.0 : 0.5) * std::sqrt(p_) / second_moment(lipschitz, rms);
    }
    notes_.emplace_back(
        "step",
        fmt::format("{:.4g}{}, p = {:.4g}, L = {:.4g}, rms of the agents' L = {:.4g}", step,
                    adaptive() ? " at the start, adapted at snapshots" : "", p_, lipschitz, rms));
    return step;
  }

  /// out = prox((1-p) z + p w - step (F(w) + change)).
  void move_to(std::span<double> out, std::span<const double> change) {
    const std::size_t n = out.size();
    const double keep = 1.0 - p_;
    if (change.empty()) {
      for (std::size_t i = 0; i < n; ++i)
        out[i] = keep * z_[i] + p_ * w_[i] - guard_.step * at_w_[i];
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        out[i] = keep * z_[i] + p_ * w_[i] - guard_.step * (at_w_[i] + change[i]);
      }
    }
    f_.prox(guard_.step, out);
  }

  void snapshot() {
    move_snapshot(z_);
    if (measure_.needs_operator()) assess(w_, at_w_, half_);
    report_.fresh = true;
    if (adaptive()) adapt(residual_at_w());
  }

  /// w := z, F_m(w) and F(w) exact.
  void move_snapshot(const std::vector<double>& z) {
    w_ = z;
    f_.agents(w_, rows_at_w_);
    f_.average(rows_at_w_, at_w_);
  }

  [[nodiscard]] double residual_at_w() {
    return measure_.needs_operator() ? report_.residual : f_.natural_residual(w_, at_w_, half_);
  }

  void adapt(double residual) {
    const double old = guard_.step;
    const Safeguard::Verdict verdict = guard_.judge(residual);
    if (verdict == Safeguard::Verdict::back) {
      go_back();
    } else {
      if (verdict == Safeguard::Verdict::best) best_ = w_;
      if (guard_.step != old) f_.mean().rescale(guard_.step / old);
    }
  }

  /// The step was too long: start again from the best snapshot.
  void go_back() {
    z_ = best_;
    move_snapshot(best_);
    f_.mean().reset();
    if (measure_.needs_operator()) {
      report_.failed = false;
      assess(w_, at_w_, half_);
    }
  }

  bool contractive_;
  bool measures_ = false;
  std::optional<SampledMean> sampled_;
  std::vector<std::int64_t> hosted_agents_;
  std::vector<std::int64_t> parts_;
  std::vector<double> part_value_;
  StepRule rule_;
  double p_;
  std::int64_t batch_;
  Safeguard guard_;
  std::vector<double> z_, w_, at_w_, half_, change_, rows_at_w_, rows_, best_;
};

std::string refuse(const ProblemView& problem, bool contractive) {
  const std::string name = contractive ? "masha2" : "masha1";
  if (problem.partitioned()) return refuse_partitioned(problem, name);
  if (contractive && problem.constrained()) {
    return "masha2 needs Z = R^d without a regulariser (error feedback and projections do not "
           "commute); use masha1";
  }
  return "";
}

MethodSpec spec(bool contractive, const std::string& help, const std::string& codec) {
  const auto options = [codec, contractive] {
    MashaOptions o;
    o.compression.codec = codec;
    o.contractive = contractive;
    return o;
  };
  return {contractive ? "masha2" : "masha1", help,
          [options](state::OptionVisitor& visit) { options().describe(visit); },
          [contractive](const ProblemView& problem) { return refuse(problem, contractive); },
          [options, contractive](const Setting& setting, const ProblemView& problem,
                                 state::Config& config) {
            MashaOptions o = options();
            config.read("method", o);
            return std::make_unique<Masha>(setting, problem, o, contractive);
          }};
}

}  // namespace

MethodSpec masha1_spec() {
  return spec(false,
              "unbiased compressed differences to a snapshot (default permk), constraints allowed",
              "permk");
}
MethodSpec masha2_spec() {
  return spec(true,
              "contractive compressed differences with error feedback (default topk), Z = R^d",
              "topk:0.05");
}

}  // namespace equipoise::vi
