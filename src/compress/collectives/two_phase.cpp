#include "census.hpp"
#include "collective.hpp"
#include "exchange.hpp"
#include "packing.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace equipoise::compress {
namespace {

/// Coordinates of uncompressed messages handled at a time: large enough to hide latency, small
/// enough to stay in cache.
constexpr std::int64_t segment_coordinates = 65536;

/// The ranges of each rank's chunks, taken together to segments of at most `most` coordinates.
std::vector<std::vector<Range>> cut_segments(const partition::Layout& layout, std::int64_t most) {
  std::vector<std::vector<Range>> segments(static_cast<std::size_t>(layout.owners().parts()));
  for (int rank = 0; rank < layout.owners().parts(); ++rank) {
    auto& mine = segments[static_cast<std::size_t>(rank)];
    const Range chunks = layout.owners().range(rank);
    for (std::int64_t c = chunks.begin; c < chunks.end; ++c) {
      const Range chunk = layout.chunks().range(static_cast<int>(c));
      if (chunk.size() == 0) continue;
      if (mine.empty() || mine.back().size() + chunk.size() > most) {
        mine.push_back(chunk);
      } else {
        mine.back().end = chunk.end;
      }
    }
  }
  return segments;
}

/// How much shorter than plain values messages are, at least 1.
double shortening(const std::shared_ptr<const Codec>& codec, std::int64_t d, std::int64_t agents) {
  const double beta = codec ? codec->describe(d, agents).beta : 1.0;
  return beta > 1.0 ? beta : 1.0;
}

/// Owners sum their chunks and hand them back; segment by segment, so that encoding, travel and
/// summing overlap: segment j + 1 is encoded and sent before the messages of segment j are waited
/// for.
///
/// Three agents on two ranks, two chunks: rank 0 hosts agents 0 and 1 and owns chunk A, rank 1
/// hosts agent 2 and owns chunk B. Rank 1 sends agent 2's A to rank 0; rank 0 sends agents 0's and
/// 1's B to rank 1; each owner adds its chunk in agent order, compresses it once more if a server
/// codec is set, and sends it to the other.
class TwoPhase final : public Collective {
 public:
  TwoPhase(Round& round, bool plain) : round_(round), exchange_(round.comm, round.traffic) {
    if (!plain && round.device) up_.emplace(round);
    if (!plain && round.server) down_.emplace(round);
    const double shorter =
        plain ? 1.0
              : std::min(shortening(round.device, round.dimension(), round.agents.size()),
                         shortening(round.server, round.dimension(), 1));
    const std::int64_t most =
        segment_coordinates * static_cast<std::int64_t>(std::min(shorter, 32.0));
    segments_ = cut_segments(round.layout, most);
    if (round.census) {
      for (const auto& list : cut_segments(round.census->layout, most)) {
        virtual_segments_.insert(virtual_segments_.end(), list.begin(), list.end());
      }
    }
    for (const auto& s : segments_) rounds_ = std::max(rounds_, s.size());
    for (auto& slot : slots_) slot.resize(static_cast<std::size_t>(round.comm.size()));
  }

  [[nodiscard]] std::string name() const override { return "two-phase"; }
  /// Short plain messages are not checked.
  [[nodiscard]] bool checks() const override {
    return up_ || down_ ||
           8 * round_.dimension() > static_cast<std::int64_t>(Exchange::header_threshold);
  }

  void operator()(std::span<const double> source, std::span<double> out) override {
    start(source, out);
    finish();
  }

  /// Sends the first segment.
  void start(std::span<const double> source, std::span<double> out) override {
    Collective::start(source, out);
    if (round_.census && up_) {
      count_coded_up(round_, source, virtual_segments_, up_->lengths());
    } else if (round_.census) {
      count_plain_up(round_, virtual_segments_);
    }
    post_receives(0);
    send_up(0);
  }

  void finish() override {
    for (std::size_t j = 0; j < rounds_; ++j) {
      if (j + 1 < rounds_) {
        post_receives(j + 1);
        // The slot's previous messages have been waited for in the step before.
        send_up(j + 1);
      }
      post_down_receives(j);
      sum_segment(j);
      send_down(j);
      if (j > 0) finish_down(j - 1);
    }
    if (rounds_ > 0) finish_down(rounds_ - 1);
    if (round_.census) count_down(round_, down_ ? &*down_ : nullptr, virtual_segments_);
  }

 private:
  struct Slot {
    Packed up_out, down_out;
    std::vector<std::byte> up_in, down_in;
    Exchange::Ticket up_send, up_receive, down_send, down_receive;
  };
  Slot& slot(std::size_t j, int peer) { return slots_[j % 2][static_cast<std::size_t>(peer)]; }
  [[nodiscard]] const Range* segment(int rank, std::size_t j) const {
    const auto& list = segments_[static_cast<std::size_t>(rank)];
    return j < list.size() ? &list[j] : nullptr;
  }
  static int up_tag(std::size_t j) { return static_cast<int>(4 * (j % 4096)); }
  static int down_tag(std::size_t j) { return up_tag(j) + 2; }
  [[nodiscard]] int rank() const { return round_.comm.rank(); }
  [[nodiscard]] int ranks() const { return round_.comm.size(); }
  /// Each rank starts with its right neighbour, so that no owner is everybody's first.
  [[nodiscard]] int neighbour(int step) const { return (rank() + step) % ranks(); }

  void post_receives(std::size_t j) {
    const Range* mine = segment(rank(), j);
    if (!mine || (up_ && up_->lengths())) return;
    for (int s = 0; s < ranks(); ++s) {
      const std::int64_t agents = round_.agents.range(s).size();
      if (s == rank() || agents == 0) continue;
      Slot& t = slot(j, s);
      t.up_in.resize(at(up_ ? *up_->bytes(s, *mine) : agents * mine->size() * 8));
      exchange_.receive(s, up_tag(j), t.up_in, t.up_receive);
    }
  }

  void send_up(std::size_t j) {
    if (round_.hosted.size() == 0) return;
    for (int step = 1; step < ranks(); ++step) {
      const int r = neighbour(step);
      const Range* theirs = segment(r, j);
      if (!theirs) continue;
      Slot& t = slot(j, r);
      std::span<const std::byte> bytes;
      if (up_) {
        round_.attempt([&] { up_->pack(source_, *theirs, t.up_out); });
        if (round_.failure) keep_length(up_->bytes(rank(), *theirs), t.up_out);
        bytes = t.up_out.bytes;
      } else {
        bytes = plain_message(*theirs, t.up_out);
      }
      const std::int64_t table = up_ ? t.up_out.table() : 0;
      round_.traffic.sent += std::ssize(bytes) - table;
      round_.traffic.header_sent += table;
      exchange_.send(r, up_tag(j), bytes, Exchange::seal(bytes), t.up_send);
    }
  }

  /// After a failure a message still has the length that its receiver expects.
  static void keep_length(std::optional<std::int64_t> expected, Packed& packed) {
    if (expected) packed.bytes.resize(at(*expected));
  }

  /// The hosted agents' values as they are; those of one agent need no copy.
  std::span<const std::byte> plain_message(Range range, Packed& packed) {
    for (auto& bytes : round_.uplink) bytes += range.size() * 8;
    const auto piece = [&](std::int64_t a) {
      return std::as_bytes(round_.row(source_, a).subspan(at(range.begin), at(range.size())));
    };
    if (round_.hosted.size() == 1) return piece(0);
    packed.bytes.clear();
    for (std::int64_t a = 0; a < round_.hosted.size(); ++a) {
      const auto raw = piece(a);
      packed.bytes.insert(packed.bytes.end(), raw.begin(), raw.end());
    }
    packed.payload = std::ssize(packed.bytes);
    return packed.bytes;
  }

  void sum_segment(std::size_t j) {
    if (const Range* mine = segment(rank(), j)) {
      const auto values = out_.subspan(at(mine->begin), at(mine->size()));
      if (up_) {
        sum_decoded(j, *mine, values);
      } else {
        sum_plain(j, *mine, values);
      }
    }
    for (int r = 0; r < ranks(); ++r) {
      if (r != rank()) exchange_.wait(slot(j, r).up_send);
    }
  }

  void sum_decoded(std::size_t j, Range mine, std::span<double> values) {
    std::fill(values.begin(), values.end(), 0.0);
    for (int s = 0; s < ranks(); ++s) {
      if (round_.agents.range(s).size() == 0) continue;
      if (s == rank()) {
        round_.attempt([&] {
          up_->pack(source_, mine, own_);
          up_->unpack(own_.bytes, s, mine, values);
        });
        continue;
      }
      Slot& t = slot(j, s);
      if (up_->lengths()) {
        exchange_.receive_any_length(s, up_tag(j), t.up_in, t.up_receive);
      } else {
        exchange_.wait(t.up_receive);
      }
      round_.traffic.received += std::ssize(t.up_in) - up_->table(s);
      round_.traffic.header_received += up_->table(s);
      round_.attempt([&] {
        Exchange::check(t.up_receive);
        up_->unpack(t.up_in, s, mine, values);
      });
    }
  }

  /// Uncompressed: block by block over all agents, so that the sum stays in the nearest cache.
  void sum_plain(std::size_t j, Range mine, std::span<double> values) {
    pieces_.clear();
    for (int s = 0; s < ranks(); ++s) {
      const std::int64_t agents = round_.agents.range(s).size();
      if (s == rank()) {
        for (std::int64_t a = 0; a < agents; ++a) {
          round_.uplink[at(a)] += mine.size() * 8;
          pieces_.push_back(round_.row(source_, a).data() + mine.begin);
        }
      } else if (agents > 0) {
        Slot& t = slot(j, s);
        exchange_.wait(t.up_receive);
        round_.traffic.received += std::ssize(t.up_in);
        round_.attempt([&] { Exchange::check(t.up_receive); });
        // Receive buffers come from the allocator, so their doubles are aligned.
        const auto* data = reinterpret_cast<const double*>(t.up_in.data());
        for (std::int64_t a = 0; a < agents; ++a) pieces_.push_back(data + a * mine.size());
      }
    }
    if (pieces_.empty()) std::fill(values.begin(), values.end(), 0.0);
    constexpr std::size_t block = 2048;
    for (std::size_t first = 0; first < values.size(); first += block) {
      const auto part = values.subspan(first, std::min(block, values.size() - first));
      for (std::size_t m = 0; m < pieces_.size(); ++m) {
        add_weighted(round_.setting.weights[m], {pieces_[m] + first, part.size()}, m == 0, part);
      }
    }
  }

  void post_down_receives(std::size_t j) {
    if (down_ && down_->lengths()) return;
    for (int s = 0; s < ranks(); ++s) {
      const Range* theirs = segment(s, j);
      if (s == rank() || !theirs) continue;
      Slot& t = slot(j, s);
      if (down_) {
        t.down_in.resize(at(*down_->bytes(*theirs)));
        exchange_.receive(s, down_tag(j), t.down_in, t.down_receive);
      } else {
        exchange_.receive(
            s, down_tag(j),
            std::as_writable_bytes(out_.subspan(at(theirs->begin), at(theirs->size()))),
            t.down_receive);
      }
    }
  }

  void send_down(std::size_t j) {
    const Range* mine = segment(rank(), j);
    if (!mine) return;
    std::span<const std::byte> bytes =
        std::as_bytes(out_.subspan(at(mine->begin), at(mine->size())));
    std::int64_t table = 0;
    if (down_) {
      Packed& packed = slot(j, rank()).down_out;
      round_.attempt([&] { down_->pack(*mine, out_, packed); });
      if (round_.failure) keep_length(down_->bytes(*mine), packed);
      bytes = packed.bytes;
      table = packed.table();
    }
    const std::int64_t payload = std::ssize(bytes) - table;
    round_.downlink += payload;
    const auto seal = Exchange::seal(bytes);
    for (int step = 1; step < ranks(); ++step) {
      const int r = neighbour(step);
      round_.traffic.sent += payload;
      round_.traffic.header_sent += table;
      exchange_.send(r, down_tag(j), bytes, seal, slot(j, r).down_send);
    }
  }

  void finish_down(std::size_t j) {
    for (int s = 0; s < ranks(); ++s) {
      const Range* theirs = segment(s, j);
      if (s == rank() || !theirs) continue;
      Slot& t = slot(j, s);
      if (down_ && down_->lengths()) {
        exchange_.receive_any_length(s, down_tag(j), t.down_in, t.down_receive);
      } else {
        exchange_.wait(t.down_receive);
      }
      std::int64_t payload = theirs->size() * 8;
      round_.attempt([&] {
        Exchange::check(t.down_receive);
        if (!down_) return;
        payload = down_->unpack(t.down_in, *theirs, out_);
        round_.traffic.header_received += std::ssize(t.down_in) - payload;
      });
      round_.traffic.received += payload;
      round_.downlink += payload;
    }
    for (int r = 0; r < ranks(); ++r) {
      if (r != rank()) exchange_.wait(slot(j, r).down_send);
    }
  }

  Round& round_;
  Exchange exchange_;
  std::optional<Uplink> up_;
  std::optional<Downlink> down_;
  std::vector<std::vector<Range>> segments_;
  std::vector<Range> virtual_segments_;
  std::size_t rounds_ = 0;
  std::array<std::vector<Slot>, 2> slots_;
  Packed own_;
  std::vector<const double*> pieces_;
};

}  // namespace

CollectivePointer make_two_phase(Round& round, bool plain) {
  return std::make_unique<TwoPhase>(round, plain);
}

}  // namespace equipoise::compress
