#pragma once

#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace equipoise::vi {

/// Anderson acceleration (type II, Walker and Ni 2011) of a fixed-point map S on R^d: where the
/// residual r = S(x) - x, continued linearly through the last points, is smallest.
///
/// Memory: 2 (memory + 1) vectors. Cost of a proposal: 6 memory flops an entry, and one pass over
/// the memory. Without communication, and with the same bits on every rank.
class Anderson {
 public:
  Anderson(std::size_t dimension, std::int64_t memory);
  [[nodiscard]] std::int64_t memory() const { return memory_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// Forgets everything.
  void clear() { count_ = paired_ = 0; }
  /// Begins anew with S shifted by a constant: differences stay, the last pair goes.
  void shift() { paired_ = 0; }
  /// Takes the pair (x, r) and writes the proposal, which may take the room of x or r; the first
  /// after `clear` is x + r.
  void propose(std::span<const double> x, std::span<const double> r, std::span<double> next);
  void fields(state::FieldVisitor& visit, const std::string& prefix);

 private:
  /// A block of the j-th row, from entry `begin` on.
  [[nodiscard]] std::span<double> row(std::vector<double>& rows, std::int64_t j, std::size_t begin);
  void remember(std::span<const double> x, std::span<const double> r);
  void solve();

  std::size_t dimension_;
  std::int64_t memory_;
  std::int64_t count_ = 0;   ///< differences taken since the last `clear`
  std::int64_t paired_ = 0;  ///< 1 if the next pair makes a difference with x_, r_
  std::vector<double> x_, r_;
  std::vector<double> residuals_, images_;  ///< differences of r and of S(x), [memory x d]
  std::vector<double> gram_;                ///< residuals residuals', [memory x memory]
  std::vector<double> factor_;              ///< Cholesky factor of the scaled gram_
  std::vector<double> products_, weights_;  ///< residuals r, [memory], and the solution
};

}  // namespace equipoise::vi
