#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>

#include <cstdint>
#include <vector>

namespace equipoise::parallel {

/// The bytes of one message.
struct MessageBytes {
  std::int64_t payload = 0;
  std::int64_t header = 0;
  MessageBytes& operator+=(const MessageBytes& other) {
    payload += other.payload;
    header += other.header;
    return *this;
  }
  friend MessageBytes operator*(std::int64_t n, const MessageBytes& bytes) {
    return {n * bytes.payload, n * bytes.header};
  }
};

/// Counters of P ranks that need not exist: what each would send and receive if the run had P
/// ranks. The run itself goes on fewer; its agents do not depend on that, so the messages are those
/// of the true algorithm.
///
/// Every real rank counts a part of the messages, each message once, and `total` adds the parts.
/// Memory: 7 numbers a virtual rank. The counters hang on a communicator, as an attribute that
/// duplicates and splits do not inherit, and whatever moves vectors over it finds them there.
class VirtualRanks {
 public:
  /// Hangs itself on `comm` until it goes; nothing is sent. At most one at a time.
  VirtualRanks(const Comm& comm, int ranks);
  ~VirtualRanks();
  VirtualRanks(const VirtualRanks&) = delete;
  VirtualRanks& operator=(const VirtualRanks&) = delete;
  /// Those that hang on a communicator, or null.
  [[nodiscard]] static VirtualRanks* on(const Comm& comm);
  /// True if anybody has asked for them: without, nothing will be counted.
  [[nodiscard]] bool in_use() const { return in_use_; }

  /// While it lives, none hang on the communicator: what is made in the meantime does not count.
  class Pause {
   public:
    explicit Pause(const Comm& comm);
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    VirtualRanks* paused_;
  };

  [[nodiscard]] int size() const { return static_cast<int>(traffic_.size()); }

  void sent(int rank, const MessageBytes& bytes) { sent(of(rank), bytes); }
  void received(int rank, const MessageBytes& bytes) { received(of(rank), bytes); }
  /// A message; to oneself it counts 0.
  void message(int from, int to, const MessageBytes& bytes) {
    if (from == to) return;
    sent(from, bytes);
    received(to, bytes);
  }
  /// The same message to every other rank.
  void to_all(int from, const MessageBytes& bytes) {
    sent(of(from), (size() - 1) * bytes);
    received(everyone_, bytes);
    received(of(from), -1 * bytes);
  }

  /// Of every virtual rank, on every real one. **Collective**, one allreduce.
  [[nodiscard]] std::vector<Traffic> total(const Comm& comm) const;

 private:
  [[nodiscard]] Traffic& of(int rank) { return traffic_[static_cast<std::size_t>(rank)]; }
  static void sent(Traffic& traffic, const MessageBytes& bytes) {
    traffic.sent += bytes.payload;
    traffic.header_sent += bytes.header;
  }
  static void received(Traffic& traffic, const MessageBytes& bytes) {
    traffic.received += bytes.payload;
    traffic.header_received += bytes.header;
  }

  MPI_Comm comm_;
  bool paused_ = false;
  bool in_use_ = false;
  std::vector<Traffic> traffic_;
  Traffic everyone_;  ///< belongs to each of them
};

}  // namespace equipoise::parallel
