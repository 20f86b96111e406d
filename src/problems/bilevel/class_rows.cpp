#include <equipoise/formats/idx.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/class_rows.hpp>
#include <equipoise/problems/bilevel/rows.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace equipoise::problems {
namespace {

/// <a, w> with eight interleaved accumulators.
double product(const float* a, const double* w, std::size_t n) {
  double sums[8] = {};
  const std::size_t whole = n / 8 * 8;
  for (std::size_t i = 0; i < whole; i += 8) {
    for (std::size_t j = 0; j < 8; ++j) sums[j] += static_cast<double>(a[i + j]) * w[i + j];
  }
  for (std::size_t i = whole; i < n; ++i) sums[i - whole] += static_cast<double>(a[i]) * w[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

ClassRows digits(const std::string& images, const std::string& labels, std::int64_t first,
                 std::int64_t count, std::int64_t border, std::int64_t pool) {
  const auto pixels = formats::read_idx(images), names = formats::read_idx(labels);
  if (pixels.shape.size() != 3 || names.shape.size() != 1 || pixels.shape[0] != names.shape[0]) {
    throw InputError("{} and {}: images [n, rows, columns] and labels [n] are needed", images,
                     labels);
  }
  if (first + count > pixels.shape[0]) {
    throw ConfigurationError("{} holds {} images, fewer than the {} asked for", images,
                             pixels.shape[0], first + count);
  }
  const std::int64_t width = pixels.shape[2];
  const std::int64_t rows = pixels.shape[1] - 2 * border, columns = width - 2 * border;
  if (rows <= 0 || columns <= 0) {
    throw ConfigurationError("problem.border = {} leaves nothing of images of {} x {}", border,
                             pixels.shape[1], width);
  }
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
    if (label >= digit_classes)
      throw InputError("{}: label {} of image {}", labels, label, first + k);
    out.labels.push_back(label);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < columns; ++j) {
        out.features[static_cast<std::size_t>(k * out.dimension + i / pool * wide + j / pool)] +=
            static_cast<float>(pixels.data[static_cast<std::size_t>(
                ((first + k) * pixels.shape[1] + i + border) * width + j + border)]);
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

void DigitOptions::describe(state::OptionVisitor& visit) {
  visit.option("images", images, "IDX file of training images");
  visit.option("labels", labels, "IDX file of their labels");
  visit.option("test_images", test_images, "IDX file of test images");
  visit.option("test_labels", test_labels, "IDX file of their labels");
  visit.option("train", train, "rows that train", state::at_least_one);
  visit.option("validation", validation, "rows after these that validate", state::at_least_one);
  visit.option("test", test, "test rows", state::at_least_one);
  visit.option("border", border, "pixels cut off at every edge first", state::non_negative);
  visit.option("pool", pool, "pixels are averaged over pool x pool squares", state::at_least_one);
}

DigitRows read_digits(const DigitOptions& o) {
  const std::string images = data_path(o.images), labels = data_path(o.labels);
  DigitRows out{
      digits(images, labels, 0, o.train, o.border, o.pool),
      digits(images, labels, o.train, o.validation, o.border, o.pool),
      digits(data_path(o.test_images), data_path(o.test_labels), 0, o.test, o.border, o.pool)};
  const ClassRows reference = out.train;
  standardise(reference, {&out.train, &out.validation, &out.test});
  return out;
}

void scores(const ClassRows& rows, std::int64_t r, std::span<const double> w, Scores& out) {
  const auto d = static_cast<std::size_t>(rows.dimension);
  for (std::size_t c = 0; c < out.size(); ++c) out[c] = product(rows.row(r), w.data() + c * d, d);
}

void add_row(const ClassRows& rows, std::int64_t r, const Scores& factors, std::span<double> w) {
  const auto d = static_cast<std::size_t>(rows.dimension);
  const float* a = rows.row(r);
  for (std::size_t c = 0; c < factors.size(); ++c) {
    double* to = w.data() + c * d;
    for (std::size_t i = 0; i < d; ++i) to[i] += factors[c] * static_cast<double>(a[i]);
  }
}

double softmax(Scores& s, std::int32_t label) {
  const double top = *std::max_element(s.begin(), s.end());
  const double own = s[static_cast<std::size_t>(label)];
  double sum = 0.0;
  for (double& entry : s) sum += entry = std::exp(entry - top);
  for (double& entry : s) entry /= sum;
  return std::log(sum) + top - own;
}

double softmax_slope(Scores& s, std::int32_t label, double factor) {
  const double loss = softmax(s, label);
  s[static_cast<std::size_t>(label)] -= 1.0;
  scale(s, factor);
  return loss;
}

Scores curvature(const Scores& p, const Scores& along) {
  Scores out;
  double mean = 0.0;
  for (std::size_t c = 0; c < p.size(); ++c) mean += p[c] * along[c];
  for (std::size_t c = 0; c < p.size(); ++c) out[c] = p[c] * (along[c] - mean);
  return out;
}

void scale(Scores& s, double factor) {
  for (double& entry : s) entry *= factor;
}

double mean_entropy(const ClassRows& rows, bilevel::Batch batch, std::span<const double> w) {
  double sum = 0.0;
  each(rows.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(rows, r, w, p);
    sum += share * softmax(p, rows.labels[static_cast<std::size_t>(r)]);
  });
  return sum;
}

void add_entropy_gradient(const ClassRows& rows, bilevel::Batch batch, std::span<const double> w,
                          std::span<double> out) {
  each(rows.rows(), batch, [&](std::int64_t r, double share) {
    Scores p;
    scores(rows, r, w, p);
    softmax_slope(p, rows.labels[static_cast<std::size_t>(r)], share);
    add_row(rows, r, p, out);
  });
}

std::vector<char> corrupt_labels(ClassRows& rows, double share, std::uint64_t seed) {
  std::vector<char> corrupted(rows.labels.size(), 0);
  const parallel::Draw draw(seed, parallel::Purpose::problem, 0);
  for (std::size_t r = 0; r < corrupted.size(); ++r) {
    if (draw.uniform(2 * r) >= share) continue;
    const auto label = static_cast<std::int32_t>(draw.below(digit_classes, 2 * r + 1));
    corrupted[r] = label != rows.labels[r] ? 1 : 0;
    rows.labels[r] = label;
  }
  return corrupted;
}

double area_under_curve(std::span<const double> weights, const std::vector<char>& corrupted) {
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return weights[a] < weights[b]; });
  double below = 0.0, pairs = 0.0, clean = 0.0;
  for (std::size_t k = 0; k < order.size();) {
    std::size_t end = k;
    double ties_clean = 0.0, ties_corrupted = 0.0;
    for (; end < order.size() && weights[order[end]] == weights[order[k]]; ++end) {
      (corrupted[order[end]] ? ties_corrupted : ties_clean) += 1.0;
    }
    pairs += ties_clean * (below + 0.5 * ties_corrupted);
    below += ties_corrupted;
    clean += ties_clean;
    k = end;
  }
  return below > 0.0 && clean > 0.0 ? pairs / (below * clean) : 0.5;
}

}  // namespace equipoise::problems
