#include "input.hpp"

#include <equipoise/formats/idx.hpp>
#include <equipoise/formats/text_file.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace equipoise;
  if (size == 0) return 0;
  const fuzz::MemoryFile file(fuzz::text(data + 1, size - 1));
  return fuzz::expect_value_or_refusal([&] {
    if (data[0] % 2 == 0) {
      const auto array = formats::read_idx(file.path());
      std::int64_t values = 1;
      for (const std::int64_t extent : array.shape) values *= extent;
      if (values != static_cast<std::int64_t>(array.data.size())) __builtin_trap();
    } else {
      (void)formats::open_text(file.path());
    }
  });
}
