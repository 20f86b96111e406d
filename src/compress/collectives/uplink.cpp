#include "packing.hpp"

#include <equipoise/parallel/error.hpp>

#include <cstring>

namespace equipoise::compress {

Uplink::Uplink(Round& round) : round_(round) {
  const parallel::Draw draw(round.setting.seed, parallel::Purpose::mask, 0);
  lengths_ = !round.device->bytes({0, round.dimension()}, round.layout.chunks(), draw, 0);
}

std::int64_t Uplink::table(int rank) const {
  return lengths_ ? round_.agents.range(rank).size() * 8 : 0;
}

std::optional<std::int64_t> Uplink::bytes(int rank, Range range) const {
  const Range theirs = round_.agents.range(rank);
  std::int64_t total = 0;
  for (std::int64_t agent = theirs.begin; agent < theirs.end; ++agent) {
    const auto size =
        round_.device->bytes(range, round_.layout.chunks(), round_.draw->with_agent(agent), agent);
    if (!size) return std::nullopt;
    total += *size;
  }
  return total;
}

void Uplink::pack(std::span<const double> source, Range range, Packed& packed) {
  const Codec& codec = *round_.device;
  packed.bytes.clear();
  const std::size_t table = lengths_ ? at(round_.hosted.size()) * sizeof(std::int64_t) : 0;
  if (!lengths_) packed.bytes.reserve(at(*bytes(round_.comm.rank(), range)));
  packed.bytes.resize(table);
  for (std::int64_t a = 0; a < round_.hosted.size(); ++a) {
    const std::int64_t agent = round_.hosted.begin + a;
    const auto draw = round_.draw->with_agent(agent);
    const std::size_t start = packed.bytes.size();
    codec.encode(round_.row(source, a), round_.selections[at(a)], range, round_.layout.chunks(),
                 draw, packed.bytes);
    if (round_.setting.error_feedback) {
      codec.decode_add(std::span(packed.bytes).subspan(start), range, round_.layout.chunks(), draw,
                       agent, -1.0, round_.error_row(a).subspan(at(range.begin), at(range.size())));
    }
    const auto length = static_cast<std::int64_t>(packed.bytes.size() - start);
    round_.uplink[at(a)] += length;
    if (lengths_) std::memcpy(packed.bytes.data() + at(a) * sizeof length, &length, sizeof length);
  }
  packed.payload = static_cast<std::int64_t>(packed.bytes.size() - table);
}

void Uplink::unpack(std::span<const std::byte> bytes, int rank, Range range,
                    std::span<double> out) const {
  const Range theirs = round_.agents.range(rank);
  std::size_t cursor = lengths_ ? at(theirs.size()) * sizeof(std::int64_t) : 0;
  if (cursor > bytes.size())
    throw Error(Exit::defect, "a message is shorter than its table of lengths");
  for (std::int64_t agent = theirs.begin; agent < theirs.end; ++agent) {
    const auto draw = round_.draw->with_agent(agent);
    std::int64_t length = 0;
    if (lengths_) {
      std::memcpy(&length, bytes.data() + at(agent - theirs.begin) * sizeof length, sizeof length);
    } else {
      length = *round_.device->bytes(range, round_.layout.chunks(), draw, agent);
    }
    if (length < 0 || at(length) > bytes.size() - cursor) {
      throw Error(Exit::defect, fmt::format("a message of agent {} has a wrong length", agent));
    }
    round_.device->decode_add(bytes.subspan(cursor, at(length)), range, round_.layout.chunks(),
                              draw, agent, round_.weight(agent), out);
    cursor += at(length);
  }
}

}  // namespace equipoise::compress
