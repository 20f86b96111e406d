#pragma once

#include <equipoise/parallel/comm.hpp>

#include <functional>
#include <string>
#include <vector>

namespace equipoise::drivers {

using Words = std::vector<std::string>;

/// A bench of `equipoise bench NAME [key=value ...]`. `run` is **Collective** and returns an exit
/// code.
struct Bench {
  std::string name, help;
  std::function<int(const parallel::Comm&, const Words&)> run;
};
/// All of them, in the order of the help text.
const std::vector<Bench>& benches();

int bench_mean(const parallel::Comm& comm, const Words& words);
int bench_collectives(const parallel::Comm& comm, const Words& words);
int bench_codecs(const parallel::Comm& comm, const Words& words);
int bench_memory(const parallel::Comm& comm, const Words& words);
int bench_checkpoint(const parallel::Comm& comm, const Words& words);
int bench_bilevel_trials(const parallel::Comm& comm, const Words& words);
int bench_control(const parallel::Comm& comm, const Words& words);
int bench_convergence(const parallel::Comm& comm, const Words& words);
int bench_obstacle(const parallel::Comm& comm, const Words& words);
int bench_pareto_farm(const parallel::Comm& comm, const Words& words);
int bench_pareto_pde(const parallel::Comm& comm, const Words& words);
int bench_products(const parallel::Comm& comm, const Words& words);
/// One case on the first 1, 2, 4, ... of the ranks: steps, seconds, memory and bytes per rank; a
/// random linear program where none is named.
int bench_scaling(const parallel::Comm& comm, const Words& words);
/// When a method reached each of `bench.levels`, with the bytes it moved and the memory it took;
/// `defaults` stand before the words. `bench lp` and `bench traffic` are this.
int bench_times(const parallel::Comm& comm, const Words& defaults, const Words& words);

/// Memory of this process in bytes, by a key of /proc/self/status: resident now ("VmRSS:") or at
/// its peak ("VmHWM:").
double resident_memory(const std::string& key);

}  // namespace equipoise::drivers
