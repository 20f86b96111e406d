#include "bench.hpp"
#include "command.hpp"

#include <equipoise/parallel/agree.hpp>

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <ctime>

namespace equipoise::drivers {
namespace {

/// What one run took, of the slowest or largest rank.
struct Run {
  std::int64_t iterations = 0;
  double residual = 0.0;
  double set_up = 0.0, seconds = 0.0, processor = 0.0;
  double memory = 0.0, sent = 0.0;  ///< bytes
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Set-up, and steps to the tolerance. **Collective.**
Run measure(const parallel::Comm& comm, const Words& words) {
  malloc_trim(0);  // what an earlier run gave back must not hide what this one takes
  const double before = resident_memory("VmRSS:");
  auto start = std::chrono::steady_clock::now();
  Case c = open_case(comm, read_words(comm, words));
  solve::StopOptions stop;
  solve::SaveOptions save;
  c.config.read("stop", stop);
  c.config.read("run", save);
  const auto method = c.instance->make_method(c.method, c.config);
  c.config.reject_unused();
  Run run;
  run.set_up = comm.max(seconds_since(start));
  start = std::chrono::steady_clock::now();
  const std::clock_t processor_start = std::clock();
  while (!(method->report().residual <= stop.tolerance) && !method->report().finished &&
         run.iterations < stop.max_iterations) {
    method->step();
    ++run.iterations;
  }
  run.seconds = comm.max(seconds_since(start));
  run.processor =
      comm.max(static_cast<double>(std::clock() - processor_start) / double{CLOCKS_PER_SEC});
  run.residual = method->report().residual;
  malloc_trim(0);
  run.memory = comm.max(resident_memory("VmRSS:") - before);
  run.sent = comm.max(static_cast<double>(method->traffic().sent));
  return run;
}

}  // namespace

int bench_scaling(const parallel::Comm& comm, const Words& words) {
  Words all = words;
  const bool named = std::any_of(words.begin(), words.end(),
                                 [](const auto& w) { return w.starts_with("problem.name="); });
  if (!named) {
    all = {"problem.name=lp",    "problem.generate=random", "problem.per_column=10",
           "problem.rows=50000", "problem.columns=100000",  "method.polish=off",
           "stop.tolerance=1e-6"};
    all.insert(all.end(), words.begin(), words.end());
  }
  if (comm.rank() == 0) {
    fmt::print("{:>6} {:>10} {:>10} {:>9} {:>10} {:>11} {:>9} {:>15} {:>13}\n", "ranks",
               "iterations", "residual", "set-up s", "seconds", "processor s", "speed-up",
               "MB a rank", "MB sent a rank");
  }
  double alone = 0.0;
  for (int ranks = 1; ranks > 0;
       ranks = ranks < comm.size() ? std::min(2 * ranks, comm.size()) : 0) {
    const bool takes_part = comm.rank() < ranks;
    parallel::Comm part = comm.split(takes_part ? 0 : 1);
    parallel::agree(comm, [&] {
      if (!takes_part) return;
      const Run run = measure(part, all);
      if (comm.rank() > 0) return;
      if (ranks == 1) alone = run.seconds;
      fmt::print(
          "{:>6} {:>10} {:>10.1e} {:>9.3f} {:>10.4f} {:>11.4f} {:>9.2f} {:>15.1f} {:>13.1f}\n",
          ranks, run.iterations, run.residual, run.set_up, run.seconds, run.processor,
          alone / run.seconds, 1e-6 * run.memory, 1e-6 * run.sent);
      std::fflush(stdout);
    });
    part.close();
  }
  return 0;
}

}  // namespace equipoise::drivers
