#include "codec_support.hpp"

// A sparse piece: which coordinates of a range were kept, and their values.
namespace equipoise::compress::detail {
namespace {

enum class Mode : std::uint8_t { fixed = 1, bitmap = 2, gaps = 3, dense = 4 };

int index_width(std::int64_t n) { return std::bit_width(static_cast<std::uint64_t>(n - 1)); }

std::int64_t varint_bytes(std::uint64_t x) { return (std::bit_width(x | 1U) + 6) / 7; }

std::int64_t gap_bytes(std::span<const std::int64_t> index, std::int64_t begin) {
  std::int64_t total = 0, previous = begin - 1;
  for (const std::int64_t i : index) {
    total += varint_bytes(static_cast<std::uint64_t>(i - previous - 1));
    previous = i;
  }
  return total;
}

void append_indices(Mode mode, std::span<const std::int64_t> index, Range range,
                    std::vector<std::byte>& out) {
  if (mode == Mode::gaps) {
    std::int64_t previous = range.begin - 1;
    for (const std::int64_t i : index) {
      append_varint(static_cast<std::uint64_t>(i - previous - 1), out);
      previous = i;
    }
    return;
  }
  const int width = mode == Mode::bitmap ? 1 : index_width(range.size());
  const std::int64_t codes = mode == Mode::bitmap ? range.size() : std::ssize(index);
  const std::size_t start = out.size();
  out.resize(start + static_cast<std::size_t>(packed_bytes(codes, width)));
  std::byte* const to = out.data() + start;
  if (mode == Mode::bitmap) {
    for (const std::int64_t i : index)
      to[(i - range.begin) / 8] |= std::byte{1} << ((i - range.begin) % 8);
    return;
  }
  std::int64_t at = 0;
  for (const std::int64_t i : index) {
    const auto bits = static_cast<std::uint64_t>(i - range.begin) << (at % 8);  // width + 7 <= 64
    for (std::int64_t byte = at / 8, b = 0; 8 * b < width + at % 8; ++b)
      to[byte + b] |= static_cast<std::byte>(bits >> (8 * b));
    at += width;
  }
}

/// Indices relative to the range, ascending and below n.
std::vector<std::int64_t> read_indices(Mode mode, Reader& reader, std::int64_t count,
                                       std::int64_t n) {
  std::vector<std::int64_t> index;
  index.reserve(static_cast<std::size_t>(count));
  std::int64_t previous = -1;
  const auto accept = [&](std::uint64_t i) {
    const auto here = static_cast<std::int64_t>(i);
    if (here <= previous || here >= n)
      throw WireError("index {} after {} in a piece of {}", i, previous, n);
    index.push_back(previous = here);
  };
  if (mode == Mode::gaps) {
    for (std::int64_t j = 0; j < count; ++j) {
      const std::uint64_t gap = reader.varint();
      accept(std::min(gap, static_cast<std::uint64_t>(n)) +
             static_cast<std::uint64_t>(previous + 1));
    }
  } else if (mode == Mode::bitmap) {
    const auto bits = reader.take(packed_bytes(n, 1));
    for (std::int64_t byte = 0; byte < std::ssize(bits); ++byte)
      for (auto rest = std::to_integer<unsigned>(bits[static_cast<std::size_t>(byte)]); rest != 0;
           rest &= rest - 1)
        accept(static_cast<std::uint64_t>(8 * byte + std::countr_zero(rest)));
    if (std::ssize(index) != count) throw WireError("{} marks for {} values", index.size(), count);
  } else {
    const int width = index_width(n);
    const auto bits = reader.take(packed_bytes(count, width));
    const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
    for (std::int64_t j = 0, at = 0; j < count; ++j, at += width) {
      std::uint64_t window = 0;
      const auto byte = static_cast<std::size_t>(at / 8);
      std::memcpy(&window, bits.data() + byte, std::min<std::size_t>(8, bits.size() - byte));
      accept((window >> (at % 8)) & mask);
    }
  }
  return index;
}

}  // namespace

void append_varint(std::uint64_t x, std::vector<std::byte>& out) {
  for (; x >= 128; x >>= 7U) out.push_back(static_cast<std::byte>(x | 128U));
  out.push_back(static_cast<std::byte>(x));
}

std::span<const std::byte> Reader::take(std::int64_t count) {
  if (count > std::ssize(in)) throw WireError("it ends {} bytes early", count - std::ssize(in));
  const auto taken = in.first(static_cast<std::size_t>(count));
  in = in.subspan(static_cast<std::size_t>(count));
  return taken;
}

std::uint64_t Reader::varint() {
  std::uint64_t x = 0;
  for (unsigned shift = 0; shift < 63; shift += 7) {
    const auto byte = std::to_integer<std::uint64_t>(take(1)[0]);
    x |= (byte & 127U) << shift;
    if (byte < 128) return x;
  }
  throw WireError("a number of more than 63 bits");
}

bool append_index_set(std::span<const std::int64_t> index, Range range, std::vector<std::byte>& out,
                      std::int64_t limit) {
  const std::int64_t n = range.size(), count = std::ssize(index);
  Mode mode = Mode::fixed;
  std::int64_t best = packed_bytes(count, index_width(n));
  const auto consider = [&](Mode other, std::int64_t bytes) {
    if (bytes < best) mode = other, best = bytes;
  };
  consider(Mode::bitmap, packed_bytes(n, 1));
  consider(Mode::gaps, gap_bytes(index, range.begin));
  best += 1 + varint_bytes(static_cast<std::uint64_t>(count));
  if (best > limit) return false;
  out.push_back(static_cast<std::byte>(mode));
  append_varint(static_cast<std::uint64_t>(count), out);
  append_indices(mode, index, range, out);
  return true;
}

std::vector<std::int64_t> read_index_set(Reader& reader, std::int64_t n) {
  const auto mode = static_cast<Mode>(reader.take(1)[0]);
  if (mode < Mode::fixed || mode > Mode::gaps)
    throw WireError("unknown index mode {}", static_cast<int>(mode));
  const std::uint64_t count = reader.varint();
  if (count == 0 || count > static_cast<std::uint64_t>(n))
    throw WireError("{} indices in a piece of {}", count, n);
  return read_indices(mode, reader, static_cast<std::int64_t>(count), n);
}

void append_sparse(std::span<const std::int64_t> index, std::span<const double> value, Range range,
                   std::vector<std::byte>& out) {
  if (index.empty()) return;
  const std::int64_t n = range.size();
  if (append_index_set(index, range, out, 8 * (n - std::ssize(index))))
    return append(out, value.data(), std::ssize(value));
  std::vector<double> all(static_cast<std::size_t>(n), 0.0);
  for (std::size_t j = 0; j < index.size(); ++j)
    all[static_cast<std::size_t>(index[j] - range.begin)] = value[j];
  out.push_back(static_cast<std::byte>(Mode::dense));
  append(out, all.data(), n);
}

namespace {

/// Calls use(index relative to the range, value) for every entry of a piece, ascending.
template <class Use>
void for_each_entry(std::span<const std::byte> in, Range range, Use use) {
  if (in.empty()) return;
  if (static_cast<Mode>(in[0]) == Mode::dense) {
    require_length(in, 1 + 8 * range.size());
    for (std::int64_t i = 0; i < range.size(); ++i)
      use(i, finite_or_nan(load<double>(in.data() + 1 + 8 * i)));
    return;
  }
  Reader reader{in};
  const auto index = read_index_set(reader, range.size());
  require_length(reader.in, 8 * std::ssize(index));
  for (std::size_t j = 0; j < index.size(); ++j)
    use(index[j], finite_or_nan(load<double>(reader.in.data() + 8 * j)));
}

}  // namespace

void decode_add_sparse(std::span<const std::byte> in, Range range, double weight,
                       std::span<double> out) {
  for_each_entry(in, range, [&](std::int64_t i, double value) {
    out[static_cast<std::size_t>(i)] += weight * value;
  });
}

void read_sparse(std::span<const std::byte> in, Range range, std::vector<std::int64_t>& index,
                 std::vector<double>& value) {
  for_each_entry(in, range, [&](std::int64_t i, double v) {
    if (v == 0.0) return;
    index.push_back(range.begin + i);
    value.push_back(v);
  });
}

}  // namespace equipoise::compress::detail
