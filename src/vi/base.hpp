#pragma once

#include <equipoise/parallel/error.hpp>
#include <equipoise/vi/evaluation.hpp>
#include <equipoise/vi/methods.hpp>
#include <equipoise/vi/sampled_mean.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace equipoise::vi {

/// `method.step`: chosen and adapted by the method, the theory's, or a number.
struct StepRule {
  enum class Kind { automatic, theory, number };
  Kind kind = Kind::automatic;
  double value = 0.0;
  /// Throws ConfigurationError for anything but auto, theory or a positive number.
  static StepRule parse(const std::string& text);
  [[nodiscard]] bool automatic() const { return kind == Kind::automatic; }
};

/// What the tolerance is compared with (`stop.measure`): the natural residual relative to the
/// start, or the squared relative distance to the known solution.
class Measure {
 public:
  Measure(Evaluation& evaluation, const std::string& name);
  [[nodiscard]] bool needs_operator() const { return !distance_; }
  /// The measure at z, given F(z) (not read for the distance). The first residual becomes the
  /// reference.
  double at(std::span<const double> z, std::span<const double> operator_value,
            std::span<double> scratch);
  void fields(state::FieldVisitor& visit) { visit.scalar("measure/reference", reference_); }

 private:
  Evaluation& evaluation_;
  bool distance_;
  double reference_ = 0.0;
  std::vector<double> solution_;
};

/// What every method of the family has: the evaluation, the measure, the report, the iteration
/// number.
class Base : public solve::Method {
 public:
  Base(const Setting& setting, const ProblemView& problem, const Compression& compression)
      : f_(setting, problem, compression), measure_(f_, setting.measure), notes_(setting.notes) {}

  [[nodiscard]] solve::Report report() const override { return report_; }
  [[nodiscard]] parallel::Traffic traffic() const override { return f_.traffic(); }
  [[nodiscard]] solve::Counters counters() const override { return f_.counters(); }
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> notes() const override {
    return notes_;
  }

 protected:
  void base_fields(state::FieldVisitor& visit) {
    visit.scalar("iteration", iteration_);
    visit.scalar("report/residual", report_.residual);
    measure_.fields(visit);
    if (!f_.problem().partitioned()) f_.mean().fields(visit);
  }
  /// Evaluates the measure and marks the report as fresh; a NaN fails the run.
  void assess(std::span<const double> z, std::span<const double> operator_value,
              std::span<double> scratch);
  /// p as messages like `rows` [hosted x d] really are long, where the codec does not know its
  /// beta: encoded whole, so that the length depends on no rank count. Returns the factor that p
  /// has changed by. **Collective**, one reduction.
  [[nodiscard]] double measure_compression(double& p, std::span<const double> rows);
  std::vector<double> vector() const { return std::vector<double>(f_.size(), 0.0); }
  std::vector<double> start() const {
    auto z = vector();
    f_.problem().start(f_.owned(), z);
    return z;
  }

  Evaluation f_;
  Measure measure_;
  solve::Report report_;
  std::int64_t iteration_ = 0;
  std::vector<std::pair<std::string, std::string>> notes_;
};

/// Largest ratio norm(A(z + t v) - A(z)) / t over power iterations v := J v / norm(J v), from a
/// direction equal on every rank. Communicates what `apply` does.
using Apply = std::function<void(std::span<const double> z, std::span<double> out)>;
double power_iteration(Evaluation& f, std::span<const double> z, int rounds, const Apply& apply);
/// Throws ConfigurationError where a codec is biased, naming it and what to do instead; the server
/// codec may be where the owners keep what it drops.
void require_unbiased(const Evaluation& f, const std::string& method,
                      const Compression& compression, bool server_feedback = false);
/// Throws ConfigurationError where error feedback would let a codec's errors grow (omega >= 1).
void require_contractive(const Evaluation& f, const Compression& compression,
                         bool server_alone = false);
/// Why a method that exchanges a mean over agents cannot take this problem, or "".
std::string refuse_partitioned(const ProblemView& problem, const std::string& method);
/// p = max(1/beta, 1/d): as many bytes in snapshots as in messages; and at least the density of a
/// sparsifier, however few bytes its values take. A codec that does not know its beta gets 1/d
/// until a message has been measured.
double usual_snapshot_probability(const Evaluation& f);
/// A mean over `participants` agents drawn anew each iteration, with the device codec.
SampledMean sampled_mean(const Evaluation& f, std::int64_t participants,
                         const Compression& compression);

/// L_m of every agent from local operator calls alone; one allgatherv of a number per agent.
/// **Collective.**
double estimate_lipschitz_rms(Evaluation& f, std::span<const double> z);
/// L of F, `rounds` uncompressed means. **Collective.**
double estimate_lipschitz(Evaluation& f, std::span<const double> z, int rounds);

/// The entry of a method whose constructor takes (setting, problem, options).
template <class M, class Options>
MethodSpec spec_of(const std::string& name, const std::string& help,
                   std::string (*refuse)(const ProblemView&, const std::string&)) {
  return {name, help, [](state::OptionVisitor& visit) { Options{}.describe(visit); },
          [name, refuse](const ProblemView& problem) { return refuse(problem, name); },
          [](const Setting& setting, const ProblemView& problem, state::Config& config) {
            Options options;
            config.read("method", options);
            return std::make_unique<M>(setting, problem, options);
          }};
}

MethodSpec extragradient_spec();
MethodSpec compressed_extragradient_spec();
MethodSpec masha1_spec();
MethodSpec masha2_spec();
MethodSpec accelerated_gradient_spec();
MethodSpec automatic_spec();
MethodSpec cogs_spec();
MethodSpec diana_spec();
MethodSpec ogs_spec();
MethodSpec optimistic_masha_spec();
MethodSpec optimistic_spec();
MethodSpec proxskip_spec();
MethodSpec qgenx_spec();
MethodSpec sgda_spec();
MethodSpec svogs_spec();
MethodSpec three_pillars_spec();

}  // namespace equipoise::vi
