#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::state {

/// Size and digest of a whole file, as the manifest beside a checkpoint holds them.
struct Digest {
  std::int64_t bytes = 0;
  std::string value;  ///< "xxh3-128:" and 32 hexadecimal digits
  friend bool operator==(const Digest&, const Digest&) = default;
};

/// XXH3-128 of the XXH3-128 digests of the segments of 8 MiB behind the first `skipped` bytes,
/// which the ranks share out: the same for any number of ranks. **Collective**; every rank reads
/// bytes / ranks. Throws CheckpointError.
Digest digest_file(const parallel::Comm& comm, const std::string& path, std::int64_t skipped = 0);

/// The same digest by this process alone, which never communicates.
Digest digest_file(const std::string& path);

/// A run file carries its digest in its first bytes, before HDF5 begins: damage is found before
/// HDF5, which may crash on damaged files, sees them.
inline constexpr std::int64_t seal_bytes = 512;
/// Writes the seal and flushes the file to disk. **Collective.** Throws CheckpointError.
void seal(const parallel::Comm& comm, const std::string& path);
/// True if the file begins as a run file does. **Collective.**
bool has_seal(const parallel::Comm& comm, const std::string& path);
/// Why a run file cannot be trusted, "" if it can. **Collective**, reads the whole file.
std::string seal_damage(const parallel::Comm& comm, const std::string& path);

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
