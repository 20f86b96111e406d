#include "input.hpp"

#include <equipoise/formats/tntp.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace equipoise;
  if (size == 0) return 0;
  const auto text = fuzz::text(data + 1, size - 1);
  return fuzz::expect_value_or_refusal([&] {
    switch (data[0] % 4) {
      case 0:
        (void)formats::parse_tntp_network(text, "input");
        break;
      case 1:
        (void)formats::parse_tntp_trips(text, "input");
        break;
      case 2:
        (void)formats::parse_tntp_nodes(text, "input");
        break;
      default:
        (void)formats::parse_tntp_flows(text, "input");
    }
  });
}
