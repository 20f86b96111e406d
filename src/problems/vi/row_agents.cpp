#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/vi/instance.hpp>
#include <equipoise/problems/vi/row_agents.hpp>

namespace equipoise::problems {

LoadedDataset load_rows(const parallel::Comm& comm, state::Config& config, const std::string& path,
                        const std::string& scale) {
  if (path.empty()) {
    throw ConfigurationError("problem.data is missing: give the LIBSVM file, problem.data=FILE");
  }
  return load_dataset(comm, path, read_agents(config, 20), scale);
}

}  // namespace equipoise::problems
