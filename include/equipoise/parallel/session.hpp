#pragma once

#include <equipoise/parallel/comm.hpp>

#include <functional>

namespace equipoise::parallel {

/// True once SIGUSR1, SIGTERM or SIGINT reached this process. Ranks learn of it at different times:
/// agree before acting.
[[nodiscard]] bool stop_requested();
/// Sets or clears the request, as a signal would (tests, library users).
void request_stop(bool stop = true);

/// Starts MPI and signal handling, runs `program` with a duplicate of MPI_COMM_WORLD, and ends MPI.
///
/// The only catch-all of a program and the only caller of MPI_Abort. An error that every rank threw
/// ends with one message from rank 0 and its exit code; an error of some ranks alone ends the job
/// at once, with the message of the rank that failed, so that no other rank waits for ever. Returns
/// the program's exit code.
int run_session(int argc, char** argv, const std::function<int(const Comm&)>& program);

}  // namespace equipoise::parallel
