#include "history.hpp"

#include <equipoise/parallel/session.hpp>
#include <equipoise/parallel/watchdog.hpp>
#include <equipoise/solve/progress.hpp>
#include <equipoise/solve/run.hpp>
#include <equipoise/solve/side_trace.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <optional>

namespace equipoise::solve {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::int64_t> as_numbers(const parallel::Traffic& t) {
  return {t.uplink_per_agent, t.downlink_per_agent, t.sent,  t.received,
          t.header_sent,      t.header_received,    t.rounds};
}

parallel::Traffic as_traffic(const std::vector<std::int64_t>& n) {
  return {n[0], n[1], n[2], n[3], n[4], n[5], n[6]};
}

constexpr std::size_t traffic_figures = 7;

/// What happened before this process took over: nothing, or what the checkpoint says. A checkpoint
/// holds the traffic of every rank, one after the other; a running process that of its own.
struct Before {
  double seconds = 0.0;
  std::vector<std::int64_t> traffic = std::vector<std::int64_t>(traffic_figures, 0);
  std::vector<std::int64_t> counters;
};

/// Everything of a run that a checkpoint holds besides the method: where it is and how it got
/// there.
class RunState : public state::Stateful {
 public:
  explicit RunState(Method& method) : history(method.counters()), method_(method) {}

  void fields(state::FieldVisitor& visit) override {
    visit.scalar("run/iteration", iteration);
    visit.scalar("run/seconds", before.seconds);
    visit.scalar("run/first_residual", first_residual);
    visit.scalar("run/best_residual", best_residual);
    visit.scalar("run/checks_since_best", checks_since_best);
    visit.replicated("run/traffic", before.traffic);
    visit.replicated("run/counters", before.counters);
    history.fields(visit);
    method_.fields(visit);
  }

  std::int64_t iteration = 0;
  double first_residual = Report::unknown;
  double best_residual = std::numeric_limits<double>::infinity();
  std::int64_t checks_since_best = 0;
  Before before;
  History history;

 private:
  Method& method_;
};

class Loop {
 public:
  Loop(const parallel::Comm& comm, Method& method, const StopOptions& stop, const SaveOptions& save,
       const Saving& saving, const Watch& watch)
      : comm_(comm),
        method_(method),
        stop_(stop),
        save_(save),
        saving_(saving),
        state_(method),
        progress_(comm.rank() == 0, watch),
        watchdog_(comm, save.hang_seconds,
                  static_cast<int>(saving.directory.empty() ? Exit::defect : Exit::requeue)) {
    if (!saving.directory.empty()) {
      store_.emplace(comm, saving.directory, static_cast<int>(save.checkpoint_keep));
      store_->claim();
      if (comm.rank() == 0) side_trace_.emplace(saving.directory, comm.size(), stop.tolerance);
    }
  }

  Summary run() {
    begin();
    std::optional<Stop> reason = decide(method_.report());
    while (!reason) {
      method_.step();
      watchdog_.beat();
      ++state_.iteration;
      const Report report = method_.report();
      if (report.fresh) account(report.residual);
      if (state_.history.wants(report, state_.iteration)) record(report);
      reason = decide(report);
      if (!reason && state_.iteration >= next_control_) reason = control();
      if (!reason && checkpoint_due()) save();
    }
    return finish(*reason);
  }

 private:
  void begin() {
    state_.before.counters.assign(method_.counters().size(), 0);
    if (!saving_.resume_from.empty()) {
      const auto loaded =
          state::CheckpointStore(comm_, saving_.resume_from).load(state_, saving_.identity);
      for (const auto& warning : loaded.warnings) progress_.warn(warning);
      progress_.note(fmt::format("resumed from {} at iteration {}", loaded.path, state_.iteration));
      state_.history.loaded();
      forget_start();
    } else {
      const Report report = method_.report();
      if (std::isfinite(report.residual)) account(report.residual);
      record(report);
    }
    for (const auto& [key, value] : method_.notes()) progress_.note(key + ": " + value);
    next_control_ = state_.iteration + 1;
    last_control_ = state_.iteration;
    control_seconds_ = seconds();
    tell("start");
  }

  /// A line of the side trace, where there is one.
  void tell(const std::string& event) {
    if (side_trace_) {
      side_trace_->event(event, state_.iteration, seconds(), method_.report(), traffic());
    }
  }

  /// A method made afresh has evaluated its start; the checkpoint's totals hold that already.
  void forget_start() {
    state_.before.traffic = share(state_.before.traffic);
    const auto made = as_numbers(method_.traffic());
    for (std::size_t i = 0; i < made.size(); ++i) state_.before.traffic[i] -= made[i];
    const Counters counters = method_.counters();
    for (std::size_t i = 0; i < counters.size(); ++i) {
      state_.before.counters[i] -= comm_.sum(counters[i].second);
    }
  }

  /// This rank's figures out of those of every rank; on another number of ranks, the largest.
  [[nodiscard]] std::vector<std::int64_t> share(const std::vector<std::int64_t>& of_ranks) const {
    const std::size_t ranks = of_ranks.size() / traffic_figures;
    std::vector<std::int64_t> own(traffic_figures, 0);
    for (std::size_t r = 0; r < ranks; ++r) {
      const bool mine = static_cast<int>(r) == comm_.rank();
      if (static_cast<int>(ranks) == comm_.size() && !mine) continue;
      for (std::size_t i = 0; i < traffic_figures; ++i) {
        own[i] = std::max(own[i], of_ranks[r * traffic_figures + i]);
      }
    }
    return own;
  }

  [[nodiscard]] double seconds() const { return state_.before.seconds + seconds_since(start_); }

  [[nodiscard]] parallel::Traffic traffic() const {
    parallel::Traffic total = as_traffic(state_.before.traffic);
    total += method_.traffic();
    return total;
  }

  void account(double residual) {
    if (!std::isfinite(state_.first_residual)) state_.first_residual = residual;
    if (residual < state_.best_residual) {
      state_.best_residual = residual;
      state_.checks_since_best = 0;
    } else {
      ++state_.checks_since_best;
    }
  }

  /// Stop rules that every rank decides alike, from equal values.
  [[nodiscard]] std::optional<Stop> decide(const Report& report) const {
    if (report.failed || std::isinf(report.residual)) return Stop::not_finite;
    if (report.residual <= stop_.tolerance) return Stop::converged;
    if (report.residual > stop_.divergence * std::max(state_.first_residual, 1e-300))
      return Stop::diverged;
    if (stop_.stall_checks > 0 && state_.checks_since_best >= stop_.stall_checks)
      return Stop::stalled;
    if (report.finished && report.budget_spent) return Stop::budget_spent;
    if (report.finished) return std::isnan(report.residual) ? Stop::converged : Stop::stalled;
    if (state_.iteration >= stop_.max_iterations) return Stop::iteration_limit;
    return std::nullopt;
  }

  /// What only clocks, signals and this rank's counters know: agreed by one reduction.
  std::optional<Stop> control() {
    const double elapsed = seconds();
    const auto done =
        static_cast<double>(std::max<std::int64_t>(1, state_.iteration - last_control_));
    const double pace = std::max(1e-9, (elapsed - control_seconds_) / done);
    // Rank 0 knows whether the checkpoint before has reached the disk.
    const bool due = store_ && comm_.rank() == 0 && save_.checkpoint_every > 0.0 &&
                     seconds_since(saved_at_) >= save_.checkpoint_every && !store_->busy();
    const parallel::Traffic bytes = traffic();
    std::array<double, 5> word = {
        parallel::stop_requested() ? 1.0 : 0.0,
        stop_.max_seconds > 0.0 && seconds_since(start_) >= stop_.max_seconds ? 1.0 : 0.0,
        due ? 1.0 : 0.0,
        -std::clamp(std::floor(0.02 / pace), 1.0, 1000.0),
        static_cast<double>(std::max(bytes.sent, bytes.received)),
    };
    comm_.max(word);
    control_seconds_ = elapsed;
    last_control_ = state_.iteration;
    // A limit on bytes is checked after every step, so that no clock decides where it stops.
    const auto pause = stop_.max_bytes > 0.0 ? 1 : static_cast<std::int64_t>(-word[3]);
    next_control_ = state_.iteration + pause;
    save_due_ = word[2] > 0.0;
    if (word[0] > 0.0) return Stop::interrupted;
    if (word[1] > 0.0) return Stop::time_limit;
    if (stop_.max_bytes > 0.0 && word[4] >= stop_.max_bytes) return Stop::byte_limit;
    progress_.update(state_.iteration, elapsed, method_.report(), bytes, stop_.tolerance);
    if (side_trace_) side_trace_->step(state_.iteration, elapsed, method_.report(), bytes);
    return std::nullopt;
  }

  [[nodiscard]] bool checkpoint_due() const {
    const bool by_count =
        save_.checkpoint_iterations > 0 && state_.iteration % save_.checkpoint_iterations == 0;
    return store_ && (save_due_ || by_count);
  }

  /// Adds this rank's figures to the history.
  void record(const Report& report) {
    std::vector<std::int64_t> calls;
    const Counters counters = method_.counters();
    for (std::size_t i = 0; i < counters.size(); ++i) {
      calls.push_back(counters[i].second + (comm_.rank() == 0 ? state_.before.counters[i] : 0));
    }
    state_.history.add(state_.iteration, seconds(), report, traffic(), calls, save_.trace_rows);
  }

  [[nodiscard]] std::vector<std::int64_t> total_traffic() const {
    std::vector<std::int64_t> numbers = as_numbers(traffic());
    for (auto& n : numbers) n = comm_.max(n);
    return numbers;
  }
  [[nodiscard]] std::vector<std::int64_t> traffic_of_ranks() const {
    const std::vector<std::int64_t> own = as_numbers(traffic());
    std::vector<std::int64_t> all(traffic_figures * static_cast<std::size_t>(comm_.size()));
    MPI_Allgather(own.data(), static_cast<int>(traffic_figures), MPI_INT64_T, all.data(),
                  static_cast<int>(traffic_figures), MPI_INT64_T, comm_.handle());
    return all;
  }
  [[nodiscard]] std::vector<std::int64_t> total_counters() const {
    std::vector<std::int64_t> numbers;
    const Counters counters = method_.counters();
    for (std::size_t i = 0; i < counters.size(); ++i) {
      numbers.push_back(comm_.sum(counters[i].second) + state_.before.counters[i]);
    }
    return numbers;
  }

  /// Begins a checkpoint, which reaches the disk while the run goes on. It holds totals; this
  /// process goes on counting on top of what it started from.
  void save() {
    save_due_ = false;
    state_.history.merge(comm_);
    const Before own = state_.before;
    state_.before = {comm_.max(seconds()), traffic_of_ranks(), total_counters()};
    try {
      last_checkpoint_ = store_->begin(state_, saving_.identity, saving_.config_toml);
    } catch (...) {
      state_.before = own;
      throw;
    }
    state_.before = own;
    saved_at_ = Clock::now();
    tell("checkpoint");
  }

  Summary finish(Stop reason) {
    progress_.end();
    const Report report = method_.report();
    record(report);
    if (store_ && reason != Stop::diverged && reason != Stop::not_finite) save();
    if (store_) store_->wait();
    tell(name(reason));
    state_.history.merge(comm_);
    Summary summary;
    summary.stop = reason;
    summary.iterations = state_.iteration;
    summary.residual = report.residual;
    summary.objective = report.objective;
    summary.seconds = comm_.max(seconds());
    summary.traffic = as_traffic(total_traffic());
    summary.counters = method_.counters();
    const auto totals = total_counters();
    for (std::size_t i = 0; i < totals.size(); ++i) summary.counters[i].second = totals[i];
    summary.trace = state_.history.table;
    summary.checkpoint = last_checkpoint_;
    summary.message = report.message;
    return summary;
  }

  const parallel::Comm& comm_;
  Method& method_;
  const StopOptions& stop_;
  const SaveOptions& save_;
  const Saving& saving_;
  RunState state_;
  Progress progress_;
  parallel::Watchdog watchdog_;
  std::optional<state::CheckpointStore> store_;
  std::optional<SideTrace> side_trace_;  ///< on rank 0, beside the checkpoints
  Clock::time_point start_ = Clock::now();
  Clock::time_point saved_at_ = Clock::now();
  double control_seconds_ = 0.0;
  std::int64_t next_control_ = 0;
  std::int64_t last_control_ = 0;
  bool save_due_ = false;
  std::string last_checkpoint_;
};

}  // namespace

Summary run(const parallel::Comm& comm, Method& method, const StopOptions& stop,
            const SaveOptions& save, const Saving& saving, const Watch& watch) {
  return Loop(comm, method, stop, save, saving, watch).run();
}

}  // namespace equipoise::solve
