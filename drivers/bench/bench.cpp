#include "bench.hpp"

#include "command.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/state/config.hpp>

namespace equipoise::drivers {

const std::vector<Bench>& benches() {
  static const std::vector<Bench> all = {
      {"mean", "the mean over agents against MPI_Allreduce, by size", bench_mean},
      {"collectives", "every collective against MPI_Allreduce, by size and density",
       bench_collectives},
      {"codecs", "encoding and decoding against memcpy", bench_codecs},
      {"checkpoint", "writing a checkpoint against HDF5 alone, and what it costs a run",
       bench_checkpoint},
      {"memory", "memory of a method in vectors", bench_memory},
      {"lp", "when a linear program reaches each level of accuracy",
       [](const auto& comm, const Words& words) {
         return bench_times(comm,
                            {"problem.name=lp", "problem.generate=transport", "problem.rows=500",
                             "problem.columns=500"},
                            words);
       }},
      {"traffic", "when a traffic equilibrium reaches each gap",
       [](const auto& comm, const Words& words) {
         return bench_times(comm, {"problem.name=traffic", "bench.levels=[1e-4, 1e-8, 1e-12]"},
                            words);
       }},
      {"products", "an iteration on a linear program next to plain sparse products",
       bench_products},
      {"scaling", "one case on 1, 2, 4, ... ranks: time and memory per rank", bench_scaling},
      {"obstacle", "the obstacle problem next to PETSc's SNESVI", bench_obstacle},
      {"bilevel-trials", "many bilevel runs from a list, continued where it was interrupted",
       bench_bilevel_trials},
      {"control", "solvers of PDE-constrained problems, in Poisson solves", bench_control},
      {"convergence", "errors on refined meshes", bench_convergence},
      {"pareto_farm", "populations whose evaluations take their time, on one rank and on all",
       bench_pareto_farm},
      {"pareto_pde", "fronts of PDE problems, in PDE solves a point", bench_pareto_pde},
  };
  return all;
}

int bench_command(const parallel::Comm& comm, const std::string& name, const Words& words) {
  std::vector<std::string> names;
  for (const Bench& bench : benches()) {
    if (bench.name == name) return bench.run(comm, words);
    names.push_back(bench.name);
  }
  const std::string near = state::nearest(name, names);
  throw ConfigurationError("bench {}: no such bench{}; there are {}", name,
                           near.empty() ? "" : ", did you mean " + near + "?",
                           fmt::join(names, ", "));
}

}  // namespace equipoise::drivers
