#pragma once

#include <equipoise/partition/distributed_dataset.hpp>
#include <equipoise/problems/dataset.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/state/config.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace equipoise::problems {

/// What problems over the rows of a data file share: agent m holds the rows m of N cut uniformly
/// and weighs rows_m / N, so uneven shards solve the same problem.
class RowAgents {
 public:
  RowAgents(partition::DistributedDataset data, std::string scale, std::string fingerprint)
      : data_(std::move(data)), scale_(std::move(scale)), fingerprint_(std::move(fingerprint)) {
    // Shards are those of the hosted agents, in their order; the first row tells the first agent.
    if (!data_.shards.empty()) first_agent_ = data_.rows.owner(data_.shards.front().first);
  }

  [[nodiscard]] std::int64_t agents() const { return data_.agents.size(); }
  [[nodiscard]] double weight(std::int64_t agent) const { return data_.weight(agent); }
  [[nodiscard]] std::int64_t samples(std::int64_t agent) const {
    return data_.rows.range(static_cast<int>(agent)).size();
  }
  [[nodiscard]] std::string fingerprint() const { return fingerprint_; }

 protected:
  [[nodiscard]] const partition::SparseRows& shard(std::int64_t agent) const {
    return data_.shards[static_cast<std::size_t>(agent - first_agent_)];
  }
  /// Numbers of rows: all of them in order, or those of a batch.
  static auto in_order() {
    return [](std::int64_t k) { return k; };
  }
  static auto of_batch(std::span<const std::int64_t> batch) {
    return [batch](std::int64_t k) { return batch[static_cast<std::size_t>(k)]; };
  }

  partition::DistributedDataset data_;
  std::string scale_;

 private:
  std::int64_t first_agent_ = 0;
  std::string fingerprint_;
};

/// The file `problem.data`, sharded over `run.agents` (20 by default). Throws ConfigurationError
/// without a file. **Collective.**
LoadedDataset load_rows(const parallel::Comm& comm, state::Config& config, const std::string& path,
                        const std::string& scale);

}  // namespace equipoise::problems
