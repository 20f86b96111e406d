#include "scratch.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/state/checkpoint.hpp>

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <thread>

namespace equipoise::state {
namespace {

namespace fs = std::filesystem;
using parallel::Comm;
using partition::Partition;

/// Every kind of field, with values that follow from global indices.
struct Everything : Stateful {
  Everything(const Comm& comm, std::int64_t items, bool filled, bool lopsided = false)
      : rank(comm.rank()), rows(Partition::uniform(items, comm.size())) {
    if (lopsided) {
      std::vector<std::int64_t> offsets(static_cast<std::size_t>(comm.size()) + 1, 0);
      offsets.back() = items;
      rows = Partition::from_offsets(offsets);
    }
    const auto mine = static_cast<std::size_t>(rows.range(rank).size());
    if (!filled) return;
    number = -0.0;
    count = std::numeric_limits<std::int64_t>::min();
    list = {1.0 / 3.0, std::numeric_limits<double>::quiet_NaN(), 5e-324};
    integers = {1, -2, 3};
    vector.resize(mine);
    matrix.resize(3 * mine);
    labels.resize(mine);
    lists.resize(mine);
    integer_lists.resize(mine);
    for (std::size_t i = 0; i < mine; ++i) {
      const std::int64_t global = rows.range(rank).begin + static_cast<std::int64_t>(i);
      vector[i] = std::sqrt(static_cast<double>(global));
      labels[i] = global * global - 7;
      for (std::size_t j = 0; j < 3; ++j)
        matrix[3 * i + j] = static_cast<double>(10 * global) + static_cast<double>(j);
      lists[i].assign(static_cast<std::size_t>(global % 4), static_cast<double>(global));
      integer_lists[i].assign(static_cast<std::size_t>((global + 1) % 3), -global);
    }
  }
  void fields(FieldVisitor& visit) override {
    visit.scalar("number", number);
    visit.scalar("count", count);
    visit.replicated("list", list);
    visit.replicated("group/integers", integers);
    visit.replicated("empty", empty);
    visit.partitioned("vector", rows, rank, 1, vector);
    visit.partitioned("group/matrix", rows, rank, 3, matrix);
    visit.partitioned("labels", rows, rank, 1, labels);
    visit.ragged("lists", rows, rank, lists);
    visit.ragged("group/integer_lists", rows, rank, integer_lists);
  }
  /// Equal to the last bit (NaN and -0 included).
  [[nodiscard]] bool same(const Everything& other) const {
    const auto bits = [](const std::vector<double>& a, const std::vector<double>& b) {
      return a.size() == b.size() &&
             (a.empty() || std::memcmp(a.data(), b.data(), 8 * a.size()) == 0);
    };
    return std::memcmp(&number, &other.number, 8) == 0 && count == other.count &&
           bits(list, other.list) && integers == other.integers && other.empty.empty() &&
           bits(vector, other.vector) && bits(matrix, other.matrix) && labels == other.labels &&
           lists == other.lists && integer_lists == other.integer_lists;
  }

  int rank;
  Partition rows;
  double number = 0;
  std::int64_t count = 0;
  std::vector<double> list, empty, vector, matrix;
  std::vector<std::int64_t> integers, labels;
  std::vector<std::vector<double>> lists;
  std::vector<std::vector<std::int64_t>> integer_lists;
};

const Identity identity{"quadratic, 10 unknowns, hash 0123", "masha1 step 0.5"};

/// The message of the CheckpointError that `work` throws on every rank, or "".
template <class Work>
std::string refusal(const Work& work) {
  try {
    work();
  } catch (const CheckpointError& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Checkpoint, EveryKindOfFieldComesBackToTheLastBit) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  for (const std::int64_t items : {0, 1, 2, 17, 1000}) {
    const Scratch scratch(comm, "round");
    CheckpointStore store(comm, scratch.path + "/with blanks and αβγ");
    EXPECT_FALSE(store.any());
    Everything written(comm, items, true);
    const std::string path = store.save(written, identity, "a.b = 1\n");
    EXPECT_TRUE(has(path, "checkpoint-000001.h5")) << path;
    EXPECT_TRUE(store.any());
    EXPECT_EQ(store.stored_config(), "a.b = 1\n");
    Everything read(comm, items, false, items == 17);
    const auto loaded = store.load(read, identity);
    EXPECT_TRUE(read.same(Everything(comm, items, true, items == 17)));
    EXPECT_EQ(loaded.path, path);
    EXPECT_EQ(loaded.config_toml, "a.b = 1\n");
    EXPECT_TRUE(loaded.warnings.empty());
  }
}

TEST(Checkpoint, AnyNumberOfRanksReadsWhatAnyOtherWrote) {
  const Comm world = Comm::duplicate(MPI_COMM_WORLD);
  for (int writers = 1; writers <= world.size(); ++writers) {
    const Scratch scratch(world, "ranks");
    const Comm group = world.split(world.rank() < writers ? 0 : 1);
    if (world.rank() < writers) {
      CheckpointStore store(group, scratch.path);
      Everything written(group, 23, true);
      store.save(written, identity, "");
    }
    world.barrier();
    CheckpointStore store(world, scratch.path);
    Everything read(world, 23, false);
    store.load(read, identity);
    EXPECT_TRUE(read.same(Everything(world, 23, true))) << writers << " writers";
    if (world.rank() < writers) {
      CheckpointStore again(group, scratch.path);
      Everything smaller(group, 23, false);
      again.load(smaller, identity);
      EXPECT_TRUE(smaller.same(Everything(group, 23, true)));
    }
    world.barrier();
  }
}

TEST(Checkpoint, TheSameStateGivesTheSameFileOnAnyNumberOfRanksAtAnyTime) {
  const Comm world = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(world, "same");
  CheckpointStore together(world, scratch.path + "/together");
  Everything all(world, 31, true);
  const std::string one = together.save(all, identity, "x = 1\n");
  if (world.rank() == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5 counts seconds
    CheckpointStore alone(Comm(), scratch.path + "/alone");
    Everything single(Comm(), 31, true);
    const std::string other = alone.save(single, identity, "x = 1\n");
    const std::string a = content(one);
    const std::string b = content(other);
    EXPECT_TRUE(a == b) << a.size() << " and " << b.size() << " bytes, first apart at byte "
                        << std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  }
  world.barrier();
}

TEST(Checkpoint, TheLastOnesAreKeptAndNothingIsOverwritten) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "keep");
  CheckpointStore store(comm, scratch.path, 2);
  Everything state(comm, 5, true);
  for (int i = 0; i < 4; ++i) {
    state.count = i;
    store.save(state, identity, "");
  }
  EXPECT_FALSE(fs::exists(scratch.path + "/checkpoint-000002.h5"));
  EXPECT_TRUE(fs::exists(scratch.path + "/checkpoint-000003.h5"));
  EXPECT_TRUE(fs::exists(scratch.path + "/checkpoint-000004.json"));
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path), fs::directory_iterator()), 4);
  comm.barrier();
  Everything read(comm, 5, false);
  store.load(read, identity);
  EXPECT_EQ(read.count, 3);
  EXPECT_THROW(CheckpointStore(comm, scratch.path, 0), ConfigurationError);
}

TEST(Checkpoint, TheLastRunToClaimADirectoryOwnsIt) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "claim");
  CheckpointStore earlier(comm, scratch.path);
  earlier.claim();
  Everything state(comm, 7, true);
  state.count = 1;
  earlier.save(state, identity, "");
  if (comm.rank() == 0) replace(scratch.path + "/checkpoint-000002.h5.0a.partial", "half");
  comm.barrier();
  CheckpointStore later(comm, scratch.path);
  later.claim();
  EXPECT_FALSE(fs::exists(scratch.path + "/checkpoint-000002.h5.0a.partial"));
  const std::string message = refusal([&] { earlier.save(state, identity, ""); });
  EXPECT_TRUE(has(message, "another run (process ")) << message;
  Everything read(comm, 7, false);
  later.load(read, identity);
  EXPECT_EQ(read.count, 1);
  state.count = 2;
  EXPECT_TRUE(has(later.save(state, identity, ""), "000002"));
  earlier.load(read, identity);  // reading needs no claim
  EXPECT_EQ(read.count, 2);
}

TEST(Checkpoint, DamagedOnesAreReportedAndPassedOver) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  for (const std::string kind :
       {"truncated", "no manifest", "empty", "no file content", "swapped"}) {
    const Scratch scratch(comm, "damaged");
    CheckpointStore store(comm, scratch.path, 3);
    Everything state(comm, 40, true);
    state.count = 1;
    store.save(state, identity, "");
    state.count = 2;
    const std::string newest = store.save(state, identity, "");
    const std::string manifest = newest.substr(0, newest.size() - 3) + ".json";
    if (comm.rank() == 0) {
      if (kind == "truncated") fs::resize_file(newest, fs::file_size(newest) - 1);
      if (kind == "no manifest") fs::remove(manifest);
      if (kind == "empty") fs::resize_file(newest, 0);
      if (kind == "no file content") replace(newest, std::string(fs::file_size(newest), 'x'));
      if (kind == "swapped") replace(manifest, content(scratch.path + "/checkpoint-000001.json"));
    }
    comm.barrier();
    Everything read(comm, 40, false);
    const auto loaded = store.load(read, identity);
    EXPECT_EQ(read.count, 1) << kind;
    EXPECT_EQ(loaded.warnings.size(), 1U) << kind;
    EXPECT_TRUE(has(loaded.warnings.at(0), newest)) << kind;
    if (comm.rank() == 0) fs::remove(scratch.path + "/checkpoint-000001.json");
    comm.barrier();
    EXPECT_TRUE(has(refusal([&] { store.load(read, identity); }), "no valid checkpoint")) << kind;
    state.count = 5;
    EXPECT_TRUE(has(store.save(state, identity, ""), "000003")) << kind;
    store.load(read, identity);
    EXPECT_EQ(read.count, 5) << kind;
  }
}

TEST(Checkpoint, NoFlippedBitGoesUnnoticed) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "flip");
  CheckpointStore store(comm, scratch.path);
  Everything state(comm, 6, true);
  const std::string path = store.save(state, identity, "key = 1\n");
  const std::string manifest = path.substr(0, path.size() - 3) + ".json";
  const std::string data = content(path);
  const std::string text = content(manifest);
  comm.barrier();
  const std::uint64_t trials = comm.size() == 1 ? 1000 : 120;
  for (std::uint64_t trial = 0; trial < trials; ++trial) {
    const bool in_manifest = trial % 2 == 1;
    std::string bytes = in_manifest ? text : data;
    const std::uint64_t bit = (trial * 0x9e3779b97f4a7c15U >> 11U) % (8 * bytes.size());
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    if (comm.rank() == 0) replace(in_manifest ? manifest : path, bytes);
    comm.barrier();
    Everything read(comm, 6, false);
    EXPECT_NE(refusal([&] { store.load(read, identity); }), "") << "bit " << bit;
    if (comm.rank() == 0) replace(in_manifest ? manifest : path, in_manifest ? text : data);
    comm.barrier();
  }
  Everything read(comm, 6, false);
  EXPECT_EQ(refusal([&] { store.load(read, identity); }), "");
}

TEST(Checkpoint, AnotherProblemMethodOrShapeIsRefusedWithBothNamed) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "other");
  CheckpointStore store(comm, scratch.path);
  Everything state(comm, 9, true);
  store.save(state, identity, "");
  Everything read(comm, 9, false);
  const auto problem = refusal([&] { store.load(read, {"another problem", identity.method}); });
  EXPECT_TRUE(has(problem, identity.problem) && has(problem, "another problem")) << problem;
  const auto method = refusal([&] { store.load(read, {identity.problem, "extragradient"}); });
  EXPECT_TRUE(has(method, identity.method) && has(method, "extragradient")) << method;
  Everything larger(comm, 10, false);
  EXPECT_TRUE(has(refusal([&] { store.load(larger, identity); }), "[9]"));

  struct Part : Stateful {
    double number = 0;
    std::int64_t list = 0;
    bool wrong_type = false;
    void fields(FieldVisitor& visit) override {
      if (wrong_type) {
        visit.scalar("number", list);
      } else {
        visit.scalar("number", number);
      }
    }
  } part;
  EXPECT_TRUE(has(refusal([&] { store.load(part, identity); }), "does not know"));
  part.wrong_type = true;
  EXPECT_TRUE(has(refusal([&] { store.load(part, identity); }), "expects integers"));
}

TEST(Checkpoint, AnEmptyDirectoryHasNothingToLoad) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "none");
  CheckpointStore store(comm, scratch.path);
  Everything read(comm, 3, false);
  EXPECT_TRUE(has(refusal([&] { store.load(read, identity); }), "no checkpoint here"));
  EXPECT_TRUE(has(refusal([&] { static_cast<void>(store.stored_config()); }), scratch.path));
}

TEST(Checkpoint, ADirectoryThatCannotBeMadeIsRefused) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "readonly");
  if (comm.rank() == 0) replace(scratch.path + "/file", "text");
  comm.barrier();
  const auto message = refusal([&] { CheckpointStore(comm, scratch.path + "/file/below"); });
  EXPECT_TRUE(has(message, "file/below")) << message;
  EXPECT_NE(refusal([&] { CheckpointStore(comm, scratch.path + "/file"); }), "");
}

TEST(Checkpoint, AFullDiskIsOneErrorWithoutATrace) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "full");
  const bool mounted =
      comm.rank() == 0 && mount("tmpfs", scratch.path.c_str(), "tmpfs", 0, "size=1m") == 0;
  if (!comm.any(mounted)) GTEST_SKIP() << "a small file system cannot be mounted here";
  {
    CheckpointStore store(comm, scratch.path);
    Everything small(comm, 20, true);
    store.save(small, identity, "");
    Everything large(comm, 100'000, true);
    EXPECT_TRUE(has(refusal([&] { store.save(large, identity, ""); }), "free space"));
    EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path), fs::directory_iterator()), 2);
    Everything read(comm, 20, false);
    EXPECT_EQ(refusal([&] { store.load(read, identity); }), "");
    EXPECT_TRUE(read.same(small));
  }
  comm.barrier();
  if (comm.rank() == 0) umount(scratch.path.c_str());
  comm.barrier();
}

TEST(Checkpoint, AFailedWriteOnAnyRankIsOneErrorWithoutATrace) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "limit");
  CheckpointStore store(comm, scratch.path);
  Everything state(comm, 4000, true);
  for (int victim = 0; victim < comm.size(); ++victim) {
    // A rank that may write no file beyond 32 KiB stands for a file system that fails there alone.
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    if (comm.rank() == victim) {
      const rlimit small{32768, before.rlim_max};
      setrlimit(RLIMIT_FSIZE, &small);
    }
    const std::string message = refusal([&] { store.save(state, identity, ""); });
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    EXPECT_NE(message, "") << "rank " << victim;
    EXPECT_TRUE(fs::is_empty(scratch.path));
    comm.barrier();
  }
  store.save(state, identity, "");
  Everything read(comm, 4000, false);
  store.load(read, identity);
  EXPECT_TRUE(read.same(state));
}

TEST(Checkpoint, PermissionsFollowTheUmask) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "umask");
  const mode_t before = umask(027);
  CheckpointStore store(comm, scratch.path + "/new");
  Everything state(comm, 3, true);
  const std::string path = store.save(state, identity, "");
  umask(before);
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
  EXPECT_EQ(stat((scratch.path + "/new").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0750U);
}

TEST(Checkpoint, AFailingOrInconsistentObjectFailsOnAllRanksWithoutATrace) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "throwing");
  struct Broken : Stateful {
    int visits = 0;
    int fail_at = 0;
    bool here = false;
    double value = 1.0;
    void fields(FieldVisitor& visit) override {
      visit.scalar("value", value);
      if (++visits == fail_at && here) throw InputError("the {}. visit fails", visits);
    }
  };
  CheckpointStore store(comm, scratch.path);
  for (int visit = 1; visit <= 2; ++visit) {
    Broken broken;
    broken.fail_at = visit;
    broken.here = comm.rank() == (visit == 1 ? comm.size() - 1 : 0);  // rank 0 alone makes the file
    EXPECT_THROW(store.save(broken, identity, ""), Error);
    EXPECT_TRUE(fs::is_empty(scratch.path));
  }
  Everything state(comm, 8, true);
  state.vector.push_back(0.0);
  EXPECT_THROW(store.save(state, identity, ""), Error);
  EXPECT_TRUE(fs::is_empty(scratch.path));
}

}  // namespace
}  // namespace equipoise::state
