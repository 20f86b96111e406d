#include "collective.hpp"

#include <algorithm>

// Collectives that hand dense vectors to something else.
namespace equipoise::compress {

Mean inner_mean(const Round& round, std::int64_t dimension) {
  MeanSetting dense;
  dense.dimension = dimension;
  dense.weights = round.setting.weights;
  dense.fast = round.setting.fast;
  return {round.comm, round.agents, std::move(dense)};
}

void count_inner(Round& round, const parallel::Traffic& moved) {
  round.traffic += moved;
  round.traffic.rounds -= moved.rounds;  // a round is counted once, at its end
}

namespace {

/// Agents that keep the same k coordinates, as plain values, need no sparse messages: their values
/// are a dense vector of length k.
class SharedMask final : public Collective {
 public:
  SharedMask(Round& round, std::int64_t kept)
      : round_(round),
        mean_(inner_mean(round, kept)),
        rows_(at(round.hosted.size() * kept)),
        sums_(at(kept)) {}

  [[nodiscard]] std::string name() const override { return "shared-mask"; }
  [[nodiscard]] bool checks() const override { return false; }  // the inner mean does

  void operator()(std::span<const double>, std::span<double> out) override {
    const std::int64_t k = std::ssize(sums_);
    for (std::int64_t a = 0; a < round_.hosted.size(); ++a) {
      const Selection& kept = round_.selections[at(a)];
      std::copy(kept.value.begin(), kept.value.end(), rows_.begin() + a * k);
      if (!round_.setting.error_feedback) continue;
      const auto error = round_.error_row(a);
      for (std::size_t j = 0; j < kept.index.size(); ++j) error[at(kept.index[j])] -= kept.value[j];
    }
    mean_.set_traffic({});
    mean_.dense(rows_, sums_);
    count_inner(round_, mean_.traffic());
    std::fill(out.begin(), out.end(), 0.0);
    // A rank without agents draws the mask all the same.
    if (round_.hosted.size() == 0) round_.device->prepare(out, *round_.draw, 0, mask_);
    const Selection& mask = round_.hosted.size() == 0 ? mask_ : round_.selections.front();
    for (std::size_t j = 0; j < mask.index.size(); ++j) out[at(mask.index[j])] = sums_[j];
  }

 private:
  Round& round_;
  Mean mean_;
  std::vector<double> rows_, sums_;
  Selection mask_;
};

/// Fewer bytes than two phases with many agents on a rank, bits that depend on the rank count.
class LibrarySum final : public Collective {
 public:
  explicit LibrarySum(Round& round) : round_(round) {}

  [[nodiscard]] std::string name() const override { return "allreduce"; }
  [[nodiscard]] bool checks() const override { return false; }

  void operator()(std::span<const double> source, std::span<double> out) override {
    if (round_.hosted.size() == 0) std::fill(out.begin(), out.end(), 0.0);
    for (std::int64_t a = 0; a < round_.hosted.size(); ++a) {
      round_.uplink[at(a)] += round_.dimension() * 8;
      add_weighted(round_.weight(round_.hosted.begin + a), round_.row(source, a), a == 0, out);
    }
    constexpr std::int64_t most = std::int64_t{1} << 28;
    for (std::int64_t first = 0; first < std::ssize(out); first += most) {
      MPI_Allreduce(MPI_IN_PLACE, out.data() + first,
                    static_cast<int>(std::min(most, std::ssize(out) - first)), MPI_DOUBLE, MPI_SUM,
                    round_.comm.handle());
    }
    const auto of_ring = [&](std::int64_t ranks) {
      return 16 * round_.dimension() * (ranks - 1) / ranks;
    };
    const int virtual_ranks = round_.census && round_.comm.rank() == 0 ? round_.census->size() : 0;
    for (int v = 0; v < virtual_ranks; ++v) {
      round_.census->ranks->sent(v, {of_ring(virtual_ranks), 0});
      round_.census->ranks->received(v, {of_ring(virtual_ranks), 0});
    }
    const std::int64_t moved = of_ring(round_.comm.size());
    round_.traffic.sent += moved;
    round_.traffic.received += moved;
    round_.downlink = 8 * round_.dimension();
  }

 private:
  Round& round_;
};

}  // namespace

CollectivePointer make_shared_mask(Round& round, std::int64_t kept) {
  return std::make_unique<SharedMask>(round, kept);
}
CollectivePointer make_library_sum(Round& round) { return std::make_unique<LibrarySum>(round); }

}  // namespace equipoise::compress
