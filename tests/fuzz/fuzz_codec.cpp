#include "input.hpp"

#include <equipoise/compress/codec.hpp>
#include <equipoise/compress/wire.hpp>

#include <algorithm>
#include <array>
#include <vector>

/// The wire: headers, and pieces of every codec. Byte 0 chooses the codec, bytes 1 to 3 the
/// dimension and the range.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace equipoise;
  static constexpr std::array codecs = {"identity",
                                        "fp32",
                                        "fp16",
                                        "bf16",
                                        "fp8-e4m3",
                                        "randk:0.1",
                                        "randk:3",
                                        "randk-shared:3",
                                        "permk",
                                        "permk:full",
                                        "topk:0.1",
                                        "topk:3",
                                        "natural",
                                        "qsgd:8",
                                        "qsgd:127",
                                        "max-norm:127",
                                        "natural-dithering:8",
                                        "ternary",
                                        "sign",
                                        "block-topk:0.2",
                                        "threshold:0.5",
                                        "zfp-rate:16",
                                        "zfp-accuracy:1e-3",
                                        "natural+topk:3",
                                        "natural+randk:0.1"};
  if (size < 4) return 0;
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  fuzz::expect_value_or_refusal([&] { (void)compress::read_header(bytes); });
  const std::int64_t d = 1 + data[1] + 8 * data[2];
  const std::int64_t agents = 1 + data[3] % 5;
  return fuzz::expect_value_or_refusal([&] {
    const auto codec = compress::make_codec(codecs[data[0] % codecs.size()], {d, agents, 0});
    const auto chunks =
        partition::Partition::uniform(d, static_cast<int>(std::min<std::int64_t>(d, 3)));
    const parallel::Draw draw(7, parallel::Purpose::device_rounding, 1);
    std::vector<double> out(static_cast<std::size_t>(d), 0.0);
    codec->decode_add(bytes.subspan(4), {0, d}, chunks, draw, data[3] % agents, 1.0, out);
  });
}
