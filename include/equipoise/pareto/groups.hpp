#pragma once

#include <equipoise/parallel/comm.hpp>

#include <cstdint>
#include <functional>

namespace equipoise::pareto {

/// The ranks of a communicator in groups of equal size, for points of a front that are computed by
/// several ranks each. Six ranks in groups of two:
///
///     rank     0 1 2 3 4 5
///     group    0 0 1 1 2 2       `group` joins 0-1, 2-3, 4-5
///     place    0 1 0 1 0 1       `column` joins 0-2-4 and 1-3-5: ranks that hold the same rows
///
/// Split once, never per point: communicators are a limited resource.
struct Groups {
  parallel::Comm world, group, column;
  int count = 1;  ///< groups
  int index = 0;  ///< the group of this rank

  /// **Collective**, at most two splits (none for groups of one rank or one group). Throws
  /// ConfigurationError for a size that does not divide the number of ranks.
  static Groups split(const parallel::Comm& world, std::int64_t ranks_per_group);
  /// Frees what `split` made. **Collective.**
  void close();

  /// Calls `work(i)` once for every i in 0..total-1, on all ranks of one group each, groups taking
  /// the next i as they become free (each holds one more in advance, so that the first group, which
  /// hands out, may be busy). `work` must not throw. Returns the number of calls in this group.
  /// **Collective**, two messages of 8 bytes per call and a broadcast within the group.
  std::int64_t share(std::int64_t total, const std::function<void(std::int64_t)>& work) const;
};

}  // namespace equipoise::pareto
