#pragma once

#include "hdf5.hpp"

#include <equipoise/state/fields.hpp>

#include <functional>
#include <string>

namespace equipoise::state {

/// Runs `work` inside parallel::agree; what was a CheckpointError or ConfigurationError on one rank
/// is one on all. **Collective.**
void agreed(const parallel::Comm& comm, const std::function<void()>& work);

/// A text of any length from rank 0 to all. **Collective.**
std::string broadcast_text(const parallel::Comm& comm, std::string text);

/// What a file holds besides fields.
struct FileHead {
  std::function<void(hid_t)> write;  ///< writes it
  std::int64_t bytes = 0;            ///< an upper bound of its size
  std::int64_t user_bytes = 0;       ///< bytes before HDF5 begins
};

/// Writes a file `path` + ".partial" with the fields of `object` under the group `group`, handed to
/// the system; to flush it to disk is left to the caller.
///
/// Rank 0 makes the whole structure, with everything that is not partitioned, and reserves the
/// space; then all ranks write their rows through MPI-IO without touching the structure; the
/// attribute `complete` is set last. So no rank can fail inside a collective call of HDF5.
/// `head.write(file)` runs on rank 0 and adds what else the file holds. Where anything fails on any
/// rank, the partial file is removed and all ranks throw the same CheckpointError. The first
/// `user_bytes` stay free. **Collective.**
void write_partial(const parallel::Comm& comm, const std::string& path, const std::string& group,
                   Stateful& object, const FileHead& head);

/// Reads the fields of `object` from the group `group` of the file `path` and checks their
/// checksums. With `all`, a dataset that the object does not name is an error. **Collective.**
/// Throws CheckpointError.
void read_fields(const parallel::Comm& comm, const std::string& path, const std::string& group,
                 Stateful& object, bool all);

/// Flushes a file or directory to disk. Throws CheckpointError.
void flush_to_disk(const std::string& path);
/// Renames and flushes the directory. Throws CheckpointError.
void rename_on_disk(const std::string& from, const std::string& to);
/// The directory part of a path, "." where there is none.
std::string directory_of(const std::string& path);

}  // namespace equipoise::state
