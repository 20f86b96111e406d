#include "input.hpp"

#include <equipoise/formats/libsvm.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace equipoise;
  return fuzz::expect_value_or_refusal([&] {
    const auto block = formats::parse_libsvm(fuzz::text(data, size), "input");
    // Memory follows the text: an entry needs at least "1:1 ", a row a label.
    if (block.values.size() > size / 3 + 1 || block.labels.size() > size) __builtin_trap();
    if (block.offsets.size() != block.labels.size() + 1) __builtin_trap();
  });
}
