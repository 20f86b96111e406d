#include "codec_helpers.hpp"

namespace equipoise::compress {
namespace {

using namespace testing;

std::string refusal(const std::string& text) {
  try {
    make_codec(text, {100, 4});
  } catch (const ConfigurationError& error) {
    EXPECT_EQ(error.code(), Exit::configuration);
    return error.what();
  }
  return "accepted";
}

void expect_refused(const std::string& text, const std::string& remedy) {
  EXPECT_NE(refusal(text).find(remedy), std::string::npos) << text << ": " << refusal(text);
  EXPECT_NE(refusal(text).find("codec '" + text + "'"), std::string::npos) << refusal(text);
}

TEST(MakeCodec, RefusesWithTheRemedy) {
  for (const std::string name : {"topk", "randk", "randk-shared"}) {
    for (const std::string number : {"0", "1.5", "-1", "", "nan", "x", "5x", "1e400"})
      expect_refused(name + ":" + number, name + ":0.05");
    expect_refused(name, name + ":k");
  }
  for (const std::string text : {"qsgd:0", "qsgd:-3", "qsgd:2.5", "qsgd:40000", "qsgd:"})
    expect_refused(text, "qsgd:8");
  expect_refused("qsgd", "qsgd:S");
  expect_refused("natural:3", "write natural");
  expect_refused("permk:half", "permk:full");
  expect_refused("", "There are identity");
  expect_refused("topp:5", "did you mean 'topk:k'");
  expect_refused("naturel", "did you mean 'natural'");
  expect_refused("fp31", "did you mean 'fp32'");
}

TEST(MakeCodec, ListsEveryCodec) {
  const auto list = list_codecs();
  for (const std::string& text : all_codecs()) {
    if (text.find_first_of("+|") != std::string::npos) continue;
    const std::string name = text.substr(0, text.find(':'));
    const bool listed = std::any_of(list.begin(), list.end(), [&](const CodecInfo& info) {
      return info.form.substr(0, info.form.find_first_of(":[")) == name;
    });
    EXPECT_TRUE(listed) << name;
  }
  for (const CodecInfo& info : list) EXPECT_FALSE(info.help.empty()) << info.form;
}

TEST(RandK, MoreThanTheDimensionKeepsEverything) {
  const Channel channel{5, 1, 0, "randk:9"};
  const Vector v = gaussian(5);
  EXPECT_EQ(channel.through(v, 0), v);
  EXPECT_EQ(channel.describe().q, 1.0);
}

TEST(RandK, EnumeratesEveryPairEquallyOften) {
  // d = 5, k = 2: ten sets, each with probability 1/10; 5 sigma of a binomial.
  const std::int64_t samples = 20000;
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> seen;
  const Channel channel{5, 1, 0, "randk:2"};
  const Vector v = gaussian(5);
  for (std::int64_t s = 0; s < samples; ++s) {
    Selection selection;
    channel.codec->prepare(v, rounding(s), 7, selection);
    EXPECT_EQ(selection.index.size(), 2U);
    EXPECT_EQ(selection.value[0], 2.5 * v[static_cast<std::size_t>(selection.index[0])]);
    ++seen[{selection.index[0], selection.index[1]}];
  }
  EXPECT_EQ(seen.size(), 10U);
  for (const auto& [pair, count] : seen)
    EXPECT_NEAR(static_cast<double>(count), 2000.0, 5.0 * std::sqrt(20000 * 0.1 * 0.9));
}

TEST(RandK, SecondMomentIsExactlyDOverK) {
  // Over one-hot vectors e_i: E norm(Q v)^2 = (k/d) (d/k)^2 = d/k.
  const std::int64_t samples = 40000;
  const Channel channel{10, 1, 0, "randk:4"};
  Vector v(10, 0.0);
  v[3] = 1.0;
  double sum = 0.0;
  for (std::int64_t s = 0; s < samples; ++s) sum += square(channel.through(v, s));
  EXPECT_NEAR(sum / samples, 2.5, 5.0 * 6.25 * std::sqrt(0.4 * 0.6 / samples));
}

TEST(RandK, AgentsDifferAndASharedMaskDoesNot) {
  const Vector v = gaussian(1000);
  for (const bool shared : {false, true}) {
    const Channel channel{1000, 4, 0, shared ? "randk-shared:50" : "randk:50"};
    EXPECT_EQ(channel.codec->shared_mask(), shared);
    Selection first, second;
    channel.codec->prepare(v, rounding(2), 0, first);
    channel.codec->prepare(v, rounding(2), 3, second);
    EXPECT_EQ(first.index == second.index, shared);
    channel.codec->prepare(v, rounding(3), 0, second);
    EXPECT_NE(first.index, second.index);
  }
}

TEST(RandK, MaskCostsNoBytes) {
  const Channel channel{1000, 4, 0, "randk:0.05"};
  EXPECT_EQ(channel.codec->bytes({0, 1000}, channel.chunks, rounding(0), 1), 8 * 50);
}

struct Shape {
  std::int64_t d, agents;
};

class PermK : public ::testing::TestWithParam<std::string> {};

TEST_P(PermK, PartsAreDisjointAndCover) {
  for (const auto& [d, agents] :
       std::vector<Shape>{{12, 4}, {13, 4}, {4, 4}, {1000, 7}, {3, 6}, {4, 20}}) {
    const Channel channel{d, agents, 0, GetParam()};
    const Vector ones(static_cast<std::size_t>(d), 1.0);
    Vector owners(ones.size(), 0.0);
    const double scale = static_cast<double>(std::min(d, agents));
    for (std::int64_t m = 0; m < agents; ++m) {
      const Vector x = channel.through(ones, 5, m);
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_TRUE(x[i] == 0.0 || x[i] == scale);
        owners[i] += x[i] / scale;
      }
    }
    for (const double count : owners)
      EXPECT_EQ(count, std::max(1.0, static_cast<double>(agents) / static_cast<double>(d)));
  }
}

TEST_P(PermK, MeanOfEqualInputsIsExact) {
  for (const std::int64_t agents : {2, 4, 8, 5, 20}) {
    const std::int64_t d = 103;
    const Channel channel{d, agents, 0, GetParam()};
    const Vector v = gaussian(d);
    Vector mean(v.size(), 0.0);
    for (std::int64_t m = 0; m < agents; ++m) {
      const Vector x = channel.through(v, 1, m);
      for (std::size_t i = 0; i < v.size(); ++i) mean[i] += x[i] / static_cast<double>(agents);
    }
    for (std::size_t i = 0; i < v.size(); ++i) {
      if ((agents & (agents - 1)) == 0) {
        EXPECT_EQ(mean[i], v[i]);
      } else {
        EXPECT_NEAR(mean[i], v[i], 1e-15 * std::fabs(v[i]));
      }
    }
  }
}

TEST_P(PermK, EveryAgentGetsEveryCoordinateEquallyOften) {
  const std::int64_t d = 7, agents = 3, samples = 9000;
  const Channel channel{d, agents, 0, GetParam()};
  const Vector ones(7, 1.0);
  Vector count(21, 0.0);
  for (std::int64_t s = 0; s < samples; ++s)
    for (std::int64_t m = 0; m < agents; ++m) {
      const Vector x = channel.through(ones, s, m);
      for (std::size_t i = 0; i < 7; ++i) count[static_cast<std::size_t>(m) * 7 + i] += x[i] / 3.0;
    }
  for (const double c : count)
    EXPECT_NEAR(c, 3000.0, 5.0 * std::sqrt(9000 * (1.0 / 3) * (2.0 / 3)));
}

TEST_P(PermK, VarianceFormula) {
  // E norm(mean Q_m v_m - vbar)^2 = A ((1/M) sum norm(v_m)^2 - norm(vbar)^2): A = 1 for M <= d,
  // (d-1)/(M-1) for M = c d (0.4 at M = 6, d = 3).
  for (const auto& [d, agents] : std::vector<Shape>{{8, 4}, {9, 4}, {3, 6}}) {
    const Channel channel{d, agents, 0, GetParam()};
    std::vector<Vector> v;
    Vector mean(static_cast<std::size_t>(d), 0.0);
    double squares = 0.0;
    for (std::int64_t m = 0; m < agents; ++m) {
      v.push_back(gaussian(d, 40 + static_cast<std::uint64_t>(m)));
      squares += square(v.back()) / static_cast<double>(agents);
      for (std::size_t i = 0; i < mean.size(); ++i)
        mean[i] += v.back()[i] / static_cast<double>(agents);
    }
    const std::int64_t samples = 20000;
    double sum = 0.0, sum2 = 0.0;
    for (std::int64_t s = 0; s < samples; ++s) {
      Vector estimate(mean.size(), 0.0);
      for (std::int64_t m = 0; m < agents; ++m) {
        const Vector x = channel.through(v[static_cast<std::size_t>(m)], s, m);
        for (std::size_t i = 0; i < x.size(); ++i)
          estimate[i] += x[i] / static_cast<double>(agents);
      }
      const double error = square_distance(estimate, mean);
      sum += error;
      sum2 += error * error;
    }
    const double n = static_cast<double>(samples);
    const double expected =
        (agents <= d ? 1.0 : static_cast<double>(d - 1) / static_cast<double>(agents - 1)) *
        (squares - square(mean));
    EXPECT_NEAR(sum / n, expected, 5.0 * std::sqrt((sum2 / n - (sum / n) * (sum / n)) / n) + 1e-12)
        << d;
    const Descriptor known = channel.describe();
    EXPECT_DOUBLE_EQ(known.collection_a * squares - known.collection_b * square(mean), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(BlocksAndFull, PermK, ::testing::Values("permk", "permk:full"),
                         [](const auto& form) { return form.index == 0 ? "blocks" : "full"; });

/// TopK by sorting, the definition.
Vector sorted_top(const Vector& v, std::size_t k) {
  std::vector<std::size_t> order(v.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return std::fabs(v[a]) > std::fabs(v[b]); });
  Vector out(v.size(), 0.0);
  for (std::size_t j = 0; j < std::min(k, v.size()); ++j) out[order[j]] = v[order[j]];
  return out;
}

TEST(TopK, EqualsSortingWithTiesToTheLowerIndex) {
  for (const std::int64_t d : {1, 5, 100, 1000})
    for (const std::int64_t k : {1, 3, 50, 2000}) {
      Vector v = gaussian(d);
      const Channel channel{d, 1, 0, "topk:" + std::to_string(k)};
      EXPECT_EQ(channel.through(v, 0, 0, 3), sorted_top(v, static_cast<std::size_t>(k)));
      for (double& x : v) x = std::round(x);  // many ties, many zeros
      EXPECT_EQ(channel.through(v, 0, 0, 2), sorted_top(v, static_cast<std::size_t>(k)));
    }
}

TEST(TopK, SampledThresholdIsExact) {
  const std::int64_t d = 200'000;
  std::map<std::string, Vector> cases{{"gaussian", gaussian(d)},
                                      {"constant", Vector(200'000, 1.0)}};
  cases["clustered"] = Vector(200'000, 0.0);
  for (std::size_t i = 0; i < 1500; ++i)
    cases["clustered"][70'000 + i] = static_cast<double>(i + 1);
  cases["ascending"] = Vector(200'000);
  std::iota(cases["ascending"].begin(), cases["ascending"].end(), 0.0);
  cases["few values"] = gaussian(d, 8);
  for (double& x : cases["few values"]) x = std::round(x);
  for (const auto& [name, v] : cases)
    for (const std::int64_t k : {1, 20, 2000, 60'000}) {
      const Channel channel{d, 1, 0, "topk:" + std::to_string(k)};
      EXPECT_EQ(channel.through(v, 0, 0, 3), sorted_top(v, static_cast<std::size_t>(k)))
          << name << " " << k;
    }
}

TEST(TopK, SendsTheSmallestLayout) {
  const auto size = [](const Vector& v, std::int64_t k) {
    const Channel channel{std::ssize(v), 1, 1, "topk:" + std::to_string(k)};
    Selection selection;
    channel.codec->prepare(v, rounding(0), 0, selection);
    std::vector<std::byte> message;
    channel.codec->encode(v, selection, {0, std::ssize(v)}, channel.chunks, rounding(0), message);
    return std::ssize(message);
  };
  Vector spread(100, 0.0);
  for (const std::size_t i : {3, 20, 55, 71, 99}) spread[i] = 1.0;
  EXPECT_EQ(size(spread, 5), 2 + 5 + 40);  // 5 indices of 7 bits, 5 bytes, as with gaps
  Vector run(1'000'000, 0.0);
  for (std::size_t i = 500'000; i < 500'100; ++i) run[i] = 1.0;
  EXPECT_EQ(size(run, 100),
            2 + (3 + 99) + 800);  // gaps: three bytes for the first, one for each other
  EXPECT_EQ(size(gaussian(100), 50), 2 + 13 + 400);  // bitmap
  EXPECT_EQ(size(gaussian(100), 100), 1 + 800);      // all of it: dense
  EXPECT_EQ(size(Vector(100, 0.0), 5), 0);
}

TEST(Natural, SecondMomentIsNineEighthsAtFourThirds) {
  const Channel channel{1, 1, 0, "natural"};
  const std::int64_t samples = 40000;
  double sum = 0.0;
  for (std::int64_t s = 0; s < samples; ++s) sum += square(channel.through({4.0 / 3.0}, s));
  // Values 1 and 4 with probabilities 2/3 and 1/3.
  EXPECT_NEAR(sum / samples / (16.0 / 9.0), 9.0 / 8.0,
              5.0 * std::sqrt(2.0 / samples) / (16.0 / 9.0));
}

TEST(Natural, PowersOfTwoAreExactAndSubnormalsUnbiased) {
  const Vector powers{1.0, -0.25, 0x1p1000, -0x1p-1022, 0.0, 3.0};
  const Channel channel{6, 1, 0, "natural"};
  for (std::int64_t s = 0; s < 50; ++s) {
    const Vector x = channel.through(powers, s);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(x[i], powers[i]);
    EXPECT_TRUE(x[5] == 2.0 || x[5] == 4.0);
  }
  const Channel one{1, 1, 0, "natural"};
  std::int64_t up = 0;
  for (std::int64_t s = 0; s < 10000; ++s) {
    const double x = one.through({0x1p-1024}, s)[0];
    EXPECT_TRUE(x == 0.0 || x == 0x1p-1022);
    up += x > 0.0 ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(up), 2500.0, 5.0 * std::sqrt(10000 * 0.25 * 0.75));
}

TEST(Natural, RoundingPastTheLargestNumberIsNotHidden) {
  const Channel channel{1, 1, 0, "natural"};
  for (std::int64_t s = 0; s < 20; ++s) {
    const double x = channel.through({std::numeric_limits<double>::max()}, s)[0];
    EXPECT_TRUE(std::isnan(x) || x == 0x1p1023);
  }
}

TEST(Natural, TwelveBitsAnEntry) {
  const Channel channel{1001, 1, 0, "natural"};
  EXPECT_EQ(channel.codec->bytes({0, 1001}, channel.chunks, rounding(0), 0), (12 * 1001 + 7) / 8);
}

TEST(Natural, CodesByHand) {
  // 1.0 is sign 0, exponent 1023: code 2046 = 0x7FE; -2.0 is sign 1, exponent 1024: code 2049 =
  // 0x801.
  const Channel channel{2, 1, 0, "natural"};
  std::vector<std::byte> message;
  channel.codec->encode(Vector{1.0, -2.0}, {}, {0, 2}, channel.chunks, rounding(0), message);
  EXPECT_EQ(message, (std::vector<std::byte>{std::byte{0xFE}, std::byte{0x17}, std::byte{0x80}}));
}

TEST(Qsgd, SizesAndLevels) {
  // 8 levels and zero are 4 bits, sign 1: 5 bits an entry and 8 bytes a chunk.
  const Channel channel{100, 1, 2, "qsgd:8"};
  EXPECT_EQ(channel.codec->bytes({0, 100}, channel.chunks, rounding(0), 0), 16 + 63);
  const Vector v = gaussian(100);
  const Vector x = channel.through(v, 0);
  const double norm = std::sqrt(square(Vector(v.begin(), v.begin() + 50)));
  for (std::size_t i = 0; i < 50; ++i) {
    const double level = x[i] / norm * 8.0;
    EXPECT_NEAR(level, std::round(level), 1e-12);
    EXPECT_LT(std::fabs(x[i] - v[i]), norm / 8.0);
  }
}

TEST(Qsgd, ExtremeMagnitudesKeepTheirNorm) {
  for (const double factor : {1e-200, 1e200, 0x1p-1060}) {
    const Channel channel{2, 1, 1, "qsgd:5"};
    const Vector x = channel.through({3.0 * factor, 4.0 * factor}, 0);
    EXPECT_NEAR(x[0], 3.0 * factor, 1e-3 * factor);
    EXPECT_NEAR(x[1], 4.0 * factor, 1e-3 * factor);
  }
}

TEST(Casts, NearestIsWithinHalfAUnit) {
  Vector v = gaussian(2000);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] *= std::ldexp(1.0, static_cast<int>(i % 24) - 12);
  for (const auto& [text, u] :
       std::map<std::string, double>{{"fp32", 0x1p-24}, {"fp16", 0x1p-11}, {"bf16", 0x1p-8}}) {
    const Vector x = Channel{2000, 1, 0, text}.through(v, 0);
    for (std::size_t i = 0; i < v.size(); ++i) {
      // Far below the largest of its block an f16 is subnormal: 2^-25 of the block's scale at most.
      const double floor = text == "fp16" ? 0x1p-40 * 0x1p14 : 0.0;
      EXPECT_LE(std::fabs(x[i] - v[i]), u * std::fabs(v[i]) + floor) << text;
    }
  }
}

TEST(Casts, KnownValues) {
  const Vector v{1.0, -2.5, 65504.0, 0x1p-24, 1.0 + 0x1p-11, 1.0 + 0x1p-11 + 0x1p-20};
  const Vector half{1.0, -2.5, 65504.0, 0x1p-24, 1.0, 1.0 + 0x1p-10};
  EXPECT_EQ((Channel{6, 1, 0, "fp16"}.through(v, 0)), half);
  EXPECT_EQ((Channel{3, 1, 0, "bf16"}.through({1.0 + 0x1p-8, 1.0 + 0x1.8p-8, -3.0}, 0)),
            (Vector{1.0, 1.0 + 0x1p-7, -3.0}));
}

TEST(Casts, HalfDoesNotOverflow) {
  const Vector v{1e300, 1.0, -1e300};
  const Vector x = Channel{3, 1, 0, "fp16"}.through(v, 0);
  EXPECT_NEAR(x[0], 1e300, 1e297);
  EXPECT_EQ(x[1], 0.0);
}

TEST(Casts, FloatOverflowIsNotHidden) {
  EXPECT_TRUE(std::isnan(Channel{1, 1, 0, "fp32"}.through({1e300}, 0)[0]));
  EXPECT_TRUE(std::isnan(Channel{1, 1, 0, "bf16"}.through({1e300}, 0)[0]));
}

TEST(Casts, Sizes) {
  const auto size = [](const std::string& text) {
    const Channel channel{3000, 1, 3, text};
    return *channel.codec->bytes({0, 2000}, channel.chunks, rounding(0), 0);
  };
  EXPECT_EQ(size("identity"), 16000);
  EXPECT_EQ(size("fp32"), 8000);
  EXPECT_EQ(size("bf16"), 4000);
  EXPECT_EQ(size("fp16"), 4000 + 4 * 8);  // two blocks of each chunk of 1000
}

TEST(BulkRandomWords, EqualTheSingleOnes) {
  const parallel::Draw draw(0x123456789ABCDEFULL, parallel::Purpose::mask,
                            (std::int64_t{1} << 33) + 5, 17);
  for (const std::uint64_t first :
       {std::uint64_t{0}, std::uint64_t{3}, (std::uint64_t{1} << 34U) - 70}) {
    std::vector<std::uint32_t> words(333);
    draw.fill_words(first, words);
    for (std::size_t i = 0; i < words.size(); ++i)
      EXPECT_EQ(words[i], draw.word(first + i)) << first << " " << i;
  }
  const auto block = draw.block(9);
  EXPECT_EQ(draw.word(38), block[2]);
}

}  // namespace
}  // namespace equipoise::compress
