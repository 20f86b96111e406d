#include "exchange.hpp"

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <utility>

namespace equipoise::compress {
namespace {

using parallel::Draw;
using parallel::Purpose;
using partition::Layout;
using partition::Partition;

/// Coordinates handled at a time: large enough to hide latency, small enough to stay in cache.
constexpr std::int64_t segment_coordinates = 65536;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

void add_scaled(double weight, std::span<const double> x, std::span<double> out) {
  const double* in = x.data();
  double* to = out.data();
  const std::size_t n = out.size();
  for (std::size_t i = 0; i < n; ++i) to[i] += weight * in[i];
}

void set_scaled(double weight, std::span<const double> x, std::span<double> out) {
  const double* in = x.data();
  double* to = out.data();
  const std::size_t n = out.size();
  for (std::size_t i = 0; i < n; ++i) to[i] = weight * in[i];
}

std::span<const std::byte> bytes_of(std::span<const double> values) {
  return std::as_bytes(values);
}

/// The ranges of each rank's chunks, taken together to segments.
std::vector<std::vector<Range>> cut_segments(const Layout& layout) {
  std::vector<std::vector<Range>> segments(static_cast<std::size_t>(layout.owners().parts()));
  for (int rank = 0; rank < layout.owners().parts(); ++rank) {
    auto& mine = segments[static_cast<std::size_t>(rank)];
    const Range chunks = layout.owners().range(rank);
    for (std::int64_t c = chunks.begin; c < chunks.end; ++c) {
      const Range chunk = layout.chunks().range(static_cast<int>(c));
      if (chunk.size() == 0) continue;
      if (mine.empty() || mine.back().size() + chunk.size() > segment_coordinates) {
        mine.push_back(chunk);
      } else {
        mine.back().end = chunk.end;
      }
    }
  }
  return segments;
}

/// A buffer of packed pieces. Pieces of unknown length are preceded by the table of their lengths.
struct Packed {
  std::vector<std::byte> bytes;
  std::int64_t payload = 0;
};

}  // namespace

class Mean::Impl {
 public:
  Impl(parallel::Comm comm, Partition agents, MeanSetting setting)
      : comm_(std::move(comm)),
        agents_(std::move(agents)),
        setting_(std::move(setting)),
        exchange_(comm_, traffic_) {
    const std::int64_t d = setting_.dimension;
    if (agents_.parts() != comm_.size()) {
      throw ConfigurationError("agents are spread over {} ranks, the communicator has {}",
                               agents_.parts(), comm_.size());
    }
    if (std::ssize(setting_.weights) != agents_.size()) {
      throw ConfigurationError("{} weights for {} agents", setting_.weights.size(), agents_.size());
    }
    const auto chunk_count =
        setting_.chunks > 0 ? static_cast<int>(setting_.chunks) : partition::default_chunks(d);
    setting_.chunks = chunk_count;
    layout_ = Layout::uniform(d, chunk_count, comm_.size());
    segments_ = cut_segments(layout_);
    for (const auto& s : segments_) rounds_ = std::max(rounds_, s.size());
    hosted_ = agents_.range(comm_.rank());
    make_codecs();
    if (setting_.error_feedback) {
      agent_errors_.assign(at(hosted_.size() * d), 0.0);
      if (server_) owner_errors_.assign(at(layout_.owned(comm_.rank()).size()), 0.0);
    }
  }

  void compressed(std::int64_t iteration, std::span<const double> contributions,
                  std::span<double> out) {
    if (!device_ && !server_) {
      dense(contributions, out);
      return;
    }
    check_shapes(contributions, out);
    draw_.emplace(setting_.seed, Purpose::mask, iteration);
    server_draw_.emplace(setting_.seed, Purpose::owner_rounding, iteration);
    begin_round();
    if (setting_.error_feedback) add_scaled(1.0, contributions, agent_errors_);
    const std::span<const double> source =
        setting_.error_feedback ? std::span<const double>(agent_errors_) : contributions;
    selections_.resize(at(hosted_.size()));
    if (device_) {
      for (std::int64_t a = 0; a < hosted_.size(); ++a) {
        const std::int64_t agent = hosted_.begin + a;
        device_->prepare(row(source, a), draw_->with_agent(agent), agent, selections_[at(a)]);
      }
    }
    if (packed_) {
      packed(out);
    } else if (gather_) {
      allgather(source, out);
    } else {
      two_phase(source, out, device_.get(), server_.get());
    }
    end_round();
  }

  void dense(std::span<const double> contributions, std::span<double> out) {
    check_shapes(contributions, out);
    begin_round();
    if (setting_.fast) {
      allreduce(contributions, out);
    } else {
      two_phase(contributions, out, nullptr, nullptr);
    }
    end_round();
  }

  parallel::Comm comm_;
  Partition agents_;
  MeanSetting setting_;
  Layout layout_;
  Range hosted_;
  parallel::Traffic traffic_;
  std::shared_ptr<const Codec> device_;  ///< null for identity
  std::shared_ptr<const Codec> server_;  ///< whole-vector constants; null for identity
  bool gather_ = false;
  std::unique_ptr<Impl> packed_;  ///< the mean of the kept values of a shared mask
  std::vector<double> agent_errors_;
  std::vector<double> owner_errors_;

 private:
  [[nodiscard]] std::span<const double> row(std::span<const double> rows, std::int64_t a) const {
    return rows.subspan(at(a * setting_.dimension), at(setting_.dimension));
  }
  [[nodiscard]] double weight(std::int64_t agent) const { return setting_.weights[at(agent)]; }

  void make_codecs() {
    const std::int64_t d = setting_.dimension;
    if (setting_.codec != "identity") {
      device_ = make_codec(setting_.codec, {d, agents_.size(), layout_.chunks().parts()});
    }
    if (setting_.server_codec != "identity") {
      server_ = make_codec(setting_.server_codec, {d, 1, layout_.chunks().parts()});
      if (setting_.server_codec.find("permk") != std::string::npos || server_->shared_mask()) {
        throw ConfigurationError(
            "server_codec = {} makes no sense: it is a codec for collections of agents; use "
            "natural, a "
            "quantizer or topk with a fraction",
            setting_.server_codec);
      }
      // A chunk is compressed by itself; uniform chunks have at most two sizes.
      for (int c = 0; c < layout_.chunks().parts(); ++c) {
        const std::int64_t size = layout_.chunks().range(c).size();
        if (chunk_codecs_.empty() || chunk_codecs_.back().size != size) {
          chunk_codecs_.push_back(
              {size, make_codec(setting_.server_codec, {size, 1}), Partition::uniform(size, 1)});
        }
      }
    }
    choose_collective();
  }

  void choose_collective() {
    const std::string& wish = setting_.collective;
    if (wish != "auto" && wish != "two-phase" && wish != "allgatherv") {
      throw ConfigurationError("method.collective = {}: choose auto, two-phase or allgatherv",
                               wish);
    }
    if (wish != "allgatherv") choose_packing();
    if (packed_) return;
    const bool possible = device_ && device_->sparse() && !server_;
    if (wish == "allgatherv" && !possible) {
      throw ConfigurationError(
          "method.collective = allgatherv needs a sparse codec (randk, permk, topk) and no server "
          "codec");
    }
    if (!possible || wish == "two-phase") return;
    // Bytes received per rank with one agent on each: (M - 1) K against K + N.
    const double full = 8.0 * static_cast<double>(setting_.dimension);
    const double message = full / device_->describe(setting_.dimension, agents_.size()).beta;
    const auto agents = static_cast<double>(agents_.size());
    gather_ = wish == "allgatherv" || (agents - 1.0) * message <= message + full;
  }

  /// Agents that keep the same k coordinates, as plain values, need no sparse messages: their
  /// values are a dense vector of length k.
  void choose_packing() {
    if (!device_ || server_ || !device_->shared_mask()) return;
    const std::vector<double> zero(at(setting_.dimension), 0.0);
    const Draw draw(setting_.seed, Purpose::mask, 0);
    Selection kept;
    device_->prepare(zero, draw, 0, kept);
    const auto bytes = device_->bytes({0, setting_.dimension}, layout_.chunks(), draw, 0);
    if (!bytes || *bytes != 8 * std::ssize(kept.index)) return;
    MeanSetting dense;
    dense.dimension = std::ssize(kept.index);
    dense.weights = setting_.weights;
    dense.fast = setting_.fast;
    packed_ = std::make_unique<Impl>(comm_, agents_, std::move(dense));
  }

  /// Sums the kept values as a dense vector and puts them where the mask says.
  void packed(std::span<double> out) {
    const std::int64_t k = packed_->setting_.dimension;
    packed_rows_.resize(at(hosted_.size() * k));
    packed_out_.resize(at(k));
    for (std::int64_t a = 0; a < hosted_.size(); ++a) {
      const Selection& kept = selections_[at(a)];
      std::copy(kept.value.begin(), kept.value.end(), packed_rows_.begin() + a * k);
      if (!setting_.error_feedback) continue;
      const auto error = error_row(a);
      for (std::size_t j = 0; j < kept.index.size(); ++j) error[at(kept.index[j])] -= kept.value[j];
    }
    packed_->traffic_ = {};
    packed_->dense(packed_rows_, packed_out_);
    // A rank without agents draws the mask all the same.
    std::fill(out.begin(), out.end(), 0.0);
    if (hosted_.size() == 0) device_->prepare(out, *draw_, 0, chunk_selection_);
    const Selection& mask = hosted_.size() == 0 ? chunk_selection_ : selections_.front();
    for (std::size_t j = 0; j < mask.index.size(); ++j) out[at(mask.index[j])] = packed_out_[j];
    traffic_ += packed_->traffic_;
    traffic_.rounds -= 1;  // counted at the end of this round
  }

  void check_shapes(std::span<const double> contributions, std::span<double> out) const {
    assert(std::ssize(contributions) == hosted_.size() * setting_.dimension);
    assert(std::ssize(out) == setting_.dimension);
    (void)contributions;
    (void)out;
  }

  void begin_round() {
    uplink_.assign(at(hosted_.size()), 0);
    downlink_ = 0;
  }
  void end_round() {
    traffic_.rounds += 1;
    if (!uplink_.empty())
      traffic_.uplink_per_agent += *std::max_element(uplink_.begin(), uplink_.end());
    traffic_.downlink_per_agent += downlink_;
  }

  // ---- packing
  // -----------------------------------------------------------------------------------

  /// Encodes the hosted agents' coordinates in `range`, and takes what was sent out of the error
  /// feedback.
  void pack(std::span<const double> source, Range range, const Codec* codec, bool lengths,
            Packed& packed) {
    packed.bytes.clear();
    const std::size_t table = lengths ? at(hosted_.size()) * sizeof(std::int64_t) : 0;
    if (!lengths) packed.bytes.reserve(at(*message_bytes(comm_.rank(), range, codec)));
    packed.bytes.resize(table);
    for (std::int64_t a = 0; a < hosted_.size(); ++a) {
      const std::size_t start = packed.bytes.size();
      const auto piece = row(source, a).subspan(at(range.begin), at(range.size()));
      if (codec == nullptr) {
        const auto raw = bytes_of(piece);
        packed.bytes.insert(packed.bytes.end(), raw.begin(), raw.end());
      } else {
        const std::int64_t agent = hosted_.begin + a;
        const Draw draw = draw_->with_agent(agent);
        codec->encode(row(source, a), selections_[at(a)], range, layout_.chunks(), draw,
                      packed.bytes);
        if (setting_.error_feedback) {
          codec->decode_add(std::span(packed.bytes).subspan(start), range, layout_.chunks(), draw,
                            agent, -1.0, error_row(a).subspan(at(range.begin), at(range.size())));
        }
      }
      const auto length = static_cast<std::int64_t>(packed.bytes.size() - start);
      uplink_[at(a)] += length;
      if (lengths) std::memcpy(packed.bytes.data() + at(a) * sizeof length, &length, sizeof length);
    }
    packed.payload = static_cast<std::int64_t>(packed.bytes.size() - table);
  }

  /// Adds the pieces of the agents hosted by `rank` to `out`, in agent order.
  void unpack(std::span<const std::byte> bytes, int rank, Range range, const Codec* codec,
              bool lengths, std::span<double> out) const {
    const Range theirs = agents_.range(rank);
    std::size_t cursor = lengths ? at(theirs.size()) * sizeof(std::int64_t) : 0;
    if (cursor > bytes.size())
      throw Error(Exit::defect, "a message is shorter than its table of lengths");
    for (std::int64_t agent = theirs.begin; agent < theirs.end; ++agent) {
      std::int64_t length = 0;
      if (lengths) {
        std::memcpy(&length, bytes.data() + at(agent - theirs.begin) * sizeof length,
                    sizeof length);
      } else {
        length = *codec->bytes(range, layout_.chunks(), draw_->with_agent(agent), agent);
      }
      if (length < 0 || at(length) > bytes.size() - cursor) {
        throw Error(Exit::defect, fmt::format("a message of agent {} has a wrong length", agent));
      }
      const auto piece = bytes.subspan(cursor, at(length));
      cursor += at(length);
      codec->decode_add(piece, range, layout_.chunks(), draw_->with_agent(agent), agent,
                        weight(agent), out);
    }
  }

  std::span<double> error_row(std::int64_t a) {
    return std::span(agent_errors_).subspan(at(a * setting_.dimension), at(setting_.dimension));
  }

  /// Bytes of the message that `rank` sends for `range`, or nothing if only the sender knows.
  [[nodiscard]] std::optional<std::int64_t> message_bytes(int rank, Range range,
                                                          const Codec* codec) const {
    const Range theirs = agents_.range(rank);
    if (codec == nullptr) return theirs.size() * range.size() * 8;
    std::int64_t total = 0;
    for (std::int64_t agent = theirs.begin; agent < theirs.end; ++agent) {
      const auto size = codec->bytes(range, layout_.chunks(), draw_->with_agent(agent), agent);
      if (!size) return std::nullopt;
      total += *size;
    }
    return total;
  }

  [[nodiscard]] bool variable(const Codec* codec) const {
    return codec && agents_.size() > 0 &&
           !codec->bytes(Range{0, setting_.dimension}, layout_.chunks(), draw_->with_agent(0), 0);
  }

  // ---- the server side
  // ---------------------------------------------------------------------------

  struct ChunkCodec {
    std::int64_t size;
    std::shared_ptr<const Codec> codec;
    Partition single;
  };
  [[nodiscard]] const ChunkCodec& chunk_codec(std::int64_t size) const {
    for (const auto& entry : chunk_codecs_) {
      if (entry.size == size) return entry;
    }
    throw Error(Exit::defect, "no server codec for this chunk size");
  }

  /// Visits the chunks of a segment: number, range.
  template <class Visit>
  void for_chunks(Range segment, Visit visit) const {
    for (int c = layout_.chunks().owner(segment.begin); c < layout_.chunks().parts(); ++c) {
      const Range chunk = layout_.chunks().range(c);
      if (chunk.begin >= segment.end) break;
      if (chunk.size() > 0) visit(c, chunk);
    }
  }

  /// Compresses the mean of a segment in place: `out` becomes what every rank will decode.
  void serve(Range segment, std::span<double> out, bool lengths, Packed& packed) {
    packed.bytes.clear();
    std::int64_t count = 0;
    for_chunks(segment, [&](int, Range) { ++count; });
    const std::size_t table = lengths ? at(count) * sizeof(std::int64_t) : 0;
    packed.bytes.resize(table);
    std::int64_t k = 0;
    const std::int64_t first_owned = layout_.owned(comm_.rank()).begin;
    for_chunks(segment, [&](int number, Range chunk) {
      const ChunkCodec& entry = chunk_codec(chunk.size());
      const auto values = out.subspan(at(chunk.begin), at(chunk.size()));
      std::span<double> error;
      if (setting_.error_feedback) {
        error = std::span(owner_errors_).subspan(at(chunk.begin - first_owned), at(chunk.size()));
        for (std::size_t i = 0; i < error.size(); ++i) error[i] += values[i];
      }
      const std::span<const double> v = setting_.error_feedback ? error : values;
      const Draw draw = server_draw_->with_agent(number);
      const Range all{0, chunk.size()};
      const std::size_t start = packed.bytes.size();
      entry.codec->prepare(v, draw, number, chunk_selection_);
      entry.codec->encode(v, chunk_selection_, all, entry.single, draw, packed.bytes);
      const auto piece = std::span<const std::byte>(packed.bytes).subspan(start);
      std::fill(values.begin(), values.end(), 0.0);
      entry.codec->decode_add(piece, all, entry.single, draw, number, 1.0, values);
      for (std::size_t i = 0; i < error.size(); ++i) error[i] -= values[i];
      const auto length = static_cast<std::int64_t>(piece.size());
      if (lengths) std::memcpy(packed.bytes.data() + at(k) * sizeof length, &length, sizeof length);
      ++k;
    });
    packed.payload = static_cast<std::int64_t>(packed.bytes.size() - table);
  }

  /// Decodes a segment as its owner served it.
  std::int64_t take_served(std::span<const std::byte> bytes, Range segment, bool lengths,
                           std::span<double> out) const {
    std::int64_t count = 0;
    for_chunks(segment, [&](int, Range) { ++count; });
    std::size_t cursor = lengths ? at(count) * sizeof(std::int64_t) : 0;
    if (cursor > bytes.size())
      throw Error(Exit::defect, "a served message is shorter than its table");
    std::int64_t k = 0;
    std::int64_t payload = 0;
    for_chunks(segment, [&](int number, Range chunk) {
      const ChunkCodec& entry = chunk_codec(chunk.size());
      const Draw draw = server_draw_->with_agent(number);
      const Range all{0, chunk.size()};
      std::int64_t length = 0;
      if (lengths) {
        std::memcpy(&length, bytes.data() + at(k) * sizeof length, sizeof length);
      } else {
        length = *entry.codec->bytes(all, entry.single, draw, number);
      }
      if (length < 0 || at(length) > bytes.size() - cursor) {
        throw Error(Exit::defect, fmt::format("the served chunk {} has a wrong length", number));
      }
      const auto values = out.subspan(at(chunk.begin), at(chunk.size()));
      std::fill(values.begin(), values.end(), 0.0);
      entry.codec->decode_add(bytes.subspan(cursor, at(length)), all, entry.single, draw, number,
                              1.0, values);
      cursor += at(length);
      payload += length;
      ++k;
    });
    return payload;
  }

  [[nodiscard]] std::optional<std::int64_t> served_bytes(Range segment, const Codec* server) const {
    if (!server) return segment.size() * 8;
    std::int64_t total = 0;
    bool known = true;
    for_chunks(segment, [&](int number, Range chunk) {
      const ChunkCodec& entry = chunk_codec(chunk.size());
      const auto size = entry.codec->bytes({0, chunk.size()}, entry.single,
                                           server_draw_->with_agent(number), number);
      known = known && size;
      total += size.value_or(0);
    });
    return known ? std::optional(total) : std::nullopt;
  }

  // ---- the collectives
  // ---------------------------------------------------------------------------

  /// Owners sum their chunks and hand them back; segment by segment, so that encoding, travel and
  /// summing overlap.
  void two_phase(std::span<const double> source, std::span<double> out, const Codec* device,
                 const Codec* server) {
    const bool up_lengths = variable(device);
    const bool down_lengths = server && !served_bytes(Range{0, setting_.dimension}, server);
    slots_.resize(2);
    for (auto& slot : slots_) slot.resize(static_cast<std::size_t>(comm_.size()));
    post_receives(0, device, up_lengths);
    send_up(0, source, device, up_lengths);
    for (std::size_t j = 0; j < rounds_; ++j) {
      if (j + 1 < rounds_) {
        post_receives(j + 1, device, up_lengths);
        // The slot's previous messages have been waited for in the step before.
        send_up(j + 1, source, device, up_lengths);
      }
      post_down_receives(j, out, server, down_lengths);
      sum_segment(j, source, out, device, up_lengths);
      send_down(j, out, server, down_lengths);
      if (j > 0) finish_down(j - 1, out, server, down_lengths);
    }
    if (rounds_ > 0) finish_down(rounds_ - 1, out, server, down_lengths);
  }

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

  void post_receives(std::size_t j, const Codec* device, bool lengths) {
    const Range* mine = segment(comm_.rank(), j);
    if (!mine || lengths) return;
    for (int s = 0; s < comm_.size(); ++s) {
      if (s == comm_.rank() || agents_.range(s).size() == 0) continue;
      Slot& t = slot(j, s);
      t.up_in.resize(at(*message_bytes(s, *mine, device)));
      exchange_.receive(s, up_tag(j), t.up_in, t.up_receive);
    }
  }

  void send_up(std::size_t j, std::span<const double> source, const Codec* device, bool lengths) {
    if (hosted_.size() == 0) return;
    // Each rank starts with its right neighbour, so that no owner is everybody's first.
    for (int step = 1; step < comm_.size(); ++step) {
      const int r = (comm_.rank() + step) % comm_.size();
      const Range* theirs = segment(r, j);
      if (!theirs) continue;
      Slot& t = slot(j, r);
      if (!device && hosted_.size() == 1) {
        const auto raw = bytes_of(source.subspan(at(theirs->begin), at(theirs->size())));
        uplink_[0] += std::ssize(raw);
        traffic_.sent += std::ssize(raw);
        exchange_.send(r, up_tag(j), raw, Exchange::seal(raw), t.up_send);
      } else {
        pack(source, *theirs, device, lengths, t.up_out);
        traffic_.sent += t.up_out.payload;
        traffic_.header_sent += std::ssize(t.up_out.bytes) - t.up_out.payload;
        exchange_.send(r, up_tag(j), t.up_out.bytes, Exchange::seal(t.up_out.bytes), t.up_send);
      }
    }
  }

  void sum_segment(std::size_t j, std::span<const double> source, std::span<double> out,
                   const Codec* device, bool lengths) {
    const Range* mine = segment(comm_.rank(), j);
    if (mine) {
      const auto values = out.subspan(at(mine->begin), at(mine->size()));
      if (device) {
        sum_decoded(j, source, *mine, device, lengths, values);
      } else {
        sum_plain(j, source, *mine, values);
      }
    }
    for (int r = 0; r < comm_.size(); ++r) {
      if (r != comm_.rank()) exchange_.finish(slot(j, r).up_send);
    }
  }

  void sum_decoded(std::size_t j, std::span<const double> source, Range mine, const Codec* device,
                   bool lengths, std::span<double> values) {
    std::fill(values.begin(), values.end(), 0.0);
    for (int s = 0; s < comm_.size(); ++s) {
      if (agents_.range(s).size() == 0) continue;
      if (s == comm_.rank()) {
        pack(source, mine, device, lengths, own_);
        unpack(own_.bytes, s, mine, device, lengths, values);
        continue;
      }
      Slot& t = slot(j, s);
      const std::int64_t table = lengths ? agents_.range(s).size() * 8 : 0;
      if (lengths) {
        exchange_.receive_any_length(s, up_tag(j), t.up_in);
      } else {
        exchange_.finish(t.up_receive);
      }
      traffic_.received += std::ssize(t.up_in) - table;
      traffic_.header_received += table;
      unpack(t.up_in, s, mine, device, lengths, values);
    }
  }

  /// Uncompressed: block by block over all agents, so that the sum stays in the nearest cache.
  void sum_plain(std::size_t j, std::span<const double> source, Range mine,
                 std::span<double> values) {
    plain_.clear();
    for (int s = 0; s < comm_.size(); ++s) {
      const std::int64_t agents = agents_.range(s).size();
      if (s == comm_.rank()) {
        for (std::int64_t a = 0; a < agents; ++a) {
          uplink_[at(a)] += mine.size() * 8;
          plain_.push_back(row(source, a).data() + mine.begin);
        }
      } else if (agents > 0) {
        Slot& t = slot(j, s);
        exchange_.finish(t.up_receive);
        traffic_.received += std::ssize(t.up_in);
        // Receive buffers come from the allocator, so their doubles are aligned.
        const auto* data = reinterpret_cast<const double*>(t.up_in.data());
        for (std::int64_t a = 0; a < agents; ++a) plain_.push_back(data + a * mine.size());
      }
    }
    if (plain_.empty()) std::fill(values.begin(), values.end(), 0.0);
    constexpr std::size_t block = 2048;
    for (std::size_t first = 0; first < values.size(); first += block) {
      const auto part = values.subspan(first, std::min(block, values.size() - first));
      for (std::size_t m = 0; m < plain_.size(); ++m) {
        const std::span<const double> in(plain_[m] + first, part.size());
        if (m == 0) {
          set_scaled(setting_.weights[m], in, part);
        } else {
          add_scaled(setting_.weights[m], in, part);
        }
      }
    }
  }

  void post_down_receives(std::size_t j, std::span<double> out, const Codec* server, bool lengths) {
    if (lengths) return;
    for (int s = 0; s < comm_.size(); ++s) {
      const Range* theirs = segment(s, j);
      if (s == comm_.rank() || !theirs) continue;
      Slot& t = slot(j, s);
      if (server) {
        t.down_in.resize(at(*served_bytes(*theirs, server)));
        exchange_.receive(s, down_tag(j), t.down_in, t.down_receive);
      } else {
        exchange_.receive(
            s, down_tag(j),
            std::as_writable_bytes(out.subspan(at(theirs->begin), at(theirs->size()))),
            t.down_receive);
      }
    }
  }

  void send_down(std::size_t j, std::span<double> out, const Codec* server, bool lengths) {
    const Range* mine = segment(comm_.rank(), j);
    if (!mine) return;
    std::span<const std::byte> bytes = bytes_of(out.subspan(at(mine->begin), at(mine->size())));
    std::int64_t payload = std::ssize(bytes);
    Packed& packed = slot(j, comm_.rank()).down_out;
    if (server) {
      serve(*mine, out, lengths, packed);
      bytes = packed.bytes;
      payload = packed.payload;
    }
    downlink_ += payload;
    const auto header = Exchange::seal(bytes);
    for (int step = 1; step < comm_.size(); ++step) {
      const int r = (comm_.rank() + step) % comm_.size();
      traffic_.sent += payload;
      traffic_.header_sent += std::ssize(bytes) - payload;
      exchange_.send(r, down_tag(j), bytes, header, slot(j, r).down_send);
    }
  }

  void finish_down(std::size_t j, std::span<double> out, const Codec* server, bool lengths) {
    for (int s = 0; s < comm_.size(); ++s) {
      const Range* theirs = segment(s, j);
      if (s == comm_.rank() || !theirs) continue;
      Slot& t = slot(j, s);
      std::int64_t payload = theirs->size() * 8;
      if (server) {
        if (lengths) {
          exchange_.receive_any_length(s, down_tag(j), t.down_in);
        } else {
          exchange_.finish(t.down_receive);
        }
        payload = take_served(t.down_in, *theirs, lengths, out);
        traffic_.header_received += std::ssize(t.down_in) - payload;
      } else {
        exchange_.finish(t.down_receive);
      }
      traffic_.received += payload;
      downlink_ += payload;
    }
    for (int r = 0; r < comm_.size(); ++r) {
      if (r != comm_.rank()) exchange_.finish(slot(j, r).down_send);
    }
  }

  /// Every rank sends its agents' sparse messages to all, and all add them in agent order.
  void allgather(std::span<const double> source, std::span<double> out) {
    const Range whole{0, setting_.dimension};
    const bool lengths = variable(device_.get());
    slots_.resize(2);
    for (auto& s : slots_) s.resize(static_cast<std::size_t>(comm_.size()));
    for (int s = 0; s < comm_.size() && !lengths; ++s) {
      if (s == comm_.rank() || agents_.range(s).size() == 0) continue;
      Slot& t = slot(0, s);
      t.up_in.resize(at(*message_bytes(s, whole, device_.get())));
      exchange_.receive(s, up_tag(0), t.up_in, t.up_receive);
    }
    pack(source, whole, device_.get(), lengths, own_);
    const auto header = Exchange::seal(own_.bytes);
    for (int step = 1; step < comm_.size() && hosted_.size() > 0; ++step) {
      const int r = (comm_.rank() + step) % comm_.size();
      traffic_.sent += own_.payload;
      traffic_.header_sent += std::ssize(own_.bytes) - own_.payload;
      exchange_.send(r, up_tag(0), own_.bytes, header, slot(0, r).up_send);
    }
    std::fill(out.begin(), out.end(), 0.0);
    std::int64_t everything = own_.payload;
    for (int s = 0; s < comm_.size(); ++s) {
      if (agents_.range(s).size() == 0) continue;
      if (s == comm_.rank()) {
        unpack(own_.bytes, s, whole, device_.get(), lengths, out);
        continue;
      }
      Slot& t = slot(0, s);
      if (lengths) {
        exchange_.receive_any_length(s, up_tag(0), t.up_in);
      } else {
        exchange_.finish(t.up_receive);
      }
      const std::int64_t table = lengths ? agents_.range(s).size() * 8 : 0;
      traffic_.received += std::ssize(t.up_in) - table;
      traffic_.header_received += table;
      everything += std::ssize(t.up_in) - table;
      unpack(t.up_in, s, whole, device_.get(), lengths, out);
    }
    for (int r = 0; r < comm_.size(); ++r) {
      if (r != comm_.rank()) exchange_.finish(slot(0, r).up_send);
    }
    downlink_ = std::min(everything, setting_.dimension * 8);
  }

  /// The MPI library's sum of local sums: fewer bytes with many agents on a rank, bits that depend
  /// on the rank count.
  void allreduce(std::span<const double> source, std::span<double> out) {
    std::fill(out.begin(), out.end(), 0.0);
    for (std::int64_t a = 0; a < hosted_.size(); ++a) {
      uplink_[at(a)] += setting_.dimension * 8;
      if (a == 0) {
        set_scaled(weight(hosted_.begin), row(source, 0), out);
      } else {
        add_scaled(weight(hosted_.begin + a), row(source, a), out);
      }
    }
    constexpr std::int64_t most = std::int64_t{1} << 28;
    for (std::int64_t first = 0; first < std::ssize(out); first += most) {
      MPI_Allreduce(MPI_IN_PLACE, out.data() + first,
                    static_cast<int>(std::min(most, std::ssize(out) - first)), MPI_DOUBLE, MPI_SUM,
                    comm_.handle());
    }
    const std::int64_t moved = 16 * setting_.dimension * (comm_.size() - 1) / comm_.size();
    traffic_.sent += moved;
    traffic_.received += moved;
    downlink_ = 8 * setting_.dimension;
  }

  Exchange exchange_;
  std::vector<std::vector<Range>> segments_;
  std::size_t rounds_ = 0;
  std::vector<std::vector<Slot>> slots_;
  std::vector<ChunkCodec> chunk_codecs_;
  std::vector<Selection> selections_;
  Selection chunk_selection_;
  Packed own_;
  std::vector<const double*> plain_;
  std::optional<Draw> draw_, server_draw_;
  std::vector<double> packed_rows_, packed_out_;
  std::vector<std::int64_t> uplink_;
  std::int64_t downlink_ = 0;
};

Mean::Mean(parallel::Comm comm, Partition agents, MeanSetting setting)
    : impl_(std::make_unique<Impl>(std::move(comm), std::move(agents), std::move(setting))) {}
Mean::~Mean() = default;
Mean::Mean(Mean&&) noexcept = default;
Mean& Mean::operator=(Mean&&) noexcept = default;

void Mean::operator()(std::int64_t iteration, std::span<const double> contributions,
                      std::span<double> out) {
  impl_->compressed(iteration, contributions, out);
}
void Mean::dense(std::span<const double> contributions, std::span<double> out) {
  impl_->dense(contributions, out);
}
void Mean::reset() { rescale(0.0); }
void Mean::rescale(double factor) {
  for (auto* errors : {&impl_->agent_errors_, &impl_->owner_errors_}) {
    for (double& e : *errors) e = factor == 0.0 ? 0.0 : factor * e;
  }
}
void Mean::fields(state::FieldVisitor& visit) {
  if (!impl_->setting_.error_feedback) return;
  visit.partitioned("mean/agent_errors", impl_->agents_, impl_->comm_.rank(),
                    impl_->setting_.dimension, impl_->agent_errors_);
  if (impl_->server_) {
    visit.partitioned("mean/owner_errors", impl_->layout_.coordinates(), impl_->comm_.rank(), 1,
                      impl_->owner_errors_);
  }
}
const Partition& Mean::agents() const { return impl_->agents_; }
Range Mean::hosted() const { return impl_->hosted_; }
const MeanSetting& Mean::setting() const { return impl_->setting_; }
Descriptor Mean::device() const {
  return impl_->device_ ? impl_->device_->describe(impl_->setting_.dimension, impl_->agents_.size())
                        : Descriptor{};
}
Descriptor Mean::server() const {
  return impl_->server_ ? impl_->server_->describe(impl_->setting_.dimension, 1) : Descriptor{};
}
std::span<const double> Mean::agent_errors() const { return impl_->agent_errors_; }
std::span<const double> Mean::owner_errors() const { return impl_->owner_errors_; }
Range Mean::owned() const { return impl_->layout_.owned(impl_->comm_.rank()); }
std::string Mean::collective() const { return impl_->gather_ ? "allgatherv" : "two-phase"; }
const parallel::Traffic& Mean::traffic() const { return impl_->traffic_; }
void Mean::set_traffic(const parallel::Traffic& traffic) { impl_->traffic_ = traffic; }

}  // namespace equipoise::compress
