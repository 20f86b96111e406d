#include <equipoise/pareto/evaluation.hpp>
#include <equipoise/partition/partition.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace equipoise::pareto {
namespace {

std::string describe(std::span<const double> x) {
  std::string text = "(";
  for (std::size_t i = 0; i < std::min<std::size_t>(x.size(), 4); ++i) {
    text += fmt::format("{}{:.6g}", i ? ", " : "", x[i]);
  }
  return text + (x.size() > 4 ? ", ...)" : ")");
}

}  // namespace

std::string evaluate_one(const ProblemView& problem, std::span<const double> x, std::span<double> f,
                         double& violation) {
  std::string reason;
  std::vector<double> c(problem.constraints(), 0.0);
  violation = 0.0;
  try {
    problem.evaluate(x, f, c);
    for (std::size_t j = 0; j < f.size() && reason.empty(); ++j) {
      if (!std::isfinite(f[j])) reason = fmt::format("objective {} is {}", j + 1, f[j]);
    }
    for (std::size_t j = 0; j < c.size() && reason.empty(); ++j) {
      if (std::isnan(c[j])) reason = fmt::format("constraint {} is {}", j + 1, c[j]);
      violation += std::max(c[j], 0.0);
    }
  } catch (const std::exception& error) {
    reason = error.what();
  }
  if (reason.empty()) return reason;
  std::fill(f.begin(), f.end(), std::numeric_limits<double>::infinity());
  violation = std::numeric_limits<double>::infinity();
  return fmt::format("at x = {}: {}", describe(x), reason);
}

void evaluate(const parallel::Comm& comm, const ProblemView& problem, Population& candidates,
              Failures& failures) {
  const std::size_t m = candidates.size();
  const std::size_t k = candidates.objectives;
  const std::size_t width = k + 1;
  const auto share = partition::Partition::uniform(static_cast<std::int64_t>(m), comm.size());
  std::vector<double> all(m * width);
  std::int64_t failed = 0;
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  std::string message;
  const auto mine = share.range(comm.rank());
  for (std::int64_t i = mine.begin; i < mine.end; ++i) {
    const auto at = static_cast<std::size_t>(i);
    double* row = all.data() + at * width;
    const std::string reason = evaluate_one(problem, candidates.point(at), {row, k}, row[k]);
    if (reason.empty()) continue;
    if (failed++ == 0) {
      first = i;
      message = reason;
    }
  }
  std::vector<int> counts;
  std::vector<int> offsets;
  for (int r = 0; r < comm.size(); ++r) {
    counts.push_back(static_cast<int>(share.range(r).size()) * static_cast<int>(width));
    offsets.push_back(static_cast<int>(share.range(r).begin) * static_cast<int>(width));
  }
  MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all.data(), counts.data(), offsets.data(),
                 MPI_DOUBLE, comm.handle());
  candidates.f.resize(m * k);
  candidates.violation.resize(m);
  bool failure = false;
  for (std::size_t i = 0; i < m; ++i) {
    std::copy_n(all.data() + i * width, k, candidates.f.data() + i * k);
    candidates.violation[i] = all[i * width + k];
    failure = failure || std::isinf(candidates.violation[i]);
  }
  if (!failure) return;
  failures.count += comm.sum(failed);
  if (failures.first.empty()) {
    const std::int64_t earliest = comm.min(first);
    if (earliest < static_cast<std::int64_t>(m)) {
      failures.first = comm.broadcast(message, share.owner(earliest));
    }
  }
}

}  // namespace equipoise::pareto
