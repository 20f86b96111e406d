#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::formats {

/// An array of unsigned bytes of an IDX file, row-major: images [count, rows, columns] or labels
/// [count].
struct IdxArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> data;
};

/// Reads an IDX file of unsigned bytes (the format of handwritten digits), plain or packed by gzip
/// or bzip2, on this process alone. Throws InputError for a file that is no IDX file, holds another
/// element type, or is shorter or longer than its header says.
[[nodiscard]] IdxArray read_idx(const std::string& path);

}  // namespace equipoise::formats
