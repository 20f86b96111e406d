#pragma once

#include <equipoise/parallel/comm.hpp>

#include <concepts>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace equipoise::linalg {

/// A closed convex set of R^d: `project(x)` replaces x by its nearest point, [d] -> [d]. It
/// allocates nothing and never communicates. Sets whose projection couples all components also take
/// a vector of which every rank holds a part, `project(part, comm)`: only sums of scalars travel,
/// they are exact and rounded once (`parallel::ExactSum`, 5 ns a component), so the result has the
/// same bits for any number of ranks.
template <class S>
concept ConvexSet = requires(const S& set, std::span<double> x) {
  set.project(x);
};

/// All of R^d.
struct Free {
  void project(std::span<double>) const {}
};

/// R_+^d.
struct NonNegative {
  void project(std::span<double> x) const;
};

/// { x : lower <= x <= upper }, component by component; bounds may be infinite. Each of the two has
/// d entries, or one that serves every component.
class Box {
 public:
  /// Throws a ConfigurationError for lower > upper (with the component), NaN, or sizes that do not
  /// match.
  Box(std::vector<double> lower, std::vector<double> upper);
  Box(double lower, double upper) : Box(std::vector{lower}, std::vector{upper}) {}
  void project(std::span<double> x) const;

 private:
  std::vector<double> lower_, upper_;
};

/// { x >= 0 : sum x = total }, by the finite Newton method for the threshold: O(d) a step, a
/// handful of steps.
class Simplex {
 public:
  /// Throws a ConfigurationError for a total that is negative or not finite.
  explicit Simplex(double total = 1.0);
  void project(std::span<double> x) const;
  /// **Collective**, one allreduce of 1152 bytes a step of Newton's method, and one before.
  void project(std::span<double> part, const parallel::Comm& comm) const;

 private:
  double total_;
};

/// { x : sum |x| <= radius }.
class Ball1 {
 public:
  /// Throws a ConfigurationError for a radius that is negative or NaN; an infinite one is R^d.
  /// Likewise below.
  explicit Ball1(double radius = 1.0);
  void project(std::span<double> x) const;
  /// **Collective**, as for the simplex.
  void project(std::span<double> part, const parallel::Comm& comm) const;

 private:
  double radius_;
};

/// { x : |x|_2 <= radius }.
class Ball2 {
 public:
  explicit Ball2(double radius = 1.0);
  void project(std::span<double> x) const;
  /// **Collective**, one allreduce of 8 and one of 576 bytes.
  void project(std::span<double> part, const parallel::Comm& comm) const;

 private:
  double radius_;
};

/// { x : max |x| <= radius }.
class BallInf {
 public:
  explicit BallInf(double radius = 1.0);
  void project(std::span<double> x) const;

 private:
  double radius_;
};

/// { (x, t) : |x|_2 <= t }, the last component being t.
struct SecondOrderCone {
  void project(std::span<double> x) const;
};

/// Any of the above, chosen when the program runs.
using AnySet =
    std::variant<Free, NonNegative, Box, Simplex, Ball1, Ball2, BallInf, SecondOrderCone>;

/// A product of sets, block after block.
class Product {
 public:
  struct Block {
    std::size_t size = 0;
    AnySet set;
  };
  explicit Product(std::vector<Block> blocks);
  /// x has `dimension()` entries.
  void project(std::span<double> x) const;
  [[nodiscard]] std::size_t dimension() const { return dimension_; }

 private:
  std::vector<Block> blocks_;
  std::size_t dimension_ = 0;
};

/// Proximal operator of step * weight * |x|_1, in place: every component moves towards 0 by step *
/// weight and stops there.
void soft_threshold(double amount, std::span<double> x);

static_assert(ConvexSet<Free> && ConvexSet<NonNegative> && ConvexSet<Box> && ConvexSet<Simplex> &&
              ConvexSet<Ball1> && ConvexSet<Ball2> && ConvexSet<BallInf> &&
              ConvexSet<SecondOrderCone> && ConvexSet<Product>);

}  // namespace equipoise::linalg
