#include "packing.hpp"

#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cstring>

namespace equipoise::compress {

using partition::Partition;

namespace {
/// Entries of chunks compressed together where the codec allows it: they stay in the nearest cache.
constexpr std::int64_t joined_entries = 4096;
}  // namespace

Downlink::Downlink(Round& round) : round_(round) {
  // A chunk is compressed by itself; uniform chunks have at most two sizes.
  const Partition& chunks = round.layout.chunks();
  for (int c = 0; c < chunks.parts(); ++c) {
    const std::int64_t size = chunks.range(c).size();
    if (codecs_.empty() || codecs_.back().size != size) {
      codecs_.push_back(
          {size, make_codec(round.setting.server_codec, {size, 1}), Partition::uniform(size, 1)});
    }
  }
  const parallel::Draw draw(round.setting.seed, parallel::Purpose::owner_rounding, 0);
  for (const auto& [size, codec, single] : codecs_) {
    lengths_ = lengths_ || !codec->bytes({0, size}, single, draw, 0);
  }
  if (round.census) served_.assign(static_cast<std::size_t>(chunks.parts()), 0);
}

const Downlink::ChunkCodec& Downlink::of(std::int64_t size) const {
  if (joins()) return codecs_.front();
  for (const auto& entry : codecs_) {
    if (entry.size == size) return entry;
  }
  throw Error(Exit::defect, "no server codec for this chunk size");
}

bool Downlink::joins() const { return !codecs_.empty() && codecs_.front().codec->entrywise(); }

/// Visits the chunks of a segment, joined where that makes no difference: number of the first,
/// range.
template <class Visit>
void Downlink::for_chunks(Range segment, Visit visit) const {
  const Partition& chunks = round_.layout.chunks();
  if (segment.size() == 0) return;
  const std::int64_t most = joins() ? joined_entries : 0;
  int c = chunks.owner(segment.begin);
  while (c < chunks.parts() && chunks.range(c).begin < segment.end) {
    const int first = c;
    Range piece = chunks.range(c++);
    while (c < chunks.parts() && chunks.range(c).begin < segment.end &&
           piece.size() + chunks.range(c).size() <= most) {
      piece.end = chunks.range(c++).end;
    }
    if (piece.size() > 0) visit(first, piece);
  }
}

std::int64_t Downlink::table(Range segment) const {
  std::int64_t count = 0;
  for_chunks(segment, [&](int, Range) { ++count; });
  return 8 * count;
}

std::vector<std::int64_t> Downlink::all_served() const {
  std::vector<std::int64_t> all = served_;
  MPI_Allreduce(MPI_IN_PLACE, all.data(), static_cast<int>(all.size()), MPI_INT64_T, MPI_SUM,
                round_.comm.handle());
  return all;
}

std::optional<std::int64_t> Downlink::bytes(Range segment) const {
  if (lengths_) return std::nullopt;
  std::int64_t total = 0;
  for_chunks(segment, [&](int number, Range chunk) {
    const ChunkCodec& entry = of(chunk.size());
    total += *entry.codec->bytes({0, chunk.size()}, entry.single,
                                 round_.server_draw->with_agent(number), number);
  });
  return total;
}

void Downlink::pack(Range segment, std::span<double> out, Packed& packed) {
  packed.bytes.clear();
  const std::size_t table = lengths_ ? at(this->table(segment)) : 0;
  packed.bytes.resize(table);
  std::size_t k = 0;
  const std::int64_t first_owned = round_.layout.owned(round_.comm.rank()).begin;
  for_chunks(segment, [&](int number, Range chunk) {
    const ChunkCodec& entry = of(chunk.size());
    const auto values = out.subspan(at(chunk.begin), at(chunk.size()));
    std::span<double> error;
    const bool feedback = !round_.owner_errors.empty();
    if (feedback) {
      error =
          std::span(round_.owner_errors).subspan(at(chunk.begin - first_owned), at(chunk.size()));
      for (std::size_t i = 0; i < error.size(); ++i) error[i] += values[i];
    }
    const std::span<const double> v = feedback ? error : values;
    const auto draw = round_.server_draw->with_agent(number);
    const Range all{0, chunk.size()};
    const std::size_t start = packed.bytes.size();
    entry.codec->prepare(v, draw, number, selection_);
    entry.codec->encode(v, selection_, all, entry.single, draw, packed.bytes);
    const auto piece = std::span<const std::byte>(packed.bytes).subspan(start);
    std::fill(values.begin(), values.end(), 0.0);
    entry.codec->decode_add(piece, all, entry.single, draw, number, 1.0, values);
    for (std::size_t i = 0; i < error.size(); ++i) error[i] -= values[i];
    const auto length = static_cast<std::int64_t>(piece.size());
    if (lengths_) std::memcpy(packed.bytes.data() + k * sizeof length, &length, sizeof length);
    if (!served_.empty()) served_[static_cast<std::size_t>(number)] = length;
    ++k;
  });
  packed.payload = static_cast<std::int64_t>(packed.bytes.size() - table);
}

std::int64_t Downlink::unpack(std::span<const std::byte> bytes, Range segment,
                              std::span<double> out) const {
  std::size_t cursor = lengths_ ? at(table(segment)) : 0;
  if (cursor > bytes.size())
    throw Error(Exit::defect, "a served message is shorter than its table");
  std::size_t k = 0;
  std::int64_t payload = 0;
  for_chunks(segment, [&](int number, Range chunk) {
    const ChunkCodec& entry = of(chunk.size());
    const auto draw = round_.server_draw->with_agent(number);
    const Range all{0, chunk.size()};
    std::int64_t length = 0;
    if (lengths_) {
      std::memcpy(&length, bytes.data() + k * sizeof length, sizeof length);
    } else {
      length = *entry.codec->bytes(all, entry.single, draw, number);
    }
    if (length < 0 || at(length) > bytes.size() - cursor) {
      throw Error(Exit::defect, fmt::format("the served chunk {} has a wrong length", number));
    }
    const auto values = out.subspan(at(chunk.begin), at(chunk.size()));
    std::fill(values.begin(), values.end(), 0.0);
    entry.codec->decode_add(bytes.subspan(cursor, at(length)), all, entry.single, draw, number, 1.0,
                            values);
    cursor += at(length);
    payload += length;
    ++k;
  });
  return payload;
}

}  // namespace equipoise::compress
