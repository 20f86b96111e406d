#pragma once

#include "round.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace equipoise::compress {

/// A buffer of packed pieces. Pieces of unknown length are preceded by the table of their lengths.
struct Packed {
  std::vector<std::byte> bytes;
  std::int64_t payload = 0;
  [[nodiscard]] std::int64_t table() const { return std::ssize(bytes) - payload; }
};

/// The way up: messages of a rank's agents, one piece each, in agent order.
class Uplink {
 public:
  explicit Uplink(Round& round);
  /// True if only the sender knows how long its pieces are; then messages begin with a table.
  [[nodiscard]] bool lengths() const { return lengths_; }
  /// Bytes of the table before the pieces of the agents on `rank`.
  [[nodiscard]] std::int64_t table(int rank) const;
  /// Bytes of the message that `rank` sends for `range`, or nothing if only the sender knows.
  [[nodiscard]] std::optional<std::int64_t> bytes(int rank, Range range) const;
  /// Encodes the hosted agents' coordinates in `range`, and takes what was sent out of the error
  /// feedback.
  void pack(std::span<const double> source, Range range, Packed& packed);
  /// Adds the weighted pieces of the agents on `rank` to `out` [range], in agent order. Throws
  /// Error on a piece that cannot be trusted.
  void unpack(std::span<const std::byte> bytes, int rank, Range range, std::span<double> out) const;

 private:
  Round& round_;
  bool lengths_;
};

/// The way down: segments of the mean, compressed chunk by chunk by the server codec.
class Downlink {
 public:
  explicit Downlink(Round& round);
  [[nodiscard]] bool lengths() const { return lengths_; }
  [[nodiscard]] std::optional<std::int64_t> bytes(Range segment) const;
  /// Bytes of the table before a segment whose pieces vary in length.
  [[nodiscard]] std::int64_t table(Range segment) const;
  /// Bytes of every chunk as its owner served it in this round. **Collective**, one allreduce.
  [[nodiscard]] std::vector<std::int64_t> all_served() const;
  /// Compresses the mean of a segment in place: `out` [d] becomes what every rank will decode.
  void pack(Range segment, std::span<double> out, Packed& packed);
  /// Decodes a segment as its owner served it into `out` [d]; returns its payload bytes. Throws
  /// Error on a piece that cannot be trusted.
  std::int64_t unpack(std::span<const std::byte> bytes, Range segment, std::span<double> out) const;

 private:
  struct ChunkCodec {
    std::int64_t size;
    std::shared_ptr<const Codec> codec;
    partition::Partition single;
  };
  [[nodiscard]] const ChunkCodec& of(std::int64_t size) const;
  [[nodiscard]] bool joins() const;
  template <class Visit>
  void for_chunks(Range segment, Visit visit) const;

  Round& round_;
  std::vector<std::int64_t>
      served_;  ///< [chunks], bytes of the own ones, where a census needs them
  std::vector<ChunkCodec> codecs_;
  bool lengths_ = false;
  Selection selection_;
};

}  // namespace equipoise::compress
