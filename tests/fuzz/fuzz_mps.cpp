#include "input.hpp"

#include <equipoise/formats/mps.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace equipoise;
  return fuzz::expect_value_or_refusal([&] {
    const auto program = formats::parse_mps(fuzz::text(data, size), "input");
    const auto rows = static_cast<std::int32_t>(program.row_names.size());
    const auto columns = static_cast<std::int32_t>(program.column_names.size());
    for (const auto& entry : program.matrix) {
      if (entry.row < 0 || entry.row >= rows || entry.column < 0 || entry.column >= columns) {
        __builtin_trap();
      }
    }
    for (std::size_t j = 0; j < program.lower.size(); ++j) {
      if (!(program.lower[j] <= program.upper[j])) __builtin_trap();
    }
  });
}
