#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace equipoise::bilevel {

/// Blocks 0 .. m-1 cut into logical classes, and classes given to ranks.
///
/// The classes belong to the configuration (`run.classes`), never to the rank count: a rank adds
/// the terms of its blocks class by class, in order, and the classes are then averaged as the
/// agents of `compress::Mean`. Lower variables live on the owner of their block alone, one after
/// the other.
class Blocks {
 public:
  /// `classes` is cut to the number of blocks. Throws ConfigurationError for problems without
  /// blocks.
  Blocks(parallel::Comm comm, OracleView oracle, std::int64_t classes);
  /// Who owns which block, before there is a problem: what problems use to build only what they
  /// own.
  static partition::Layout layout(std::int64_t blocks, std::int64_t classes, int ranks);

  [[nodiscard]] const parallel::Comm& comm() const { return comm_; }
  /// Runs a rank's share of the work, its oracle calls included; where it throws on one rank, all
  /// throw (`parallel::agree`). Ranks without blocks may compute for the owner of one meanwhile.
  /// **Collective.**
  void work(const std::function<void()>& share) const;
  [[nodiscard]] std::int64_t count() const { return layout_.dimension(); }
  /// The blocks of this rank.
  [[nodiscard]] partition::Range owned() const { return owned_; }
  /// Classes over ranks: the agents of the exchange.
  [[nodiscard]] const partition::Partition& classes() const { return layout_.owners(); }
  [[nodiscard]] partition::Range hosted() const { return layout_.owners().range(comm_.rank()); }
  [[nodiscard]] const partition::Partition& blocks_of_classes() const { return layout_.chunks(); }
  [[nodiscard]] const partition::Partition& over_ranks() const { return layout_.coordinates(); }
  [[nodiscard]] std::int64_t class_of(std::int64_t block) const {
    return layout_.chunks().owner(block);
  }
  /// Share of a class in the mean over blocks: its blocks / m.
  [[nodiscard]] double class_weight(std::int64_t number) const;
  [[nodiscard]] std::vector<double> class_weights() const;

  /// Entries of all lower variables over ranks, in block order (for state::FieldVisitor).
  [[nodiscard]] const partition::Partition& entries() const { return entries_; }
  /// Zeros for one lower variable of each owned block.
  [[nodiscard]] std::vector<double> zeros() const;
  /// The part of owned block `i`.
  [[nodiscard]] std::span<double> of(std::vector<double>& data, std::int64_t i) const;
  [[nodiscard]] std::span<const double> of(const std::vector<double>& data, std::int64_t i) const;
  [[nodiscard]] std::int64_t largest_dim() const { return largest_; }

 private:
  parallel::Comm comm_;
  OracleView oracle_;
  partition::Layout layout_;
  partition::Range owned_;
  partition::Partition entries_;
  std::vector<std::int64_t> offsets_;  ///< of the owned blocks in this rank's data
  std::int64_t largest_ = 0;
};

}  // namespace equipoise::bilevel
