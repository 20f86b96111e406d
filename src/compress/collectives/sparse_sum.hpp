#pragma once

#include "exchange.hpp"
#include "round.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace equipoise::compress {

/// A vector of which few entries are not zero: indices ascending, with their values.
struct SparseSum {
  std::vector<std::int64_t> index;
  std::vector<double> value;

  [[nodiscard]] std::int64_t size() const { return std::ssize(index); }
  void clear() {
    index.clear();
    value.clear();
  }
  /// The part inside `range`, as views.
  [[nodiscard]] std::pair<std::span<const std::int64_t>, std::span<const double>> part(
      Range range) const;
};

/// The entries of `dense` that are not zero, NaN among them, with `first` added to their indices.
void gather_nonzeros(std::span<const double> dense, std::int64_t first, SparseSum& sum);
/// sum := a + b. Which of the two comes first makes no difference to the bits.
void merge(const SparseSum& a, const SparseSum& b, SparseSum& sum);
/// Appends the part of a sum inside `range` in the smallest layout of section 4.3.
void append(const SparseSum& sum, Range range, std::vector<std::byte>& out);
/// Reads what `append` wrote. Throws Error on a message that cannot be trusted.
void read(std::span<const std::byte> in, Range range, SparseSum& sum);

/// Waits for what `peer` sent about `range`, counts it and reads it; an empty sum where it cannot
/// be trusted. Returns its bytes.
std::int64_t receive(Round& round, Exchange& exchange, int peer, int tag, Range range,
                     SparseSum& sum);

/// out = what the codec makes of the hosted agents' vectors, weighted and summed by this rank;
/// counts uplink bytes and takes what was sent out of the error feedback. `messages` gets the
/// agents' messages one after the other, `lengths` their lengths.
void sum_of_hosted(Round& round, std::span<const double> source, std::span<double> out,
                   std::vector<std::byte>& messages, std::vector<std::int64_t>& lengths);

}  // namespace equipoise::compress
