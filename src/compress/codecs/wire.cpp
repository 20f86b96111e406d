#include "codec_support.hpp"

#include <equipoise/compress/wire.hpp>

#ifdef __SSE4_2__
#include <immintrin.h>
#endif

namespace equipoise::compress {
namespace {

using detail::load;
using detail::WireError;

constexpr std::uint32_t polynomial = 0x82F63B78U;  ///< of Castagnoli, bits reversed

using Table = std::array<std::uint32_t, 256>;

constexpr Table byte_table() {
  Table table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? polynomial : 0U);
    table[i] = crc;
  }
  return table;
}

#ifdef __SSE4_2__

/// What `stream` zero bytes do to a register, as four tables, one for each of its bytes: the
/// register is linear over bits, so three parts of a block can run side by side and be joined
/// afterwards.
constexpr std::size_t stream = 1024;

struct Shift {
  std::array<Table, 4> tables{};

  Shift() {
    constexpr Table bytes = byte_table();
    std::array<std::uint32_t, 32> column{};
    for (std::size_t bit = 0; bit < 32; ++bit) {
      std::uint32_t crc = 1U << bit;
      for (std::size_t i = 0; i < stream; ++i) crc = bytes[crc & 0xFFU] ^ (crc >> 8U);
      column[bit] = crc;
    }
    for (std::size_t part = 0; part < 4; ++part)
      for (std::size_t value = 0; value < 256; ++value)
        for (std::size_t bit = 0; bit < 8; ++bit)
          if ((value >> bit & 1U) != 0) tables[part][value] ^= column[8 * part + bit];
  }

  [[nodiscard]] std::uint64_t operator()(std::uint64_t crc) const {
    return tables[0][crc & 0xFFU] ^ tables[1][crc >> 8U & 0xFFU] ^ tables[2][crc >> 16U & 0xFFU] ^
           tables[3][crc >> 24U & 0xFFU];
  }
};

/// Three streams side by side, about 8 bytes a cycle.
std::uint32_t update_streams(std::uint32_t start, const std::byte* data, std::size_t size) {
  static const Shift shift;
  std::uint64_t crc = start;
  for (; size >= 3 * stream; data += 3 * stream, size -= 3 * stream) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t i = 0; i < stream; i += 8) {
      crc = _mm_crc32_u64(crc, load<std::uint64_t>(data + i));
      second = _mm_crc32_u64(second, load<std::uint64_t>(data + stream + i));
      third = _mm_crc32_u64(third, load<std::uint64_t>(data + 2 * stream + i));
    }
    crc = shift(shift(crc) ^ second) ^ third;
  }
  for (; size >= 8; data += 8, size -= 8) crc = _mm_crc32_u64(crc, load<std::uint64_t>(data));
  for (; size > 0; ++data, --size)
    crc = _mm_crc32_u8(static_cast<std::uint32_t>(crc), std::to_integer<std::uint8_t>(*data));
  return static_cast<std::uint32_t>(crc);
}

#if defined(__VPCLMULQDQ__) && defined(__AVX512F__)

/// x^n modulo the polynomial, bits reversed.
constexpr std::uint32_t power(int n) {
  std::uint32_t r = 0x80000000U;
  for (int i = 0; i < n; ++i) r = (r >> 1U) ^ ((r & 1U) != 0 ? polynomial : 0U);
  return r;
}

/// Replaces 256 bytes by 256 others, 2048 bits further on, that leave the same remainder: four
/// registers of four carry-less products each (Gopal et al., Fast CRC computation for generic
/// polynomials using PCLMULQDQ, 2009). A product of bit-reversed factors is short of one x.
std::uint32_t update(std::uint32_t crc, const std::byte* data, std::size_t size) {
  constexpr std::size_t fold = 256;
  if (size < 4 * fold) return update_streams(crc, data, size);
  constexpr auto low = static_cast<long long>(std::uint64_t{power(8 * fold + 63)} << 32U);
  constexpr auto high = static_cast<long long>(std::uint64_t{power(8 * fold - 1)} << 32U);
  const __m512i factors = _mm512_set_epi64(high, low, high, low, high, low, high, low);
  __m512i part[4];
  for (std::size_t i = 0; i < 4; ++i) part[i] = _mm512_loadu_si512(data + 64 * i);
  part[0] =
      _mm512_xor_si512(part[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(crc))));
  for (data += fold, size -= fold; size >= fold; data += fold, size -= fold)
    for (std::size_t i = 0; i < 4; ++i)
      part[i] = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(part[i], factors, 0x00),
                                          _mm512_clmulepi64_epi128(part[i], factors, 0x11),
                                          _mm512_loadu_si512(data + 64 * i), 0x96);
  alignas(64) std::byte rest[fold];
  for (std::size_t i = 0; i < 4; ++i) _mm512_store_si512(rest + 64 * i, part[i]);
  return update_streams(update_streams(0, rest, fold), data, size);
}

#else

std::uint32_t update(std::uint32_t crc, const std::byte* data, std::size_t size) {
  return update_streams(crc, data, size);
}

#endif

#else

/// Eight bytes at a time through eight tables.
constexpr std::array<Table, 8> slicing_tables() {
  std::array<Table, 8> tables{byte_table()};
  for (std::size_t t = 1; t < 8; ++t)
    for (std::size_t i = 0; i < 256; ++i)
      tables[t][i] = tables[0][tables[t - 1][i] & 0xFFU] ^ (tables[t - 1][i] >> 8U);
  return tables;
}

std::uint32_t update(std::uint32_t crc, const std::byte* data, std::size_t size) {
  static constexpr std::array<Table, 8> tables = slicing_tables();
  for (; size >= 8; data += 8, size -= 8) {
    const std::uint64_t word = load<std::uint64_t>(data) ^ crc;
    crc = 0;
    for (std::size_t t = 0; t < 8; ++t) crc ^= tables[7 - t][word >> (8 * t) & 0xFFU];
  }
  for (; size > 0; ++data, --size)
    crc = tables[0][(crc ^ std::to_integer<std::uint32_t>(*data)) & 0xFFU] ^ (crc >> 8U);
  return crc;
}

#endif

constexpr std::array<char, 4> magic = {'E', 'Q', 'C', '1'};

template <class T>
void store(std::array<std::byte, Header::size>& bytes, std::size_t at, T value) {
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(bytes.data() + at, &value, sizeof(T));
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> data) {
  return ~update(~std::uint32_t{0}, data.data(), data.size());
}

std::array<std::byte, Header::size> write_header(const Header& header,
                                                 std::span<const std::byte> payload) {
  std::array<std::byte, Header::size> bytes{};
  store(bytes, 0, magic);
  store(bytes, 4, Header::version);
  store(bytes, 5, header.codec);
  store(bytes, 6, header.type);
  store(bytes, 7, header.flags);
  store(bytes, 8, header.d);
  store(bytes, 16, header.k);
  store(bytes, 24, static_cast<std::int64_t>(payload.size()));
  store(bytes, 32, header.block);
  store(bytes, 36, crc32c(payload));
  return bytes;
}

Header read_header(std::span<const std::byte> message) {
  if (message.size() < Header::size)
    throw WireError("{} bytes hold no header of 40", message.size());
  return read_header(message.first(Header::size), message.subspan(Header::size));
}

Header read_header(std::span<const std::byte> message, std::span<const std::byte> payload) {
  if (message.size() != Header::size)
    throw WireError("{} bytes are no header of 40", message.size());
  const std::byte* bytes = message.data();
  if (load<std::array<char, 4>>(bytes) != magic) throw WireError("it does not begin with EQC1");
  const auto small = [&](std::size_t at) { return std::to_integer<int>(message[at]); };
  if (small(4) != Header::version)
    throw WireError("format version {} is not {}", small(4), Header::version);
  if (small(5) > static_cast<int>(CodecId::adaptive))
    throw WireError("unknown codec number {}", small(5));
  if (small(6) > static_cast<int>(ValueType::e5m2))
    throw WireError("unknown value type {}", small(6));
  if (load<std::int64_t>(bytes + 24) != std::ssize(payload))
    throw WireError("the header states {} payload bytes, {} came", load<std::int64_t>(bytes + 24),
                    payload.size());
  const auto stated = load<std::uint32_t>(bytes + 36);
  if (const std::uint32_t found = crc32c(payload); found != stated)
    throw WireError("CRC-32C is {:08x}, the header states {:08x}", found, stated);
  return {static_cast<CodecId>(small(5)),      static_cast<ValueType>(small(6)),
          static_cast<std::uint8_t>(small(7)), load<std::int64_t>(bytes + 8),
          load<std::int64_t>(bytes + 16),      load<std::uint32_t>(bytes + 32)};
}

}  // namespace equipoise::compress
