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
    round_.attempt([&] { sum_of_hosted(round_, source, out); });
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
  /// A rank without agents owns nothing: what it dropped could return to none of its own.
  [[nodiscard]] bool active(int rank) const { return round_.agents.range(rank).size() > 0; }

  /// Regions of chunks with equal numbers of entries.
  void balance() {
    const auto& chunks = round_.layout.chunks();
    std::vector<double> load(static_cast<std::size_t>(chunks.parts()));
    for (const std::int64_t i : mine_.index) load[static_cast<std::size_t>(chunks.owner(i))] += 1.0;
    MPI_Allreduce(MPI_IN_PLACE, load.data(), static_cast<int>(load.size()), MPI_DOUBLE, MPI_SUM,
                  round_.comm.handle());
    double all = 0.0;
    for (const double n : load) all += n;
    // A little for every chunk, so that empty ones are shared out too.
    for (double& n : load) n += (all + 1.0) / static_cast<double>(8 * load.size());
    int count = 0;
    for (int r = 0; r < round_.comm.size(); ++r) count += active(r) ? 1 : 0;
    const auto owners = partition::Partition::by_cost(load, count);
    std::vector<std::int64_t> offsets{0};
    int part = 0;
    for (int r = 0; r < round_.comm.size(); ++r) {
      const std::int64_t last = active(r) ? owners.range(part++).end : -1;
      offsets.push_back(last < 0 ? offsets.back()
                                 : chunks.offsets()[static_cast<std::size_t>(last)]);
    }
    regions_ = partition::Partition::from_offsets(std::move(offsets));
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
    std::int64_t a = 0;
    while (a < round_.hosted.size() && !(round_.weight(round_.hosted.begin + a) > 0.0)) ++a;
    if (a == round_.hosted.size()) return;
    const auto error = round_.error_row(a);
    const double weight = round_.weight(round_.hosted.begin + a);
    std::size_t to = 0;
    for (std::size_t j = 0; j < sum_.index.size(); ++j) {
      if (std::fabs(sum_.value[j]) < bound) {
        error[at(sum_.index[j])] += sum_.value[j] / weight;
        continue;
      }
      sum_.index[to] = sum_.index[j];
      sum_.value[to++] = sum_.value[j];
    }
    sum_.index.resize(to);
    sum_.value.resize(to);
  }

  /// A magnitude that about `kept_` sums of all ranks reach; 0 keeps all, as for NaN.
  double bound_of_large() {
    double largest = 0.0;
    for (const double v : sum_.value) {
      largest = std::isfinite(v) ? std::max(largest, std::fabs(v))
                                 : std::numeric_limits<double>::infinity();
      if (std::isinf(largest)) break;
    }
    largest = round_.comm.max(largest);
    if (!(largest > 0.0) || std::isinf(largest)) return 0.0;
    std::vector<double> count(bins, 0.0);
    for (const double v : sum_.value) {
      const double below = -bins_per_octave * std::log2(std::fabs(v) / largest);
      count[static_cast<std::size_t>(std::min(below, static_cast<double>(bins - 1)))] += 1.0;
    }
    MPI_Allreduce(MPI_IN_PLACE, count.data(), static_cast<int>(bins), MPI_DOUBLE, MPI_SUM,
                  round_.comm.handle());
    double reached = 0.0;
    for (std::size_t b = 0; b + 1 < bins; ++b) {
      reached += count[b];
      if (reached >= static_cast<double>(kept_)) {
        // A hair below the edge: rounding of the logarithm must not drop what was counted.
        return largest * std::exp2(-static_cast<double>(b + 1) / bins_per_octave) * (1.0 - 1e-12);
      }
    }
    return 0.0;
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

  Round& round_;
  std::int64_t kept_;
  Exchange exchange_;
  partition::Partition regions_;
  SparseSum mine_, sum_, theirs_, merged_;
  std::vector<Exchange::Ticket> sends_;
  std::vector<std::vector<std::byte>> buffers_;
};

}  // namespace

CollectivePointer make_balanced_split(Round& round, std::int64_t kept) {
  return std::make_unique<BalancedSplit>(round, kept);
}

}  // namespace equipoise::compress
