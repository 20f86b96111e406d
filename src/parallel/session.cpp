#include <equipoise/parallel/error.hpp>
#include <equipoise/parallel/session.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <thread>

namespace equipoise::parallel {
namespace {

std::atomic<bool> stop_flag{false};

extern "C" void on_stop_signal(int) { stop_flag.store(true, std::memory_order_relaxed); }

/// True if every rank gets here within two seconds: then all failed alike and may leave in order.
bool everybody_leaves(MPI_Comm departure) {
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibarrier(departure, &request);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  int done = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

int leave(const Comm& comm, MPI_Comm departure, Exit code, const std::string& message) {
  const int value = static_cast<int>(code);
  if (everybody_leaves(departure)) {
    if (comm.rank() == 0) std::fprintf(stderr, "equipoise: error: %s\n", message.c_str());
    return value;
  }
  std::fprintf(stderr, "equipoise: error on rank %d: %s\n", comm.rank(), message.c_str());
  std::fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, value);
  return value;
}

int guarded(const Comm& comm, MPI_Comm departure, const std::function<int(const Comm&)>& program) {
  try {
    return program(comm);
  } catch (const Error& error) {
    return leave(comm, departure, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return leave(comm, departure, Exit::defect,
                 "out of memory; use more ranks or a smaller problem");
  } catch (const std::exception& error) {
    return leave(comm, departure, Exit::defect, error.what());
  } catch (...) {
    return leave(comm, departure, Exit::defect, "an exception of unknown type");
  }
}

}  // namespace

bool stop_requested() { return stop_flag.load(std::memory_order_relaxed); }
void request_stop(bool stop) { stop_flag.store(stop, std::memory_order_relaxed); }

int run_session(int argc, char** argv, const std::function<int(const Comm&)>& program) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT}) std::signal(signal, on_stop_signal);
  MPI_Comm departure = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &departure);
  Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const int code = guarded(comm, departure, program);
  std::fflush(stdout);
  comm.close();
  MPI_Comm_free(&departure);
  MPI_Finalize();
  return code;
}

}  // namespace equipoise::parallel
