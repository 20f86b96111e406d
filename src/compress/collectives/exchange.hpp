#pragma once

#include <equipoise/compress/wire.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>

#include <mpi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::compress {

/// Point-to-point messages of one exchange: packed bytes, a checksummed header before long ones,
/// every byte counted. Sends and receives must be posted in the same order on both sides of a pair.
class Exchange {
 public:
  static constexpr std::size_t header_threshold = 4096;
  /// Bytes of the header before a message of `bytes`.
  [[nodiscard]] static constexpr std::int64_t header_bytes(std::int64_t bytes) {
    constexpr auto size = static_cast<std::int64_t>(Header::size);
    return bytes > static_cast<std::int64_t>(header_threshold) ? size : 0;
  }

  Exchange(const parallel::Comm& comm, parallel::Traffic& traffic)
      : comm_(comm), traffic_(traffic) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  /// A message in flight.
  struct Ticket {
    MPI_Request payload = MPI_REQUEST_NULL;
    MPI_Request header = MPI_REQUEST_NULL;
    std::array<std::byte, Header::size> header_bytes{};
    std::span<const std::byte> arrived;  ///< what `check` compares with the header, if any
  };

  /// The header of a message; all zero for a short one, which travels without.
  using Seal = std::array<std::byte, Header::size>;
  [[nodiscard]] static Seal seal(std::span<const std::byte> bytes);
  /// Starts sending `bytes`, which must stay untouched until `wait`; `seal` is their header.
  void send(int peer, int tag, std::span<const std::byte> bytes, const Seal& seal, Ticket& ticket);
  /// Starts receiving exactly `destination.size()` bytes.
  void receive(int peer, int tag, std::span<std::byte> destination, Ticket& ticket);
  /// Waits for a message, header included.
  static void wait(Ticket& ticket);
  /// Waits for a message of unknown length and reads it into `buffer`.
  void receive_any_length(int peer, int tag, std::vector<std::byte>& buffer, Ticket& ticket);
  /// Throws Error if a message that has come with a header cannot be trusted.
  static void check(const Ticket& ticket);

 private:
  const parallel::Comm& comm_;
  parallel::Traffic& traffic_;
};

}  // namespace equipoise::compress
