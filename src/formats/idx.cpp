#include <equipoise/formats/idx.hpp>
#include <equipoise/formats/text_file.hpp>
#include <equipoise/parallel/error.hpp>

namespace equipoise::formats {

IdxArray read_idx(const std::string& path) {
  const std::string bytes = open_text(path);
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  if (bytes.size() < 4 || byte(0) != 0 || byte(1) != 0) {
    throw InputError("{}: not an IDX file: the first two bytes must be 0", path);
  }
  if (byte(2) != 0x08) {
    throw InputError("{}: IDX element type {:#04x}; unsigned bytes (0x08) are read", path, byte(2));
  }
  IdxArray out;
  const std::size_t dimensions = byte(3), header = 4 + 4 * dimensions;
  if (dimensions == 0 || bytes.size() < header)
    throw InputError("{}: the IDX header is cut short", path);
  // Dimensions are checked against the file one by one, so that no product overflows.
  std::size_t expected = 1;
  for (std::size_t k = 0; k < dimensions; ++k) {
    std::size_t size = 0;
    for (std::size_t b = 0; b < 4; ++b) size = size << 8U | byte(4 + 4 * k + b);
    out.shape.push_back(static_cast<std::int64_t>(size));
    if (size != 0 && expected > bytes.size() / size) {
      throw InputError("{}: the IDX header promises more bytes than the {} there are", path,
                       bytes.size() - header);
    }
    expected *= size;
  }
  if (bytes.size() - header != expected) {
    throw InputError("{}: {} bytes after the IDX header, which promises {}", path,
                     bytes.size() - header, expected);
  }
  out.data.assign(bytes.begin() + static_cast<std::ptrdiff_t>(header), bytes.end());
  return out;
}

}  // namespace equipoise::formats
