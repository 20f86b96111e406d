#pragma once

#include <equipoise/compress/mean.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace equipoise::vi {

/// The mean over a few agents drawn anew each iteration (partial participation): only they compute
/// and send.
///
/// A set S of b of the M agents, every set equally likely, estimates sum_m w_m v_m without bias by
/// (M/b) sum_{m in S} w_m C(v_m); b = M gives it exactly. The set is a function of seed and
/// iteration, so every rank knows it. Messages go to all ranks (MPI_Allgatherv) and are added in
/// agent order: the same bits on any number of ranks. Each rank receives b messages, of which its
/// own count 0. With a server codec they go to the owners of chunks instead, who compress the
/// estimate once more (`compress::Mean`).
class SampledMean {
 public:
  /// Throws ConfigurationError for more participants than agents, and for a codec whose messages
  /// complete each other only when all agents send (permk).
  SampledMean(parallel::Comm comm, std::uint64_t seed, std::vector<double> weights,
              std::int64_t participants, std::shared_ptr<const compress::Codec> codec,
              std::int64_t dimension, std::int64_t chunks,
              const std::string& server_codec = "identity");

  /// Draws the participants of an iteration; nothing is sent.
  void draw(std::int64_t iteration);
  /// Those drawn that this rank hosts, ascending.
  [[nodiscard]] std::span<const std::int64_t> hosted() const { return hosted_; }
  [[nodiscard]] std::int64_t participants() const { return participants_; }
  [[nodiscard]] const compress::Codec& codec() const { return *codec_; }
  /// out = the estimate, [hosted().size() x d] -> [d] on every rank. **Collective**, one round.
  void operator()(std::span<const double> rows, std::span<double> out);
  /// rows = what the receivers saw of this rank's last messages, [hosted().size() x d]. Not with a
  /// server codec.
  void decode_own(std::span<double> rows) const;
  /// Bytes that every agent has sent so far.
  void fields(state::FieldVisitor& visit) {
    visit.partitioned("sampled/bytes", agents_, comm_.rank(), 1, bytes_);
  }
  [[nodiscard]] parallel::Traffic traffic() const;

 private:
  [[nodiscard]] std::size_t encode(std::span<const double> rows, std::size_t k);
  void share_lengths();
  [[nodiscard]] partition::Partition drawn_by(const partition::Partition& agents) const;
  void serve(std::span<const double> rows, std::span<double> out);
  void count_sent(std::int64_t agent, std::int64_t bytes);

  parallel::Comm comm_;
  std::uint64_t seed_;
  std::vector<double> weights_;
  std::int64_t participants_;
  std::shared_ptr<const compress::Codec> codec_;
  partition::Range whole_;
  partition::Partition chunks_;
  partition::Partition agents_;
  std::int64_t iteration_ = 0;
  std::vector<std::int64_t> drawn_, hosted_;
  std::vector<std::int64_t> lengths_;  ///< of the messages of `drawn_`
  std::vector<std::int64_t> own_lengths_;
  std::vector<int> counts_, offsets_;
  std::vector<std::byte> out_, in_;
  compress::Selection selection_;
  std::vector<std::int64_t> bytes_;  ///< of the agents of this rank
  parallel::Traffic traffic_;
  std::optional<compress::Mean> served_;  ///< over the participants, with a server codec
};

}  // namespace equipoise::vi
