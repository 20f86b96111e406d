#include "bench.hpp"
#include "command.hpp"

#include <equipoise/problems/registry.hpp>

#include <fmt/format.h>
#include <malloc.h>

#include <fstream>
#include <string>

namespace equipoise::drivers {

double resident_memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return 1024.0 * std::stod(line.substr(key.size() + 1));
  }
  return 0.0;
}

int bench_memory(const parallel::Comm& comm, const std::vector<std::string>& words) {
  std::vector<std::string> all = {
      "problem.name=game", "problem.structure=low-rank", "problem.dimension=10000000",
      fmt::format("run.agents={}", comm.size()), "stop.max_iterations=5"};
  all.insert(all.end(), words.begin(), words.end());
  Case c = open_case(comm, read_words(comm, all));
  double vector = 0.0;
  for (const auto& [key, value] : c.instance->facts()) {
    if (key == "dimension") vector = 8.0 * std::stod(value);
  }
  malloc_trim(0);  // what the set-up gave back must not hide what the method takes
  const double before = resident_memory("VmRSS:");
  solve::StopOptions stop;
  solve::SaveOptions save;
  c.config.read("stop", stop);
  c.config.read("run", save);
  const auto method = c.instance->make_method(c.method, c.config);
  c.config.reject_unused();
  for (std::int64_t k = 0; k < stop.max_iterations; ++k) method->step();
  const double after = resident_memory("VmHWM:");
  const double vectors = comm.max((after - before) / vector);
  if (comm.rank() == 0) {
    fmt::print(
        "{}: peak of {:.2f} vectors of the size of z per rank beyond the problem's data ({} "
        "ranks)\n",
        c.method, vectors, comm.size());
  }
  return 0;
}

}  // namespace equipoise::drivers
