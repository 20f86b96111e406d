#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/virtual_ranks.hpp>
#include <equipoise/partition/distributed_vector.hpp>
#include <equipoise/vi/evaluation.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace equipoise::vi {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

compress::MeanSetting mean_setting(const Setting& setting, const ProblemView& problem,
                                   const Compression& compression) {
  compress::MeanSetting mean;
  mean.dimension = problem.dimension();
  for (std::int64_t m = 0; m < problem.agents(); ++m) mean.weights.push_back(problem.weight(m));
  mean.codec = compression.codec;
  mean.server_codec = compression.server_codec;
  mean.collective = compression.collective;
  mean.error_feedback = compression.error_feedback;
  mean.chunks = setting.chunks;
  mean.fast = setting.fast;
  mean.seed = setting.seed;
  return mean;
}

Evaluation::Evaluation(Setting setting, ProblemView problem, const Compression& compression)
    : setting_(std::move(setting)), problem_(problem) {
  const int ranks = setting_.comm.size();
  const int rank = setting_.comm.rank();
  if (problem_.partitioned()) {
    if (compression.codec != "identity" || compression.server_codec != "identity") {
      throw ConfigurationError(
          "codecs compress a mean over agents, but this problem's vector is partitioned over ranks "
          "and has "
          "none; leave method.codec and method.server_codec out");
    }
    if (parallel::VirtualRanks::on(setting_.comm)) {
      throw ConfigurationError(
          "run.virtual_ranks counts means over agents, but this problem's vector is partitioned "
          "over ranks and has none; leave it out");
    }
    owned_ = problem_.layout().owned(rank);
    agents_ = partition::Partition::uniform(1, ranks);
    halo_.emplace(setting_.comm, problem_.layout().coordinates(), problem_.ghosts(rank));
  } else {
    owned_ = {0, problem_.dimension()};
    agents_ = partition::Partition::uniform(problem_.agents(), ranks);
    hosted_ = agents_.range(rank);
    mean_.emplace(setting_.comm, agents_, mean_setting(setting_, problem_, compression));
  }
}

std::size_t Evaluation::rows_size() const { return at(hosted_.size() * problem_.dimension()); }

void Evaluation::agent(std::int64_t m, std::span<const double> z, std::span<double> out) {
  try {
    problem_.apply(m, z, out);
    ++operator_calls_;
  } catch (...) {
    fail(m, out);
  }
}

void Evaluation::batch(std::int64_t m, std::span<const double> z,
                       std::span<const std::int64_t> parts, std::span<double> out) {
  try {
    problem_.apply_batch(m, z, parts, out);
    part_calls_ += std::ssize(parts);
  } catch (...) {
    fail(m, out);
  }
}

void Evaluation::surrogate(std::span<const double> z, std::span<double> out) {
  try {
    problem_.surrogate(z, out);
    ++surrogate_calls_;
  } catch (...) {
    fail(0, out);
  }
}

void Evaluation::fail(std::int64_t agent, std::span<double> out) {
  failure_ = std::current_exception();
  failed_agent_ = agent;
  std::fill(out.begin(), out.end(), std::numeric_limits<double>::quiet_NaN());
}

void Evaluation::agents(std::span<const double> z, std::span<double> rows) {
  const std::size_t d = z.size();
  for (std::int64_t m = hosted_.begin; m < hosted_.end; ++m) {
    agent(m, z, rows.subspan(at(m - hosted_.begin) * d, d));
  }
}

void Evaluation::average(std::span<const double> rows, std::span<double> out) {
  mean_->dense(rows, out);
  check_finite(rows, out);
}

void Evaluation::compressed(std::int64_t iteration, std::span<const double> rows,
                            std::span<double> out) {
  (*mean_)(iteration, rows, out);
  check_finite(rows, out);
}

void Evaluation::full(std::span<const double> z, std::span<double> out) {
  if (!halo_) {
    rows_.resize(rows_size());
    agents(z, rows_);
    average(rows_, out);
    return;
  }
  const auto ghosts = halo_->exchange(z);
  halo_traffic_.rounds += 1;
  try {
    problem_.apply_partitioned(owned_, z, ghosts, out);
    ++operator_calls_;
  } catch (...) {
    failure_ = std::current_exception();
    std::fill(out.begin(), out.end(), std::numeric_limits<double>::quiet_NaN());
  }
}

void Evaluation::check_finite(std::span<const double> rows, std::span<const double> out) {
  if (linalg::all_finite(out)) return;
  std::vector<std::int64_t> all(at(hosted_.size()));
  std::iota(all.begin(), all.end(), hosted_.begin);
  require_finite(rows, all, out);
}

void Evaluation::require_finite(std::span<const double> rows, std::span<const std::int64_t> agents,
                                std::span<const double> out) {
  if (linalg::all_finite(out)) return;  // `out` is equal on every rank, and so is this decision
  parallel::agree(setting_.comm, [&] {
    throw_failure();
    const std::size_t d = out.size();
    for (std::size_t k = 0; k < agents.size(); ++k) {
      const auto row = rows.subspan(k * d, d);
      if (linalg::all_finite(row)) continue;
      const auto bad =
          std::find_if(row.begin(), row.end(), [](double v) { return !std::isfinite(v); });
      throw NotFiniteError(
          "agent {} contributed {} at coordinate {}; a smaller method.step or better scaled "
          "data may help",
          agents[k], *bad, bad - row.begin());
    }
  });
  // Every contribution is finite, their sum or what a codec made of it is not: the largest is
  // named.
  std::array<double, 2> largest = {-1.0, -1.0};  // agent, magnitude
  const std::size_t d = out.size();
  for (std::size_t k = 0; k < agents.size(); ++k) {
    for (const double v : rows.subspan(k * d, d)) {
      if (std::fabs(v) > largest[1]) largest = {static_cast<double>(agents[k]), std::fabs(v)};
    }
  }
  std::vector<double> all(2 * at(setting_.comm.size()));
  MPI_Allgather(largest.data(), 2, MPI_DOUBLE, all.data(), 2, MPI_DOUBLE, setting_.comm.handle());
  for (std::size_t r = 0; r < all.size(); r += 2) {
    if (all[r + 1] > largest[1] || (all[r + 1] == largest[1] && all[r] < largest[0])) {
      largest = {all[r], all[r + 1]};
    }
  }
  throw NotFiniteError(
      "the mean over agents left the finite numbers; agent {} contributed the largest entry, "
      "{:.3g}; "
      "a smaller method.step may help",
      static_cast<std::int64_t>(largest[0]), largest[1]);
}

void Evaluation::rethrow_failure() {
  parallel::agree(setting_.comm, [&] { throw_failure(); });
}

/// The error of a user's function keeps its exit code and learns where it came from.
void Evaluation::throw_failure() {
  if (!failure_) return;
  const std::string where =
      halo_ ? fmt::format("the problem's function on rank {} failed", setting_.comm.rank())
            : fmt::format("the operator of agent {} failed", failed_agent_);
  try {
    std::rethrow_exception(std::exchange(failure_, nullptr));
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", where, error.what()));
  } catch (const std::exception& error) {
    throw Error(Exit::defect, fmt::format("{}: {}", where, error.what()));
  } catch (...) {
    throw Error(Exit::defect, where);
  }
}

double Evaluation::dot(std::span<const double> a, std::span<const double> b) const {
  return halo_ ? partition::dot(setting_.comm, problem_.layout(), a, b) : linalg::dot(a, b);
}

double Evaluation::norm(std::span<const double> a) const { return std::sqrt(dot(a, a)); }

double Evaluation::distance(std::span<const double> a, std::span<const double> b,
                            std::span<double> scratch) const {
  if (!halo_) return std::sqrt(linalg::squared_distance(a, b));
  linalg::add_scaled(a, -1.0, b, scratch);
  return norm(scratch);
}

void Evaluation::prox(double step, std::span<double> z) {
  if (!problem_.constrained()) return;
  ++prox_calls_;
  if (!halo_) return problem_.prox(step, owned_, z);  // alike on every rank, errors included
  try {
    problem_.prox(step, owned_, z);
  } catch (...) {
    failure_ = std::current_exception();
    std::fill(z.begin(), z.end(), std::numeric_limits<double>::quiet_NaN());
  }
}

double Evaluation::natural_residual(std::span<const double> z,
                                    std::span<const double> operator_value,
                                    std::span<double> scratch) {
  if (!problem_.constrained()) return norm(operator_value);
  linalg::add_scaled(z, -1.0, operator_value, scratch);
  prox(1.0, scratch);
  linalg::add_scaled(z, -1.0, scratch, scratch);
  return norm(scratch);
}

std::vector<double> Evaluation::gather(std::span<const double> by_hosted_agent) const {
  std::vector<int> counts;
  std::vector<int> offsets;
  for (int r = 0; r < agents_.parts(); ++r) {
    counts.push_back(static_cast<int>(agents_.range(r).size()));
    offsets.push_back(static_cast<int>(agents_.range(r).begin));
  }
  std::vector<double> all(at(agents_.size()));
  MPI_Allgatherv(by_hosted_agent.data(), static_cast<int>(by_hosted_agent.size()), MPI_DOUBLE,
                 all.data(), counts.data(), offsets.data(), MPI_DOUBLE, setting_.comm.handle());
  return all;
}

void Evaluation::visit(state::FieldVisitor& visitor, std::string_view name,
                       std::vector<double>& z) const {
  if (halo_) {
    visitor.partitioned(name, problem_.layout().coordinates(), setting_.comm.rank(), 1, z);
  } else {
    visitor.replicated(name, z);
  }
}

void Evaluation::visit_rows(state::FieldVisitor& visitor, std::string_view name,
                            std::vector<double>& rows) const {
  visitor.partitioned(name, agents_, setting_.comm.rank(), problem_.dimension(), rows);
}

parallel::Traffic Evaluation::traffic() const {
  parallel::Traffic total = mean_ ? mean_->traffic() : halo_->traffic();
  total.rounds += halo_traffic_.rounds;
  return total;
}

solve::Counters Evaluation::counters() const {
  // The surrogate is replicated: every rank makes the same calls, and one of them is counted.
  const std::int64_t own = setting_.comm.rank() == 0 ? surrogate_calls_ : 0;
  return {{"operator", operator_calls_},
          {"prox", prox_calls_},
          {"part", part_calls_},
          {"surrogate", own}};
}

}  // namespace equipoise::vi
