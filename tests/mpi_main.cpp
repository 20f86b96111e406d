// The main program of every test: it fails if any rank fails, and names the test in which it hung.
#include <gtest/gtest.h>
#include <mpi.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

namespace {

char current_test[256] = "start-up";

#ifdef __SANITIZE_ADDRESS__
constexpr unsigned most_seconds = 1200;
#else
constexpr unsigned most_seconds = 120;
#endif

extern "C" void on_alarm(int) {
  char text[400] = "\nTIME LIMIT: no end in sight for test ";
  std::strcat(text, current_test);
  std::strcat(text, "\n");
  [[maybe_unused]] const auto written = write(STDERR_FILENO, text, std::strlen(text));
  _exit(124);
}

/// Names the running test for the alarm, and keeps ranks together so that failures stay in their
/// test.
class Watch : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& info) override {
    std::snprintf(current_test, sizeof current_test, "%s.%s", info.test_suite_name(), info.name());
    alarm(most_seconds);
  }
  void OnTestEnd(const testing::TestInfo&) override {
    MPI_Barrier(MPI_COMM_WORLD);
    alarm(0);
  }
};

}  // namespace

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  testing::InitGoogleTest(&argc, argv);
  std::signal(SIGALRM, on_alarm);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (rank != 0) {
    // Other ranks speak only of failures, on the common output.
    class Failures : public testing::EmptyTestEventListener {
      void OnTestPartResult(const testing::TestPartResult& result) override {
        if (!result.failed()) return;
        int me = 0;
        MPI_Comm_rank(MPI_COMM_WORLD, &me);
        std::fprintf(stderr, "[rank %d] %s: %s:%d\n%s\n", me, current_test,
                     result.file_name() ? result.file_name() : "?", result.line_number(),
                     result.message());
      }
    };
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new Failures);
  }
  listeners.Append(new Watch);
  int failed = RUN_ALL_TESTS();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return failed;
}
