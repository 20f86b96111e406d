#include <equipoise/parallel/agree.hpp>

#include <limits>
#include <new>

namespace equipoise::parallel::detail {

void agree(const Comm& comm, const std::function<void()>& work) {
  std::string message;
  Exit code = Exit::ok;
  try {
    work();
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
  std::int64_t value = static_cast<std::int64_t>(code);
  comm.broadcast(std::span(&value, 1), static_cast<int>(first));
  message = comm.broadcast(std::move(message), static_cast<int>(first));
  throw CollectiveError(static_cast<int>(first), static_cast<Exit>(value), message);
}

}  // namespace equipoise::parallel::detail
