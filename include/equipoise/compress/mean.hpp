#pragma once

#include <equipoise/compress/codec.hpp>
#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/traffic.hpp>
#include <equipoise/partition/partition.hpp>
#include <equipoise/state/fields.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace equipoise::compress {

/// Texts of `MeanSetting::collective`, for help and messages. A mean takes `auto` for `bytes`:
/// `choose_collective` measures.
inline constexpr const char* collective_choices =
    "bytes (what moves fewer), auto (what measures faster at the start), two-phase, allgatherv, "
    "split, shared-mask, or with run.reduction=fast "
    "recursive-doubling or balanced";

/// What a mean over agents is made of. Everything here is logical: nothing depends on the rank
/// count.
struct MeanSetting {
  std::int64_t dimension = 0;
  std::vector<double> weights;            ///< [M], not negative, summing to 1
  std::string codec = "identity";         ///< agents to owners
  std::string server_codec = "identity";  ///< owners to all
  std::string collective = "bytes";       ///< one of `collective_choices`
  std::int64_t chunks = 0;                ///< S; 0 takes partition::default_chunks
  bool error_feedback = false;  ///< keep what a codec drops and add it to the next message
  bool fast = false;  ///< sums whose bits depend on the rank count are allowed; dense means go
                      ///< through MPI_Allreduce
  std::uint64_t seed = 0;
};

/// The one primitive that moves vectors: the weighted mean over agents of one vector each,
/// compressed.
///
/// Three agents on two ranks, two chunks: rank 0 hosts agents 0 and 1 and owns chunk A, rank 1
/// hosts agent 2 and owns chunk B. Rank 1 sends agent 2's A to rank 0; rank 0 sends agents 0's and
/// 1's B to rank 1; each owner adds its chunk in agent order, compresses it once more if a server
/// codec is set, and sends it to the other. So the result has the same bits on any number of ranks,
/// on all of them.
///
/// Sparse codecs without a server codec take the shorter way: every rank sends its agents' messages
/// to all, and every rank adds them in agent order (`allgatherv`). `split` is two phases in which
/// owners send back only the sums that are not zero, nothing lost. `powersgd:r` brings an exchange
/// of its own. What else there is under `fast` stands in docs/compression.md.
///
/// Where `parallel::VirtualRanks` hang on the communicator, a round also counts what each of those
/// would move; that costs another encoding of every message.
///
/// Memory per rank beyond the caller's vectors: error feedback d per hosted agent and d / P;
/// otherwise messages in flight, two segments of about 65536 coordinates per peer and hosted
/// agent. Messages above 4 kB carry a header with a checksum; where there are such, or codecs, a
/// round ends with an agreement of 8 bytes, so that a damaged message is the same CollectiveError
/// on every rank. NaN or Inf in any contribution gives a NaN in `out` on every rank.
class Mean {
 public:
  /// `agents` says which rank hosts which agent. Throws ConfigurationError for codecs that make no
  /// sense here.
  Mean(parallel::Comm comm, partition::Partition agents, MeanSetting setting);
  ~Mean();
  Mean(Mean&&) noexcept;
  Mean& operator=(Mean&&) noexcept;

  /// out = server_codec(sum_m weight_m codec(v_m)), [hosted x d] row-major -> [d] on every rank.
  /// `iteration` keys the random draws. **Collective**, one round.
  void operator()(std::int64_t iteration, std::span<const double> contributions,
                  std::span<double> out);
  /// The same in two halves: between them the first messages travel (with the two-phase collective;
  /// the others send in `finish`), and the caller computes, leaving both spans and this mean alone.
  /// **Collective**, both.
  void start(std::int64_t iteration, std::span<const double> contributions, std::span<double> out);
  void finish();
  /// out = sum_m weight_m v_m, uncompressed and without error feedback. **Collective**, one round.
  void dense(std::span<const double> contributions, std::span<double> out);

  /// Forgets the error feedback (after a rollback).
  void reset();
  /// Forgets the agents' error feedback, and keeps the owners'.
  void reset_agents();
  /// Other agents from the next round on, as many as before, spread and weighted anew: those drawn
  /// for an iteration. Only without error feedback. Equal on every rank; nothing is sent.
  void regroup(partition::Partition agents, std::vector<double> weights);
  /// Which virtual rank would host which agent from the next round on, where `VirtualRanks` hang on
  /// the communicator; uniform if never said.
  void spread_virtual(partition::Partition agents);
  /// Multiplies the error feedback, for a method whose messages carry a step that changes.
  void rescale(double factor);
  void fields(state::FieldVisitor& visit);

  [[nodiscard]] const partition::Partition& agents() const;
  [[nodiscard]] partition::Range hosted() const;
  [[nodiscard]] const MeanSetting& setting() const;
  /// Constants of the device and the server codec.
  [[nodiscard]] Descriptor device() const;
  [[nodiscard]] Descriptor server() const;
  /// Error feedback of the hosted agents [hosted x d] and of the owned chunks, empty without it.
  [[nodiscard]] std::span<const double> agent_errors() const;
  [[nodiscard]] std::span<const double> owner_errors() const;
  [[nodiscard]] partition::Range owned() const;
  /// Bytes that each hosted agent sent in the last round.
  [[nodiscard]] std::span<const std::int64_t> last_uplink() const;
  /// What `operator()` goes through: one of the collectives, "allreduce" or "low-rank".
  [[nodiscard]] std::string collective() const;
  /// Counted since construction.
  [[nodiscard]] const parallel::Traffic& traffic() const;
  /// Restores counters after a resume.
  void set_traffic(const parallel::Traffic& traffic);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace equipoise::compress
