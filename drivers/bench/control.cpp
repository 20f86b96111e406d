#include "bench.hpp"
#include "command.hpp"

#include <equipoise/control/all_at_once.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace equipoise::drivers {
namespace {

struct Study {
  std::int64_t dimension = 2;
  std::vector<double> cells = {64, 256};
  std::vector<double> betas = {1e-2, 1e-4, 1e-6, 1e-8};
  std::int64_t cycles = 1;
  bool eliminate_control = false, nested = control::AllAtOnceOptions{}.nested;
  std::int64_t repeats = 3;
  void describe(state::OptionVisitor& visit) {
    visit.option("dimension", dimension, "of the unit box", {1.0, 3.0});
    visit.option("cells", cells, "cells per direction");
    visit.option("betas", betas, "costs of the control");
    visit.option("cycles", cycles, "V-cycles a block", state::at_least_one);
    visit.option("eliminate_control", eliminate_control, "iterate on state and adjoint");
    visit.option("nested", nested, "start from the solution on coarser grids");
    visit.option("repeats", repeats, "measurements, of which the median is shown",
                 state::at_least_one);
  }
};

double corner(const control::Point& x) {
  if (std::max({x[0], x[1], x[2]}) > 0.5) return 0.0;
  return std::pow((2 * x[0] - 1) * (2 * x[1] - 1) * (2 * x[2] - 1), 2);
}

double peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024.0 * std::stod(line.substr(6));
  }
  return 0.0;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

template <class Work>
double seconds(const parallel::Comm& comm, const Work& work) {
  comm.barrier();
  const double start = MPI_Wtime();
  work();
  return comm.max(MPI_Wtime() - start);
}

}  // namespace

/// MINRES of `control::AllAtOnce` on the corner target to 1e-6 and 1e-10: iterations and time, in
/// seconds and in units of one multigrid CG solve of the Poisson equation to 1e-10 made just
/// before.
int bench_control(const parallel::Comm& comm, const std::vector<std::string>& words) {
  Study study;
  {
    std::vector<std::string> prefixed;
    for (const auto& word : words) prefixed.push_back("bench." + word);
    state::Config config = read_words(comm, prefixed);
    config.read("bench", study);
    config.reject_unused();
  }
  if (comm.rank() == 0) {
    fmt::print(
        "all-at-once, corner target, {}-D, {} cycles a block, {} ranks; unit: one Poisson solve to "
        "1e-10\n{:>6} {:>8} {:>9} {:>9} {:>10} {:>9} {:>9} {:>10} {:>14}\n",
        study.dimension, study.cycles, comm.size(), "cells", "beta", "its 1e-6", "1e-10",
        "unit [s]", "units", "units", "1e-6 [s]", "bytes/unknown");
  }
  for (const double cells : study.cells) {
    const control::GridShape shape{.dimension = static_cast<int>(study.dimension),
                                   .cells = static_cast<std::int64_t>(cells)};
    const auto hierarchy = std::make_shared<control::Hierarchy>(comm, shape);
    control::Multigrid poisson(hierarchy, 1.0, 0.0, "poisson_");
    for (const double beta : study.betas) {
      auto problem = std::make_shared<control::Tracking>();
      problem->hierarchy = hierarchy;
      problem->beta = beta;
      const int dim = shape.dimension;
      problem->target = problem->grid().interpolate([dim](const control::Point& x) {
        control::Point used{};
        std::copy_n(x.begin(), dim, used.begin());
        return corner(used);
      });
      problem->source = problem->grid().vector();
      auto load = problem->grid().vector(), solution = problem->grid().vector();
      problem->grid().apply(problem->target, nullptr, load);
      std::int64_t iterations[2] = {0, 0};
      std::vector<double> unit, coarse, fine, coarse_seconds;
      for (std::int64_t repeat = 0; repeat < study.repeats; ++repeat) {
        control::AllAtOnce method(problem, {.cycles = study.cycles,
                                            .eliminate_control = study.eliminate_control,
                                            .nested = study.nested});
        unit.push_back(seconds(comm, [&] { poisson.solve(load, solution, 1e-10); }));
        iterations[0] = iterations[1] = 0;
        const auto run_to = [&](double tolerance, std::int64_t& count) {
          while (!(method.report().residual <= tolerance) && count < 500) {
            method.step();
            ++count;
          }
        };
        const double first = seconds(comm, [&] { run_to(1e-6, iterations[0]); });
        const double second = seconds(comm, [&] { run_to(1e-10, iterations[1]); });
        unit.push_back(seconds(comm, [&] { poisson.solve(load, solution, 1e-10); }));
        const double one = 0.5 * (unit[unit.size() - 2] + unit.back());
        coarse_seconds.push_back(first);
        coarse.push_back(first / one);
        fine.push_back((first + second) / one);
      }
      const double bytes =
          peak_bytes() * comm.size() / (3.0 * static_cast<double>(problem->grid().nodes()));
      if (comm.rank() == 0) {
        fmt::print("{:>6} {:>8.0e} {:>9} {:>9} {:>10.3f} {:>9.2f} {:>9.2f} {:>10.3f} {:>14.0f}\n",
                   cells, beta, iterations[0], iterations[0] + iterations[1], median(unit),
                   median(coarse), median(fine), median(coarse_seconds), bytes);
        std::fflush(stdout);
      }
    }
  }
  return 0;
}

}  // namespace equipoise::drivers
