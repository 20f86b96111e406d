#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <memory>
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
  ~CheckpointStore();
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;

  /// Takes the directory over from any earlier run, which may still live for a moment after its
  /// launcher died, or as a ghost on a node that was lost from sight: from here on the earlier
  /// run's `save` throws, and what it left half-written is removed. Without a lock, so it holds on
  /// network file systems, too. **Collective.** Throws CheckpointError.
  void claim();

  /// Begins the next number with the fields of `object`, which may change as soon as this returns:
  /// the ranks hand the file to the system, and a thread of rank 0 flushes it to disk, digests,
  /// renames it and removes older ones, while the run goes on. Waits for the one begun before.
  /// **Collective.** Refuses with CheckpointError, on all ranks and without a trace, when the disk
  /// has no room. Returns the path that the file will have.
  std::string begin(Stateful& object, const Identity& identity, const std::string& config_toml);
  /// True while a checkpoint that was begun is not on disk yet. For rank 0; never communicates.
  [[nodiscard]] bool busy() const;
  /// Waits until the checkpoint that was begun, if any, is on disk. **Collective.** Throws
  /// CheckpointError where it did not get there; older ones stay.
  void wait();
  /// `begin`, then `wait`. **Collective.** Returns the path.
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
  struct Pending;
  void place(const std::string& path) const;

  parallel::Comm comm_;
  std::string directory_;
  int keep_;
  std::string owner_;    ///< on rank 0: what `claim` wrote into the file `owner`
  std::string partial_;  ///< equal on all ranks: what sets our half-written files apart
  /// On rank 0, what the thread has not finished; last, as the thread reads the members above.
  std::unique_ptr<Pending> pending_;
};

}  // namespace equipoise::state
