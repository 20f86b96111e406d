#pragma once

#include <equipoise/partition/partition.hpp>
#include <equipoise/solve/instance.hpp>
#include <equipoise/state/options.hpp>
#include <equipoise/vi/problem.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace equipoise::problems {

struct AdversarialDigitsOptions {
  std::string images = "mnist/train-images-idx3-ubyte.derived.gz";
  std::string labels = "mnist/train-labels-idx1-ubyte.gz";
  std::string test_images = "mnist/t10k-images-idx3-ubyte.gz";
  std::string test_labels = "mnist/t10k-labels-idx1-ubyte.gz";
  bool generated = false;
  std::int64_t train = 20000;
  std::int64_t test = 10000;
  std::int64_t pool = 2;
  std::int64_t hidden = 32;
  double radius = 0.05;
  std::int64_t attack_steps = 3;
  double regularisation = 1e-4;
  void describe(state::OptionVisitor& visit);
};

/// Labelled images with pixels in [0, 1], one row each.
struct Images {
  std::int64_t pixels = 0;
  std::vector<double> values;        ///< [count x pixels]
  std::vector<std::uint8_t> labels;  ///< [count]
  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
  [[nodiscard]] std::span<const double> image(std::int64_t i) const {
    return std::span(values).subspan(static_cast<std::size_t>(i * pixels),
                                     static_cast<std::size_t>(pixels));
  }
};

/// The images [first, first + count) of an IDX pair, averaged over squares of pool x pool pixels.
/// Throws InputError for files that do not fit together, ConfigurationError for a count or a pool
/// that does not fit them. On this process alone.
[[nodiscard]] Images read_images(const std::string& images, const std::string& labels,
                                 std::int64_t first, std::int64_t count, std::int64_t pool);
/// Ten classes of blurred random patterns with noise, a stand-in where no images are at hand:
/// pixels = side^2, image i a function of (seed, i).
[[nodiscard]] Images generate_images(std::uint64_t seed, std::int64_t first, std::int64_t count,
                                     std::int64_t side);

/// Adversarial training of a small network, tanh(W1 a + b1) then W2 . + b2 and softmax, against
/// changes of at most `radius` a pixel:
///
///     min_w  (1/N) sum_i max_{|delta_i| <= radius, a_i + delta_i in [0,1]} loss(w; a_i + delta_i)
///            + (reg/2) norm(w)^2
///
/// The inner maximum is approached by `attack_steps` signed gradient steps from the image, so the
/// operator is the gradient at the attacked images (Danskin); it is neither monotone nor smooth.
/// Agent m holds the images m of N cut uniformly and weighs its share. z = (W1, b1, W2, b2).
/// One image costs 2 (attack_steps + 1) passes over the weights.
class AdversarialDigits {
 public:
  AdversarialDigits(const AdversarialDigitsOptions& options, partition::Partition shards,
                    partition::Range hosted, std::vector<Images> train,
                    std::shared_ptr<const Images> test, std::uint64_t seed);

  [[nodiscard]] std::int64_t dimension() const;
  [[nodiscard]] std::int64_t agents() const { return shards_.parts(); }
  [[nodiscard]] double weight(std::int64_t agent) const;
  void apply(std::int64_t agent, std::span<const double> z, std::span<double> out) const;
  [[nodiscard]] std::int64_t samples(std::int64_t agent) const;
  void apply_batch(std::int64_t agent, std::span<const double> z,
                   std::span<const std::int64_t> batch, std::span<double> out) const;
  /// Random weights of variance 1 / (inputs of a unit).
  void start(std::span<double> z) const;
  [[nodiscard]] vi::Facts facts() const;
  [[nodiscard]] std::string fingerprint() const;
  /// Shares of the test images that are told right as they are, and after an attack of ten steps.
  [[nodiscard]] vi::Facts check(std::span<const double> z) const;

  /// The mean attacked loss of an agent plus the regulariser, whose gradient `apply` is.
  [[nodiscard]] double loss(std::int64_t agent, std::span<const double> z) const;

 private:
  struct Work;
  template <class Rows>
  double sum_rows(const Images& images, const Rows& rows, std::int64_t count,
                  std::span<const double> z, std::span<double> out) const;
  double forward(std::span<const double> z, std::span<const double> a, std::uint8_t label,
                 Work& work) const;
  void input_gradient(std::span<const double> z, Work& work) const;
  void weight_gradient(std::span<const double> z, std::span<const double> a, std::span<double> out,
                       Work& work) const;
  void attack(std::span<const double> z, std::span<const double> image, std::uint8_t label,
              std::int64_t steps, Work& work) const;
  [[nodiscard]] const Images& shard(std::int64_t agent) const;

  AdversarialDigitsOptions options_;
  partition::Partition shards_;
  partition::Range hosted_;
  std::vector<Images> train_;
  std::shared_ptr<const Images> test_;
  std::uint64_t seed_;
  std::int64_t pixels_;
};

static_assert(vi::AgentProblem<AdversarialDigits>);

solve::ProblemEntry adversarial_digits_problem();

}  // namespace equipoise::problems
