#pragma once

#include <equipoise/parallel/comm.hpp>

#include <string>
#include <vector>

namespace equipoise::state {

/// Size and digest of a whole file, as the manifest beside a checkpoint holds them.
struct Digest {
  std::int64_t bytes = 0;
  std::string value;  ///< "xxh3-128:" and 32 hexadecimal digits
  friend bool operator==(const Digest&, const Digest&) = default;
};

/// XXH3-128 of the XXH3-128 digests of the file's segments of 8 MiB, which the ranks share out: the
/// same for any number of ranks. **Collective**; every rank reads bytes / ranks. Throws
/// CheckpointError.
Digest digest_file(const parallel::Comm& comm, const std::string& path);

/// The manifest of a checkpoint file: JSON with the digest of the file, and a digest of itself.
std::string manifest_text(const std::string& file_name, const Digest& digest);
std::string manifest_path(const std::string& checkpoint);
/// Why a checkpoint file cannot be trusted, "" if it can. **Collective**, reads the whole file.
std::string damage(const parallel::Comm& comm, const std::string& checkpoint);

/// Numbers of the checkpoint files in a directory, ascending. Without communication.
std::vector<std::int64_t> checkpoint_numbers(const std::string& directory);
std::string checkpoint_path(const std::string& directory, std::int64_t number);
/// True for a name such as checkpoint-000042.h5, with the number in `number`.
bool is_checkpoint_name(const std::string& name, std::int64_t& number);

}  // namespace equipoise::state
