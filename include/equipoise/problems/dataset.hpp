#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/distributed_dataset.hpp>

#include <cstdint>
#include <string>

namespace equipoise::problems {

/// A LIBSVM file, sharded by agent and scaled, with what identifies it.
struct LoadedDataset {
  partition::DistributedDataset data;
  std::int64_t nonzeros = 0;
  std::string scale;        ///< what was done to the columns
  std::string fingerprint;  ///< sizes and a hash of all rows, the same on any number of ranks
};

/// Reads a LIBSVM file in parallel and gives agent m of `agents` its rows. `scale` is none, max-abs
/// (columns divided by their largest magnitude) or auto (only the columns in which it exceeds 1).
/// **Collective.**
LoadedDataset load_dataset(const parallel::Comm& comm, const std::string& path, std::int64_t agents,
                           const std::string& scale);

/// The rows of one agent on every rank. **Collective**, a few broadcasts.
partition::SparseRows replicate_shard(const parallel::Comm& comm,
                                      const partition::DistributedDataset& data,
                                      std::int64_t agent);

}  // namespace equipoise::problems
