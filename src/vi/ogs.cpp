#include "codec_choice.hpp"
#include "safeguard.hpp"
#include "similarity.hpp"

#include <equipoise/linalg/kernels.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace equipoise::vi {
namespace {

struct SlidingOptions {
  std::string step = "auto";
  std::int64_t memory = -1;
  double inner_tolerance = 0.0;
  Compression compression{.codec = "bf16", .server_codec = "bf16"};
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step,
                 "auto (8/delta, 1/(2 delta) for d > 400, or 1/L without a sample; halved where it "
                 "fails), theory (1/(32 "
                 "delta) without extrapolation), or a number");
    visit.option(
        "memory", memory,
        "differences kept for extrapolation; 0 for none, -1 for 50 (10 for d > 2e4, 5 for d > 1e6)",
        {-1.0, 50.0});
    visit.option(
        "inner_tolerance", inner_tolerance,
        "what the residual of a local subproblem must fall to; 0 for 1e-3 (3e-2 for d > 400)",
        {0.0, 1.0});
    visit.option("codec", compression.codec,
                 "codec of the changes that agents send to owners, with error feedback");
    visit.option("server_codec", compression.server_codec,
                 "codec of the changes that owners send to all, with error feedback");
    visit.option("collective", compression.collective, compress::collective_choices);
  }
};

/// Optimistic gradient sliding (Lin et al., SVOGS, 2024, with all agents and p = 1), extrapolated,
/// with the changes of the operator compressed. One mean an iteration, G = F - F_1:
///
///     z  = prox_{eta h}(x - eta F_1(z))              on every rank, without communication
///     g += mean of C(G_m(z) - G_m(previous z) + e_m)  both ways, with error feedback: g is G(z) up
///                                                    to what the codecs still hold back
///     x+ = z - eta (2 g - previous g)                or, extrapolated: Anderson's proposal for the
///                                                    fixed point of S(x) = z(x) - eta G(z(x))
///
/// S has the solution as its only fixed point; its residual r = S(x) - x costs no message and
/// judges every proposal. Beyond twice the best it is taken back, and the step is halved; below
/// 0.5/delta, where the plain iteration converges by itself, plain steps follow instead, twice as
/// many each time. So the extrapolation can only help: either it lowers the best residual again and
/// again, or the plain iteration does. With identity codecs and memory 0 this is OGS;
/// with F_1 = 0 it is the extrapolated optimistic gradient (Popov 1980), where delta becomes L.
class Sliding final : public Base {
 public:
  /// Whether the subproblems use the problem's data sample F_1; `choose` by how alike agents are.
  enum class Sample { use, none, choose };

  Sliding(const Setting& setting, const ProblemView& problem, const SlidingOptions& options,
          Sample sample)
      : Base(setting, problem, with_feedback(options.compression)),
        rule_(StepRule::parse(options.step)),
        inner_tolerance_(options.inner_tolerance > 0.0 ? options.inner_tolerance
                         : spacious()                  ? 3e-2
                                                       : 1e-3),
        compressed_(options.compression.codec != "identity" ||
                    options.compression.server_codec != "identity"),
        z_(start()),
        x_(vector()),
        g_(vector()),
        previous_g_(vector()),
        residual_(vector()),
        rows_(f_.rows_size()),
        similarity_(constants(sample, options)),
        anderson_(f_.size(), memory(options)) {
    require_contractive(f_, options.compression);
    first_step();
    x_ = z_;
    if (similar_) {
      resolvent_.emplace(f_, similarity_.surrogate);
      first_ = image_ = vector();
      f_.surrogate(z_, first_);
      linalg::add_scaled(z_, step_, first_, x_);
    }
    differences();
    f_.average(rows_, g_);
    if (compressed_) {
      known_rows_ = rows_;
      tracked_ = g_;
    }
    previous_g_ = g_;
    measure();
    evaluate();
    best_residual_ = size_;
    keep();
    begin_stretch();
  }

  void step() override {
    propose();
    solve_local();
    ++iteration_;
    previous_g_.swap(g_);
    exchange();
    measure();
    evaluate();
    judge();
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    visit.scalar("step", step_);
    visit.scalar("plain_step", plain_step_);
    visit.scalar("plain", plain_);
    visit.scalar("plain_next", plain_next_);
    visit.scalar("since_best", since_best_);
    visit.scalar("stretch", stretch_);
    visit.scalar("stretch_start", stretch_start_);
    visit.scalar("best_residual", best_residual_);
    visit.scalar("size", size_);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "x", x_);
    f_.visit(visit, "g", g_);
    f_.visit(visit, "previous_g", previous_g_);
    f_.visit(visit, "residual", residual_);
    f_.visit(visit, "best_z", best_z_);
    f_.visit(visit, "best_x", best_x_);
    f_.visit(visit, "best_g", best_g_);
    if (compressed_) {
      f_.visit(visit, "tracked", tracked_);
      f_.visit_rows(visit, "known_rows", known_rows_);
    }
    if (similar_) {
      f_.visit(visit, "first", first_);
      resolvent_->fields(visit);
    }
    if (anderson_.memory() > 0) anderson_.fields(visit, "anderson");
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }

 private:
  static Compression with_feedback(Compression compression) {
    compression.error_feedback = true;
    return compression;
  }

  /// Measured by every rank for its agents, without exchanging vectors; decides `similar_`.
  Similarity constants(Sample sample, const SlidingOptions& options) {
    similar_ = sample != Sample::none && f_.problem().has_surrogate();
    Similarity s;
    if (similar_) {
      s = estimate_similarity(f_, z_);
      // Beyond 0.3 the sample misleads more than it helps (measured on games of dimension 2000),
      // unless the extrapolation remembers enough to correct it in every direction.
      const bool covers = 4 * memory(options) >= static_cast<std::int64_t>(f_.size());
      if (sample == Sample::choose && s.max > (covers ? 2.0 : 0.3) * s.surrogate) similar_ = false;
      notes_.emplace_back(
          "agents", fmt::format("delta/L = {:.3g}: {}", s.max / s.surrogate,
                                similar_ ? "alike enough for subproblems with a replicated sample"
                                         : "too unlike, the sample is left out"));
    } else if (sample == Sample::choose) {
      notes_.emplace_back("agents", "the problem replicates no data sample");
    }
    if (!similar_) {
      s.surrogate = 0.0;
      s.max = s.rms = estimate_lipschitz_rms(f_, z_);
    }
    return s;
  }

  /// z := the resolvent at x, first := F_1(z).
  void solve_local() {
    if (similar_) {
      resolvent_->solve(step_, x_, inner_tolerance_, z_, first_);
    } else {
      z_ = x_;
      f_.prox(step_, z_);
    }
  }

  /// Beyond this the memory follows few of the directions there are: steps that only converge with
  /// its help are left out, and subproblems are not solved more precisely than the outer iteration
  /// makes use of. (Measured: at d = 2000 to 2e4 a tenth of the calls of F_1 at as many
  /// iterations.)
  [[nodiscard]] bool spacious() const { return f_.size() > 400; }

  /// As many differences as stay small beside the data.
  [[nodiscard]] std::int64_t memory(const SlidingOptions& options) const {
    if (rule_.kind == StepRule::Kind::theory) return 0;
    if (options.memory >= 0) return options.memory;
    return f_.size() > 1'000'000 ? 5 : (f_.size() > 20'000 ? 10 : 50);
  }
  [[nodiscard]] bool extrapolates() const { return anderson_.memory() > 0; }

  void first_step() {
    if (rule_.kind == StepRule::Kind::number) {
      step_ = rule_.value;
      return;
    }
    // Agents that are nearly alike would allow steps whose subproblems are hopeless.
    const double delta = std::max(similarity_.max, 0.02 * similarity_.surrogate);
    const double factor = !rule_.automatic() ? 1.0 / 32.0
                          : !extrapolates()  ? 0.5
                          : similar_         ? (spacious() ? 0.5 : 8.0)
                                             : 1.0;
    step_ = factor / (delta > 0.0 ? delta : 1.0);
    plain_step_ = 0.5 / (delta > 0.0 ? delta : 1.0);
    notes_.emplace_back("step", fmt::format("{:.4g}, {} = {:.4g}, L of the sample = {:.4g}", step_,
                                            similar_ ? "largest delta" : "rms of the agents' L",
                                            similarity_.max, similarity_.surrogate));
  }

  /// rows = G_m(z) = F_m(z) - F_1(z).
  void differences() {
    f_.agents(z_, rows_);
    if (similar_) subtract_from_rows(first_, rows_);
  }

  /// g := G(z), exactly or up to the codecs' error.
  void exchange() {
    differences();
    if (!compressed_) {
      f_.average(rows_, g_);
      return;
    }
    // What is sent is the change since the rows that were sent last; the error feedback adds what
    // is still missing, so the sum of all messages is G_m(z) - e_m.
    known_rows_.swap(rows_);
    for (std::size_t i = 0; i < rows_.size(); ++i) rows_[i] = known_rows_[i] - rows_[i];
    f_.compressed(iteration_, rows_, residual_);
    for (std::size_t i = 0; i < g_.size(); ++i) g_[i] = tracked_[i] += residual_[i];
  }

  /// The measure at z.
  void measure() {
    estimate();
    if (!compressed_ || !measure_.needs_operator()) return;
    const double wanted = f_.setting().tolerance;
    if (report_.residual > wanted || report_.failed) return;
    // An estimate ends no run: send what the codecs hold back.
    f_.average(known_rows_, g_);
    tracked_ = g_;
    f_.mean().reset();
    estimate();
  }

  void estimate() {
    if (!similar_) return assess(z_, g_, residual_);
    linalg::add_scaled(first_, 1.0, g_, image_);
    assess(z_, image_, residual_);
  }

  /// residual = S(x) - x, size = norm(residual) / eta.
  void evaluate() {
    for (std::size_t i = 0; i < x_.size(); ++i) residual_[i] = z_[i] - step_ * g_[i] - x_[i];
    size_ = f_.norm(residual_) / step_;
  }

  /// x := the next point to try.
  void propose() {
    if (plain_ == 0 && extrapolates()) return anderson_.propose(x_, residual_, x_);
    for (std::size_t i = 0; i < x_.size(); ++i) {
      x_[i] = z_[i] - step_ * (2.0 * g_[i] - previous_g_[i]);
    }
  }

  void keep() {
    best_x_ = x_;
    best_z_ = z_;
    best_g_ = g_;
    since_best_ = 0;
  }

  void judge() {
    if (size_ < best_residual_) {
      best_residual_ = size_;
      keep();
    } else {
      ++since_best_;
    }
    const bool extrapolated = plain_ == 0 && extrapolates();
    if (plain_ > 0) --plain_;
    // Without a sample the steps are safe by themselves: slow is then only slow.
    const bool stuck = extrapolated && similar_ && stagnates();
    const double tolerated = extrapolated ? 2.0 : 10.0;
    if (size_ <= tolerated * best_residual_ && !stuck &&
        (!extrapolated || since_best_ <= 4 * anderson_.memory())) {
      return;
    }
    if (extrapolated && (step_ <= plain_step_ || !rule_.automatic())) {
      plain_ = plain_next_;
      plain_next_ = std::min<std::int64_t>(2 * plain_next_, 1000);
    } else if (rule_.automatic()) {
      shorten();
    } else {
      return;
    }
    go_back();
  }

  /// True at the end of a stretch of extrapolated iterations that gained next to nothing, as on a
  /// spectrum that a short memory cannot follow.
  bool stagnates() {
    if (++stretch_ < stretch_length) return false;
    const bool stuck = best_residual_ > 0.7 * stretch_start_;
    begin_stretch();
    return stuck;
  }
  void begin_stretch() {
    stretch_ = 0;
    stretch_start_ = best_residual_;
  }

  void shorten() {
    // x = z + eta (F_1(z) + an element of the normal cone), so x - z scales with eta.
    for (std::size_t i = 0; i < x_.size(); ++i) {
      best_x_[i] = best_z_[i] + 0.5 * (best_x_[i] - best_z_[i]);
    }
    step_ *= 0.5;
  }

  void go_back() {
    x_ = best_x_;
    z_ = best_z_;
    g_ = previous_g_ = best_g_;
    anderson_.clear();
    since_best_ = 0;
    begin_stretch();
    report_.failed = false;
    if (similar_) f_.surrogate(z_, first_);
    estimate();
    evaluate();
  }

  bool similar_ = false;
  StepRule rule_;
  double inner_tolerance_;
  bool compressed_;
  double step_ = 0.0;
  double plain_step_ = 0.0;  ///< the plain iteration converges up to this one
  double size_ = 0.0;
  double best_residual_ = 0.0;
  std::int64_t plain_ = 0;
  std::int64_t plain_next_ = 5;
  std::int64_t since_best_ = 0;
  static constexpr std::int64_t stretch_length = 25;
  std::int64_t stretch_ = 0;    ///< extrapolated iterations since the stretch began
  double stretch_start_ = 0.0;  ///< the best residual when it did
  std::vector<double> z_, x_, g_, previous_g_, residual_, rows_, known_rows_, tracked_;
  std::vector<double> first_, image_;  ///< F_1(z) and F(z), with a sample
  std::vector<double> best_x_, best_z_, best_g_;
  Similarity similarity_;
  std::optional<Resolvent> resolvent_;
  Anderson anderson_;
};

MethodSpec spec(const std::string& name, const std::string& help, Sliding::Sample sample) {
  return {name, help, [](state::OptionVisitor& visit) { SlidingOptions{}.describe(visit); },
          [name, sample](const ProblemView& problem) {
            if (sample == Sliding::Sample::use) return refuse_without_surrogate(problem, name);
            return refuse_partitioned(problem, name);
          },
          [sample](const Setting& setting, const ProblemView& problem, state::Config& config) {
            SlidingOptions options;
            config.read("method", options);
            return std::make_unique<Sliding>(setting, problem, options, sample);
          }};
}

}  // namespace

MethodSpec automatic_spec() {
  MethodSpec sliding = spec(
      "auto", "measures how alike the agents are and takes ogs or optimistic; few bytes, no tuning",
      Sliding::Sample::choose);
  sliding.describe = [describe = sliding.describe](state::OptionVisitor& visit) {
    describe(visit);
    DenseOptions{}.describe(visit);
  };
  sliding.make = [make = sliding.make](const Setting& setting, const ProblemView& problem,
                                       state::Config& config) -> std::unique_ptr<solve::Method> {
    DenseOptions options;
    config.read("method", options);
    if (options.dense != "yes") return make(setting, problem, config);
    SlidingOptions unused;  // so that all its keys are known
    config.read("method", unused);
    return extragradient_spec().make(setting, problem, config);
  };
  return sliding;
}
MethodSpec ogs_spec() {
  return spec(
      "ogs",
      "optimistic gradient sliding, extrapolated: subproblems with a data sample that every "
      "rank holds, compressed changes both ways",
      Sliding::Sample::use);
}
MethodSpec optimistic_spec() {
  return spec("optimistic",
              "optimistic gradient, extrapolated: one mean of compressed changes an iteration",
              Sliding::Sample::none);
}

}  // namespace equipoise::vi
