#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/partition.hpp>

#include <span>
#include <vector>

namespace equipoise::partition {

/// Two vectors whose product is wanted, by their owned entries; they may be the same.
struct DotPair {
  std::span<const double> a;
  std::span<const double> b;
};

/// Inner products of vectors partitioned as `layout`; every span holds this rank's owned entries.
///
/// Each chunk is summed by its owner in a fixed order (eight accumulators), and the chunk sums are
/// added exactly and rounded once (`parallel::ExactSum`): the bits depend on the chunks, never on
/// the number of ranks, nor on the alignment of memory. Not finite values give what they give in a
/// plain sum, NaN at least. Cost: one pass over the data, about 5 ns a chunk. No allocation.
/// **Collective**, one allreduce of 576 bytes a pair for every 16 pairs.
void dots(const parallel::Comm& comm, const Layout& layout, std::span<const DotPair> pairs,
          std::span<double> out);
[[nodiscard]] double dot(const parallel::Comm& comm, const Layout& layout,
                         std::span<const double> a, std::span<const double> b);
/// Euclidean norm. **Collective**, as `dot`.
[[nodiscard]] double norm(const parallel::Comm& comm, const Layout& layout,
                          std::span<const double> a);
/// Sum of all entries, as reproducible as `dot`. **Collective**, one allreduce of 576 bytes.
[[nodiscard]] double sum(const parallel::Comm& comm, const Layout& layout,
                         std::span<const double> a);

/// A vector of `layout.dimension()` entries of which every rank holds those it owns, and no others.
class DistributedVector {
 public:
  /// All zeros. Throws a ConfigurationError where the layout was made for another number of ranks.
  DistributedVector(const parallel::Comm& comm, Layout layout);

  [[nodiscard]] const Layout& layout() const { return layout_; }
  /// The global indices of `owned()`.
  [[nodiscard]] Range range() const { return layout_.owned(comm_.rank()); }
  [[nodiscard]] std::span<double> owned() { return data_; }
  [[nodiscard]] std::span<const double> owned() const { return data_; }
  /// The storage itself, for checkpoints (`FieldVisitor::partitioned`).
  [[nodiscard]] std::vector<double>& storage() { return data_; }

  /// **Collective**, as the free function; `other` must have the same layout.
  [[nodiscard]] double dot(const DistributedVector& other) const;
  /// Euclidean norm. **Collective**, as `dot`.
  [[nodiscard]] double norm() const;

 private:
  parallel::Comm comm_;
  Layout layout_;
  std::vector<double> data_;
};

}  // namespace equipoise::partition
