#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace equipoise::formats {

/// Grey levels in [0, 1], by rows.
struct GreyImage {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> levels;
};

/// Reads a PNG file of any kind as 8-bit grey levels / 255 (colours by libpng's luminance).
/// Throws InputError for a missing or damaged file, naming the path.
[[nodiscard]] GreyImage read_png(const std::string& path);

}  // namespace equipoise::formats
