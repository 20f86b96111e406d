#pragma once

#include <equipoise/partition/distributed_vector.hpp>
#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace equipoise::vi {

/// Anderson acceleration (type II, Walker and Ni 2011) of a fixed-point map S on R^d: where the
/// residual r = S(x) - x, continued linearly through the last points, is smallest.
///
/// Memory: 2 (memory + 1) vectors. Cost of a proposal: 6 memory flops an entry, and one pass over
/// the memory. Every rank holds x in full, and nothing is communicated; or, where `products` is
/// given, its entries of it, with one call of `products` a proposal. The same bits on every rank.
class Anderson {
 public:
  using Vector = std::vector<double>;
  /// Inner products of vectors whose entries are spread over ranks. **Collective.**
  using Products = std::function<void(std::span<const partition::DotPair>, std::span<double>)>;
  /// Names one vector of the size of x.
  using VisitVector = std::function<void(std::string_view, Vector&)>;

  /// `dimension`: entries of x that this rank holds.
  Anderson(std::size_t dimension, std::int64_t memory, Products products = {});
  [[nodiscard]] std::int64_t memory() const { return memory_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// Forgets everything.
  void clear() { count_ = paired_ = 0; }
  /// Begins anew with S shifted by a constant: differences stay, the last pair goes.
  void shift() { paired_ = 0; }
  /// Takes the pair (x, r) and writes the proposal, which may take the room of x or r; the first
  /// after `clear` is x + r. **Collective** with `products`.
  void propose(std::span<const double> x, std::span<const double> r, std::span<double> next);
  void fields(state::FieldVisitor& visit, const std::string& prefix);
  void fields(state::FieldVisitor& visit, const std::string& prefix, const VisitVector& vector);

 private:
  void remember(std::span<const double> x, std::span<const double> r);
  void difference(std::span<const double> x, std::span<const double> r, std::int64_t slot,
                  std::size_t begin, std::size_t end);
  void project_here(std::span<const double> x, std::span<const double> r, std::int64_t slot);
  void project_over_ranks(std::span<const double> x, std::span<const double> r, std::int64_t slot);
  void solve();

  std::size_t dimension_;
  std::int64_t memory_;
  Products over_ranks_;
  std::int64_t count_ = 0;   ///< differences taken since the last `clear`
  std::int64_t paired_ = 0;  ///< 1 if the next pair makes a difference with x_, r_
  Vector x_, r_;
  std::vector<Vector> residuals_, images_;  ///< differences of r and of S(x), [memory] of [d]
  Vector gram_;                             ///< residuals residuals', [memory x memory]
  Vector factor_;                           ///< Cholesky factor of the scaled gram_
  Vector products_, weights_;               ///< residuals r, [memory], and the solution
};

}  // namespace equipoise::vi
