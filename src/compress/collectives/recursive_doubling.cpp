#include "census.hpp"
#include "collective.hpp"
#include "sparse_sum.hpp"

#include <algorithm>
#include <bit>

namespace equipoise::compress {
namespace {

constexpr int tag = 0;

/// Sparse sums over log2(P) exchanges (Renggli et al., SparCML, 2019): in exchange t a rank and its
/// partner, rank XOR 2^t, send each other what they have and add. A message goes over from indices
/// and values to all values where that is shorter. Surplus ranks beyond a power of two hand theirs
/// to a partner first and receive the result last.
///
/// Four ranks: 0 and 1, 2 and 3 exchange; then 0 and 2, 1 and 3. Both partners form a + b and b +
/// a, the same bits, so all ranks end with the same bits; other rank counts give others.
class RecursiveDoubling final : public Collective {
 public:
  explicit RecursiveDoubling(Round& round)
      : round_(round), exchange_(round.comm, round.traffic), whole_{0, round.dimension()} {}

  [[nodiscard]] std::string name() const override { return "recursive-doubling"; }

  void operator()(std::span<const double> source, std::span<double> out) override {
    round_.attempt([&] { sum_of_hosted(round_, source, out, messages_, lengths_); });
    if (round_.census) count(gather_virtual_sums(round_, messages_, lengths_));
    gather_nonzeros(out, 0, mine_);
    const int ranks = round_.comm.size();
    const int rank = round_.comm.rank();
    const int core = static_cast<int>(std::bit_floor(static_cast<unsigned>(ranks)));
    if (rank >= core) {
      send(rank - core);
      Exchange::wait(ticket_);
      receive(round_, exchange_, rank - core, tag, whole_, mine_);
    } else {
      const int surplus = rank + core < ranks ? rank + core : rank;
      if (surplus != rank) add_from(surplus);
      for (int bit = 1; bit < core; bit <<= 1) {
        send(rank ^ bit);
        add_from(rank ^ bit);
        Exchange::wait(ticket_);
      }
      if (surplus != rank) send(surplus);
      Exchange::wait(ticket_);
    }
    std::fill(out.begin(), out.end(), 0.0);
    for (std::size_t j = 0; j < mine_.index.size(); ++j) out[at(mine_.index[j])] = mine_.value[j];
    round_.downlink = std::min(12 * mine_.size(), 8 * round_.dimension());
  }

 private:
  void send(int peer) {
    bytes_.clear();
    append(mine_, whole_, bytes_);
    round_.traffic.sent += std::ssize(bytes_);
    exchange_.send(peer, tag, bytes_, Exchange::seal(bytes_), ticket_);
  }
  void add_from(int peer) {
    receive(round_, exchange_, peer, tag, whole_, theirs_);
    merge(mine_, theirs_, sum_);
    std::swap(mine_, sum_);
  }

  /// The same among virtual ranks, on rank 0: after exchange t the 2^(t+1) ranks of a group have
  /// one sum.
  void count(std::vector<SparseSum> sums) {
    if (sums.empty()) return;
    parallel::VirtualRanks& virtually = *round_.census->ranks;
    const int ranks = virtually.size();
    const int core = static_cast<int>(std::bit_floor(static_cast<unsigned>(ranks)));
    const auto sum_of = [&](int rank) -> SparseSum& {
      return sums[static_cast<std::size_t>(rank)];
    };
    const auto add = [&](SparseSum& to, const SparseSum& other) {
      merge(to, other, sum_);
      std::swap(to, sum_);
    };
    for (int r = core; r < ranks; ++r) {
      virtually.message(r, r - core, message_of(sum_of(r)));
      add(sum_of(r - core), sum_of(r));
    }
    for (int group = 1; group < core; group *= 2) {
      for (int r = 0; r < core; r += 2 * group) {
        const auto here = message_of(sum_of(r));
        const auto there = message_of(sum_of(r + group));
        for (int k = r; k < r + group; ++k) {
          virtually.message(k, k + group, here);
          virtually.message(k + group, k, there);
        }
        add(sum_of(r), sum_of(r + group));
      }
    }
    for (int r = core; r < ranks; ++r) {
      virtually.message(r - core, r, message_of(sums.front()));
    }
  }
  parallel::MessageBytes message_of(const SparseSum& sum) {
    bytes_.clear();
    append(sum, whole_, bytes_);
    return as_message(std::ssize(bytes_));
  }

  Round& round_;
  Exchange exchange_;
  Range whole_;
  SparseSum mine_, theirs_, sum_;
  std::vector<std::byte> bytes_, messages_;
  std::vector<std::int64_t> lengths_;
  Exchange::Ticket ticket_;
};

}  // namespace

CollectivePointer make_recursive_doubling(Round& round) {
  return std::make_unique<RecursiveDoubling>(round);
}

}  // namespace equipoise::compress
