#include "input.hpp"

#include <equipoise/state/config.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace equipoise;
  if (size == 0) return 0;
  const auto text = fuzz::text(data + 1, size - 1);
  return fuzz::expect_value_or_refusal([&] {
    state::Config config;
    if (data[0] % 2 == 0) {
      config = state::Config::parse(text, "input");
    } else {
      config.assign(text);
    }
    // What is written must be read back as the same configuration.
    const std::string once = config.toml();
    if (state::Config::parse(once, "again").toml() != once) __builtin_trap();
  });
}
