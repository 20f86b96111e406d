#include <equipoise/linalg/kernels.hpp>
#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/random.hpp>
#include <equipoise/problems/bilevel/rows.hpp>
#include <equipoise/problems/vi/adversarial_digits.hpp>
#include <equipoise/problems/vi/instance.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace equipoise::problems {
namespace {

constexpr std::size_t classes = 10;

/// Views of z = (W1 [hidden x pixels], b1 [hidden], W2 [10 x hidden], b2 [10]).
template <class T>
struct Weights {
  std::span<T> w1, b1, w2, b2;
  Weights(std::span<T> z, std::size_t pixels, std::size_t hidden)
      : w1(z.first(pixels * hidden)),
        b1(z.subspan(pixels * hidden, hidden)),
        w2(z.subspan(pixels * hidden + hidden, classes * hidden)),
        b2(z.last(classes)) {}
};

}  // namespace

void AdversarialDigitsOptions::describe(state::OptionVisitor& visit) {
  visit.option("images", images, "IDX file of training images, or its name below EQUIPOISE_DATA");
  visit.option("labels", labels, "IDX file of their labels");
  visit.option("test_images", test_images, "IDX file of test images");
  visit.option("test_labels", test_labels, "IDX file of their labels");
  visit.option("generated", generated, "random patterns instead of files");
  visit.option("train", train, "training images, from the first", state::at_least_one);
  visit.option("test", test, "test images, from the first", state::at_least_one);
  visit.option("pool", pool, "side of the squares of pixels that are averaged",
               state::at_least_one);
  visit.option("hidden", hidden, "units of the hidden layer", state::at_least_one);
  visit.option("radius", radius, "largest change of a pixel, pixels being in [0, 1]", {0.0, 1.0});
  visit.option("attack_steps", attack_steps, "signed gradient steps of the attack in training",
               state::non_negative);
  visit.option("regularisation", regularisation, "weight of norm(w)^2 / 2", state::non_negative);
}

struct AdversarialDigits::Work {
  std::vector<double> hidden, back;           ///< [hidden]: tanh, derivative of the loss
  std::vector<double> probabilities, slopes;  ///< [10]
  std::vector<double> attacked, gradient;     ///< [pixels]
  Work(std::size_t pixels, std::size_t units)
      : hidden(units),
        back(units),
        probabilities(classes),
        slopes(classes),
        attacked(pixels),
        gradient(pixels) {}
};

AdversarialDigits::AdversarialDigits(const AdversarialDigitsOptions& options,
                                     partition::Partition shards, partition::Range hosted,
                                     std::vector<Images> train, std::shared_ptr<const Images> test,
                                     std::uint64_t seed)
    : options_(options),
      shards_(std::move(shards)),
      hosted_(hosted),
      train_(std::move(train)),
      test_(std::move(test)),
      seed_(seed),
      pixels_(test_->pixels) {}

std::int64_t AdversarialDigits::dimension() const {
  const auto ten = static_cast<std::int64_t>(classes);
  return options_.hidden * (pixels_ + 1) + ten * (options_.hidden + 1);
}

double AdversarialDigits::weight(std::int64_t agent) const {
  return static_cast<double>(samples(agent)) / static_cast<double>(shards_.size());
}

std::int64_t AdversarialDigits::samples(std::int64_t agent) const {
  return shards_.range(static_cast<int>(agent)).size();
}

const Images& AdversarialDigits::shard(std::int64_t agent) const {
  return train_[static_cast<std::size_t>(agent - hosted_.begin)];
}

/// The loss at image a; leaves hidden values, probabilities and the derivative by the hidden units.
double AdversarialDigits::forward(std::span<const double> z, std::span<const double> a,
                                  std::uint8_t label, Work& work) const {
  const std::size_t n = a.size();
  const std::size_t units = work.hidden.size();
  const Weights<const double> w(z, n, units);
  for (std::size_t j = 0; j < units; ++j) {
    work.hidden[j] = std::tanh(w.b1[j] + linalg::dot(w.w1.subspan(j * n, n), a));
  }
  double top = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < classes; ++c) {
    work.slopes[c] = w.b2[c] + linalg::dot(w.w2.subspan(c * units, units), work.hidden);
    top = std::max(top, work.slopes[c]);
  }
  const double right = work.slopes[label];
  double sum = 0.0;
  for (std::size_t c = 0; c < classes; ++c) {
    work.probabilities[c] = std::exp(work.slopes[c] - top);
    sum += work.probabilities[c];
  }
  std::fill(work.back.begin(), work.back.end(), 0.0);
  for (std::size_t c = 0; c < classes; ++c) {
    work.slopes[c] = work.probabilities[c] / sum - (c == label ? 1.0 : 0.0);
    linalg::add_scaled(work.back, work.slopes[c], w.w2.subspan(c * units, units), work.back);
  }
  for (std::size_t j = 0; j < units; ++j) {
    work.back[j] *= 1.0 - work.hidden[j] * work.hidden[j];
  }
  return top + std::log(sum) - right;
}

void AdversarialDigits::input_gradient(std::span<const double> z, Work& work) const {
  const std::size_t n = work.gradient.size();
  const Weights<const double> w(z, n, work.hidden.size());
  std::fill(work.gradient.begin(), work.gradient.end(), 0.0);
  for (std::size_t j = 0; j < work.back.size(); ++j) {
    linalg::add_scaled(work.gradient, work.back[j], w.w1.subspan(j * n, n), work.gradient);
  }
}

void AdversarialDigits::weight_gradient(std::span<const double>, std::span<const double> a,
                                        std::span<double> out, Work& work) const {
  const std::size_t n = a.size();
  const std::size_t units = work.hidden.size();
  const Weights<double> g(out, n, units);
  for (std::size_t j = 0; j < units; ++j) {
    const auto row = g.w1.subspan(j * n, n);
    linalg::add_scaled(row, work.back[j], a, row);
    g.b1[j] += work.back[j];
  }
  for (std::size_t c = 0; c < classes; ++c) {
    const auto row = g.w2.subspan(c * units, units);
    linalg::add_scaled(row, work.slopes[c], work.hidden, row);
    g.b2[c] += work.slopes[c];
  }
}

/// Projected signed gradient ascent from the image, by steps of 1.5 radius / steps (Madry et al.,
/// Towards deep learning models resistant to adversarial attacks, 2018, from the image itself).
void AdversarialDigits::attack(std::span<const double> z, std::span<const double> image,
                               std::uint8_t label, std::int64_t steps, Work& work) const {
  std::copy(image.begin(), image.end(), work.attacked.begin());
  const double r = options_.radius;
  if (r == 0.0) return;
  const double stride = steps == 1 ? r : 1.5 * r / static_cast<double>(steps);
  for (std::int64_t k = 0; k < steps; ++k) {
    forward(z, work.attacked, label, work);
    input_gradient(z, work);
    for (std::size_t i = 0; i < image.size(); ++i) {
      const double direction = work.gradient[i] > 0.0 ? 1.0 : (work.gradient[i] < 0.0 ? -1.0 : 0.0);
      const double moved = work.attacked[i] + stride * direction;
      work.attacked[i] = std::clamp(std::clamp(moved, image[i] - r, image[i] + r), 0.0, 1.0);
    }
  }
}

/// The mean attacked loss over the chosen rows; adds its gradient to `out` unless that is empty.
template <class Rows>
double AdversarialDigits::sum_rows(const Images& images, const Rows& rows, std::int64_t count,
                                   std::span<const double> z, std::span<double> out) const {
  Work work(static_cast<std::size_t>(pixels_), static_cast<std::size_t>(options_.hidden));
  std::fill(out.begin(), out.end(), 0.0);
  double loss = 0.0;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t i = rows(k);
    const std::uint8_t label = images.labels[static_cast<std::size_t>(i)];
    attack(z, images.image(i), label, options_.attack_steps, work);
    loss += forward(z, work.attacked, label, work);
    if (!out.empty()) weight_gradient(z, work.attacked, out, work);
  }
  const double share = 1.0 / static_cast<double>(count);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = share * out[i] + options_.regularisation * z[i];
  }
  return loss * share;
}

void AdversarialDigits::apply(std::int64_t agent, std::span<const double> z,
                              std::span<double> out) const {
  const Images& images = shard(agent);
  sum_rows(
      images, [](std::int64_t k) { return k; }, images.count(), z, out);
}

void AdversarialDigits::apply_batch(std::int64_t agent, std::span<const double> z,
                                    std::span<const std::int64_t> batch,
                                    std::span<double> out) const {
  sum_rows(
      shard(agent), [&](std::int64_t k) { return batch[static_cast<std::size_t>(k)]; },
      std::ssize(batch), z, out);
}

double AdversarialDigits::loss(std::int64_t agent, std::span<const double> z) const {
  const Images& images = shard(agent);
  const double mean = sum_rows(images, [](std::int64_t k) { return k; }, images.count(), z, {});
  return mean + 0.5 * options_.regularisation * linalg::dot(z, z);
}

void AdversarialDigits::start(std::span<double> z) const {
  std::fill(z.begin(), z.end(), 0.0);
  const auto n = static_cast<std::size_t>(pixels_);
  const auto units = static_cast<std::size_t>(options_.hidden);
  const Weights<double> w(z, n, units);
  const parallel::Draw draw(seed_, parallel::Purpose::start, 0);
  const double first = 1.0 / std::sqrt(static_cast<double>(n));
  const double second = 1.0 / std::sqrt(static_cast<double>(units));
  for (std::size_t i = 0; i < w.w1.size(); ++i) w.w1[i] = first * draw.normal(i);
  for (std::size_t i = 0; i < w.w2.size(); ++i) {
    w.w2[i] = second * draw.normal(w.w1.size() + i);
  }
}

vi::Facts AdversarialDigits::facts() const {
  return {{"images", std::to_string(shards_.size())},
          {"test_images", std::to_string(test_->count())},
          {"pixels", std::to_string(pixels_)},
          {"hidden", std::to_string(options_.hidden)},
          {"agents", std::to_string(agents())},
          {"dimension", std::to_string(dimension())},
          {"radius", fmt::format("{}", options_.radius)}};
}

std::string AdversarialDigits::fingerprint() const {
  // The test images stand for the files: hashing them tells another data set.
  std::uint64_t hash = 1469598103934665603U;
  for (const double v : test_->values) {
    hash = (hash ^ static_cast<std::uint64_t>(v * 65536.0)) * 1099511628211U;
  }
  return fmt::format(
      "adversarial-digits images={} test={} pixels={} hidden={} agents={} radius={} "
      "attack_steps={} regularisation={} seed={} hash={:016x}",
      shards_.size(), test_->count(), pixels_, options_.hidden, agents(), options_.radius,
      options_.attack_steps, options_.regularisation, seed_, hash);
}

vi::Facts AdversarialDigits::check(std::span<const double> z) const {
  Work work(static_cast<std::size_t>(pixels_), static_cast<std::size_t>(options_.hidden));
  const auto right = [&](std::uint8_t label) {
    const auto top = std::max_element(work.probabilities.begin(), work.probabilities.end());
    return top - work.probabilities.begin() == label ? 1.0 : 0.0;
  };
  double clean = 0.0;
  double robust = 0.0;
  for (std::int64_t i = 0; i < test_->count(); ++i) {
    const std::uint8_t label = test_->labels[static_cast<std::size_t>(i)];
    forward(z, test_->image(i), label, work);
    clean += right(label);
    attack(z, test_->image(i), label, 10, work);
    forward(z, work.attacked, label, work);
    robust += right(label);
  }
  const auto all = static_cast<double>(test_->count());
  return {{"robust_test_accuracy", fmt::format("{:.6g}", robust / all)},
          {"clean_test_accuracy", fmt::format("{:.6g}", clean / all)}};
}

solve::ProblemEntry adversarial_digits_problem() {
  return {
      "vi", "adversarial-digits",
      "adversarial training of a small network on handwritten digits, stochastic and not monotone",
      [](state::OptionVisitor& visit) { AdversarialDigitsOptions{}.describe(visit); },
      [](const parallel::Comm& comm, state::Config& config) -> std::unique_ptr<solve::Instance> {
        AdversarialDigitsOptions o;
        config.read("problem", o);
        const std::int64_t agents = read_agents(config, 20);
        if (agents > o.train) {
          throw ConfigurationError("run.agents = {}: there are {} training images", agents,
                                   o.train);
        }
        const auto shards = partition::Partition::uniform(o.train, static_cast<int>(agents));
        const auto hosted = partition::Partition::uniform(agents, comm.size()).range(comm.rank());
        std::vector<Images> train;
        auto test = std::make_shared<Images>();
        parallel::agree(comm, [&] {
          const auto load = [&](bool of_test, std::int64_t first, std::int64_t count) {
            if (o.generated) return generate_images(of_test ? 2 : 1, first, count, 8);
            return read_images(data_path(of_test ? o.test_images : o.images),
                               data_path(of_test ? o.test_labels : o.labels), first, count, o.pool);
          };
          *test = load(true, 0, o.test);
          if (hosted.size() == 0) return;
          const std::int64_t begin = shards.range(static_cast<int>(hosted.begin)).begin;
          const std::int64_t end = shards.range(static_cast<int>(hosted.end - 1)).end;
          const Images mine = load(false, begin, end - begin);
          for (std::int64_t m = hosted.begin; m < hosted.end; ++m) {
            const auto range = shards.range(static_cast<int>(m));
            Images part;
            part.pixels = mine.pixels;
            const auto from = mine.values.begin() + (range.begin - begin) * mine.pixels;
            part.values.assign(from, from + range.size() * mine.pixels);
            const auto label = mine.labels.begin() + (range.begin - begin);
            part.labels.assign(label, label + range.size());
            train.push_back(std::move(part));
          }
        });
        return make_instance(comm, config,
                             AdversarialDigits(o, shards, hosted, std::move(train), test, 0));
      }};
}

}  // namespace equipoise::problems
