#include "census.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace equipoise::compress {
namespace {

using parallel::MessageBytes;

/// The real rank that answers for a virtual one: the host of its first agent.
int host_of(const Round& round, Range agents) { return round.agents.owner(agents.begin); }

/// Virtual ranks whose agents several real ranks host.
std::vector<int> shared_ranks(const Round& round) {
  std::vector<int> shared;
  for (int v = 0; v < round.census->size(); ++v) {
    const Range all = round.census->agents.range(v);
    if (all.size() > 0 && round.agents.owner(all.end - 1) != host_of(round, all)) {
      shared.push_back(v);
    }
  }
  return shared;
}

void measure(Round& round, std::span<const double> source, std::span<const Range> ranges,
             Range agents, std::vector<std::byte>& scratch, std::span<std::int64_t> lengths) {
  std::fill(lengths.begin(), lengths.end(), 0);
  for (std::int64_t agent = agents.begin; agent < agents.end; ++agent) {
    const std::int64_t a = agent - round.hosted.begin;
    const auto draw = round.draw->with_agent(agent);
    for (std::size_t s = 0; s < ranges.size(); ++s) {
      scratch.clear();
      round.device->encode(round.row(source, a), round.selections[at(a)], ranges[s],
                           round.layout.chunks(), draw, scratch);
      lengths[s] += std::ssize(scratch);
    }
  }
}

int owner_of(const Census& census, Range segment) {
  return census.layout.coordinates().owner(segment.begin);
}

}  // namespace

void for_encoded(Round& round, std::span<const double> source, std::span<const Range> ranges,
                 const VisitLengths& visit) {
  const partition::Partition& virtually = round.census->agents;
  const std::vector<int> shared = shared_ranks(round);
  std::vector<std::int64_t> parts(shared.size() * ranges.size(), 0);
  const auto part = [&](std::size_t k) {
    return std::span(parts).subspan(k * ranges.size(), ranges.size());
  };
  std::vector<std::int64_t> lengths(ranges.size());
  std::vector<std::byte> scratch;
  const Range hosted = round.hosted;
  for (std::int64_t next = hosted.begin; next < hosted.end;) {
    const int v = virtually.owner(next);
    const std::int64_t end = std::min(virtually.range(v).end, hosted.end);
    const auto place = std::lower_bound(shared.begin(), shared.end(), v);
    const bool is_shared = place != shared.end() && *place == v;
    const auto to =
        is_shared ? part(static_cast<std::size_t>(place - shared.begin())) : std::span(lengths);
    round.attempt([&] { measure(round, source, ranges, {next, end}, scratch, to); });
    if (!is_shared) visit(v, lengths);
    next = end;
  }
  if (shared.empty()) return;
  MPI_Allreduce(MPI_IN_PLACE, parts.data(), static_cast<int>(parts.size()), MPI_INT64_T, MPI_SUM,
                round.comm.handle());
  for (std::size_t k = 0; k < shared.size(); ++k) {
    if (host_of(round, virtually.range(shared[k])) == round.comm.rank()) visit(shared[k], part(k));
  }
}

/// Everybody knows these lengths: rank 0 counts. Virtual ranks that host equally many agents send
/// equally long messages.
void count_plain_up(Round& round, std::span<const Range> segments) {
  if (round.comm.rank() != 0) return;
  const Census& census = *round.census;
  const auto piece = [](std::int64_t agents, Range segment) {
    return as_message(8 * agents * segment.size());
  };
  std::map<std::int64_t, std::int64_t> hosts;  ///< number of agents: of virtual ranks with so many
  for (int v = 0; v < census.size(); ++v) ++hosts[census.agents.range(v).size()];
  hosts.erase(0);
  std::map<std::int64_t, MessageBytes> all;
  for (const auto& [agents, count] : hosts) {
    for (const Range& s : segments) {
      all[agents] += piece(agents, s);
      census.ranks->received(owner_of(census, s), count * piece(agents, s));
    }
  }
  for (int v = 0; v < census.size(); ++v) census.ranks->sent(v, all[census.agents.range(v).size()]);
  for (const Range& s : segments) {  // what owners would send to themselves
    const int owner = owner_of(census, s);
    const std::int64_t agents = census.agents.range(owner).size();
    if (agents == 0) continue;
    census.ranks->sent(owner, -1 * piece(agents, s));
    census.ranks->received(owner, -1 * piece(agents, s));
  }
}

void count_coded_up(Round& round, std::span<const double> source, std::span<const Range> segments,
                    bool tables) {
  const Census& census = *round.census;
  std::vector<int> owners;
  for (const Range& s : segments) owners.push_back(owner_of(census, s));
  for_encoded(round, source, segments, [&](int v, std::span<const std::int64_t> lengths) {
    const std::int64_t table = tables ? 8 * census.agents.range(v).size() : 0;
    for (std::size_t s = 0; s < segments.size(); ++s) {
      census.ranks->message(v, owners[s], as_message(lengths[s], table));
    }
  });
}

void count_down(Round& round, const Downlink* down, std::span<const Range> segments) {
  std::vector<std::int64_t> served;
  if (down && down->lengths()) served = down->all_served();
  if (round.comm.rank() != 0) return;
  const Census& census = *round.census;
  const partition::Partition& chunks = round.layout.chunks();
  for (const Range& s : segments) {
    std::int64_t payload = 8 * s.size();
    std::int64_t table = 0;
    if (down && down->lengths()) {
      const auto first = served.begin() + chunks.owner(s.begin);
      payload =
          std::accumulate(first, served.begin() + chunks.owner(s.end - 1) + 1, std::int64_t{0});
      table = down->table(s);
    } else if (down) {
      payload = *down->bytes(s);
    }
    census.ranks->to_all(owner_of(census, s), as_message(payload, table));
  }
}

std::vector<SparseSum> gather_virtual_sums(Round& round, std::span<const std::byte> encoded,
                                           std::span<const std::int64_t> lengths) {
  const parallel::Comm& comm = round.comm;
  const bool first = comm.rank() == 0;
  const auto ranks = first ? static_cast<std::size_t>(comm.size()) : 0;
  std::vector<int> counts(ranks), offsets(ranks + 1, 0), sizes(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    counts[r] = static_cast<int>(round.agents.range(static_cast<int>(r)).size());
    offsets[r + 1] = offsets[r] + counts[r];
  }
  std::vector<std::int64_t> of_agents(first ? at(round.agents.size()) : 0);
  MPI_Gatherv(lengths.data(), static_cast<int>(lengths.size()), MPI_INT64_T, of_agents.data(),
              counts.data(), offsets.data(), MPI_INT64_T, 0, comm.handle());
  for (std::size_t r = 0; r < ranks; ++r) {
    const Range hosted = round.agents.range(static_cast<int>(r));
    sizes[r] = static_cast<int>(std::accumulate(of_agents.begin() + hosted.begin,
                                                of_agents.begin() + hosted.end, std::int64_t{0}));
    offsets[r + 1] = offsets[r] + sizes[r];
  }
  std::vector<std::byte> all(first ? static_cast<std::size_t>(offsets.back()) : 0);
  MPI_Gatherv(encoded.data(), static_cast<int>(encoded.size()), MPI_BYTE, all.data(), sizes.data(),
              offsets.data(), MPI_BYTE, 0, comm.handle());
  if (!first) return {};
  const partition::Partition& virtually = round.census->agents;
  std::vector<SparseSum> sums(static_cast<std::size_t>(virtually.parts()));
  std::vector<double> dense(at(round.dimension()));
  const Range whole{0, round.dimension()};
  std::span<const std::byte> rest = all;
  for (int v = 0; v < virtually.parts(); ++v) {
    const Range agents = virtually.range(v);
    if (agents.size() == 0) continue;
    std::fill(dense.begin(), dense.end(), 0.0);
    for (std::int64_t agent = agents.begin; agent < agents.end; ++agent) {
      const auto length = at(of_agents[at(agent)]);
      round.attempt([&] {
        round.device->decode_add(rest.first(length), whole, round.layout.chunks(),
                                 round.draw->with_agent(agent), agent, round.weight(agent), dense);
      });
      rest = rest.subspan(length);
    }
    gather_nonzeros(dense, 0, sums[static_cast<std::size_t>(v)]);
  }
  return sums;
}

}  // namespace equipoise::compress
