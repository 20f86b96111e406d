// Digits read, pooled, standardised and cut for the cleaning problem.
#include <equipoise/formats/idx.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/cleaning.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <cmath>

namespace equipoise::problems {
namespace {

ClassRows digits(const std::string& images, const std::string& labels, std::int64_t first,
                 std::int64_t count, std::int64_t pool) {
  const auto pixels = formats::read_idx(images), names = formats::read_idx(labels);
  if (pixels.shape.size() != 3 || names.shape.size() != 1 || pixels.shape[0] != names.shape[0]) {
    throw InputError("{} and {}: images [n, rows, columns] and labels [n] are needed", images,
                     labels);
  }
  if (first + count > pixels.shape[0]) {
    throw ConfigurationError("{} holds {} images, fewer than the {} asked for", images,
                             pixels.shape[0], first + count);
  }
  const std::int64_t rows = pixels.shape[1], columns = pixels.shape[2];
  if (rows % pool != 0 || columns % pool != 0) {
    throw ConfigurationError("problem.pool = {} does not divide images of {} x {}", pool, rows,
                             columns);
  }
  ClassRows out;
  const std::int64_t wide = columns / pool;
  out.dimension = rows / pool * wide;
  out.features.assign(static_cast<std::size_t>(count * out.dimension), 0.0F);
  for (std::int64_t k = 0; k < count; ++k) {
    const auto label = names.data[static_cast<std::size_t>(first + k)];
    if (label >= DataCleaning::classes)
      throw InputError("{}: label {} of image {}", labels, label, first + k);
    out.labels.push_back(label);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        out.features[static_cast<std::size_t>(k * out.dimension + i / pool * wide + j / pool)] +=
            static_cast<float>(
                pixels.data[static_cast<std::size_t>(((first + k) * rows + i) * columns + j)]);
      }
    }
  }
  return out;
}

/// Mean 0 and variance 1 of every feature over `reference`; constant features become 0.
void standardise(const ClassRows& reference, const std::vector<ClassRows*>& all) {
  const auto d = static_cast<std::size_t>(reference.dimension);
  std::vector<double> mean(d), square(d);
  const double n = static_cast<double>(reference.rows());
  for (std::int64_t r = 0; r < reference.rows(); ++r) {
    for (std::size_t k = 0; k < d; ++k) {
      mean[k] += static_cast<double>(reference.row(r)[k]) / n;
      square[k] += std::pow(static_cast<double>(reference.row(r)[k]), 2) / n;
    }
  }
  for (std::size_t k = 0; k < d; ++k) {
    const double variance = square[k] - mean[k] * mean[k];
    square[k] = variance > 1e-9 ? 1.0 / std::sqrt(variance) : 0.0;
  }
  for (ClassRows* rows : all) {
    for (std::size_t e = 0; e < rows->features.size(); ++e) {
      const double centred = static_cast<double>(rows->features[e]) - mean[e % d];
      rows->features[e] = static_cast<float>(centred * square[e % d]);
    }
  }
}

}  // namespace

DataCleaning read_cleaning(const CleaningOptions& o, std::uint64_t seed) {
  const std::string images = data_path(o.images), labels = data_path(o.labels);
  ClassRows train = digits(images, labels, 0, o.train, o.pool);
  ClassRows validation = digits(images, labels, o.train, o.validation, o.pool);
  ClassRows test = digits(data_path(o.test_images), data_path(o.test_labels), 0, o.test, o.pool);
  const ClassRows reference = train;
  standardise(reference, {&train, &validation, &test});
  return {std::move(train), std::move(validation), std::move(test), o, seed};
}

}  // namespace equipoise::problems
