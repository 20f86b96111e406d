#pragma once

#include <equipoise/bilevel/oracle.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/partition.hpp>

#include <cstdint>
#include <exception>
#include <vector>

namespace equipoise::bilevel {

/// The same oracle with the samples of every block cut into logical shards, so that ranks which own
/// no block compute for one that does: where there are fewer classes of blocks than ranks, rank r
/// helps rank r mod classes.
///
/// A call is the mean over shards, weighted by their samples and added in their order, so its bits
/// depend on the number of shards and not on the ranks. Between `enter` and `leave`
/// (`Blocks::work`) an owner hands every call to its helpers: a broadcast of x (where it changed),
/// y, v and the batch, and a gather of one result per shard. At any other time it computes all
/// shards itself. Calls without samples (projections, bounds, constraints) stay with the owner.
/// Memory: one result per shard, on the owner.
class ShardedOracle {
 public:
  /// `owners`: classes of blocks. Throws ConfigurationError where a rank cannot evaluate every
  /// block (`everywhere`). **Collective** (splits the communicator).
  ShardedOracle(const parallel::Comm& comm, OracleView oracle, std::int64_t owners,
                std::int64_t shards);
  ShardedOracle(const ShardedOracle&) = delete;
  ShardedOracle& operator=(const ShardedOracle&) = delete;

  [[nodiscard]] std::int64_t count() const { return parts_.size(); }
  /// Must not outlive this object.
  [[nodiscard]] OracleView view() const { return {this, &table_}; }

 private:
  using Table = OracleView::Table;
  /// Calls that are means over samples.
  enum Kind : std::int64_t {
    lower_gradient,
    upper_gradient,
    upper_outer,
    lower_outer,
    hessian,
    hessian_vector,
    cross_vector,
    cross_transposed,
    pass,
    upper_value,
    lower_value,
    release
  };
  /// One to three results.
  struct Outs {
    Out first, second = {}, third = {};
  };
  /// What helpers are told before the numbers come.
  struct Command {
    std::int64_t kind = release, block = 0, batch = 0, new_x = 0;
  };
  struct Calls;  ///< the functions of the table

  void enter() const { active_ = team_.rank() == 0 && team_.size() > 1; }
  void leave() const;
  void serve() const;
  void call(Kind kind, std::int64_t i, Batch b, In x, In y, In v, const Outs& out) const;
  void tell(const Command& command, Batch b, In x, In y, In v) const;
  void compute(Kind kind, std::int64_t i, Batch b, In x, In y, In v, partition::Range shards) const;
  void one(Kind kind, std::int64_t i, Batch b, In x, In y, In v, Out out) const;
  [[nodiscard]] std::exception_ptr try_compute(Kind kind, std::int64_t i, Batch b, In x, In y,
                                               In v) const;
  void collect(std::int64_t width, const std::exception_ptr& problem) const;
  [[nodiscard]] std::int64_t results(Kind kind, std::int64_t i) const;

  OracleView oracle_;
  parallel::Comm team_;         ///< the owner is its rank 0
  partition::Partition parts_;  ///< shards over the team
  Table table_;
  mutable bool active_ = false;
  mutable std::vector<double> x_, y_, v_, rows_, all_;
  mutable std::vector<std::int64_t> batch_, piece_;
};

}  // namespace equipoise::bilevel
