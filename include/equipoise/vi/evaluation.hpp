#pragma once

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/solve/method.hpp>
#include <equipoise/vi/problem.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace equipoise::vi {

/// What a run decides for every method: who takes part, and how results may depend on the rank
/// count.
struct Setting {
  parallel::Comm comm;
  std::uint64_t seed = 0;
  bool fast = false;                 ///< run.reduction = fast
  std::int64_t chunks = 0;           ///< run.chunks, 0 for the default
  std::string measure = "residual";  ///< stop.measure: residual or distance
  /// stop.tolerance: a method that estimates its residual checks it by an exact mean before it
  /// reports a value at or below this.
  double tolerance = 0.0;
  /// Choices made before the method, for its log.
  std::vector<std::pair<std::string, std::string>> notes{};
};

/// Codecs of a method's means.
struct Compression {
  std::string codec = "identity";
  std::string server_codec = "identity";
  std::string collective = "bytes";
  bool error_feedback = false;
};

/// The mean over the agents of a problem.
[[nodiscard]] compress::MeanSetting mean_setting(const Setting& setting, const ProblemView& problem,
                                                 const Compression& compression);

/// A problem set up on its ranks: the operator, its parts and means, inner products, prox and
/// counters.
///
/// One interface for both kinds of problem. With agents every rank holds z in full ("owned" is
/// everything, scalars cost nothing); with a partitioned z every rank holds its entries (scalars
/// cost one reduction). A user's function that throws on one rank fills its contribution with NaN,
/// which reaches every rank through the mean; then all ranks throw the same error. So the normal
/// path needs no agreement.
class Evaluation {
 public:
  Evaluation(Setting setting, ProblemView problem, const Compression& compression);

  [[nodiscard]] const ProblemView& problem() const { return problem_; }
  [[nodiscard]] const Setting& setting() const { return setting_; }
  [[nodiscard]] partition::Range owned() const { return owned_; }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(owned_.size()); }
  [[nodiscard]] partition::Range hosted() const { return hosted_; }
  /// hosted agents x d, the size of a matrix of contributions.
  [[nodiscard]] std::size_t rows_size() const;
  [[nodiscard]] compress::Mean& mean() { return *mean_; }
  [[nodiscard]] const compress::Mean& mean() const { return *mean_; }

  /// out = F_m(z) of a hosted agent. Communication-free.
  void agent(std::int64_t agent, std::span<const double> z, std::span<double> out);
  /// out = the mean of a hosted agent's parts in `parts`, at z. Communication-free.
  void batch(std::int64_t agent, std::span<const double> z, std::span<const std::int64_t> parts,
             std::span<double> out);
  /// out = F_1(z), the problem's surrogate, with the same bits on every rank. Communication-free.
  void surrogate(std::span<const double> z, std::span<double> out);
  /// rows = F_m(z) of the hosted agents. Communication-free.
  void agents(std::span<const double> z, std::span<double> rows);
  /// out = sum_m w_m rows_m, uncompressed. **Collective.**
  void average(std::span<const double> rows, std::span<double> out);
  /// The compressed mean, keyed by the iteration. **Collective.**
  void compressed(std::int64_t iteration, std::span<const double> rows, std::span<double> out);
  /// Throws on every rank alike where `out`, equal on every rank, holds a NaN or Inf: the error of
  /// a user's function that failed, or the first of `agents` whose row [agents x d] is not finite.
  /// **Collective** only then.
  void require_finite(std::span<const double> rows, std::span<const std::int64_t> agents,
                      std::span<const double> out);
  /// out = F(z). **Collective**, one round (a halo exchange for a partitioned z).
  void full(std::span<const double> z, std::span<double> out);
  /// Gives back the room that `full` keeps for contributions [hosted x d], for methods that have
  /// their own.
  void release_scratch() { std::vector<double>().swap(rows_); }

  /// Inner products over all of R^d. **Collective** for a partitioned z, else free.
  [[nodiscard]] double dot(std::span<const double> a, std::span<const double> b) const;
  [[nodiscard]] double norm(std::span<const double> a) const;
  /// norm(a - b), with `scratch` [owned] for a partitioned z.
  [[nodiscard]] double distance(std::span<const double> a, std::span<const double> b,
                                std::span<double> scratch) const;
  void prox(double step, std::span<double> z);
  /// Throws the error of a problem's function that failed on any rank and showed itself as NaN.
  /// **Collective**, one allreduce.
  void rethrow_failure();
  /// norm(z - prox_{h}(z - F)), the natural residual with g = 1. **Collective** for a partitioned
  /// z.
  [[nodiscard]] double natural_residual(std::span<const double> z,
                                        std::span<const double> operator_value,
                                        std::span<double> scratch);
  /// One number per agent, from the hosted agents' to all. **Collective**, one allgatherv.
  [[nodiscard]] std::vector<double> gather(std::span<const double> by_hosted_agent) const;

  /// Names a vector of the size of z, replicated or partitioned as the problem is.
  void visit(state::FieldVisitor& visitor, std::string_view name, std::vector<double>& z) const;
  /// Names a matrix of contributions, by agent.
  void visit_rows(state::FieldVisitor& visitor, std::string_view name,
                  std::vector<double>& rows) const;

  [[nodiscard]] parallel::Traffic traffic() const;
  [[nodiscard]] solve::Counters counters() const;

 private:
  void check_finite(std::span<const double> rows, std::span<const double> out);
  /// Keeps the exception in flight, and fills `out` with NaN so that it reaches every rank.
  void fail(std::int64_t agent, std::span<double> out);
  void throw_failure();

  Setting setting_;
  ProblemView problem_;
  partition::Range owned_;
  partition::Range hosted_;
  partition::Partition agents_;
  std::optional<compress::Mean> mean_;
  std::optional<partition::Halo> halo_;
  parallel::Traffic halo_traffic_;
  std::vector<double> rows_;  ///< scratch of `full`
  std::exception_ptr failure_;
  std::int64_t failed_agent_ = -1;
  std::int64_t operator_calls_ = 0;
  std::int64_t prox_calls_ = 0;
  std::int64_t part_calls_ = 0;
  std::int64_t surrogate_calls_ = 0;
};

}  // namespace equipoise::vi
