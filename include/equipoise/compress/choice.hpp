#pragma once

#include <equipoise/compress/mean.hpp>

#include <span>
#include <string>
#include <vector>

namespace equipoise::compress {

/// What it costs to move bytes between neighbouring ranks while all do, the slowest rank's figures.
struct NetworkCosts {
  double latency = 0.0;    ///< seconds a short message
  double bandwidth = 0.0;  ///< bytes a second, each way; infinite on one rank
};
/// Measures by shifts around the ring of ranks, of 8 bytes and of 64 kB to 1 MB: about 0.2 s on a
/// network of 100 Mbit/s. **Collective.**
[[nodiscard]] NetworkCosts measure_network(const parallel::Comm& comm);

/// A way to compress that a method would accept.
struct Candidate {
  std::string codec = "identity";
  std::string server_codec = "identity";
  double iterations = 1.0;   ///< how many more iterations than without codecs the method would need
  double dense_share = 0.0;  ///< uncompressed means an iteration beside the compressed one
};

/// A candidate with what was predicted and, where it was worth it, measured.
struct Considered {
  Candidate candidate;
  double bytes = 0.0;      ///< moved by a rank in a round, the larger of sent and received
  double predicted = 0.0;  ///< seconds an iteration without codecs would have to take to be as fast
  double measured = 0.0;   ///< the same by trial, 0 where the prediction was too bad to try
};

struct CodecChoice {
  Candidate taken;
  NetworkCosts network;
  std::vector<Considered> considered;
  /// What was taken and why, in one line.
  [[nodiscard]] std::string reason() const;
};

/// Chooses among candidates, the same on every rank. Latency, bandwidth and the time of every
/// codec on this rank's agents are measured; from those follows a time per iteration. Candidates
/// within twice the best are then tried in full, a few interleaved rounds each, where that is
/// short. The fastest is taken; of those within 5 % of it the one of the fewest bytes. `setting` is
/// that of the mean without codecs. Throws ConfigurationError without candidates.
/// **Collective**; some tenths of a second on a slow network, some milliseconds on a fast one.
[[nodiscard]] CodecChoice choose_codec(const parallel::Comm& comm,
                                       const partition::Partition& agents,
                                       const MeanSetting& setting,
                                       std::span<const Candidate> candidates);

/// A collective, tried.
struct TriedCollective {
  std::string name;
  double seconds = 0.0;  ///< a round, the slowest rank's; a median
  double bytes = 0.0;    ///< moved by the busiest rank in a round, the larger of sent and received
};

struct CollectiveChoice {
  std::string taken = "bytes";
  NetworkCosts network;
  std::vector<TriedCollective> tried;
  /// What was taken and why, in one line.
  [[nodiscard]] std::string reason() const;
};

/// Chooses how a mean is formed, the same on every rank: the collectives that `setting` allows are
/// tried with its codecs, some interleaved rounds each. The fastest is taken; of those within 5 %
/// of it the one that moves the fewest bytes. `bytes` where there is no choice. Exact collectives
/// give the same bits, so with run.reduction=exact the choice shows in time and bytes alone.
/// **Collective**; seven rounds of each, or half a second.
[[nodiscard]] CollectiveChoice choose_collective(const parallel::Comm& comm,
                                                 const partition::Partition& agents,
                                                 const MeanSetting& setting);

}  // namespace equipoise::compress
