#pragma once

#include "round.hpp"

#include <memory>
#include <span>
#include <string>

namespace equipoise::compress {

/// One way to form a mean. It counts its bytes in the round, and reports damaged messages through
/// `Round::attempt`.
class Collective {
 public:
  virtual ~Collective() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// out = the mean of what the codecs make of `source` [hosted x d], where error feedback has
  /// been added already; takes what was sent out of the error feedback. **Collective.**
  virtual void operator()(std::span<const double> source, std::span<double> out) = 0;
  /// The same in two halves, between which the caller computes and leaves both spans alone. Here
  /// all happens in `finish`. **Collective.**
  virtual void start(std::span<const double> source, std::span<double> out) {
    source_ = source;
    out_ = out;
  }
  virtual void finish() { (*this)(source_, out_); }
  /// True if a message may turn out to be damaged, so that the ranks must agree that none was.
  [[nodiscard]] virtual bool checks() const { return true; }
  /// State besides the error feedback.
  virtual void fields(state::FieldVisitor&) {}
  /// Forgets that state.
  virtual void reset() {}

 protected:
  std::span<const double> source_;
  std::span<double> out_;
};

using CollectivePointer = std::unique_ptr<Collective>;

/// Owners sum their chunks and hand them back. Without codecs if `plain`.
CollectivePointer make_two_phase(Round& round, bool plain);
/// Every rank sends its agents' sparse messages to all.
CollectivePointer make_allgather(Round& round);
/// The kept values of a shared mask as a dense vector.
CollectivePointer make_shared_mask(Round& round, std::int64_t kept);
/// The MPI library's allreduce of local sums. Bits depend on the rank count.
CollectivePointer make_library_sum(Round& round);
/// Sparse sums doubled over log2(P) exchanges. Bits depend on the rank count.
CollectivePointer make_recursive_doubling(Round& round);
/// Sparse sums in regions of equal load, of which about `kept` entries return. Bits depend on the
/// rank count.
CollectivePointer make_balanced_split(Round& round, std::int64_t kept);
/// The two factors of a low-rank approximation, as two dense means.
CollectivePointer make_low_rank(Round& round, int rank);

/// The r of a codec text `powersgd:r`, nothing for other texts. Throws ConfigurationError for a
/// malformed one.
std::optional<int> low_rank_of(std::string_view codec);
/// Constants of `powersgd:r` on vectors of dimension d.
Descriptor describe_low_rank(std::int64_t d, int rank);

/// A dense mean over the agents of a round, for vectors of another length.
Mean inner_mean(const Round& round, std::int64_t dimension);
/// Adds what an inner mean moved since `before` to the round's counters.
void count_inner(Round& round, const parallel::Traffic& moved);

}  // namespace equipoise::compress
