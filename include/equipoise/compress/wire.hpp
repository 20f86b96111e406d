#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace equipoise::compress {

/// CRC-32C (Castagnoli) of the bytes; "123456789" gives 0xE3069283. With SSE 4.2 three streams run
/// side by side, about 8 bytes a cycle; with carry-less products of 512 bits several times that.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> data);

/// Which family of codecs made a payload.
enum class CodecId : std::uint8_t {
  identity = 0,
  randk = 1,
  topk = 2,
  block_topk = 3,
  threshold = 4,
  permk = 5,
  rotk = 6,
  natural = 7,
  qsgd = 8,
  max_norm = 9,
  natural_dithering = 10,
  ternary = 11,
  sign = 12,
  cast = 13,
  powersgd = 14,
  zfp = 15,
  adaptive = 16,
};

/// The type of the values in a payload.
enum class ValueType : std::uint8_t { f64 = 0, f32 = 1, f16 = 2, bf16 = 3, e4m3 = 4, e5m2 = 5 };

/// What stands before a payload, 40 bytes little-endian:
///
/// | offset | size | field |
/// |---|---|---|
/// | 0 | 4 | `EQC1` |
/// | 4 | 1, 1, 1, 1 | version (1), codec, value type, flags |
/// | 8 | 8 | d |
/// | 16 | 8 | k, number of values |
/// | 24 | 8 | payload bytes |
/// | 32 | 4 | block or bucket size, 0 = none |
/// | 36 | 4 | CRC-32C of the payload |
struct Header {
  static constexpr std::size_t size = 40;
  static constexpr std::uint8_t version = 1;

  CodecId codec = CodecId::identity;
  ValueType type = ValueType::f64;
  std::uint8_t flags = 0;
  std::int64_t d = 0;
  std::int64_t k = 0;
  std::uint32_t block = 0;
  friend bool operator==(const Header&, const Header&) = default;
};

/// The 40 bytes that belong before `payload`.
[[nodiscard]] std::array<std::byte, Header::size> write_header(const Header& header,
                                                               std::span<const std::byte> payload);

/// Reads a header that travelled apart from its payload, with the checks of the other overload.
[[nodiscard]] Header read_header(std::span<const std::byte> header,
                                 std::span<const std::byte> payload);

/// Reads the header of a message, a header and its whole payload. Throws Error on a wrong magic, an
/// unknown version, codec or value type, a length that is not the payload's, or a wrong CRC: no
/// guess is made.
[[nodiscard]] Header read_header(std::span<const std::byte> message);

}  // namespace equipoise::compress
