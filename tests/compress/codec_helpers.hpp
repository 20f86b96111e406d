#pragma once

#include <equipoise/compress/codec.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace equipoise::compress::testing {

using partition::Partition;
using Vector = std::vector<double>;

inline parallel::Draw rounding(std::int64_t iteration, std::uint64_t seed = 11) {
  return {seed, parallel::Purpose::device_rounding, iteration};
}

inline Vector gaussian(std::int64_t d, std::uint64_t seed = 5) {
  const parallel::Draw draw(seed, parallel::Purpose::start, 0);
  Vector v(static_cast<std::size_t>(d));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = draw.normal(i);
  return v;
}

inline double square(const Vector& v) {
  double sum = 0.0;
  for (const double x : v) sum += x * x;
  return sum;
}

inline double square_distance(const Vector& a, const Vector& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

/// A codec with what it needs to carry one vector over.
struct Channel {
  std::int64_t d;
  std::int64_t agents = 1;
  int chunk_count = 0;
  std::string text;
  Partition chunks =
      Partition::uniform(d, chunk_count > 0 ? chunk_count : partition::default_chunks(d));
  std::shared_ptr<const Codec> codec = make_codec(text, {d, agents, chunk_count});

  /// Encodes in `pieces` pieces of whole chunks, decodes them, and compares lengths with what was
  /// promised.
  [[nodiscard]] Vector through(const Vector& v, std::int64_t iteration, std::int64_t agent = 0,
                               int pieces = 1) const {
    const auto draw = rounding(iteration);
    Selection selection;
    codec->prepare(v, draw, agent, selection);
    Vector out(v.size(), 0.0);
    const auto cut = Partition::uniform(chunks.parts(), pieces);
    for (int p = 0; p < pieces; ++p) {
      const partition::Range of_chunks = cut.range(p);
      if (of_chunks.size() == 0) continue;
      const partition::Range range{chunks.range(static_cast<int>(of_chunks.begin)).begin,
                                   chunks.range(static_cast<int>(of_chunks.end - 1)).end};
      std::vector<std::byte> message;
      codec->encode(v, selection, range, chunks, draw, message);
      if (const auto promised = codec->bytes(range, chunks, draw, agent)) {
        EXPECT_EQ(*promised, std::ssize(message)) << text;
      }
      codec->decode_add(message, range, chunks, draw, agent, 1.0,
                        std::span(out).subspan(static_cast<std::size_t>(range.begin),
                                               static_cast<std::size_t>(range.size())));
    }
    return out;
  }
  [[nodiscard]] Descriptor describe() const { return codec->describe(d, agents); }
};

/// One string of every codec, valid at any dimension.
inline std::vector<std::string> all_codecs() {
  return {"identity",
          "fp32",
          "fp32s",
          "fp16",
          "fp16s",
          "bf16",
          "bf16s",
          "fp8-e4m3",
          "fp8-e4m3s",
          "fp8-e5m2",
          "fp8-e5m2s",
          "randk:0.3",
          "randk-shared:0.3",
          "randk-unscaled:0.3",
          "permk",
          "permk:full",
          "topk:0.2",
          "block-topk:1",
          "threshold:0.5",
          "nonzero",
          "natural",
          "qsgd:7",
          "qsgd:255",
          "max-norm:127",
          "max-norm:3",
          "natural-dithering:5",
          "ternary",
          "sign",
          "zfp-rate:16",
          "zfp-accuracy:0.001",
          "natural+randk:0.3",
          "natural+permk",
          "qsgd:15+randk-shared:0.5",
          "natural+topk:0.2",
          "fp16+topk:0.2",
          "max-norm:127+block-topk:1",
          "bf16s+randk:4",
          "fp32+randk-unscaled:0.5",
          "natural+threshold:0.5",
          "induced:topk:0.2+randk:0.2",
          "induced:topk:3+natural",
          "induced:block-topk:1+permk",
          "natural|zstd",
          "topk:0.2|zstd",
          "fp16|zstd"};
}

}  // namespace equipoise::compress::testing
