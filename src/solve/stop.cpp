#include <equipoise/solve/run.hpp>

namespace equipoise::solve {

std::string name(Stop stop) {
  switch (stop) {
    case Stop::converged:
      return "converged";
    case Stop::budget_spent:
      return "budget_spent";
    case Stop::iteration_limit:
      return "iteration_limit";
    case Stop::time_limit:
      return "time_limit";
    case Stop::byte_limit:
      return "byte_limit";
    case Stop::stalled:
      return "stalled";
    case Stop::diverged:
      return "diverged";
    case Stop::not_finite:
      return "not_finite";
    case Stop::interrupted:
      return "interrupted";
  }
  return "unknown";
}

void StopOptions::describe(state::OptionVisitor& visit) {
  visit.option("tolerance", tolerance, "stop when the measure (stop.measure) is at or below this",
               state::positive);
  visit.option("max_iterations", max_iterations, "stop after this many iterations",
               state::non_negative);
  visit.option(
      "max_seconds", max_seconds,
      "stop after this many seconds, with a checkpoint; a resumed run has them anew; 0 for "
      "no limit",
      state::non_negative);
  visit.option("max_bytes", max_bytes,
               "stop when a rank has sent or received this many bytes; 0 for no limit",
               state::non_negative);
  visit.option("stall_checks", stall_checks,
               "stop when this many evaluations of the measure brought no new best; 0 for never",
               state::non_negative);
  visit.option("divergence", divergence,
               "stop when the measure exceeds its first value by this factor", state::at_least_one);
}

void SaveOptions::describe(state::OptionVisitor& visit) {
  visit.option("checkpoint_every", checkpoint_every,
               "seconds between checkpoints (with --checkpoint DIR); 0 for none on time",
               state::non_negative);
  visit.option("checkpoint_iterations", checkpoint_iterations,
               "iterations between checkpoints; 0 for none by count", state::non_negative);
  visit.option("checkpoint_keep", checkpoint_keep, "how many checkpoints are kept",
               state::at_least_one);
  visit.option("hang_seconds", hang_seconds,
               "when no step ends for this long and a rank of this machine uses no processor time, "
               "name that rank and "
               "end the job, for requeueing where there is a checkpoint directory; 0 for never",
               state::non_negative);
  visit.option("trace_rows", trace_rows, "about how many rows of history are kept",
               state::at_least_one);
}

Exit Summary::exit_code() const {
  switch (stop) {
    case Stop::converged:
    case Stop::budget_spent:
      return Exit::ok;
    case Stop::diverged:
    case Stop::not_finite:
      return Exit::diverged;
    case Stop::interrupted:
    case Stop::time_limit:
      return checkpoint.empty() ? Exit::limit : Exit::requeue;
    default:
      return Exit::limit;
  }
}

}  // namespace equipoise::solve
