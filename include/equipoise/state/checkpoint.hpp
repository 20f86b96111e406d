#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace equipoise::state {

/// What a checkpoint belongs to. Resuming into a different one is refused with both named.
struct Identity {
  std::string problem;  ///< sizes and hash of the input, one line
  std::string method;   ///< method name and the options that shape its state, one line
};

/// A directory of numbered checkpoint files, `checkpoint-000042.h5` with `checkpoint-000042.json`
/// beside it.
///
/// A file is written beside its name, every dataset with a checksum, flushed to disk, marked
/// complete, and renamed; nothing is ever overwritten, and the last `keep` are kept. The manifest
/// holds the size and a digest of the whole file, so any flipped bit is found. Arrays are in global
/// order: any number of ranks reads them.
class CheckpointStore {
 public:
  /// Makes the directory if needed. **Collective.** Throws CheckpointError where it cannot be
  /// written.
  CheckpointStore(parallel::Comm comm, std::string directory, int keep = 2);

  /// Writes the fields of `object` as the next number. **Collective.** Refuses with
  /// CheckpointError, on all ranks and without a trace, when the disk has no room; an older
  /// checkpoint is removed only after success. Returns the path.
  std::string save(Stateful& object, const Identity& identity, const std::string& config_toml);

  struct Loaded {
    std::string path;
    std::string config_toml;
    std::vector<std::string> warnings;  ///< damaged files that were passed over, with the reason
  };
  /// Reads the newest complete and valid checkpoint into `object`. **Collective.**
  /// Throws CheckpointError when there is none that is valid, or when it belongs to another problem
  /// or method.
  Loaded load(Stateful& object, const Identity& identity);
  /// True if the directory holds any checkpoint file. **Collective.**
  bool any() const;
  /// The stored configuration of the newest valid checkpoint. **Collective.**
  std::string stored_config() const;

 private:
  parallel::Comm comm_;
  std::string directory_;
  int keep_;
};

}  // namespace equipoise::state
