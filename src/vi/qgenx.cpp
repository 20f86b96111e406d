#include "checked.hpp"
#include "level_codec.hpp"

#include <equipoise/compress/levels.hpp>
#include <equipoise/linalg/kernels.hpp>
#include <equipoise/vi/sampled_mean.hpp>

#include <algorithm>
#include <cmath>
#include <memory>

namespace equipoise::vi {
namespace {

struct QgenxOptions {
  std::string step = "auto";
  std::string variant = "extragradient";
  std::int64_t levels = 7;
  std::int64_t update_every = 100;
  std::int64_t check_every = 100;
  void describe(state::OptionVisitor& visit) {
    visit.option("step", step,
                 "auto (starts at 1/L, shrinks with the differences seen, starts anew when the "
                 "residual has fallen to 0.37), theory (K / sqrt(1 + sum of squared differences)), "
                 "or the number that takes the place of 1/L");
    visit.choice("variant", variant, {"extragradient", "optimistic"},
                 "two messages an iteration, or one: the last one serves for the first half");
    visit.option("levels", levels, "levels above 0; 7 take 4 bits a value, up to 127 take 8",
                 {1.0, 127.0});
    visit.option("update_every", update_every, "iterations between updates of the levels",
                 state::at_least_one);
    visit.option("check_every", check_every,
                 "iterations between evaluations of the residual, one exact mean each",
                 state::at_least_one);
  }
};

/// Q-GenX (Ramezani-Kebrya et al., Distributed extra-gradient with optimal complexity and
/// communication guarantees, 2023): dual extrapolation with operators rounded to levels that follow
/// their distribution, and a step that needs no constant. V_m = rounded F_m:
///
///     x+1/2 = x - s mean V_m(x)          optimistic: V_m of the last half step, no message
///     y+ = y - mean V_m(x+1/2),          x+ = x0 + s+ y+
///     s = D / sqrt(G + sum of mean norm(V_m(x) - V_m(x+1/2))^2)
///
/// The paper has D = M and G = 1, `step = theory`; `auto` takes D from F and L so that s starts at
/// 1/L, and starts anew from the better of the last point and the average of the half steps
/// whenever the residual has fallen to 0.37 there. Rounded operators do not vanish at the solution:
/// like ceg it ends at a noise floor, which averaging lowers as 1/sqrt(T). A baseline. Projections
/// are applied to both points. Vectors on each rank: x, x0, y, half, average, V, F(z), scratch, the
/// best z, and two per hosted agent.
class QGenX final : public Checked {
 public:
  QGenX(const Setting& setting, const ProblemView& problem, const QgenxOptions& options)
      : Checked(setting, problem, {}, options.step),
        optimistic_(options.variant == "optimistic"),
        update_every_(options.update_every),
        check_every_(options.check_every),
        codec_(std::make_shared<LevelCodec>(options.levels)),
        mean_(setting.comm, setting.seed, weights(), problem.agents(), codec_, problem.dimension(),
              setting.chunks),
        x_(start()),
        anchor_(x_),
        z_(x_),
        dual_(vector()),
        half_(vector()),
        average_(vector()),
        direction_(vector()),
        first_(f_.rows_size()),
        second_(f_.rows_size()),
        histogram_(static_cast<std::size_t>(LevelCodec::bins)),
        levels_(codec_->levels()) {
    restart_residual_ = evaluate(x_);
    choose_scale();
    f_.agents(x_, second_);
    exchange(second_, direction_, -1);
  }

  void step() override {
    report_.fresh = false;
    codec_->set_levels(levels_);
    const double s = current_step();
    if (optimistic_) {
      first_.swap(second_);
    } else {
      f_.agents(x_, first_);
      exchange(first_, direction_, 2 * iteration_);
    }
    linalg::add_scaled(x_, -s, direction_, half_);
    f_.prox(s, half_);
    f_.agents(half_, second_);
    exchange(second_, direction_, 2 * iteration_ + 1);
    gather_differences();
    linalg::add_scaled(dual_, -1.0, direction_, dual_);
    linalg::add_scaled(anchor_, current_step(), dual_, x_);
    f_.prox(current_step(), x_);
    ++iteration_;
    ++since_restart_;
    const double share = 1.0 / static_cast<double>(since_restart_);
    for (std::size_t i = 0; i < half_.size(); ++i) average_[i] += share * (half_[i] - average_[i]);
    observe(z_);
    if (iteration_ % update_every_ == 0) update_levels();
    if (iteration_ % check_every_ == 0) judge();
  }

  void fields(state::FieldVisitor& visit) override {
    base_fields(visit);
    visit.scalar("sum", sum_);
    visit.scalar("scale", scale_);
    visit.scalar("ground", ground_);
    visit.scalar("since_restart", since_restart_);
    visit.scalar("restart_residual", restart_residual_);
    visit.replicated("levels", levels_);
    mean_.fields(visit);
    f_.visit(visit, "z", z_);
    f_.visit(visit, "x", x_);
    f_.visit(visit, "anchor", anchor_);
    f_.visit(visit, "dual", dual_);
    f_.visit(visit, "average", average_);
    if (optimistic_) {
      f_.visit(visit, "direction", direction_);
      f_.visit_rows(visit, "second", second_);
    }
  }
  void solution(state::FieldVisitor& visit) override { f_.visit(visit, "z", z_); }
  [[nodiscard]] parallel::Traffic traffic() const override {
    parallel::Traffic total = Base::traffic();
    total += mean_.traffic();
    total.sent += level_bytes_;
    total.received += level_bytes_;
    return total;
  }

 private:
  [[nodiscard]] std::vector<double> weights() const {
    std::vector<double> w;
    for (std::int64_t m = 0; m < f_.problem().agents(); ++m) w.push_back(f_.problem().weight(m));
    return w;
  }

  void choose_scale() {
    const auto agents = static_cast<double>(f_.problem().agents());
    if (rule_.kind == StepRule::Kind::theory) {
      scale_ = agents;
      ground_ = 1.0;
      return;
    }
    const double first = rule_.kind == StepRule::Kind::number
                             ? rule_.value
                             : 1.0 / std::max(estimate_lipschitz(f_, x_, 8), 1e-300);
    // A length D for which D / sqrt(G) is the first step, G = norm(F)^2.
    const double size = std::max(f_.norm(value_), 1e-300);
    scale_ = first * size;
    ground_ = size * size;
    notes_.emplace_back("step", fmt::format("{:.4g} at the start", first));
  }
  [[nodiscard]] double current_step() const { return scale_ / std::sqrt(ground_ + sum_); }

  /// rows = F_m rounded, out = their mean.
  void exchange(std::span<double> rows, std::span<double> out, std::int64_t draw) {
    mean_.draw(draw + 1);
    mean_(rows, out);
    f_.require_finite(rows, mean_.hosted(), out);
    mean_.decode_own(rows);
  }

  /// Adds the mean over agents of norm(V_m(x) - V_m(half))^2, one number per agent.
  void gather_differences() {
    const std::size_t d = half_.size();
    by_agent_.assign(static_cast<std::size_t>(f_.hosted().size()), 0.0);
    for (std::size_t a = 0; a < by_agent_.size(); ++a) {
      by_agent_[a] = linalg::squared_distance(std::span(first_).subspan(a * d, d),
                                              std::span(second_).subspan(a * d, d));
    }
    const std::vector<double> all = f_.gather(by_agent_);
    double sum = 0.0;
    for (std::size_t m = 0; m < all.size(); ++m) {
      const double weight = rule_.kind == StepRule::Kind::theory
                                ? 1.0
                                : f_.problem().weight(static_cast<std::int64_t>(m));
      sum += weight * all[m];
    }
    sum_ += sum;
  }

  /// Every rank counts its agents' entries; integers are added, so all ranks agree.
  void update_levels() {
    const std::size_t d = half_.size();
    const auto chunks = partition::Partition::uniform(
        std::ssize(half_),
        static_cast<int>(f_.setting().chunks > 0 ? f_.setting().chunks
                                                 : partition::default_chunks(std::ssize(half_))));
    std::fill(histogram_.begin(), histogram_.end(), 0);
    for (std::size_t a = 0; a < second_.size() / d; ++a) {
      LevelCodec::count_entries(std::span(second_).subspan(a * d, d), chunks, histogram_);
    }
    MPI_Allreduce(MPI_IN_PLACE, histogram_.data(), static_cast<int>(histogram_.size()), MPI_INT64_T,
                  MPI_SUM, f_.setting().comm.handle());
    const int ranks = f_.setting().comm.size();
    level_bytes_ += 16 * LevelCodec::bins * (ranks - 1) / ranks;
    if (std::all_of(histogram_.begin(), histogram_.end(), [](auto n) { return n == 0; })) return;
    levels_ = compress::adapted_levels(histogram_, static_cast<int>(levels_.size()) - 1);
  }

  /// Takes the better of the last point and the average, and starts anew from it when it is much
  /// better than the last start.
  void judge() {
    const double last = evaluate(x_);
    const double mean = evaluate(average_);
    const bool take_last = !(mean < last);
    z_ = take_last ? x_ : average_;
    const double residual = take_last ? evaluate(z_) : mean;
    if (!rule_.automatic() || !(residual <= 0.37 * restart_residual_)) return;
    restart_residual_ = residual;
    x_ = anchor_ = average_ = z_;
    std::fill(dual_.begin(), dual_.end(), 0.0);
    ground_ = std::max(ground_ * 0.14, 1e-300);  // the operator, too, has fallen to 0.37
    scale_ *= 0.37;
    sum_ = 0.0;
    since_restart_ = 0;
  }

  bool optimistic_;
  std::int64_t update_every_, check_every_;
  std::shared_ptr<LevelCodec> codec_;
  SampledMean mean_;
  double sum_ = 0.0, scale_ = 1.0, ground_ = 1.0, restart_residual_ = 0.0;
  std::int64_t since_restart_ = 0, level_bytes_ = 0;
  std::vector<double> x_, anchor_, z_, dual_, half_, average_, direction_, first_, second_;
  std::vector<double> by_agent_;
  std::vector<std::int64_t> histogram_;
  std::vector<double> levels_;
};

}  // namespace

MethodSpec qgenx_spec() {
  return spec_of<QGenX, QgenxOptions>(
      "q-genx",
      "extragradient on operators rounded to adaptive levels, steps without constants: a baseline",
      refuse_partitioned);
}

}  // namespace equipoise::vi
