#pragma once

#include <equipoise/parallel/comm.hpp>

#include <string>

namespace equipoise::state {

/// A readable listing of a run file or checkpoint: format, groups, datasets with type and shape,
/// attributes and texts; for a checkpoint also whether its digest holds. The same text on every
/// rank. **Collective**; a checkpoint is read in full. Throws CheckpointError for what is no HDF5
/// file.
std::string describe_file(const parallel::Comm& comm, const std::string& path);

}  // namespace equipoise::state
