#include "census.hpp"
#include "collective.hpp"
#include "sparse_sum.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace equipoise::compress {
namespace {

constexpr int up_tag = 0;
constexpr int down_tag = 2;
constexpr std::int64_t balance_every = 64;  ///< rounds between two estimates of the regions
constexpr int octaves = 64;
constexpr int bins_per_octave = 4;
constexpr std::size_t bins = octaves * bins_per_octave;

std::vector<double> entries_by_chunk(const partition::Partition& chunks,
                                     std::span<const SparseSum> sums) {
  std::vector<double> load(static_cast<std::size_t>(chunks.parts()), 0.0);
  for (const SparseSum& sum : sums) {
    for (const std::int64_t i : sum.index) load[static_cast<std::size_t>(chunks.owner(i))] += 1.0;
  }
  return load;
}

/// Regions of chunks with equal numbers of entries, one for every rank that hosts agents: a rank
/// without agents owns nothing, for what it dropped could return to none of its own.
partition::Partition regions_of(const partition::Partition& chunks,
                                const partition::Partition& agents, std::vector<double> load) {
  double all = 0.0;
  for (const double n : load) all += n;
  // A little for every chunk, so that empty ones are shared out too.
  for (double& n : load) n += (all + 1.0) / static_cast<double>(8 * load.size());
  int count = 0;
  for (int r = 0; r < agents.parts(); ++r) count += agents.range(r).size() > 0 ? 1 : 0;
  const auto owners = partition::Partition::by_cost(load, count);
  std::vector<std::int64_t> offsets{0};
  int part = 0;
  for (int r = 0; r < agents.parts(); ++r) {
    const std::int64_t last = agents.range(r).size() > 0 ? owners.range(part++).end : -1;
    offsets.push_back(last < 0 ? offsets.back() : chunks.offsets()[static_cast<std::size_t>(last)]);
  }
  return partition::Partition::from_offsets(std::move(offsets));
}

/// The largest magnitude of `sum`, infinite where one is not finite.
double largest_of(const SparseSum& sum) {
  double largest = 0.0;
  for (const double v : sum.value) {
    if (!std::isfinite(v)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::fabs(v));
  }
  return largest;
}

/// Adds the entries of `sum` to their quarter octaves below the largest of all.
void add_to_histogram(const SparseSum& sum, double largest, std::span<double> count) {
  for (const double v : sum.value) {
    const double below = -bins_per_octave * std::log2(std::fabs(v) / largest);
    count[static_cast<std::size_t>(std::min(below, static_cast<double>(bins - 1)))] += 1.0;
  }
}

/// A magnitude that about `kept` entries of a histogram reach; 0 keeps all.
double bound_in(std::span<const double> count, double largest, std::int64_t kept) {
  double reached = 0.0;
  for (std::size_t b = 0; b + 1 < bins; ++b) {
    reached += count[b];
    if (reached >= static_cast<double>(kept)) {
      // A hair below the edge: rounding of the logarithm must not drop what was counted.
      return largest * std::exp2(-static_cast<double>(b + 1) / bins_per_octave) * (1.0 - 1e-12);
    }
  }
  return 0.0;
}

/// Sparse sums in regions of equal load, after Ok-Topk (Li and Hoefler, Near-optimal sparse
/// allreduce for distributed deep learning, 2022): every rank owns a region, runs of chunks with
/// about the same number of kept entries; entries travel to their owner, who adds them; the largest
/// of all sums, about as many as one agent keeps, go to all. So a rank moves about 4 k entries
/// whatever the rank count, where an allgatherv moves (P - 1) k.
///
/// What an owner drops returns to the error feedback of one of its agents, so nothing is lost.
/// Regions are estimated anew every 64 rounds, the bound between large and small sums in every
/// round, from a histogram of quarter octaves below the largest.
class BalancedSplit final : public Collective {
 public:
  BalancedSplit(Round& round, std::int64_t kept)
      : round_(round),
        kept_(kept),
        exchange_(round.comm, round.traffic),
        sends_(static_cast<std::size_t>(round.comm.size())),
        buffers_(static_cast<std::size_t>(round.comm.size())) {}

  [[nodiscard]] std::string name() const override { return "balanced"; }

  void operator()(std::span<const double> source, std::span<double> out) override {
    round_.attempt([&] { sum_of_hosted(round_, source, out, messages_, lengths_); });
    if (round_.census) count(gather_virtual_sums(round_, messages_, lengths_));
    gather_nonzeros(out, 0, mine_);
    if (regions_.parts() != round_.comm.size() || round_.iteration % balance_every == 0) balance();
    send_to_owners();
    add_region();
    drop_small();
    std::fill(out.begin(), out.end(), 0.0);
    gather_regions(out);
  }

 private:
  [[nodiscard]] Range region(int rank) const { return regions_.range(rank); }
  [[nodiscard]] bool active(int rank) const { return round_.agents.range(rank).size() > 0; }

  void balance() {
    auto load = entries_by_chunk(round_.layout.chunks(), {&mine_, 1});
    MPI_Allreduce(MPI_IN_PLACE, load.data(), static_cast<int>(load.size()), MPI_DOUBLE, MPI_SUM,
                  round_.comm.handle());
    regions_ = regions_of(round_.layout.chunks(), round_.agents, std::move(load));
  }

  void post(int peer, int tag, std::span<const std::byte> bytes, const Exchange::Seal& seal) {
    round_.traffic.sent += std::ssize(bytes);
    exchange_.send(peer, tag, bytes, seal, sends_[static_cast<std::size_t>(peer)]);
  }
  void wait_for_sends() {
    for (auto& ticket : sends_) Exchange::wait(ticket);
  }
  /// Each rank begins with its right neighbour, so that no owner is everybody's first.
  void send_to_owners() {
    const int ranks = round_.comm.size();
    for (int step = 1; step < ranks && round_.hosted.size() > 0; ++step) {
      const int r = (round_.comm.rank() + step) % ranks;
      if (region(r).size() == 0) continue;
      auto& bytes = buffers_[static_cast<std::size_t>(r)];
      bytes.clear();
      append(mine_, region(r), bytes);
      post(r, up_tag, bytes, Exchange::seal(bytes));
    }
  }

  void add_region() {
    const Range own = region(round_.comm.rank());
    const auto [index, value] = mine_.part(own);
    sum_.index.assign(index.begin(), index.end());
    sum_.value.assign(value.begin(), value.end());
    for (int s = 0; s < round_.comm.size() && own.size() > 0; ++s) {
      if (s != round_.comm.rank() && active(s)) {
        receive(round_, exchange_, s, up_tag, own, theirs_);
        merge(sum_, theirs_, merged_);
        std::swap(sum_, merged_);
      }
    }
    wait_for_sends();
  }

  /// Keeps about as many of all sums as an agent keeps of its entries, the largest; the rest
  /// returns to the error feedback of the first hosted agent that has a weight.
  void drop_small() {
    const double bound = bound_of_large();
    const std::int64_t agent = weighty(round_.hosted);
    if (agent < 0) return;
    const auto error = round_.error_row(agent - round_.hosted.begin);
    const double weight = round_.weight(agent);
    drop_below(bound, sum_, [&](std::int64_t i, double v) { error[at(i)] += v / weight; });
  }
  /// The first agent in a range that has a weight, or -1.
  [[nodiscard]] std::int64_t weighty(Range agents) const {
    for (std::int64_t agent = agents.begin; agent < agents.end; ++agent) {
      if (round_.weight(agent) > 0.0) return agent;
    }
    return -1;
  }
  template <class Drop>
  static void drop_below(double bound, SparseSum& sum, Drop drop) {
    std::size_t to = 0;
    for (std::size_t j = 0; j < sum.index.size(); ++j) {
      if (std::fabs(sum.value[j]) < bound) {
        drop(sum.index[j], sum.value[j]);
        continue;
      }
      sum.index[to] = sum.index[j];
      sum.value[to++] = sum.value[j];
    }
    sum.index.resize(to);
    sum.value.resize(to);
  }

  /// A magnitude that about `kept_` sums of all ranks reach; 0 keeps all, as for NaN.
  double bound_of_large() {
    const double largest = round_.comm.max(largest_of(sum_));
    if (!(largest > 0.0) || std::isinf(largest)) return 0.0;
    std::vector<double> count(bins, 0.0);
    add_to_histogram(sum_, largest, count);
    MPI_Allreduce(MPI_IN_PLACE, count.data(), static_cast<int>(bins), MPI_DOUBLE, MPI_SUM,
                  round_.comm.handle());
    return bound_in(count, largest, kept_);
  }

  void gather_regions(std::span<double> out) {
    const int ranks = round_.comm.size();
    const int rank = round_.comm.rank();
    auto& bytes = buffers_[static_cast<std::size_t>(rank)];
    bytes.clear();
    append(sum_, region(rank), bytes);
    const auto seal = Exchange::seal(bytes);
    round_.downlink += std::ssize(bytes);
    for (int step = 1; step < ranks && region(rank).size() > 0; ++step) {
      post((rank + step) % ranks, down_tag, bytes, seal);
    }
    for (int s = 0; s < ranks; ++s) {
      if (s == rank || region(s).size() == 0) continue;
      round_.downlink += receive(round_, exchange_, s, down_tag, region(s), theirs_);
      scatter(theirs_, out);
    }
    scatter(sum_, out);
    wait_for_sends();
  }

  static void scatter(const SparseSum& sum, std::span<double> out) {
    for (std::size_t j = 0; j < sum.index.size(); ++j) out[at(sum.index[j])] = sum.value[j];
  }

  /// The same among virtual ranks, on rank 0.
  void count(std::vector<SparseSum> sums) {
    if (sums.empty()) return;
    const Census& census = *round_.census;
    const auto& chunks = round_.layout.chunks();
    if (virtual_regions_.parts() != census.size() || round_.iteration % balance_every == 0) {
      virtual_regions_ = regions_of(chunks, census.agents, entries_by_chunk(chunks, sums));
    }
    std::vector<SparseSum> owned(sums.size());
    double largest = 0.0;
    for (int r = 0; r < census.size(); ++r) {
      if (virtual_regions_.range(r).size() == 0) continue;
      SparseSum& sum = owned[static_cast<std::size_t>(r)];
      sum = part_of(sums[static_cast<std::size_t>(r)], virtual_regions_.range(r));
      for (int s = 0; s < census.size(); ++s) {
        if (s == r || census.agents.range(s).size() == 0) continue;
        const auto theirs = part_of(sums[static_cast<std::size_t>(s)], virtual_regions_.range(r));
        census.ranks->message(s, r, message_of(theirs, virtual_regions_.range(r)));
        merge(sum, theirs, merged_);
        std::swap(sum, merged_);
      }
      largest = std::max(largest, largest_of(sum));
    }
    double bound = 0.0;
    if (largest > 0.0 && std::isfinite(largest)) {
      std::vector<double> histogram(bins, 0.0);
      for (const SparseSum& sum : owned) add_to_histogram(sum, largest, histogram);
      bound = bound_in(histogram, largest, kept_);
    }
    for (int r = 0; r < census.size(); ++r) {
      if (virtual_regions_.range(r).size() == 0) continue;
      SparseSum& sum = owned[static_cast<std::size_t>(r)];
      if (weighty(census.agents.range(r)) >= 0) {
        drop_below(bound, sum, [](std::int64_t, double) {});
      }
      census.ranks->to_all(r, message_of(sum, virtual_regions_.range(r)));
    }
  }
  static SparseSum part_of(const SparseSum& sum, Range range) {
    const auto [index, value] = sum.part(range);
    return {{index.begin(), index.end()}, {value.begin(), value.end()}};
  }
  parallel::MessageBytes message_of(const SparseSum& sum, Range range) {
    messages_.clear();
    append(sum, range, messages_);
    return as_message(std::ssize(messages_));
  }

  Round& round_;
  std::int64_t kept_;
  Exchange exchange_;
  partition::Partition regions_, virtual_regions_;
  std::vector<std::byte> messages_;
  std::vector<std::int64_t> lengths_;
  SparseSum mine_, sum_, theirs_, merged_;
  std::vector<Exchange::Ticket> sends_;
  std::vector<std::vector<std::byte>> buffers_;
};

}  // namespace

CollectivePointer make_balanced_split(Round& round, std::int64_t kept) {
  return std::make_unique<BalancedSplit>(round, kept);
}

}  // namespace equipoise::compress
