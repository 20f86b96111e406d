#pragma once

#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::bilevel {

/// How the outer variable moves along an estimate z of the hypergradient, by steps of eta:
///
///     plain        x <- x - eta z
///     normalised   x <- x - eta z / |z|
///     adaptive     x_k <- x_k - eta clip(z_k / root mean square of z_k, 1), the mean with memory
///                  0.999 (Adam without a first moment, which z has already)
///     resilient    x_k <- x_k - eta m_k z_k, 1 at first; after every window of iterations m_k
///                  grows by a fifth (to `most`) if the sum of z_k kept its sign from the last
///                  window to this one and x_k went one way, and is halved if the sign turned or
///                  x_k went to and fro; no entry moves by more than `longest` in a window
///
/// The resilient policy is for entries of very different curvature (logarithms of weights, where F
/// gets flat like exp(x_k)): a window should be longer than the lower variables need to follow.
/// With it the driver shortens all steps as far as the smoothness of the lower problems has
/// grown along the way. Sources: Kingma, Ba, Adam (ICLR 2015); Jacobs, Increased
/// rates of convergence through learning rate adaptation (1988); Riedmiller, Braun, Rprop (1993).
/// Memory: one vector (adaptive), six (resilient).
class StepPolicy {
 public:
  enum class Kind { plain, normalised, adaptive, resilient };
  StepPolicy(const std::string& name, std::size_t dimension, std::int64_t window, double longest,
             double most);
  static const std::vector<std::string>& names();

  /// Moves x along z in iteration t by step `eta`.
  void move(std::int64_t t, double eta, std::span<const double> z, std::span<double> x);
  /// True if a window of the resilient policy ends with iteration t.
  [[nodiscard]] bool ends(std::int64_t t) const {
    return kind_ == Kind::resilient && (t + 1) % window_ == 0;
  }
  void fields(state::FieldVisitor& visit);

 private:
  Kind kind_;
  std::int64_t window_;
  double longest_, most_;
  std::vector<double> scale_;  ///< mean squares, or factors m
  std::vector<double> sum_, last_, start_, path_, limit_;
};

}  // namespace equipoise::bilevel
