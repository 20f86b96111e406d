#pragma once

#include <equipoise/bilevel/exchange.hpp>
#include <equipoise/bilevel/krylov.hpp>
#include <equipoise/state/options.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::bilevel {

/// How a lower solve ended.
struct LowerReport {
  double gradient = 0.0;    ///< norm(grad_y g) at the end
  std::int64_t newton = 0;  ///< Newton steps
  std::int64_t linear = 0;  ///< CG iterations
  bool converged = false;
};

/// min_y g_i(x, y) by Newton's method with `solver`, from `y`, to norm(grad_y g) <= tolerance.
/// Steps are halved until the gradient's norm falls (for strongly convex g the Newton direction
/// decreases it). Ends unconverged at the rounding floor or after `limit` steps. Throws what
/// `solve_linear` throws. Needs hvp_yy_g.
/// `kept`: as in `solve_linear`.
LowerReport solve_lower(CountedOracle& oracle, std::int64_t block, In x, Out y, double tolerance,
                        std::int64_t limit, LinearSolver solver = LinearSolver::automatic,
                        Out kept = {});

struct ImplicitOptions {
  std::string linear = "auto";
  std::int64_t newton_limit = 60;
  std::int64_t linear_limit = 2000;
  std::int64_t lag = 5;  ///< renewals of constants that a kept factor serves at most
  void describe(state::OptionVisitor& visit);
};

/// F and its gradient at a point, with what is known of their errors; equal on every rank.
struct Hypergradient {
  double value = 0.0;            ///< F, NaN for oracles without f
  double low = 0.0, high = 0.0;  ///< bracket of F from the inner accuracy
  double norm = 0.0;             ///< of the mean p of grad_x f - Hxy q
  double bound = 0.0;            ///< norm(p - grad F) <= bound
  double inner = 0.0;            ///< largest norm(grad_y g) / mu over blocks
  double linear = 0.0;           ///< largest norm(Hyy q - grad_y f) over blocks
  bool certified = false;        ///< every constant in `bound` is proved; estimated otherwise
  bool reached = false;          ///< all solves met their tolerances
};

/// Implicit differentiation of many lower problems: grad F = mean_i [grad_x f_i - Hxy Hyy^{-1}
/// grad_y f_i].
///
/// Each owner solves its blocks; one mean of dx entries and a few exact sums join them. The
/// a-posteriori bound is (Salehi, Mukherjee, Roberts, Ehrhardt: An adaptively inexact first-order
/// method for bilevel optimization)
///
///     eps [Lf |Hxy| / mu + L_H |Hxy| |grad_y f| / mu^2 + L_J |grad_y f| / mu + Lx] + delta |Hxy| /
///     mu + eps^2 Lf L_J / mu
///
/// with eps = |grad_y g| / mu and delta = |Hyy q - grad_y f| as they came out, averaged over the
/// blocks. Constants that the oracle does not give are estimated (Lanczos for mu and L, power
/// iteration and differences for the rest). Small dense blocks keep a Cholesky factor of Hyy (1 GB
/// at most on a rank): it preconditions their solves until it serves no longer, and its eigenvalues
/// stand for mu and L.
class Implicit {
 public:
  Implicit(const Blocks& blocks, CountedOracle& oracle, Exchange& exchange,
           ImplicitOptions options);

  /// Improves y to |grad_y g| <= eps mu and q to |Hyy q - grad_y f| <= delta (both warm starts),
  /// and sets p. `renew` computes missing constants afresh; else those of the last call serve.
  /// With `coded` >= 0 the mean passes the exchange's codec, as that iteration. **Collective.**
  Hypergradient gradient(In x, std::vector<double>& y, std::vector<double>& q, double eps,
                         double delta, Out p, bool renew = true, std::int64_t coded = -1);
  /// Improves y as above and brackets F, with the constants of the last `gradient`. **Collective.**
  Hypergradient value(In x, std::vector<double>& y, double eps);

  /// Sets the point of `curvature`: the accurate y and q of `gradient` at x. Factorises Hyy of the
  /// owned blocks where factors are kept.
  void linearise(In x, const std::vector<double>& y, const std::vector<double>& q);
  /// out = mean_i [J_i^T C_i J_i + d/dx (grad_x f_i - Hxy q_i)] v with J_i = dy_i*/dx = -Hyy^{-1}
  /// Hyx and C_i the Hessian of f_i in y along J_i v: the Hessian of F but for what changes of y do
  /// to Hyy and Hxy. The first part (Gauss-Newton) is positive semidefinite where f is convex in y;
  /// the second one, at fixed y and q, is the curvature of the parametrisation (weights sigma(x),
  /// exp(x)) and may have any sign. Both by central differences of calls. Needs jvp_yx_g. Cost a
  /// block: two linear solves, three cross products, two gradients of f in each variable.
  /// **Collective:** one mean of dx entries.
  void curvature(In v, Out out);

  /// Constants used for the owned blocks, [owned x width]: state of a method that calls `value`
  /// first.
  static constexpr std::int64_t width = 8;
  [[nodiscard]] std::vector<double>& constants() { return constants_; }
  /// Factors kept for the owned blocks, [owned x kept_width()], and empty where none are: where
  /// blocks are larger than `dense_limit`, lack hess_yy_g, or their factors would take over 1 GB.
  [[nodiscard]] std::int64_t kept_width() const { return kept_width_; }
  [[nodiscard]] std::vector<double>& kept() { return kept_; }

 private:
  struct Terms;
  [[nodiscard]] Bounds complete(std::int64_t block, In x, In y);
  void estimate(std::int64_t block, In x, In y, Bounds& bounds);
  void estimate_coupling(std::int64_t block, In x, In y, In q, Bounds& bounds);
  [[nodiscard]] Bounds stored(std::int64_t block, In x, In y) const;
  void store(std::int64_t block, const Bounds& bounds);
  double improve(std::int64_t block, In x, Out y, double eps, const Bounds& bounds, Terms& terms);
  Hypergradient join(Terms& terms) const;
  void invert(std::int64_t block, Out w);
  [[nodiscard]] Out kept_of(std::int64_t block);

  const Blocks* blocks_;
  CountedOracle* oracle_;
  Exchange* exchange_;
  ImplicitOptions options_;
  LinearSolver solver_, newton_;
  std::vector<double> constants_;
  std::vector<double> x_, y_, q_;  ///< the point of `curvature`
  std::int64_t kept_width_ = 0;
  std::vector<double> kept_;
};

}  // namespace equipoise::bilevel
