#include "../state/scratch.hpp"
#include "toy.hpp"

#include <equipoise/parallel/session.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

namespace equipoise::solve {
namespace {

using parallel::CollectiveError;
using parallel::Comm;
using state::Scratch;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

class Run : public testing::Test {
 protected:
  Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  StopOptions stop;
  SaveOptions save;
  Saving saving;
  Watch quiet{true, {}};

  void TearDown() override { comm.close(); }
  Summary go(Method& method) { return run(comm, method, stop, save, saving, quiet); }
};

TEST_F(Run, Converges) {
  Toy toy(comm);
  stop.tolerance = 0.001;
  const Summary s = go(toy);  // 2^-10 < 0.001 < 2^-9
  EXPECT_EQ(s.stop, Stop::converged);
  EXPECT_EQ(s.iterations, 10);
  EXPECT_EQ(s.residual, 0x1p-10);
  EXPECT_EQ(s.objective, -10.0);
  EXPECT_EQ(s.exit_code(), Exit::ok);
  const std::int64_t last = comm.size() - 1;
  EXPECT_EQ(s.traffic.sent, 100 + 10 * (10 + last));  // the largest over ranks
  EXPECT_EQ(s.traffic.uplink_per_agent, 50 + 10 * 5);
  EXPECT_EQ(s.traffic.rounds, 11);
  EXPECT_EQ(s.counters[0].second, 11 * comm.size());  // the sum over ranks
  EXPECT_TRUE(s.checkpoint.empty());
}

TEST_F(Run, ConvergedAtTheStartTakesNoStep) {
  Toy toy(comm);
  stop.tolerance = 1.0;
  const Summary s = go(toy);
  EXPECT_EQ(s.stop, Stop::converged);
  EXPECT_EQ(s.iterations, 0);
  EXPECT_EQ(toy.steps(), 0);
}

TEST_F(Run, IterationLimit) {
  Toy toy(comm);
  stop.max_iterations = 7;
  const Summary s = go(toy);
  EXPECT_EQ(s.stop, Stop::iteration_limit);
  EXPECT_EQ(s.iterations, 7);
  EXPECT_EQ(s.exit_code(), Exit::limit);
}

// Every rank sends 10 + rank bytes a step after 100: the last rank reaches 200 first.
TEST_F(Run, ByteLimitStopsAtTheFirstStepThatReachesIt) {
  Toy toy(comm, 1.0);
  stop.max_bytes = 200.0;
  const Summary s = go(toy);
  const int rate = 10 + comm.size() - 1;
  EXPECT_EQ(s.stop, Stop::byte_limit);
  EXPECT_EQ(s.iterations, (100 + rate - 1) / rate);
  EXPECT_EQ(s.exit_code(), Exit::limit);
}

TEST_F(Run, StallsAfterChecksWithoutANewBest) {
  Toy toy(comm);
  toy.residual = [](std::int64_t step) { return step <= 4 ? 1.0 / double(step + 1) : 0.2; };
  stop.stall_checks = 6;
  const Summary s = go(toy);
  EXPECT_EQ(s.stop, Stop::stalled);
  EXPECT_EQ(s.iterations, 4 + 6);
  EXPECT_EQ(s.exit_code(), Exit::limit);
}

TEST_F(Run, StallsCountOnlyStepsThatEvaluate) {
  Toy toy(comm, 1.0);
  toy.every = 5;
  stop.stall_checks = 3;
  EXPECT_EQ(go(toy).iterations, 15);
}

TEST_F(Run, Diverges) {
  Toy toy(comm, 10.0);
  stop.divergence = 5000.0;
  const Summary s = go(toy);
  EXPECT_EQ(s.stop, Stop::diverged);
  EXPECT_EQ(s.iterations, 4);
  EXPECT_EQ(s.exit_code(), Exit::diverged);
}

TEST_F(Run, InfiniteAndFailedAreNotFinite) {
  Toy infinite(comm);
  infinite.residual = [](std::int64_t step) {
    return step == 3 ? std::numeric_limits<double>::infinity() : 1.0;
  };
  const Summary s = go(infinite);
  EXPECT_EQ(s.stop, Stop::not_finite);
  EXPECT_EQ(s.iterations, 3);
  EXPECT_EQ(s.exit_code(), Exit::diverged);

  Toy failed(comm);
  failed.on_step = [&](std::int64_t step) {
    if (step != 2) return;
    failed.edit().failed = true;
    failed.edit().message = "agent 3 left the finite numbers";
  };
  const Summary f = go(failed);
  EXPECT_EQ(f.stop, Stop::not_finite);
  EXPECT_EQ(f.iterations, 2);
  EXPECT_EQ(f.message, "agent 3 left the finite numbers");
}

TEST_F(Run, AnUnknownResidualIsNoReasonToStop) {
  Toy toy(comm);
  toy.residual = [](std::int64_t step) { return step < 5 ? nan : 0.0; };
  const Summary s = go(toy);
  EXPECT_EQ(s.stop, Stop::converged);
  EXPECT_EQ(s.iterations, 5);
}

TEST_F(Run, FinishedMethodsEnd) {
  Toy front(comm);
  front.residual = [](std::int64_t) { return nan; };
  front.on_step = [&](std::int64_t step) { front.edit().finished = step == 3; };
  EXPECT_EQ(go(front).stop, Stop::converged);
  Toy stuck(comm, 1.0);
  stuck.on_step = [&](std::int64_t step) { stuck.edit().finished = step == 3; };
  const Summary s = go(stuck);
  EXPECT_EQ(s.stop, Stop::stalled);
  EXPECT_EQ(s.iterations, 3);
  Toy budget(comm, 1.0);
  budget.on_step = [&](std::int64_t step) {
    budget.edit().finished = budget.edit().budget_spent = step == 3;
  };
  const Summary spent = go(budget);
  EXPECT_EQ(spent.stop, Stop::budget_spent);
  EXPECT_EQ(spent.exit_code(), Exit::ok);
}

TEST_F(Run, TimeLimitAsksForARequeueWhereThereIsACheckpoint) {
  stop.max_seconds = 1e-9;
  Toy toy(comm, 1.0);
  const Summary plain = go(toy);
  EXPECT_EQ(plain.stop, Stop::time_limit);
  EXPECT_EQ(plain.iterations, 1);
  EXPECT_EQ(plain.exit_code(), Exit::limit);

  const Scratch scratch(comm, "time");
  saving.directory = scratch.path + "/checkpoints";
  Toy saved(comm, 1.0);
  const Summary s = go(saved);
  EXPECT_EQ(s.exit_code(), Exit::requeue);
  EXPECT_FALSE(s.checkpoint.empty());
}

/// What a checkpoint of a toy's run holds, to make an old one.
struct Stored : state::Stateful {
  explicit Stored(Toy& of) : toy(of) {}
  Toy& toy;
  std::int64_t iteration = 0, checks = 0, stride = 0;
  double seconds = 0.0, first = 0.0, best = 0.0;
  std::vector<std::int64_t> traffic, counters;
  state::Table trace;
  void fields(state::FieldVisitor& visit) override {
    visit.scalar("run/iteration", iteration);
    visit.scalar("run/seconds", seconds);
    visit.scalar("run/first_residual", first);
    visit.scalar("run/best_residual", best);
    visit.scalar("run/checks_since_best", checks);
    visit.scalar("run/trace_stride", stride);
    visit.replicated("run/traffic", traffic);
    visit.replicated("run/counters", counters);
    trace.fields(visit);
    toy.fields(visit);
  }
};

// A job that is requeued gets its time limit anew; else it would stop at once for ever.
TEST_F(Run, TheTimeLimitIsThatOfThisProcess) {
  const Scratch scratch(comm, "requeue");
  saving.directory = scratch.path;
  stop.max_iterations = 3;
  Toy first(comm, 1.0);
  const Summary s = go(first);
  Toy old(comm, 1.0);
  Stored stored(old);
  stored.trace.names = s.trace.names;
  stored.trace.columns.assign(s.trace.names.size(), {});
  state::CheckpointStore store(comm, scratch.path);
  store.load(stored, {});
  stored.seconds = 1e6;
  store.save(stored, {}, "");
  saving.resume_from = scratch.path;
  stop.max_iterations = 10;
  stop.max_seconds = 1000.0;
  Toy second(comm, 1.0);
  const Summary resumed = go(second);
  EXPECT_EQ(resumed.stop, Stop::iteration_limit);
  EXPECT_EQ(resumed.iterations, 10);
  EXPECT_GE(resumed.seconds, 1e6);  // the time of the whole run
}

TEST_F(Run, AnInterruptOfOneRankStopsAll) {
  const Scratch scratch(comm, "interrupt");
  saving.directory = scratch.path;
  Toy toy(comm, 1.0);
  const int bad = comm.size() - 1;
  toy.on_step = [&](std::int64_t step) {
    if (step == 5 && comm.rank() == bad) parallel::request_stop();
  };
  stop.stall_checks = 0;
  const Summary s = go(toy);
  parallel::request_stop(false);
  EXPECT_EQ(s.stop, Stop::interrupted);
  EXPECT_GE(s.iterations, 5);
  EXPECT_EQ(comm.max(s.iterations), comm.min(s.iterations));
  EXPECT_EQ(s.exit_code(), Exit::requeue);
  EXPECT_TRUE(std::filesystem::exists(s.checkpoint));
}

TEST_F(Run, AMethodThatThrowsOnOneRankStopsAll) {
  const Scratch scratch(comm, "throws");
  saving.directory = scratch.path + "/checkpoints";
  save.checkpoint_iterations = 2;
  Toy toy(comm, 1.0);
  const int bad = comm.size() / 2;
  toy.on_step = [&](std::int64_t step) {
    parallel::agree(comm, [&] {
      if (step == 5 && comm.rank() == bad) throw NotFiniteError("agent {} gave up", 7);
    });
  };
  int rank = -1;
  std::string message;
  Exit code = Exit::ok;
  try {
    go(toy);
  } catch (const CollectiveError& error) {
    rank = error.rank();
    message = error.what();
    code = error.code();
  }
  EXPECT_EQ(rank, bad);
  EXPECT_EQ(message, "agent 7 gave up");
  EXPECT_EQ(code, Exit::diverged);
  // What was saved before is whole.
  saving.resume_from = saving.directory;
  stop.max_iterations = 6;
  Toy again(comm, 1.0);
  EXPECT_EQ(go(again).iterations, 6);
  EXPECT_EQ(again.steps(), 6);
}

TEST_F(Run, TheTraceIsThinnedEvenly) {
  Toy toy(comm, 1.0);
  stop.max_iterations = 1000;
  stop.stall_checks = 0;
  save.trace_rows = 20;
  const Summary s = go(toy);
  const auto& iterations = s.trace.columns[0];
  EXPECT_GE(iterations.size(), 20U);
  EXPECT_LE(iterations.size(), 41U);
  EXPECT_EQ(iterations.front(), 0.0);
  EXPECT_EQ(iterations.back(), 1000.0);
  for (std::size_t i = 2; i + 1 < iterations.size(); ++i) {
    EXPECT_EQ(iterations[i] - iterations[i - 1], iterations[1] - iterations[0]);
  }
  for (std::size_t i = 0; i < iterations.size(); ++i) {
    const auto k = static_cast<std::int64_t>(iterations[i]);
    EXPECT_EQ(s.trace.columns[3][i], -double(k));  // objective
    EXPECT_EQ(s.trace.columns[4][i], double(50 + 5 * k));
    EXPECT_EQ(s.trace.columns[6][i], double(100 + k * (10 + comm.size() - 1)));
    EXPECT_EQ(s.trace.columns[10][i], double((k + 1) * comm.size()));  // calls, over all ranks
  }
  EXPECT_EQ(s.trace.names[10], "calls_work");
}

TEST_F(Run, ChecksThatAreRareGiveRareRows) {
  Toy toy(comm, 1.0);
  toy.every = 10;
  stop.max_iterations = 35;
  const Summary s = go(toy);
  EXPECT_EQ(s.trace.columns[0], (std::vector<double>{0, 10, 20, 30, 35}));
}

/// Iterates `steps` in one go, or with a break after `first` steps and `ranks` ranks for the rest.
struct Outcome {
  Summary summary;
  std::vector<double> values;  ///< all items, on the ranks that took part
};

Outcome outcome(const Comm& comm, Toy& toy, const Summary& summary) {
  Outcome o{summary, std::vector<double>(7)};
  const auto items = partition::Partition::uniform(7, comm.size());
  std::vector<int> counts, offsets;
  for (int r = 0; r < comm.size(); ++r) {
    counts.push_back(static_cast<int>(items.range(r).size()));
    offsets.push_back(static_cast<int>(items.range(r).begin));
  }
  MPI_Allgatherv(toy.values().data(), static_cast<int>(toy.values().size()), MPI_DOUBLE,
                 o.values.data(), counts.data(), offsets.data(), MPI_DOUBLE, comm.handle());
  return o;
}

TEST_F(Run, ResumesBitByBitOnAnyNumberOfRanks) {
  stop.max_iterations = 30;
  Toy whole_toy(comm, 0.9);
  const Outcome whole = outcome(comm, whole_toy, go(whole_toy));
  const Scratch scratch(comm, "resume");
  saving.directory = scratch.path;
  stop.max_iterations = 12;
  Toy first(comm, 0.9);
  go(first);
  stop.max_iterations = 30;
  for (int ranks = 1; ranks <= comm.size(); ++ranks) {
    Comm part = comm.split(comm.rank() < ranks ? 0 : 1);
    if (comm.rank() < ranks) {
      Toy second(part, 0.9);
      Saving from;
      from.resume_from = scratch.path;
      const Summary s = run(part, second, stop, save, from, quiet);
      const Outcome resumed = outcome(part, second, s);
      EXPECT_EQ(s.iterations, 30);
      EXPECT_EQ(second.steps(), 30);
      EXPECT_EQ(std::memcmp(resumed.values.data(), whole.values.data(), 7 * 8), 0);
      EXPECT_EQ(s.residual, whole.summary.residual);
      EXPECT_EQ(s.traffic.uplink_per_agent, whole.summary.traffic.uplink_per_agent);
      EXPECT_EQ(s.traffic.rounds, whole.summary.traffic.rounds);
      EXPECT_EQ(s.counters[0].second,
                13 * comm.size() + 18 * ranks);  // the start is counted once
    }
    part.close();
    comm.barrier();
  }
}

TEST_F(Run, TotalsAndTraceAfterAResumeAreThoseOfTheWholeRun) {
  stop.max_iterations = 40;
  save.trace_rows = 8;
  Toy whole_toy(comm, 0.9);
  const Summary whole = go(whole_toy);
  const Scratch scratch(comm, "totals");
  saving.directory = scratch.path;
  save.checkpoint_iterations = 16;
  stop.max_iterations = 16;
  Toy first(comm, 0.9);
  go(first);
  saving.resume_from = scratch.path;
  stop.max_iterations = 40;
  Toy second(comm, 0.9);
  const Summary s = go(second);
  EXPECT_EQ(s.traffic.sent, whole.traffic.sent);
  EXPECT_EQ(s.traffic.header_sent, whole.traffic.header_sent);
  EXPECT_EQ(s.traffic.uplink_per_agent, whole.traffic.uplink_per_agent);
  EXPECT_EQ(s.traffic.rounds, whole.traffic.rounds);
  EXPECT_EQ(s.counters, whole.counters);
  EXPECT_EQ(s.trace.names, whole.trace.names);
  for (std::size_t c = 0; c < s.trace.columns.size(); ++c) {
    if (c == 1) continue;  // seconds
    EXPECT_EQ(s.trace.columns[c], whole.trace.columns[c]) << s.trace.names[c];
  }
}

TEST_F(Run, ACheckpointOfAnotherProblemIsRefused) {
  const Scratch scratch(comm, "identity");
  saving.directory = scratch.path;
  saving.identity = {"game d=10", "toy"};
  stop.max_iterations = 2;
  Toy first(comm);
  go(first);
  saving.resume_from = scratch.path;
  saving.identity.problem = "game d=12";
  Toy second(comm);
  std::string message;
  try {
    go(second);
  } catch (const Error& error) {
    message = error.what();
    EXPECT_EQ(error.code(), Exit::checkpoint);
  }
  EXPECT_NE(message.find("game d=10"), std::string::npos) << message;
  EXPECT_NE(message.find("game d=12"), std::string::npos) << message;
}

TEST(Stop, NamesAndExitCodes) {
  EXPECT_EQ(name(Stop::byte_limit), "byte_limit");
  EXPECT_EQ(name(Stop::not_finite), "not_finite");
  Summary s;
  s.checkpoint = "somewhere";
  s.stop = Stop::interrupted;
  EXPECT_EQ(s.exit_code(), Exit::requeue);
  s.stop = Stop::iteration_limit;
  EXPECT_EQ(s.exit_code(), Exit::limit);
  s.stop = Stop::stalled;
  EXPECT_EQ(s.exit_code(), Exit::limit);
}

}  // namespace
}  // namespace equipoise::solve
