#pragma once

#include <cstdint>

namespace equipoise::parallel {

/// Bytes moved so far, counted where they are handed to MPI. A message to oneself counts 0.
/// `uplink` and `downlink` are logical: what one agent would exchange with a server (the papers'
/// metric); the rest is what this rank really moved. Payload and headers are never mixed.
struct Traffic {
  std::int64_t uplink_per_agent = 0;    ///< payload bytes, largest over agents
  std::int64_t downlink_per_agent = 0;  ///< payload bytes
  std::int64_t sent = 0;                ///< payload bytes this rank sent
  std::int64_t received = 0;            ///< payload bytes this rank received
  std::int64_t header_sent = 0;         ///< header and size bytes this rank sent
  std::int64_t header_received = 0;     ///< header and size bytes this rank received
  std::int64_t rounds = 0;              ///< collective exchanges of vectors

  Traffic& operator+=(const Traffic& other) {
    uplink_per_agent += other.uplink_per_agent;
    downlink_per_agent += other.downlink_per_agent;
    sent += other.sent;
    received += other.received;
    header_sent += other.header_sent;
    header_received += other.header_received;
    rounds += other.rounds;
    return *this;
  }
};

}  // namespace equipoise::parallel
