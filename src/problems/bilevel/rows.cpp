#include <equipoise/formats/libsvm.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace equipoise::problems {

std::string data_path(const std::string& name) {
  std::error_code ignored;
  if (std::filesystem::exists(name, ignored)) return name;
  const char* const given = std::getenv("EQUIPOISE_DATA");
  const std::string folder = given ? given : "../shared/data";
  std::string path = folder + "/" + name;
  if (std::filesystem::exists(path, ignored)) return path;
  throw InputError("{}: no such file, nor {}; set EQUIPOISE_DATA to the folder of the data sets",
                   name, path);
}

double LabelledRows::mean_norm_power(double power) const {
  double sum = 0.0;
  for (std::size_t r = 0; r + 1 < offsets.size(); ++r) {
    double square = 0.0;
    for (auto e = static_cast<std::size_t>(offsets[r]);
         e < static_cast<std::size_t>(offsets[r + 1]); ++e) {
      square += values[e] * values[e];
    }
    sum += std::pow(square, 0.5 * power);
  }
  return rows() > 0 ? sum / static_cast<double>(rows()) : 0.0;
}

LabelledRows LabelledRows::slice(std::int64_t begin, std::int64_t end) const {
  LabelledRows out;
  const std::int64_t first = offsets[static_cast<std::size_t>(begin)],
                     last = offsets[static_cast<std::size_t>(end)];
  out.labels.assign(labels.begin() + begin, labels.begin() + end);
  out.columns.assign(columns.begin() + first, columns.begin() + last);
  out.values.assign(values.begin() + first, values.begin() + last);
  for (std::int64_t r = begin; r < end; ++r)
    out.offsets.push_back(offsets[static_cast<std::size_t>(r) + 1] - first);
  out.features = features;
  return out;
}

LabelledRows read_rows(const std::string& path, bool intercept) {
  const auto block = formats::read_libsvm(parallel::Comm(), path).block;
  LabelledRows out;
  out.features = block.features + (intercept ? 1 : 0);
  const auto [low, high] = std::minmax_element(block.labels.begin(), block.labels.end());
  for (std::size_t r = 0; r < block.labels.size(); ++r) {
    const double label = block.labels[r];
    if (label != *low && label != *high) {
      throw InputError("{}: label {} besides {} and {}; two classes are needed", path, label, *low,
                       *high);
    }
    out.labels.push_back(label == *high ? 1.0 : -1.0);
    if (intercept) {
      out.columns.push_back(0);
      out.values.push_back(1.0);
    }
    for (auto e = static_cast<std::size_t>(block.offsets[r]);
         e < static_cast<std::size_t>(block.offsets[r + 1]); ++e) {
      out.columns.push_back(block.columns[e] + (intercept ? 1 : 0));
      out.values.push_back(block.values[e]);
    }
    out.offsets.push_back(static_cast<std::int64_t>(out.columns.size()));
  }
  if (out.rows() == 0 || *low == *high)
    throw InputError("{}: all labels are equal; two classes are needed", path);
  return out;
}

double logistic_loss(double margin) {
  return margin > 0.0 ? std::log1p(std::exp(-margin)) : -margin + std::log1p(std::exp(margin));
}

double logistic_weight(double margin) {
  if (margin > 0.0) {
    const double e = std::exp(-margin);
    return e / (1.0 + e);
  }
  return 1.0 / (1.0 + std::exp(margin));
}

}  // namespace equipoise::problems
