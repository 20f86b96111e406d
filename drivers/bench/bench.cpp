#include "command.hpp"

#include <equipoise/parallel/error.hpp>

namespace equipoise::drivers {

int bench_command(const parallel::Comm& comm, const std::string& name,
                  const std::vector<std::string>& words) {
  if (name == "mean") return bench_mean(comm, words);
  if (name == "codecs") return bench_codecs(comm, words);
  if (name == "control") return bench_control(comm, words);
  if (name == "memory") return bench_memory(comm, words);
  if (name == "lp") {
    return bench_times(comm,
                       {"problem.name=lp", "problem.generate=transport", "problem.rows=500",
                        "problem.columns=500", "method.polish=off"},
                       words);
  }
  if (name == "traffic") {
    return bench_times(comm, {"problem.name=traffic", "bench.levels=[1e-4, 1e-8, 1e-12]"}, words);
  }
  throw ConfigurationError("bench {}: there are mean, codecs, control, memory, lp and traffic",
                           name);
}

}  // namespace equipoise::drivers
