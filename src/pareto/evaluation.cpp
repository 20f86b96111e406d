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

namespace {

constexpr int task_tag = 71;
constexpr int result_tag = 72;
constexpr std::int64_t no_more = -1;

/// Results by candidate: k values, the violation, and why it failed.
struct Results {
  std::vector<double> rows;
  std::vector<std::string> reasons;
};

/// A result travels as index, k values, violation, and the reason's letters.
void send_result(const parallel::Comm& comm, std::int64_t index, std::span<const double> row,
                 const std::string& reason) {
  std::vector<double> message{static_cast<double>(index)};
  message.insert(message.end(), row.begin(), row.end());
  for (const char letter : reason) message.push_back(static_cast<unsigned char>(letter));
  MPI_Send(message.data(), static_cast<int>(message.size()), MPI_DOUBLE, 0, result_tag,
           comm.handle());
}

void work(const parallel::Comm& comm, const ProblemView& problem, const Population& candidates) {
  const std::size_t k = candidates.objectives;
  std::vector<double> row(k + 1);
  while (true) {
    std::int64_t index = no_more;
    MPI_Recv(&index, 1, MPI_INT64_T, 0, task_tag, comm.handle(), MPI_STATUS_IGNORE);
    if (index == no_more) return;
    const auto at = static_cast<std::size_t>(index);
    const std::string reason =
        evaluate_one(problem, candidates.point(at), std::span(row).first(k), row[k]);
    send_result(comm, index, row, reason);
  }
}

void manage(const parallel::Comm& comm, const ProblemView& problem, const Population& candidates,
            Results& results) {
  const std::size_t k = candidates.objectives;
  const std::size_t width = k + 1;
  const auto total = static_cast<std::int64_t>(candidates.size());
  std::int64_t next = 0;
  std::int64_t done = 0;
  const auto hand_out = [&](int rank) {
    if (next >= total) return;
    MPI_Send(&next, 1, MPI_INT64_T, rank, task_tag, comm.handle());
    ++next;
  };
  for (int round = 0; round < 2; ++round) {
    for (int rank = 1; rank < comm.size(); ++rank) hand_out(rank);
  }
  std::vector<double> message;
  while (done < total) {
    int waiting = 0;
    MPI_Status status;
    // Nothing of its own left: wait for the others instead of asking again and again.
    if (next >= total) {
      MPI_Probe(MPI_ANY_SOURCE, result_tag, comm.handle(), &status);
      waiting = 1;
    } else {
      MPI_Iprobe(MPI_ANY_SOURCE, result_tag, comm.handle(), &waiting, &status);
    }
    if (waiting) {
      int length = 0;
      MPI_Get_count(&status, MPI_DOUBLE, &length);
      message.resize(static_cast<std::size_t>(length));
      MPI_Recv(message.data(), length, MPI_DOUBLE, status.MPI_SOURCE, result_tag, comm.handle(),
               MPI_STATUS_IGNORE);
      const auto at = static_cast<std::size_t>(message[0]);
      std::copy_n(message.begin() + 1, width,
                  results.rows.begin() + static_cast<std::ptrdiff_t>(at * width));
      for (std::size_t i = 1 + width; i < message.size(); ++i) {
        results.reasons[at] += static_cast<char>(static_cast<unsigned char>(message[i]));
      }
      ++done;
      hand_out(status.MPI_SOURCE);
      continue;
    }
    const auto at = static_cast<std::size_t>(next++);
    double* row = results.rows.data() + at * width;
    results.reasons[at] = evaluate_one(problem, candidates.point(at), {row, k}, row[k]);
    ++done;
  }
  for (int rank = 1; rank < comm.size(); ++rank) {
    const std::int64_t end = no_more;
    MPI_Send(&end, 1, MPI_INT64_T, rank, task_tag, comm.handle());
  }
}

}  // namespace

void evaluate_from_queue(const parallel::Comm& comm, const ProblemView& problem,
                         Population& candidates, Failures& failures) {
  const std::size_t m = candidates.size();
  const std::size_t k = candidates.objectives;
  Results results{std::vector<double>(m * (k + 1)), std::vector<std::string>(m)};
  if (comm.rank() == 0) {
    manage(comm, problem, candidates, results);
  } else {
    work(comm, problem, candidates);
  }
  comm.broadcast(std::span(results.rows));
  candidates.f.resize(m * k);
  candidates.violation.resize(m);
  std::int64_t failed = 0;
  for (std::size_t i = 0; i < m; ++i) {
    std::copy_n(results.rows.data() + i * (k + 1), k, candidates.f.data() + i * k);
    candidates.violation[i] = results.rows[i * (k + 1) + k];
    failed += std::isinf(candidates.violation[i]) ? 1 : 0;
  }
  if (failed > 0 && failures.first.empty()) {
    const auto first = std::find_if(results.reasons.begin(), results.reasons.end(),
                                    [](const std::string& reason) { return !reason.empty(); });
    failures.first = comm.broadcast(first == results.reasons.end() ? std::string() : *first);
  }
  failures.count += failed;
}

}  // namespace equipoise::pareto
