#include "level_codec.hpp"

#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace equipoise::vi {
namespace {

using compress::Range;
using partition::Partition;

/// Calls use(chunk) for the chunks of a range of whole chunks, empty ones left out.
template <class Use>
void for_chunks(Range range, const Partition& chunks, Use use) {
  for (int c = 0; c < chunks.parts(); ++c) {
    const Range chunk = chunks.range(c);
    if (chunk.size() > 0 && chunk.begin >= range.begin && chunk.end <= range.end) use(chunk);
  }
}

std::span<const double> part(std::span<const double> v, Range range) {
  return v.subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.size()));
}

}  // namespace

LevelCodec::LevelCodec(std::int64_t count) {
  for (std::int64_t j = 0; j <= count; ++j) {
    levels_.push_back(static_cast<double>(j) / static_cast<double>(count));
  }
}

std::string LevelCodec::name() const {
  return "adaptive-levels:" + std::to_string(levels_.size() - 1);
}

compress::Descriptor LevelCodec::describe(std::int64_t d, std::int64_t agents) const {
  compress::Descriptor result;
  result.kind = compress::Descriptor::Kind::unbiased;
  // An entry u in [l_j, l_{j+1}] has variance at most a quarter of the squared gap, and at most
  // u l_1 below the first level.
  double gap = 0.0;
  for (std::size_t j = 1; j < levels_.size(); ++j) gap = std::max(gap, levels_[j] - levels_[j - 1]);
  const auto n = static_cast<double>(d);
  result.omega = std::min(n * gap * gap / 4.0, std::sqrt(n) * gap);
  result.q = 1.0 + result.omega;
  result.collection_a = result.omega / static_cast<double>(agents);
  result.beta = 8.0 * n / static_cast<double>(chunk_bytes(d));
  return result;
}

void LevelCodec::count_entries(std::span<const double> v, const Partition& chunks,
                               std::span<std::int64_t> histogram) {
  for_chunks({0, std::ssize(v)}, chunks, [&](Range chunk) {
    const auto piece = part(v, chunk);
    const double norm = std::sqrt(linalg::dot(piece, piece));
    if (!(norm > 0.0) || !std::isfinite(norm)) return;
    for (const double x : piece) {
      const double place = std::fabs(x) / norm * static_cast<double>(bins);
      ++histogram[static_cast<std::size_t>(std::min(static_cast<std::int64_t>(place), bins - 1))];
    }
  });
}

void LevelCodec::encode(std::span<const double> v, const compress::Selection&, Range range,
                        const Partition& chunks, const parallel::Draw& draw,
                        std::vector<std::byte>& out) const {
  for_chunks(range, chunks, [&](Range chunk) {
    const auto piece = part(v, chunk);
    const double norm = std::sqrt(linalg::dot(piece, piece));
    const std::size_t at = out.size();
    out.resize(at + static_cast<std::size_t>(chunk_bytes(chunk.size())), std::byte{0});
    std::memcpy(&out[at], &norm, sizeof norm);
    if (!(norm > 0.0) || !std::isfinite(norm)) return;
    for (std::size_t i = 0; i < piece.size(); ++i) {
      const double u = std::min(std::fabs(piece[i]) / norm, 1.0);
      const auto above = std::upper_bound(levels_.begin() + 1, levels_.end() - 1, u);
      const double low = *(above - 1);
      const double fraction = (u - low) / (*above - low);
      const bool up = draw.uniform(static_cast<std::uint64_t>(chunk.begin) + i) < fraction;
      const auto level = (above - levels_.begin()) - (up ? 0 : 1);
      const auto code = static_cast<unsigned>(2 * level + (std::signbit(piece[i]) ? 1 : 0));
      std::byte& target = out[at + 8 + (packed() ? i / 2 : i)];
      target |= static_cast<std::byte>(packed() && i % 2 == 1 ? code << 4U : code);
    }
  });
}

void LevelCodec::decode_add(std::span<const std::byte> in, Range range, const Partition& chunks,
                            const parallel::Draw&, std::int64_t, double weight,
                            std::span<double> out) const {
  std::size_t at = 0;
  for_chunks(range, chunks, [&](Range chunk) {
    const auto length = static_cast<std::size_t>(chunk_bytes(chunk.size()));
    if (at + length > in.size()) throw Error(Exit::defect, "a compressed message is too short");
    double norm = 0.0;
    std::memcpy(&norm, &in[at], sizeof norm);
    const auto to = out.subspan(static_cast<std::size_t>(chunk.begin - range.begin),
                                static_cast<std::size_t>(chunk.size()));
    for (std::size_t i = 0; i < to.size(); ++i) {
      const auto byte = static_cast<unsigned>(in[at + 8 + (packed() ? i / 2 : i)]);
      const unsigned code = !packed() ? byte : (i % 2 == 1 ? byte >> 4U : byte & 15U);
      const std::size_t level = code >> 1U;
      if (level >= levels_.size()) throw Error(Exit::defect, "a compressed message is damaged");
      const double magnitude = norm * levels_[level];
      // A norm that is not finite makes every entry NaN: level 0 of an infinite norm as well.
      to[i] += weight * ((code & 1U) != 0U ? -magnitude : magnitude);
    }
    at += length;
  });
  if (at != in.size()) throw Error(Exit::defect, "a compressed message is too long");
}

std::optional<std::int64_t> LevelCodec::bytes(Range range, const Partition& chunks,
                                              const parallel::Draw&, std::int64_t) const {
  std::int64_t total = 0;
  for_chunks(range, chunks, [&](Range chunk) { total += chunk_bytes(chunk.size()); });
  return total;
}

}  // namespace equipoise::vi
