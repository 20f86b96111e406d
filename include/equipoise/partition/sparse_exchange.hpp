#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>

#include <cstddef>
#include <cstring>
#include <type_traits>
#include <vector>

namespace equipoise::partition {

/// Items for, or from, one rank.
template <class T>
struct Message {
  int rank = 0;
  std::vector<T> items;
};

namespace detail {
/// Items of `size` bytes each; see the template below.
std::vector<Message<std::byte>> sparse_exchange(const parallel::Comm& comm,
                                                const std::vector<Message<std::byte>>& outgoing,
                                                std::size_t size, parallel::Traffic* traffic);
}  // namespace detail

/// Delivers messages when nobody knows who will write to him: each rank names its receivers and
/// learns its senders. At most one message a receiver; empty ones are not sent. What arrives is
/// sorted by sender.
///
/// Nonblocking consensus (Hoefler, Siebert, Lumsdaine: Scalable communication protocols for dynamic
/// sparse data exchange, PPoPP 2010): synchronous sends, a probe loop, and a nonblocking barrier
/// entered once the own sends have arrived. No array has the length of the number of ranks. For
/// set-up, not for every step. Bytes are added to `traffic` (headers) where given. A message holds
/// fewer than 2^31 items.
/// **Collective**: one message a receiver and two barriers.
template <class T>
std::vector<Message<T>> sparse_exchange(const parallel::Comm& comm,
                                        const std::vector<Message<T>>& outgoing,
                                        parallel::Traffic* traffic = nullptr) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<Message<std::byte>> raw(outgoing.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    raw[i].rank = outgoing[i].rank;
    raw[i].items.resize(outgoing[i].items.size() * sizeof(T));
    if (!raw[i].items.empty()) {
      std::memcpy(raw[i].items.data(), outgoing[i].items.data(), raw[i].items.size());
    }
  }
  const auto arrived = detail::sparse_exchange(comm, raw, sizeof(T), traffic);
  std::vector<Message<T>> incoming(arrived.size());
  for (std::size_t i = 0; i < arrived.size(); ++i) {
    incoming[i].rank = arrived[i].rank;
    incoming[i].items.resize(arrived[i].items.size() / sizeof(T));
    std::memcpy(incoming[i].items.data(), arrived[i].items.data(), arrived[i].items.size());
  }
  return incoming;
}

}  // namespace equipoise::partition
