#include <equipoise/formats/png.hpp>
#include <equipoise/parallel/error.hpp>

#include <png.h>

namespace equipoise::formats {

GreyImage read_png(const std::string& path) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&image, path.c_str()) == 0) {
    throw InputError("{}: not a readable PNG file ({})", path, std::string(image.message));
  }
  image.format = PNG_FORMAT_GRAY;
  constexpr std::uint64_t most = std::uint64_t{1} << 28U;
  if (std::uint64_t{image.width} * image.height > most) {
    png_image_free(&image);
    throw InputError("{}: {} x {} pixels; at most 2^28 are read", path, image.width, image.height);
  }
  std::vector<png_byte> bytes(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, bytes.data(), 0, nullptr) == 0) {
    const std::string message = image.message;
    png_image_free(&image);
    throw InputError("{}: damaged PNG file ({})", path, message);
  }
  GreyImage out{image.height, image.width, {}};
  for (const auto byte : bytes) out.levels.push_back(static_cast<double>(byte) / 255.0);
  return out;
}

}  // namespace equipoise::formats
