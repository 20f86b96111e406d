#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>
#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/partition/halo.hpp>
#include <equipoise/partition/partition.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace equipoise::problems {

/// The product of a fixed sparse matrix with a vector, line by line (rows, or columns), where a
/// line may be much longer than its share of the ranks: the capacity of a road that every
/// commodity uses, the demand of a place that every source may serve.
///
/// A line is summed by halves: the chunks of the vector are halved until at most 32 of the line's
/// entries are left, those are added in ascending order, and the halves are added going back. The
/// tree depends on the matrix and the chunks alone, so the bits do not depend on the number of
/// ranks. A half of more than 32 entries whose columns all belong to one other rank is summed
/// there, and one number comes back instead of the entries' part of the vector; other foreign
/// entries come by halo.
///
///     chunks of x   | 0 1 2 3 | 4 5 6 7 |      rank 0 owns chunks 0..3, rank 1 the others
///     a long row      + + + +   + + + +        its owner, rank 0, sums its own half and receives
///                     rank 0    rank 1         the other half's sum from rank 1
///
/// Memory: 12 bytes an entry, one vector with its ghosts. Nothing is allocated after construction.
class ProgramProduct {
 public:
  /// `entries`: those of the lines that this rank owns, `row` being the line; no position twice.
  /// **Collective**, three sparse exchanges.
  ProgramProduct(const parallel::Comm& comm, const partition::Layout& lines,
                 const partition::Layout& across, std::vector<partition::Triplet> entries);

  /// Where the caller puts the vector, [owned across], before `apply`.
  [[nodiscard]] std::span<double> input() { return std::span(window_).first(owned_); }
  /// Calls use(line, sum) once for every owned line (local number), in no particular order.
  /// 2 flops an entry. **Collective** among neighbours, one exchange.
  template <class Use>
  void apply(Use&& use) {
    begin();
    sums(inner_, use);
    end();
    sums(outer_, use);
  }
  /// out := product with x, both by owned entries. **Collective** as above.
  void multiply(std::span<const double> x, std::span<double> out);

  [[nodiscard]] parallel::Traffic traffic() const;

 private:
  struct Run {  ///< of lines
    std::int32_t begin = 0, end = 0;
  };
  struct Lines {
    std::vector<Run> plain;            ///< one leaf each
    std::vector<std::int32_t> halved;  ///< positions in `trees_`
    void add(std::int32_t line);
  };
  /// After a leaf so many sums are added to the ones before them.
  struct Leaf {
    std::int32_t end = 0;  ///< position of an entry
    std::int32_t joins = 0;
  };
  /// A line of several leaves.
  struct Tree {
    std::int32_t line = 0;
    std::int32_t begin = 0, end = 0;  ///< positions in `leaves_`
  };
  struct Neighbour {
    int rank = 0;
    int count = 0;
    std::size_t offset = 0;
  };
  class Builder;

  void begin();
  void end();

  [[nodiscard]] double leaf(std::int32_t from, std::int32_t to) const {
    double sum = 0.0;
    for (std::int32_t k = from; k < to; ++k) {
      sum += values_[static_cast<std::size_t>(k)] *
             window_[static_cast<std::size_t>(index_[static_cast<std::size_t>(k)])];
    }
    return sum;
  }
  [[nodiscard]] double halved(const Tree& tree) const;

  template <class Use>
  void sums(const Lines& lines, Use&& use) const {
    for (const Run& run : lines.plain) {
      for (std::int32_t i = run.begin; i < run.end; ++i) {
        const auto at = static_cast<std::size_t>(i);
        use(at, leaf(offsets_[at], offsets_[at + 1]));
      }
    }
    for (const std::int32_t t : lines.halved) {
      const Tree& tree = trees_[static_cast<std::size_t>(t)];
      use(static_cast<std::size_t>(tree.line), halved(tree));
    }
  }

  parallel::Comm comm_;
  std::size_t owned_ = 0, owned_lines_ = 0;
  partition::Halo halo_;
  std::vector<double> window_;  ///< owned entries, ghosts, sums from other ranks
  std::vector<std::int32_t> offsets_, index_;
  std::vector<double> values_;
  std::vector<Tree> trees_;
  std::vector<Leaf> leaves_;
  Lines inner_, outer_;  ///< owned lines, without and with a part from elsewhere
  Lines lent_;           ///< halves of other ranks' lines; numbered after the owned lines
  std::vector<Neighbour> lenders_, owners_;
  std::vector<double> lent_sums_;
  std::vector<MPI_Request> requests_;
  parallel::Traffic traffic_;
};

}  // namespace equipoise::problems
