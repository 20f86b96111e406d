#include "bench.hpp"
#include "timing.hpp"

#include <equipoise/pareto/islands.hpp>
#include <equipoise/problems/pareto/zdt.hpp>

#include <fmt/format.h>

#include <thread>

namespace equipoise::drivers {
namespace {

struct FarmOptions {
  double seconds = 0.01;
  double spread = 0.0;
  bool sleep = true;
  std::int64_t evaluations = 1000;
  std::vector<std::string> methods = {"nsga2", "hypervolume"};
  void describe(state::OptionVisitor& visit) {
    visit.option("seconds", seconds, "cost of an evaluation", state::positive);
    visit.option("spread", spread, "costs vary by this share, up and down", {0.0, 1.0});
    visit.option("sleep", sleep, "an evaluation sleeps (a program elsewhere) instead of computing");
    visit.option("evaluations", evaluations, "of one run", state::at_least_one);
    visit.option("methods", methods, "population methods");
  }
};

/// ZDT1 whose evaluation takes its time.
struct Slow {
  FarmOptions options;
  problems::Zdt problem{1, 0};
  [[nodiscard]] std::int64_t dimension() const { return problem.dimension(); }
  [[nodiscard]] std::int64_t objectives() const { return 2; }
  [[nodiscard]] double lower(std::int64_t i) const { return problem.lower(i); }
  [[nodiscard]] double upper(std::int64_t i) const { return problem.upper(i); }
  void evaluate(std::span<const double> x, std::span<double> f) const {
    using Clock = std::chrono::steady_clock;
    const auto end =
        Clock::now() + std::chrono::duration<double>(options.seconds *
                                                     (1.0 + options.spread * (2.0 * x[0] - 1.0)));
    problem.evaluate(x, f);
    if (options.sleep) std::this_thread::sleep_until(end);
    while (Clock::now() < end) {
    }
  }
};

}  // namespace

int bench_pareto_farm(const parallel::Comm& comm, const Words& words) {
  FarmOptions options;
  read_options(comm, words, options);
  const Slow problem{options};
  for (const auto& method : options.methods) {
    for (const std::string schedule : {"shares", "queue"}) {
      const auto run = [&](const parallel::Comm& on) {
        pareto::IslandOptions islands;
        islands.evaluations = options.evaluations;
        islands.schedule = schedule;
        pareto::Islands search(on, problem, method, {}, islands, 1);
        while (!search.report().finished) search.step();
      };
      // Every rank alone at the same time: both figures are taken under the same load.
      const double alone = timed(comm, [&] { run(parallel::Comm()); });
      const double together = timed(comm, [&] { run(comm); });
      if (comm.rank() != 0) continue;
      fmt::print(
          "{:12} {:7} {} evaluations of {:g} s: one rank {:.3f} s, {} ranks {:.3f} s, {:.3f} times "
          "faster\n",
          method, schedule, options.evaluations, options.seconds, alone, comm.size(), together,
          alone / together);
    }
  }
  return 0;
}

}  // namespace equipoise::drivers
