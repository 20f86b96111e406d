#pragma once

#include "exchange.hpp"
#include "packing.hpp"
#include "round.hpp"
#include "sparse_sum.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// What the messages of a round would be among virtual ranks (`Round::census`).
namespace equipoise::compress {

/// A message of so much payload behind a table of lengths, and its header.
inline parallel::MessageBytes as_message(std::int64_t payload, std::int64_t table = 0) {
  return {payload, table + Exchange::header_bytes(payload + table)};
}

/// visit(v, lengths): payload bytes of the messages of v's agents, range by range.
using VisitLengths = std::function<void(int, std::span<const std::int64_t>)>;

/// Encodes the hosted agents' vectors range by range, throws the bytes away, and hands their
/// lengths to `visit` for every virtual rank that hosts agents, on one real rank each. Comes before
/// the round takes what is sent out of the error feedback. **Collective** where real ranks share
/// the agents of a virtual one: one allreduce.
void for_encoded(Round& round, std::span<const double> source, std::span<const Range> ranges,
                 const VisitLengths& visit);

/// Two phases whose owners get and serve `segments`, each of one owner: the way up without a codec,
/// through one, and the way down (`down` null without a server codec). **Collective** where
/// lengths vary: one allreduce.
void count_plain_up(Round& round, std::span<const Range> segments);
void count_coded_up(Round& round, std::span<const double> source, std::span<const Range> segments,
                    bool tables);
void count_down(Round& round, const Downlink* down, std::span<const Range> segments);

/// The sparse sums of all virtual ranks on rank 0, elsewhere nothing, from the messages of the
/// hosted agents one after the other. **Collective**, two gathers.
std::vector<SparseSum> gather_virtual_sums(Round& round, std::span<const std::byte> encoded,
                                           std::span<const std::int64_t> lengths);

}  // namespace equipoise::compress
