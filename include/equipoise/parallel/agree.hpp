#pragma once

#include <equipoise/parallel/comm.hpp>
#include <equipoise/parallel/error.hpp>

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace equipoise::parallel {

/// The error that every rank throws when one of them failed inside `agree`.
class CollectiveError : public Error {
 public:
  CollectiveError(int rank, Exit code, const std::string& message)
      : Error(code, message), rank_(rank) {}
  /// The lowest rank that failed, in the communicator of the innermost `agree`; the message is its
  /// own.
  [[nodiscard]] int rank() const { return rank_; }

 private:
  int rank_;
};

namespace detail {
/// Runs `work`; if it threw on any rank, throws the same CollectiveError on all.
void agree(const Comm& comm, const std::function<void()>& work);
}  // namespace detail

/// Runs communication-free work on each rank; if any rank threw, every rank throws the same
/// CollectiveError, with the message and exit code of the lowest rank that failed. Wrap what can
/// fail on one rank alone: reading files, allocation, user callbacks.
/// **Collective**, one allreduce of 8 bytes (and two broadcasts after a failure).
template <class Work>
auto agree(const Comm& comm, Work&& work) {
  using Result = std::invoke_result_t<Work>;
  if constexpr (std::is_void_v<Result>) {
    detail::agree(comm, [&] { work(); });
  } else {
    std::optional<Result> result;
    detail::agree(comm, [&] { result.emplace(work()); });
    return std::move(*result);
  }
}

}  // namespace equipoise::parallel
