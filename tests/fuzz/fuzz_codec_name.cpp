#include "input.hpp"

#include <equipoise/compress/codec.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace equipoise;
  return fuzz::expect_value_or_refusal([&] {
    const auto codec = compress::make_codec(fuzz::text(data, size), {1000, 7, 0});
    (void)codec->describe(1000, 7);
  });
}
