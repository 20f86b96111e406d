#include "command.hpp"

#include <equipoise/parallel/error.hpp>

namespace equipoise::drivers {

int bench_command(const parallel::Comm& comm, const std::string& name,
                  const std::vector<std::string>& words) {
  if (name == "convergence") return bench_convergence(comm, words);
  if (name == "mean") return bench_mean(comm, words);
  if (name == "codecs") return bench_codecs(comm, words);
  if (name == "control") return bench_control(comm, words);
  if (name == "memory") return bench_memory(comm, words);
  throw ConfigurationError("bench {}: there are mean, codecs, control and memory", name);
}

}  // namespace equipoise::drivers
