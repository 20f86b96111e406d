// Images for adversarial training: read from IDX files, or generated.
#include <equipoise/formats/idx.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/vi/adversarial_digits.hpp>

#include <algorithm>
#include <cmath>

namespace equipoise::problems {

Images read_images(const std::string& images, const std::string& labels, std::int64_t first,
                   std::int64_t count, std::int64_t pool) {
  const auto pixels = formats::read_idx(images);
  const auto names = formats::read_idx(labels);
  if (pixels.shape.size() != 3 || names.shape.size() != 1 || pixels.shape[0] != names.shape[0]) {
    throw InputError("{} and {}: images [n, rows, columns] and labels [n] are needed", images,
                     labels);
  }
  if (first + count > pixels.shape[0]) {
    throw ConfigurationError("{} holds {} images, fewer than the {} asked for", images,
                             pixels.shape[0], first + count);
  }
  const std::int64_t rows = pixels.shape[1];
  const std::int64_t columns = pixels.shape[2];
  if (rows % pool != 0 || columns % pool != 0) {
    throw ConfigurationError("problem.pool = {} does not divide images of {} x {}", pool, rows,
                             columns);
  }
  Images out;
  const std::int64_t wide = columns / pool;
  out.pixels = rows / pool * wide;
  out.values.assign(static_cast<std::size_t>(count * out.pixels), 0.0);
  const double share = 1.0 / (255.0 * static_cast<double>(pool * pool));
  for (std::int64_t k = 0; k < count; ++k) {
    const auto label = names.data[static_cast<std::size_t>(first + k)];
    if (label > 9) throw InputError("{}: label {} of image {}", labels, label, first + k);
    out.labels.push_back(label);
    const auto* source = &pixels.data[static_cast<std::size_t>((first + k) * rows * columns)];
    double* target = &out.values[static_cast<std::size_t>(k * out.pixels)];
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      target[i / columns / pool * wide + i % columns / pool] +=
          share * static_cast<double>(source[i]);
    }
  }
  return out;
}

Images generate_images(std::uint64_t seed, std::int64_t first, std::int64_t count,
                       std::int64_t side) {
  Images out;
  out.pixels = side * side;
  // Class c: two bright spots whose places its number fixes.
  const auto spot = [&](std::int64_t c, int which, int axis) {
    const parallel::Draw draw(7, parallel::Purpose::problem, which, c);
    return draw.uniform(static_cast<std::uint64_t>(axis)) * static_cast<double>(side - 1);
  };
  for (std::int64_t k = first; k < first + count; ++k) {
    const parallel::Draw draw(seed, parallel::Purpose::problem, 100, k);
    const auto label = static_cast<std::int64_t>(draw.below(10, 0));
    out.labels.push_back(static_cast<std::uint8_t>(label));
    for (std::int64_t i = 0; i < out.pixels; ++i) {
      double value = 0.15 * draw.normal(static_cast<std::uint64_t>(i) + 1);
      for (const int which : {0, 1}) {
        const double dx = static_cast<double>(i / side) - spot(label, which, 0);
        const double dy = static_cast<double>(i % side) - spot(label, which, 1);
        value += 0.8 * std::exp(-0.4 * (dx * dx + dy * dy));
      }
      out.values.push_back(std::clamp(value, 0.0, 1.0));
    }
  }
  return out;
}

}  // namespace equipoise::problems
