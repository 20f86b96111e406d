#include <equipoise/compress/wire.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::compress {
namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes;
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

/// Bit by bit, the definition.
std::uint32_t slow_crc(std::span<const std::byte> data) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const std::byte b : data) {
    crc ^= std::to_integer<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
  }
  return ~crc;
}

TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(crc32c({}), 0U);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283U);
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0})), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::vector<std::byte>(32, std::byte{0xFF})), 0x62A8AB43U);
  std::vector<std::byte> ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<std::byte>(i));
  EXPECT_EQ(crc32c(ascending), 0x46DD794EU);
}

TEST(Crc32c, EveryLengthAgreesWithTheDefinition) {
  std::vector<std::byte> data(10'000);
  const parallel::Draw draw(1, parallel::Purpose::probe, 0);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(draw.word(i));
  for (const std::size_t size : {1U, 7U, 8U, 9U, 255U, 256U, 1023U, 1024U, 1025U, 1279U, 1280U,
                                 1288U, 3071U, 3072U, 3073U, 6144U, 6151U, 9999U})
    for (const std::size_t start : {0U, 1U})
      EXPECT_EQ(crc32c(std::span(data).subspan(start, size)),
                slow_crc(std::span(data).subspan(start, size)));
}

std::vector<std::byte> message() {
  const auto payload = bytes_of("123456789");
  const Header header{CodecId::qsgd, ValueType::f32, 2, 0x0102030405060708, 9, 512};
  const auto head = write_header(header, payload);
  std::vector<std::byte> all(head.size() + payload.size());
  std::copy(payload.begin(), payload.end(), std::copy(head.begin(), head.end(), all.begin()));
  return all;
}

TEST(Header, BytesByHand) {
  const std::vector<int> expected = {'E',  'Q',  'C',  '1', 1, 8, 1, 2,  //
                                     8,    7,    6,    5,   4, 3, 2, 1,  // d
                                     9,    0,    0,    0,   0, 0, 0, 0,  // k
                                     9,    0,    0,    0,   0, 0, 0, 0,  // payload bytes
                                     0,    2,    0,    0,                // block
                                     0x83, 0x92, 0x06, 0xE3};            // CRC
  const auto all = message();
  EXPECT_EQ(all.size(), 49U);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_EQ(std::to_integer<int>(all[i]), expected[i]) << i;
}

TEST(Header, ReadsWhatWasWritten) {
  EXPECT_EQ(read_header(message()),
            (Header{CodecId::qsgd, ValueType::f32, 2, 0x0102030405060708, 9, 512}));
}

TEST(Header, EveryFlippedPayloadOrCheckedByteIsRefused) {
  for (std::size_t at = 0; at < 49; ++at) {
    // Flags, d, k and block are the reader's to judge against what it agreed on.
    if (at == 7 || (at >= 8 && at < 24) || (at >= 32 && at < 36)) continue;
    auto damaged = message();
    damaged[at] ^= std::byte{0x80};
    EXPECT_THROW(static_cast<void>(read_header(damaged)), Error) << at;
  }
}

TEST(Header, TruncatedOrExtendedIsRefused) {
  const auto all = message();
  for (std::size_t keep = 0; keep < all.size(); ++keep)
    EXPECT_THROW(static_cast<void>(read_header(std::span(all).first(keep))), Error) << keep;
  auto longer = all;
  longer.push_back(std::byte{0});
  EXPECT_THROW(static_cast<void>(read_header(longer)), Error);
}

TEST(Header, SaysWhatIsWrong) {
  const auto reason = [](std::size_t at, int value) -> std::string {
    auto damaged = message();
    damaged[at] = static_cast<std::byte>(value);
    try {
      static_cast<void>(read_header(damaged));
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(reason(0, 'X').find("EQC1"), std::string::npos);
  EXPECT_NE(reason(4, 2).find("version 2"), std::string::npos);
  EXPECT_NE(reason(5, 17).find("codec number 17"), std::string::npos);
  EXPECT_NE(reason(6, 6).find("value type 6"), std::string::npos);
  EXPECT_NE(reason(24, 8).find("8 payload bytes, 9 came"), std::string::npos);
  EXPECT_NE(reason(45, 0).find("CRC-32C"), std::string::npos);
}

}  // namespace
}  // namespace equipoise::compress
