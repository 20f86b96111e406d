#include "census.hpp"
#include "collective.hpp"
#include "exchange.hpp"
#include "packing.hpp"

#include <algorithm>

namespace equipoise::compress {
namespace {

constexpr int tag = 0;

/// Every rank sends its agents' sparse messages to all, and all add them in agent order.
class Allgather final : public Collective {
 public:
  explicit Allgather(Round& round)
      : round_(round),
        up_(round),
        exchange_(round.comm, round.traffic),
        peers_(static_cast<std::size_t>(round.comm.size())) {}

  [[nodiscard]] std::string name() const override { return "allgatherv"; }

  void operator()(std::span<const double> source, std::span<double> out) override {
    const Range whole{0, round_.dimension()};
    const int ranks = round_.comm.size();
    const int rank = round_.comm.rank();
    if (round_.census) count(source, whole);
    for (int s = 0; s < ranks && !up_.lengths(); ++s) {
      if (s == rank || round_.agents.range(s).size() == 0) continue;
      Peer& t = peer(s);
      t.in.resize(at(*up_.bytes(s, whole)));
      exchange_.receive(s, tag, t.in, t.receive);
    }
    const auto own = own_message(source, whole);
    const std::int64_t payload = std::ssize(own) - up_.table(rank);
    const auto header = Exchange::seal(own);
    for (int step = 1; step < ranks && round_.hosted.size() > 0; ++step) {
      const int r = (rank + step) % ranks;
      round_.traffic.sent += payload;
      round_.traffic.header_sent += up_.table(rank);
      exchange_.send(r, tag, own, header, peer(r).send);
    }
    std::fill(out.begin(), out.end(), 0.0);
    std::int64_t everything = payload;
    for (int s = 0; s < ranks; ++s) {
      if (round_.agents.range(s).size() == 0) continue;
      if (s == rank) {
        round_.attempt([&] { up_.unpack(own, s, whole, out); });
        continue;
      }
      everything += add_from(s, whole, out);
    }
    for (int r = 0; r < ranks; ++r) {
      if (r != rank) Exchange::wait(peer(r).send);
    }
    round_.downlink = std::min(everything, round_.dimension() * 8);
  }

 private:
  struct Peer {
    std::vector<std::byte> in;
    Exchange::Ticket send, receive;
  };
  Peer& peer(int r) { return peers_[static_cast<std::size_t>(r)]; }

  void count(std::span<const double> source, const Range& whole) {
    const Census& census = *round_.census;
    for_encoded(round_, source, {&whole, 1}, [&](int v, std::span<const std::int64_t> length) {
      const std::int64_t table = up_.lengths() ? 8 * census.agents.range(v).size() : 0;
      census.ranks->to_all(v, as_message(length[0], table));
    });
  }

  /// What this rank sends to all: a part of the source itself where that is the message.
  std::span<const std::byte> own_message(std::span<const double> source, Range whole) {
    if (round_.hosted.size() == 1 && !round_.setting.error_feedback) {
      const auto kept = round_.device->plain_part(round_.selections[0], round_.dimension(),
                                                  round_.draw->with_agent(round_.hosted.begin));
      if (kept) {
        round_.uplink[0] += 8 * kept->size();
        return std::as_bytes(source.subspan(at(kept->begin), at(kept->size())));
      }
    }
    round_.attempt([&] { up_.pack(source, whole, packed_); });
    if (round_.failure && !up_.lengths()) {
      packed_.bytes.resize(at(*up_.bytes(round_.comm.rank(), whole)));
    }
    return packed_.bytes;
  }

  std::int64_t add_from(int s, Range whole, std::span<double> out) {
    Peer& t = peer(s);
    if (up_.lengths()) {
      exchange_.receive_any_length(s, tag, t.in, t.receive);
    } else {
      Exchange::wait(t.receive);
    }
    const std::int64_t payload = std::ssize(t.in) - up_.table(s);
    round_.traffic.received += payload;
    round_.traffic.header_received += up_.table(s);
    round_.attempt([&] {
      Exchange::check(t.receive);
      up_.unpack(t.in, s, whole, out);
    });
    return payload;
  }

  Round& round_;
  Uplink up_;
  Exchange exchange_;
  std::vector<Peer> peers_;
  Packed packed_;
};

}  // namespace

CollectivePointer make_allgather(Round& round) { return std::make_unique<Allgather>(round); }

}  // namespace equipoise::compress
