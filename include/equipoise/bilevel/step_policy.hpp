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
///     auto         x stays for a window, longer while z settles, and every entry gets a factor
///                  m_k >= 1 with which it would have moved by 0.3 `longest` (along the sum of z_k,
///                  or by chance along its mean square); then as resilient, without `most` but with
///                  m_k >= 1, growth by a half at first and by half as much after every turn (none
///                  where the sum of z_k has grown, has halved, or is below 1e-5 of the largest at
///                  first; m_k is halved where the sum grew by a tenth), and no entry ends a window
///                  farther than `longest` from where it began
///
/// The resilient policy is for entries of very different curvature (logarithms of weights, where F
/// gets flat like exp(x_k)): a window should be longer than the lower variables need to follow.
/// With it and with auto the driver shortens all steps as far as the smoothness of the lower
/// problems has grown along the way. auto is for steps that nobody has tuned: hypergradients of
/// weights of n samples are of order 1/n, and eta, which follows from the lower problems alone,
/// knows nothing of that. Within `longest` it never steps less than `plain`. Sources: Kingma, Ba,
/// Adam (ICLR 2015); Jacobs, Increased rates of convergence through learning rate adaptation
/// (1988); Riedmiller, Braun, Rprop (1993). Memory: one vector (adaptive), six (resilient and
/// auto).
class StepPolicy {
 public:
  enum class Kind { automatic, plain, normalised, adaptive, resilient };
  StepPolicy(const std::string& name, std::size_t dimension, std::int64_t window, double longest,
             double most, double growth = 1.5);
  static const std::vector<std::string>& names();

  /// Moves x along z in iteration t by step `eta`.
  void move(std::int64_t t, double eta, std::span<const double> z, std::span<double> x);
  /// True for the policies that look at windows of iterations: auto and resilient.
  [[nodiscard]] bool windowed() const { return !sum_.empty(); }
  /// True if a window ends with iteration t.
  [[nodiscard]] bool ends(std::int64_t t) const { return windowed() && (t + 1) % window_ == 0; }
  void fields(state::FieldVisitor& visit);

 private:
  void calibrate(std::int64_t t, double eta, std::span<const double> z, std::span<const double> x);
  void adapt(std::int64_t t, std::span<const double> x);

  Kind kind_;
  std::int64_t window_;
  double longest_, most_;
  double negligible_ = 0.0;    ///< sum of z_k in a window below which factors do not grow
  std::vector<double> scale_;  ///< mean squares, or factors m
  std::int64_t waiting_ = 1;   ///< 1 while x stays for the automatic policy
  std::vector<double> sum_, last_, start_, path_, limit_, growth_;
};

}  // namespace equipoise::bilevel
