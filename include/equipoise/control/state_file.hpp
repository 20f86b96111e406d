#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace equipoise::control {

/// Numbered states of one rank in an HDF5 file of its own, in full precision, for as long as this
/// object lives. Nothing is shared between ranks; only failures are agreed.
class StateFile {
 public:
  /// Makes `directory`/equipoise-states-PID-RANK.h5 with room for `count` states of `size` numbers.
  /// **Collective.** Throws InputError, on every rank, where it cannot be made.
  StateFile(const parallel::Comm& comm, const std::string& directory, std::int64_t count,
            std::int64_t size);
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;
  /// **Collective** where a rank fails: then every rank throws.
  void save(std::int64_t number, std::span<const double> state);
  void load(std::int64_t number, std::span<double> state);

 private:
  void transfer(std::int64_t number, const double* from, double* to);
  parallel::Comm comm_;
  std::string path_;
  std::int64_t file_ = -1, data_ = -1, count_, size_;
};

}  // namespace equipoise::control
