#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/partition/distributed_matrix.hpp>
#include <equipoise/partition/partition.hpp>

#include <vector>

namespace equipoise::problems {

/// The whole vector on rank 0 from the owned entries; empty elsewhere. **Collective**, one gatherv.
std::vector<double> gather(const parallel::Comm& comm, const partition::Layout& layout,
                           const std::vector<double>& owned);
/// All entries on rank 0, rank after rank. **Collective**, one gather and one gatherv.
std::vector<partition::Triplet> gather(const parallel::Comm& comm,
                                       const std::vector<partition::Triplet>& owned);
/// The owned entries from the whole vector on rank 0. **Collective**, one scatterv.
std::vector<double> scatter(const parallel::Comm& comm, const partition::Layout& layout,
                            const std::vector<double>& whole);

}  // namespace equipoise::problems
