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
    round_.attempt([&] { sum_of_hosted(round_, source, out); });
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

  Round& round_;
  Exchange exchange_;
  Range whole_;
  SparseSum mine_, theirs_, sum_;
  std::vector<std::byte> bytes_;
  Exchange::Ticket ticket_;
};

}  // namespace

CollectivePointer make_recursive_doubling(Round& round) {
  return std::make_unique<RecursiveDoubling>(round);
}

}  // namespace equipoise::compress
