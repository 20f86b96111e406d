#include "codec_helpers.hpp"

namespace equipoise::compress {
namespace {

using namespace testing;

std::string refusal(const std::string& text) {
  try {
    make_codec(text, {100, 4});
  } catch (const ConfigurationError& error) {
    return error.what();
  }
  return "accepted";
}

std::int64_t message_bytes(const Channel& channel, const Vector& v) {
  Selection selection;
  channel.codec->prepare(v, rounding(0), 0, selection);
  std::vector<std::byte> message;
  channel.codec->encode(v, selection, {0, std::ssize(v)}, channel.chunks, rounding(0), message);
  return std::ssize(message);
}

double mean_ratio(const Channel& channel, const Vector& v, std::int64_t samples) {
  double sum = 0.0;
  for (std::int64_t s = 0; s < samples; ++s) sum += square(channel.through(v, s));
  return sum / static_cast<double>(samples) / square(v);
}

TEST(Composition, NaturalAfterRandKHasNineEighthsOfItsConstant) {
  const std::int64_t d = 200;
  const Channel channel{d, 1, 0, "natural+randk:20"};
  EXPECT_DOUBLE_EQ(channel.describe().q, 9.0 * 200 / (8.0 * 20));
  // A sparse mean of 3000 samples: its standard error is about 1 % of q.
  EXPECT_LE(mean_ratio(channel, gaussian(d), 3000), channel.describe().q);
  EXPECT_EQ(message_bytes(channel, gaussian(d)), 30) << "12 bits for each of 20 values";
  EXPECT_DOUBLE_EQ(channel.describe().beta, 1600.0 / 30.0);
}

TEST(Composition, ContractionsMultiply) {
  // 1 - (1 - alpha) ... alpha = (1 - omega) k/d: 7k/(8d) for natural after TopK.
  EXPECT_DOUBLE_EQ((Channel{100, 1, 0, "natural+topk:20"}.describe().alpha),
                   7.0 * 20 / (8.0 * 100));
  EXPECT_TRUE((Channel{100, 1, 0, "natural+topk:20"}.describe().needs_error_feedback));
}

TEST(Composition, PermKStaysACollection) {
  // Equal inputs: the rounding error is all that is left, at most omega norm^2 in the mean over the
  // agents.
  const Channel channel{64, 4, 2, "natural+permk"};
  const Descriptor known = channel.describe();
  EXPECT_DOUBLE_EQ(known.q, 4.5);
  EXPECT_DOUBLE_EQ(known.collection_a, 1.125);
  EXPECT_DOUBLE_EQ(known.collection_b, 1.0);
  const Vector v = gaussian(64);
  double sum = 0.0;
  for (std::int64_t s = 0; s < 500; ++s) {
    Vector mean(64, 0.0);
    for (std::int64_t m = 0; m < 4; ++m) {
      const Vector x = channel.through(v, s, m);
      for (std::size_t i = 0; i < 64; ++i) mean[i] += x[i] / 4.0;
    }
    sum += square_distance(mean, v) / square(v);
  }
  EXPECT_LE(sum / 500.0, 0.125);
  EXPECT_GT(sum / 500.0, 0.02);
}

TEST(Composition, RefusesWhatMakesNoSense) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"randk:3+randk:0.1", "keeps coordinates itself"},
      {"natural+qsgd:8", "nothing to compose"},
      {"fp16+randk:0.1", "stochastic variant"},
      {"sign+topk:0.1", "no constant"},
      {"ternary+topk:0.9", "omega < 1"},
      {"natural+qsgd:8+randk:0.1", "one +"},
      {"natural+", "unknown codec"},
      {"+randk:0.1", "unknown codec"},
      {"induced:randk:0.1+randk:0.1", "must be topk"},
      {"induced:topk:0.1+sign", "not unbiased"},
      {"induced:topk:0.1", "one +"},
      {"natural|gzip", "unknown codec"},
      {"ternary:2", "no argument"},
      {"threshold:0", "positive number"},
      {"threshold:-1", "positive number"},
      {"zfp-rate:65", "from 1 to 64"},
      {"zfp-accuracy:nan", "positive number"},
      {"max-norm:0", "integer from 1"},
      {"natural-dithering:1001", "integer from 1 to 1000"}};
  for (const auto& [text, reason] : cases)
    EXPECT_NE(refusal(text).find(reason), std::string::npos) << text << ": " << refusal(text);
}

TEST(Induced, VarianceShrinksByTheContraction) {
  const std::int64_t d = 100;
  const Channel channel{d, 1, 0, "induced:topk:0.2+randk:0.2"};
  EXPECT_DOUBLE_EQ(channel.describe().omega, 4.0 * 0.8);
  // On a constant vector TopK meets its bound, so omega is attained: E norm(x - v)^2 = omega
  // norm(v)^2.
  const Vector v(100, 1.0);
  double sum = 0.0;
  for (std::int64_t s = 0; s < 4000; ++s) sum += square_distance(channel.through(v, s), v);
  EXPECT_NEAR(sum / 4000.0 / 100.0, 3.2, 0.05);
}

TEST(Zstd, ShortensWhatRepeatsAndCostsAByteOtherwise) {
  const Vector same(5000, 2.0);
  EXPECT_LT(message_bytes({5000, 1, 0, "natural|zstd"}, same), 200);
  const Vector v = gaussian(20);
  EXPECT_EQ(message_bytes({20, 1, 0, "fp32|zstd"}, v), 81);
  EXPECT_EQ((Channel{5000, 1, 0, "natural|zstd"}.through(same, 4)),
            (Channel{5000, 1, 0, "natural"}.through(same, 4)));
}

TEST(Ternary, AttainsItsBound) {
  // At (1, t, ..., t), t = 1/(1 + sqrt d): q = (1 + sqrt d)/2.
  const std::int64_t d = 25;
  Vector v(25, 1.0 / 6.0);
  v[0] = 1.0;
  const Channel channel{d, 1, 1, "ternary"};
  EXPECT_DOUBLE_EQ(channel.describe().q, 3.0);
  EXPECT_NEAR(mean_ratio(channel, v, 20000), 3.0, 5.0 * 1.2 / std::sqrt(20000.0));
  EXPECT_EQ(message_bytes(channel, v), 8 + 5);
}

TEST(Sign, MeetsItsIdentity) {
  // norm(C v - v)^2 = norm2^2 - norm1^2 / d, zeros included.
  Vector v = gaussian(60);
  v[7] = v[8] = 0.0;
  const Vector x = Channel{60, 1, 1, "sign"}.through(v, 0);
  double norm1 = 0.0;
  for (const double y : v) norm1 += std::fabs(y);
  EXPECT_NEAR(square_distance(x, v), square(v) - norm1 * norm1 / 60.0, 1e-12);
  EXPECT_GT(x[7], 0.0);
  EXPECT_EQ((message_bytes({60, 1, 1, "sign"}, v)), 8 + 8);
}

TEST(NaturalDithering, LevelsAreHalves) {
  const Vector v = gaussian(64);
  const Vector x = Channel{64, 1, 1, "natural-dithering:4"}.through(v, 0);
  const double norm = std::sqrt(square(v));
  for (const double y : x) {
    const double level = std::fabs(y) / norm;
    EXPECT_TRUE(level == 0.0 || std::fabs(std::log2(level) - std::round(std::log2(level))) < 1e-12)
        << level;
    EXPECT_TRUE(level == 0.0 || level > 0.12);
  }
}

TEST(MaxNorm, OneByteAnEntry) {
  EXPECT_EQ((message_bytes({1000, 1, 1, "max-norm:127"}, gaussian(1000))), 1000 + 2 * 8);
  EXPECT_DOUBLE_EQ((Channel{1000, 1, 1, "max-norm:127"}.describe().omega),
                   512.0 / (4.0 * 127 * 127));
}

TEST(Fp8, RelativeErrorAndSize) {
  const Vector v = gaussian(3000);
  for (const auto& [text, u] :
       std::map<std::string, double>{{"fp8-e4m3", 0x1p-4}, {"fp8-e5m2", 0x1p-3}}) {
    const Channel channel{3000, 1, 3, text};
    EXPECT_EQ(message_bytes(channel, v), 3000 + 6 * 8);
    const Vector x = channel.through(v, 0);
    for (std::size_t i = 0; i < v.size(); ++i)
      EXPECT_LE(std::fabs(x[i] - v[i]), std::max(u * std::fabs(v[i]), 0x1p-10 * 0x1p-5)) << text;
  }
  // 448 = 1.75 2^8 is the largest e4m3, 0.9375 falls between 0.875 and 1.
  EXPECT_EQ((Channel{3, 1, 1, "fp8-e4m3"}.through({448.0, -1.0, 0x1p-9}, 0)),
            (Vector{448.0, -1.0, 0x1p-9}));
}

TEST(Threshold, KeepsWhatIsAbove) {
  EXPECT_EQ((Channel{5, 1, 0, "threshold:0.5"}.through({0.5, -0.51, 0.2, 7.0, 0.0}, 0)),
            (Vector{0.0, -0.51, 0.0, 7.0, 0.0}));
  EXPECT_TRUE(std::isnan(Channel{5, 1, 0, "threshold:0.5"}.describe().alpha));
}

TEST(BlockTopK, KeepsTheLargestBlocks) {
  Vector v(300, 0.1);
  v[200] = 5.0;  // blocks of 64: the fourth, then the tie goes to the first
  const Vector x = Channel{300, 1, 4, "block-topk:2"}.through(v, 0, 0, 3);
  for (std::size_t i = 0; i < 300; ++i)
    EXPECT_EQ(x[i], i < 64 || (192 <= i && i < 256) ? v[i] : 0.0) << i;
  EXPECT_EQ((message_bytes({300, 1, 4, "block-topk:2"}, v)), 2 + 1 + 8 * 128);
}

TEST(Zfp, AccuracyBoundsEveryEntry) {
  for (const double tolerance : {1e-1, 1e-6}) {
    const Vector v = gaussian(1000);
    const Vector x = Channel{1000, 1, 7, fmt::format("zfp-accuracy:{}", tolerance)}.through(v, 0);
    for (std::size_t i = 0; i < v.size(); ++i) EXPECT_LE(std::fabs(x[i] - v[i]), tolerance);
  }
}

TEST(Zfp, RateSetsTheSize) {
  // 1024 values at 8 bits, in whole 64-bit words, and four bytes of length.
  EXPECT_EQ((message_bytes({1024, 1, 1, "zfp-rate:8"}, gaussian(1024))), 1024 + 4);
  Vector smooth(1024);
  for (std::size_t i = 0; i < smooth.size(); ++i)
    smooth[i] = std::sin(0.01 * static_cast<double>(i));
  const Vector x = Channel{1024, 1, 1, "zfp-rate:16"}.through(smooth, 0);
  EXPECT_LT(square_distance(x, smooth) / square(smooth), 1e-6);
}

}  // namespace
}  // namespace equipoise::compress
