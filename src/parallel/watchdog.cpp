#include <equipoise/parallel/watchdog.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

namespace equipoise::parallel {
namespace {

using Clock = std::chrono::steady_clock;

/// What /proc says of a process.
struct ProcessFacts {
  char state = '?';        ///< R, S, D, T, ...
  std::int64_t ticks = 0;  ///< processor time used, user and system
};

std::optional<ProcessFacts> look_at(std::int64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The second field is the program's name in brackets and may hold anything.
  std::istringstream rest(line.substr(std::min(line.size(), line.rfind(')') + 1)));
  ProcessFacts facts;
  rest >> facts.state;
  std::int64_t skipped = 0;
  for (int field = 4; field < 14; ++field) rest >> skipped;
  std::int64_t system = 0;
  rest >> facts.ticks >> system;
  facts.ticks += system;
  return rest ? std::optional(facts) : std::nullopt;
}

struct Neighbour {
  int rank = 0;
  std::int64_t pid = 0;
  std::int64_t ticks = -1;  ///< at the last look
  int idle_looks = 0;
};

}  // namespace

struct Watchdog::State {
  std::vector<Neighbour> neighbours;
  double seconds = 0.0;
  int exit_code = 0;
  int rank = 0;
  std::atomic<std::int64_t> beats{0};
  std::mutex mutex;
  std::condition_variable wake;
  bool ending = false;
  std::thread thread;

  static constexpr int looks = 4;  ///< in `seconds`

  void watch() {
    const auto pause = std::chrono::duration<double>(seconds / looks);
    std::int64_t seen = beats.load();
    auto since = Clock::now();
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, pause, [&] { return ending; })) {
      const std::int64_t now = beats.load();
      if (now != seen) {
        seen = now;
        since = Clock::now();
      }
      look();
      if (std::chrono::duration<double>(Clock::now() - since).count() >= seconds) report();
    }
  }

  /// Counts, for each neighbour, the looks since it last used processor time.
  void look() {
    for (Neighbour& n : neighbours) {
      const auto facts = look_at(n.pid);
      if (!facts) continue;  // it has ended; the launcher sees that by itself
      // A process that is ready to run is only starved by others.
      const bool idle = facts->ticks == n.ticks && facts->state != 'R';
      n.idle_looks = idle ? n.idle_looks + 1 : 0;
      n.ticks = facts->ticks;
    }
  }

  void report() {
    for (const Neighbour& n : neighbours) {
      if (n.rank == rank || n.idle_looks < looks - 1) continue;
      const auto facts = look_at(n.pid);
      if (!facts) continue;
      char host[256] = "";
      gethostname(host, sizeof host - 1);
      const char* why = facts->state == 'T' || facts->state == 't' ? "is stopped"
                        : facts->state == 'D' ? "waits for a disk or file system"
                                              : "does nothing";
      std::fprintf(
          stderr,
          "equipoise: error: no progress for %.0f s: rank %d (process %lld on %s, state %c) %s; "
          "the job is ended (run.hang_seconds)\n",
          seconds, n.rank, static_cast<long long>(n.pid), host, facts->state, why);
      std::fflush(stderr);
      _exit(exit_code);
    }
  }
};

Watchdog::Watchdog(const Comm& comm, double seconds, int exit_code)
    : state_(std::make_unique<State>()) {
  if (seconds <= 0.0 || comm.size() == 1) return;
  state_->seconds = seconds;
  state_->exit_code = exit_code;
  state_->rank = comm.rank();
  const std::array<std::int64_t, 2> own = {gethostid(), getpid()};
  std::vector<std::int64_t> all(2 * static_cast<std::size_t>(comm.size()));
  MPI_Allgather(own.data(), 2, MPI_INT64_T, all.data(), 2, MPI_INT64_T, comm.handle());
  for (int rank = 0; rank < comm.size(); ++rank) {
    const auto at = 2 * static_cast<std::size_t>(rank);
    if (all[at] == own[0]) state_->neighbours.push_back({rank, all[at + 1]});
  }
  state_->thread = std::thread([state = state_.get()] { state->watch(); });
}

Watchdog::~Watchdog() {
  if (!state_->thread.joinable()) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->ending = true;
  }
  state_->wake.notify_one();
  state_->thread.join();
}

void Watchdog::beat() { state_->beats.fetch_add(1, std::memory_order_relaxed); }

}  // namespace equipoise::parallel
