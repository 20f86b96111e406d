#include "sample.hpp"

#include <equipoise/formats/number.hpp>
#include <equipoise/formats/text_file.hpp>

#include <cmath>
#include <cstdlib>
#include <limits>

namespace equipoise::formats {
namespace {

double parsed(std::string_view text) {
  double value = std::numeric_limits<double>::quiet_NaN();
  const char* const end = parse_number(text.data(), text.data() + text.size(), value);
  return end == text.data() + text.size() ? value : std::numeric_limits<double>::quiet_NaN();
}

TEST(Number, RoundsAsTheCLibrary) {
  for (const char* const text :
       {"1", "-1", "+1", "0.1", "-0", "25900.20064", "1.08333333333330000000", "9007199254740993",
        "1e-310", "0.00000001", "1.49999e+006", "123456789012345678901234567890",
        "4.9406564584124654e-324", "7074.9000000000015", ".5", "5.", "18446744073709551616",
        "0.0000000000000000000000001"}) {
    EXPECT_EQ(parsed(text), std::strtod(text, nullptr)) << text;
  }
  EXPECT_TRUE(std::signbit(parsed("-0")));
}

TEST(Number, RefusesWhatIsNoFiniteNumber) {
  for (const char* const text :
       {"", "+", "-", ".", "nan", "inf", "-inf", "1e999", "abc", "+-1", "1x", "--1"}) {
    EXPECT_TRUE(std::isnan(parsed(text))) << text;
  }
}

TEST(TextFile, TellsPackedFilesByContent) {
  const SampleFile plain("a.gz", "text\n");
  const SampleFile gz("a.txt", gzip("text\n"));
  const SampleFile bz("a", bzip2("text\n"));
  EXPECT_EQ(detect_compression(plain.path()), Compression::none);
  EXPECT_EQ(detect_compression(gz.path()), Compression::gzip);
  EXPECT_EQ(detect_compression(bz.path()), Compression::bzip2);
  for (const auto* const file : {&plain, &gz, &bz}) EXPECT_EQ(open_text(file->path()), "text\n");
}

TEST(TextFile, ReadsSeveralStreamsOfOneFile) {
  std::string long_text;
  for (int i = 0; i < 50'000; ++i) long_text += std::to_string(i) + "\n";
  EXPECT_EQ(open_text(SampleFile("two", gzip("a\n") + gzip(long_text)).path()), "a\n" + long_text);
  EXPECT_EQ(open_text(SampleFile("two", bzip2(long_text) + bzip2("b")).path()), long_text + "b");
  EXPECT_EQ(open_text(SampleFile("none", "").path()), "");
}

TEST(TextFile, NamesMissingCutAndDamagedFiles) {
  EXPECT_NE(refusal([] { (void)open_text("/nowhere/a9a"); }).find("/nowhere/a9a: cannot be opened"),
            std::string::npos);
  const std::string folder = std::filesystem::temp_directory_path().string();
  EXPECT_NE(refusal([&] { (void)open_text(folder); }).find("is a directory"), std::string::npos);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i * i) + "\n";
  for (const std::string& packed : {gzip(text), bzip2(text)}) {
    const SampleFile cut("cut", packed.substr(0, packed.size() / 2));
    EXPECT_NE(refusal([&] { (void)open_text(cut.path()); }).find("ends in the middle"),
              std::string::npos);
    std::string wrong = packed;
    wrong[wrong.size() / 2] = static_cast<char>(~wrong[wrong.size() / 2]);
    const SampleFile damaged("damaged", wrong);
    EXPECT_NE(refusal([&] { (void)open_text(damaged.path()); }).find("damaged near byte"),
              std::string::npos);
  }
}

TEST(TextFile, StopsAnExplodingFileEarly) {
  const std::string zeros(64U << 20U, '0');
  const SampleFile gz("bomb", gzip(zeros));
  EXPECT_NE(refusal([&] { (void)open_text(gz.path()); }).find("more than 200 times its size"),
            std::string::npos);
  // Moderate growth of a small file is no attack.
  EXPECT_EQ(open_text(SampleFile("dense", gzip(zeros.substr(0, 1U << 20U))).path()).size(),
            1U << 20U);
}

TEST(TextFile, RangesOfLinesTileTheFile) {
  const std::string text = "a\nbb\n\nccc\r\ndddddd\n\n\ne";
  const SampleFile file("lines", text);
  const auto size = static_cast<std::int64_t>(text.size());
  for (std::int64_t first = 0; first <= size; ++first) {
    for (std::int64_t second = first; second <= size; ++second) {
      const std::string parts = read_lines(file.path(), 0, first) +
                                read_lines(file.path(), first, second) +
                                read_lines(file.path(), second, size);
      EXPECT_EQ(parts, text) << first << ' ' << second;
    }
  }
}

TEST(LineScanner, CountsLinesAndDropsTheirEnds) {
  LineScanner scan("a\r\n\nb", 7);
  EXPECT_TRUE(scan.next());
  EXPECT_EQ(scan.line(), "a");
  EXPECT_EQ(scan.number(), 7);
  EXPECT_TRUE(scan.next());
  EXPECT_EQ(scan.line(), "");
  EXPECT_TRUE(scan.next());
  EXPECT_EQ(scan.line(), "b");
  EXPECT_EQ(scan.number(), 9);
  EXPECT_FALSE(scan.next());
}

}  // namespace
}  // namespace equipoise::formats
