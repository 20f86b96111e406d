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
/// Memory: 2 (memory + 1) vectors. Cost of a proposal: about 2 memory inner products and as many
/// additions of vectors. Without communication, and with the same bits on every rank.
class Anderson {
 public:
  Anderson(std::size_t dimension, std::int64_t memory);
  [[nodiscard]] std::int64_t memory() const { return memory_; }
  void clear() { count_ = 0; }
  /// Takes the pair (x, r) and writes the proposal; the first after `clear` is x + r.
  void propose(std::span<const double> x, std::span<const double> r, std::span<double> next);
  void fields(state::FieldVisitor& visit, const std::string& prefix);

 private:
  [[nodiscard]] std::span<double> row(std::vector<double>& rows, std::int64_t j) const;
  void remember(std::span<const double> x, std::span<const double> r);
  void solve(std::span<const double> r);

  std::size_t dimension_;
  std::int64_t memory_;
  std::int64_t count_ = 0;  ///< pairs taken since the last `clear`
  std::vector<double> x_, r_;
  std::vector<double> residuals_, images_;  ///< differences of r and of S(x), [memory x d]
  std::vector<double> gram_;                ///< residuals residuals', [memory x memory]
  std::vector<double> factor_, weights_;
};

}  // namespace equipoise::vi
