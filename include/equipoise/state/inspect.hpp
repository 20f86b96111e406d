#pragma once

#include <equipoise/parallel/comm.hpp>

#include <string>

namespace equipoise::state {

/// A readable listing of a run file or checkpoint: groups, datasets with type and shape, attributes
/// and texts, after a line that says whether the file matches its digest; of a damaged file only
/// that line. The same text on every rank. **Collective**; the file is read in full. Throws
/// CheckpointError for any other file.
std::string describe_file(const parallel::Comm& comm, const std::string& path);

}  // namespace equipoise::state
