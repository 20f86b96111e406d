#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/pareto/population.hpp>

#include <cstdint>
#include <string>

namespace equipoise::pareto {

/// What went wrong in evaluations so far.
struct Failures {
  std::int64_t count = 0;
  std::string first;  ///< the message of the first one in the order of candidates
};

/// Evaluates one candidate, without communication. A thrown exception or a value that is not finite
/// makes the candidate fail: f and violation infinite, reason returned; "" on success.
[[nodiscard]] std::string evaluate_one(const ProblemView& problem, std::span<const double> x,
                                       std::span<double> f, double& violation);

/// Evaluates all candidates (equal on every rank), each on one rank, in equal contiguous shares;
/// every rank gets every result in the order of the candidates. The bits do not depend on the
/// number of ranks.
/// **Collective**, one allgatherv of (k + 1) numbers per candidate; one more exchange after a
/// failure.
void evaluate(const parallel::Comm& comm, const ProblemView& problem, Population& candidates,
              Failures& failures);

/// The same results, from a queue: rank 0 hands out candidates one by one as ranks become free
/// (each holds one more in advance) and evaluates between times. For evaluations of unequal cost;
/// results do not depend on who computed them. **Collective**, two small messages per candidate,
/// and the allgatherv's worth of a broadcast.
void evaluate_from_queue(const parallel::Comm& comm, const ProblemView& problem,
                         Population& candidates, Failures& failures);

}  // namespace equipoise::pareto
