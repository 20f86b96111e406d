#include "bench.hpp"
#include "command.hpp"

#include <equipoise/problems/registry.hpp>

#include <fmt/format.h>

#include <chrono>
#include <ctime>

namespace equipoise::drivers {
namespace {

/// When a method reached each of the levels, and what it had done by then.
struct Levels {
  std::vector<double> levels = {1e-4, 1e-6};
  double seconds = 300.0;
  void describe(state::OptionVisitor& visit) {
    visit.option("levels", levels, "values of the measure whose times are wanted, falling",
                 state::positive);
    visit.option("seconds", seconds, "give up after so many seconds", state::positive);
  }
};

}  // namespace

int bench_times(const parallel::Comm& comm, const std::vector<std::string>& defaults,
                const std::vector<std::string>& words) {
  std::vector<std::string> all = defaults;
  all.insert(all.end(), words.begin(), words.end());
  Case c = open_case(comm, read_words(comm, all));
  Levels wanted;
  c.config.read("bench", wanted);
  c.config.set("stop.tolerance", fmt::format("{}", wanted.levels.back()));
  solve::StopOptions stop;
  solve::SaveOptions save;
  c.config.read("stop", stop);
  c.config.read("run", save);
  const double data = resident_memory("VmRSS:");
  const auto before = std::chrono::steady_clock::now();
  const std::clock_t processor_before = std::clock();
  const auto seconds = [&] {
    return comm.max(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count());
  };
  // The processor's, of the busiest rank; waiting for messages counts.
  const auto processor = [&] {
    return comm.max(static_cast<double>(std::clock() - processor_before) / CLOCKS_PER_SEC);
  };
  const auto times = [&] { return fmt::format("{:.3f} ({:.3f}) s", seconds(), processor()); };
  const auto method = c.instance->make_method(c.method, c.config);
  c.config.reject_unused();
  const std::string set_up = times();
  if (comm.rank() == 0) {
    fmt::print("{} / {}, {} rank{}; seconds (of the processor)\n", c.name, c.method, comm.size(),
               comm.size() == 1 ? "" : "s");
    for (const auto& [key, value] : c.instance->facts()) fmt::print("{}: {}\n", key, value);
    fmt::print("{:>10} {:>10} {:>12} {:>20} {:>22}\n", "set-up", "", "", set_up, "objective");
  }
  std::int64_t iteration = 0;
  for (const double level : wanted.levels) {
    double now = 0.0;
    while (!(method->report().residual <= level) && now < wanted.seconds) {
      method->step();
      if (++iteration % 16 == 0) now = seconds();
    }
    const std::string taken = times();
    const solve::Report report = method->report();
    if (comm.rank() == 0) {
      fmt::print("{:>10.1e} {:>10} {:>12.3e} {:>20} {:>22.12g}\n", level, iteration,
                 report.residual, taken, report.objective);
      std::fflush(stdout);
    }
  }
  const double sent = comm.max(static_cast<double>(method->traffic().sent));
  const double peak = comm.max(resident_memory("VmHWM:"));
  const double held = comm.max(resident_memory("VmRSS:"));
  const double at_start = comm.max(data);
  if (comm.rank() == 0) {
    fmt::print(
        "memory per rank: {:.1f} MB after the set-up of the problem, {:.1f} MB at the end, "
        "{:.1f} MB at the peak; sent per rank: {:.1f} MB\n",
        1e-6 * at_start, 1e-6 * held, 1e-6 * peak, 1e-6 * sent);
  }
  return 0;
}

}  // namespace equipoise::drivers
