#include "codec_helpers.hpp"

namespace equipoise::compress {
namespace {

using namespace testing;
using Kind = Descriptor::Kind;

/// Vectors that stress constants: Gaussian, one-hot, constant, power law, with zeros.
std::map<std::string, Vector> sample_vectors(std::int64_t d) {
  const auto n = static_cast<std::size_t>(d);
  std::map<std::string, Vector> all;
  all["gaussian"] = gaussian(d);
  all["one-hot"] = Vector(n, 0.0);
  all["one-hot"][n / 2] = -3.0;
  all["constant"] = Vector(n, 0.7);
  for (std::size_t i = 0; i < n; ++i)
    all["power"].push_back((i % 2 == 0 ? 1.0 : -1.0) / static_cast<double>((i + 1) * (i + 1)));
  all["half zero"] = gaussian(d, 6);
  for (std::size_t i = 0; i < n; i += 2) all["half zero"][i] = 0.0;
  return all;
}

class Laws : public ::testing::TestWithParam<std::string> {};

TEST_P(Laws, DecodedBitsDoNotDependOnTheCut) {
  for (const std::int64_t d : {1, 7, 130, 3000}) {
    const Channel channel{d, 4, 0, GetParam()};
    const Vector v = gaussian(d);
    const Vector whole = channel.through(v, 3, 2);
    for (const int pieces : {2, 3, 5}) EXPECT_EQ(whole, channel.through(v, 3, 2, pieces)) << d;
    EXPECT_EQ(whole, channel.through(v, 3, 2)) << "the same counters must give the same bytes";
  }
}

TEST_P(Laws, ZeroGoesToZero) {
  const Vector zero(200, 0.0);
  const Channel channel{200, 4, 0, GetParam()};
  EXPECT_EQ(channel.through(zero, 0, 1, 2), zero);
}

TEST_P(Laws, EmptyVectorIsAnEmptyMessage) {
  const Channel channel{0, 4, 1, GetParam()};
  const auto draw = rounding(0);
  Selection selection;
  channel.codec->prepare({}, draw, 1, selection);
  std::vector<std::byte> message;
  channel.codec->encode({}, selection, {0, 0}, channel.chunks, draw, message);
  EXPECT_TRUE(message.empty());
  channel.codec->decode_add(message, {0, 0}, channel.chunks, draw, 1, 1.0, {});
}

TEST_P(Laws, NotFiniteStaysNotFinite) {
  const std::int64_t d = 300;
  const Channel channel{d, 3, 5, GetParam()};
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()})
    for (const std::size_t place : {std::size_t{0}, std::size_t{151}, std::size_t{299}}) {
      Vector v = gaussian(d);
      v[place] = bad;
      const Vector out = channel.through(v, 1, 0, 2);
      EXPECT_TRUE(std::any_of(out.begin(), out.end(), [](double x) { return std::isnan(x); }))
          << bad;
    }
}

TEST_P(Laws, UnbiasedCodecsAreUnbiased) {
  const std::int64_t d = 24, samples = 10000;
  const Channel channel{d, 3, 2, GetParam()};
  // An entropy coder changes no value (Zstd.ShortensWhatRepeatsAndCostsAByteOtherwise).
  if (channel.describe().kind != Kind::unbiased || GetParam().ends_with("|zstd")) return;
  const double omega = channel.describe().omega;
  for (const auto& [name, v] : sample_vectors(d)) {
    Vector sum(v.size(), 0.0), squares(v.size(), 0.0);
    for (std::int64_t s = 0; s < samples; ++s) {
      const Vector x = channel.through(v, s, s % 3);
      for (std::size_t i = 0; i < v.size(); ++i)
        sum[i] += x[i] - v[i], squares[i] += (x[i] - v[i]) * (x[i] - v[i]);
    }
    for (std::size_t i = 0; i < v.size(); ++i) {
      // 5 standard errors: with 24 coordinates, 5 vectors and a dozen codecs a false alarm every
      // 1e3 seeds. The second term allows for a rounding so rare that the sample may have missed
      // it.
      const double error = std::sqrt(squares[i]) / static_cast<double>(samples);
      const double rare = 20.0 / static_cast<double>(samples) * std::sqrt(omega) * std::fabs(v[i]);
      EXPECT_LE(std::fabs(sum[i]) / static_cast<double>(samples), 5.0 * error + rare)
          << name << " " << i;
    }
  }
}

TEST_P(Laws, ConstantsHold) {
  const std::int64_t d = 96, samples = 400;
  const Channel channel{d, 3, 2, GetParam()};
  const Descriptor known = channel.describe();
  for (const auto& [name, v] : sample_vectors(d)) {
    // What the constant bounds: the second moment, or for contractions the squared error.
    double sum = 0.0, sum2 = 0.0;
    for (std::int64_t s = 0; s < samples; ++s) {
      const Vector x = channel.through(v, s, s % 3);
      if (known.kind == Kind::exact) {
        EXPECT_EQ(x, v);
      }
      const double ratio =
          (known.kind == Kind::unbiased ? square(x) : square_distance(x, v)) / square(v);
      sum += ratio;
      sum2 += ratio * ratio;
    }
    const double n = static_cast<double>(samples), mean = sum / n;
    const double error = std::sqrt(std::max(0.0, sum2 / n - mean * mean) / n);
    // Deterministic contractions have no sampling error, so each sample is held to the bound.
    if (known.kind == Kind::unbiased) {
      EXPECT_LE(mean, known.q * (1.0 + 1e-12) + 4.0 * error) << name;
    }
    if (known.kind == Kind::contractive && !std::isnan(known.alpha)) {
      EXPECT_LE(mean, 1.0 - known.alpha + 1e-12 + 4.0 * error) << name;
    }
  }
}

TEST_P(Laws, DescriptorIsConsistent) {
  const Descriptor known = Channel{1000, 5, 0, GetParam()}.describe();
  EXPECT_TRUE(std::isnan(known.beta) || known.beta >= 1.0) << known.beta;
  if (known.kind == Kind::unbiased || known.kind == Kind::exact) {
    EXPECT_NEAR(known.omega, known.q - 1.0, 1e-15 * known.q);
    EXPECT_FALSE(known.needs_error_feedback);
  } else {
    EXPECT_TRUE(std::isnan(known.q));
    EXPECT_TRUE(std::isnan(known.alpha) || known.delta == 1.0 / known.alpha);
  }
}

TEST_P(Laws, NameMakesTheSameCodec) {
  const Channel channel{100, 4, 0, GetParam()};
  EXPECT_EQ(make_codec(channel.codec->name(), {100, 4})->name(), channel.codec->name());
}

TEST_P(Laws, DamagedPiecesAreRefused) {
  const std::int64_t d = 150;
  const Channel channel{d, 3, 3, GetParam()};
  const Vector v = gaussian(d);
  const partition::Range range{50, 150};
  std::vector<std::byte> good;
  auto draw = rounding(0);
  for (std::int64_t iteration = 0; good.empty(); ++iteration) {  // PermK may keep nothing here
    draw = rounding(iteration);
    Selection selection;
    channel.codec->prepare(v, draw, 1, selection);
    channel.codec->encode(v, selection, range, channel.chunks, draw, good);
  }
  Vector guarded(100 + 64, 0.0);
  const auto out = std::span(guarded).subspan(32, 100);
  const auto decode = [&](std::span<const std::byte> piece) {
    // An exact copy, so that a sanitizer sees a read past the end.
    const std::vector<std::byte> copy(piece.begin(), piece.end());
    channel.codec->decode_add(copy, range, channel.chunks, draw, 1, 1.0, out);
  };
  for (std::size_t keep = 1; keep < good.size(); ++keep)
    EXPECT_THROW(decode(std::span(good).first(keep)), Error) << keep;
  std::vector<std::byte> longer = good;
  longer.push_back(std::byte{1});
  EXPECT_THROW(decode(longer), Error);

  const parallel::Draw chaos(3, parallel::Purpose::probe, 0);
  for (std::uint64_t trial = 0; trial < 3000; ++trial) {
    std::vector<std::byte> piece = good;
    if (trial % 3 == 0) piece.resize(1 + chaos.below(900, 8 * trial));
    for (std::size_t i = 0; i < (trial % 3 == 1 ? 1 + trial % 4 : piece.size()); ++i) {
      const std::uint64_t at = trial % 3 == 1 ? chaos.below(piece.size(), 8 * trial + i) : i;
      if (trial % 3 != 2 || i > 0)
        piece[at] = static_cast<std::byte>(chaos.word(4096 * trial + 7 * i));
    }
    try {
      decode(piece);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("damaged"), std::string::npos);
    }
  }
  for (std::size_t i = 0; i < guarded.size(); ++i)
    if (i < 32 || i >= 132) {
      EXPECT_EQ(guarded[i], 0.0) << "written outside the range";
    }
}

INSTANTIATE_TEST_SUITE_P(AllCodecs, Laws, ::testing::ValuesIn(all_codecs()), [](const auto& codec) {
  std::string name = codec.param;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
});

}  // namespace
}  // namespace equipoise::compress
