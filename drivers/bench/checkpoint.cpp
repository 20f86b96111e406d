#include "bench.hpp"
#include "timing.hpp"

#include <equipoise/parallel/agree.hpp>
#include <equipoise/parallel/error.hpp>
#include <equipoise/state/checkpoint.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>

namespace equipoise::drivers {
namespace {

struct Options {
  double bytes = 1e9;
  std::int64_t repeats = 3;
  double interval = 60.0;
  std::string directory = ".";
  void describe(state::OptionVisitor& visit) {
    visit.option("bytes", bytes, "size of the state, all ranks together", state::at_least_one);
    visit.option("repeats", repeats, "interleaved repeats, of which the median counts",
                 state::at_least_one);
    visit.option("interval", interval, "seconds between checkpoints", state::positive);
    visit.option("directory", directory, "where files are written, and removed again");
  }
};

/// A method's state: one long vector, shared out.
struct State final : state::Stateful {
  State(const parallel::Comm& comm, std::int64_t length)
      : rank(comm.rank()),
        rows(partition::Partition::uniform(length, comm.size())),
        values(random_vector(rows.range(rank).size(), rank)) {}
  void fields(state::FieldVisitor& visit) override {
    visit.partitioned("values", rows, rank, 1, values);
  }
  int rank;
  partition::Partition rows;
  std::vector<double> values;
};

/// The same vector by HDF5 alone, all ranks into one dataset, then flushed to disk.
void write_raw(const parallel::Comm& comm, const std::string& path, const State& state) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_mpio(access, comm.handle(), MPI_INFO_NULL);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  const auto all = static_cast<hsize_t>(state.rows.size());
  const partition::Range range = state.rows.range(state.rank);
  const auto begin = static_cast<hsize_t>(range.begin);
  const auto size = static_cast<hsize_t>(range.size());
  const hid_t space = H5Screate_simple(1, &all, nullptr);
  const hid_t data =
      H5Dcreate2(file, "values", H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t memory = H5Screate_simple(1, &size, nullptr);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, &begin, nullptr, &size, nullptr);
  bool failed =
      H5Dwrite(data, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT, state.values.data()) < 0;
  H5Sclose(memory);
  H5Sclose(space);
  H5Dclose(data);
  H5Pclose(access);
  failed = H5Fclose(file) < 0 || failed;
  if (comm.rank() == 0) {
    const int descriptor = open(path.c_str(), O_RDONLY);
    failed = fsync(descriptor) != 0 || failed;
    close(descriptor);
    unlink(path.c_str());
  }
  if (comm.any(failed)) throw CheckpointError("{}: HDF5 alone cannot write it", path);
}

/// Steps of a method that reads and writes its whole state and reduces a number, until `over` on
/// rank 0; returns steps and seconds. **Collective.**
template <class Over>
std::pair<double, double> work(const parallel::Comm& comm, State& state, const Over& over) {
  double steps = 0.0;
  const double seconds = timed(comm, [&] {
    do {
      for (double& value : state.values) value = 0.5 * value + 1.0;
      ++steps;
    } while (!comm.any(comm.rank() == 0 && over()));
  });
  return {steps, seconds};
}

/// Used by this process so far: what a blocked time would be on a machine of one's own.
double processor_seconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

}  // namespace

int bench_checkpoint(const parallel::Comm& comm, const Words& words) {
  Options options;
  read_options(comm, words, options);
  const std::string directory = options.directory + "/bench-checkpoint";
  State state(comm, static_cast<std::int64_t>(options.bytes / 8.0));
  const double megabytes = 8e-6 * static_cast<double>(state.rows.size());
  if (comm.rank() == 0) {
    fmt::print("{:.0f} MB, {} ranks, one checkpoint every {:g} s\n", megabytes, comm.size(),
               options.interval);
    fmt::print("{:>12} {:>12} {:>8} {:>12} {:>14} {:>14} {:>14} {:>8}\n", "HDF5 [MB/s]",
               "ours [MB/s]", "ratio", "blocked [s]", "processor [s]", "on its way [s]",
               "slowed by [s]", "cost");
  }
  std::vector<double> ratios, costs;
  state::CheckpointStore store(comm, directory, 1);
  store.claim();
  for (std::int64_t k = 0; k < options.repeats; ++k) {
    const double raw = timed(comm, [&] { write_raw(comm, directory + "/raw.h5", state); });
    const double whole = timed(comm, [&] { store.save(state, {"bench", "bench"}, ""); });
    using Clock = std::chrono::steady_clock;
    const auto until = Clock::now() + std::chrono::seconds(3);
    const auto [free_steps, free_seconds] =
        work(comm, state, [&] { return Clock::now() >= until; });
    const double before = processor_seconds();
    const double blocked = timed(comm, [&] { store.begin(state, {"bench", "bench"}, ""); });
    const double computed = comm.max(processor_seconds() - before);
    const auto [steps, seconds] = work(comm, state, [&] { return !store.busy(); });
    store.wait();
    const double slowed = std::max(0.0, seconds - steps * free_seconds / free_steps);
    ratios.push_back(whole / raw);
    costs.push_back((blocked + slowed) / options.interval);
    if (comm.rank() == 0) {
      fmt::print("{:>12.1f} {:>12.1f} {:>8.2f} {:>12.2f} {:>14.2f} {:>14.2f} {:>14.2f} {:>7.1f}%\n",
                 megabytes / raw, megabytes / whole, ratios.back(), blocked, computed, seconds,
                 slowed, 100.0 * costs.back());
      std::fflush(stdout);
    }
  }
  if (comm.rank() == 0) {
    fmt::print("median: {:.2f} times the seconds of HDF5 alone, {:.1f} % of the run\n",
               median(ratios), 100.0 * median(costs));
    std::filesystem::remove_all(directory);
  }
  return 0;
}

}  // namespace equipoise::drivers
