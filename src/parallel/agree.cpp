#include <equipoise/parallel/agree.hpp>

#include <array>
#include <limits>
#include <new>

namespace equipoise::parallel::detail {

void agree(const Comm& comm, const std::function<void()>& work) {
  std::string message;
  Exit code = Exit::ok;
  std::int64_t origin = comm.rank();
  try {
    work();
  } catch (const CollectiveError& error) {
    // Every rank throws it; the rank that failed is in the error.
    origin = error.rank();
    code = error.code();
    message = error.what();
  } catch (const Error& error) {
    code = error.code();
    message = error.what();
  } catch (const std::bad_alloc&) {
    code = Exit::defect;
    message =
        fmt::format("rank {}: out of memory; use more ranks or a smaller problem", comm.rank());
  } catch (const std::exception& error) {
    code = Exit::defect;
    message = error.what();
  } catch (...) {
    code = Exit::defect;
    message = "an exception of unknown type";
  }
  const std::int64_t none = std::numeric_limits<std::int64_t>::max();
  const std::int64_t first = comm.min(code == Exit::ok ? none : comm.rank());
  if (first == none) return;
  std::array<std::int64_t, 2> facts = {static_cast<std::int64_t>(code), origin};
  comm.broadcast(std::span(facts), static_cast<int>(first));
  message = comm.broadcast(std::move(message), static_cast<int>(first));
  throw CollectiveError(static_cast<int>(facts[1]), static_cast<Exit>(facts[0]), message);
}

}  // namespace equipoise::parallel::detail
