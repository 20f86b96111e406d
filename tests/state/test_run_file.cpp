#include "scratch.hpp"

#include <equipoise/parallel/error.hpp>
#include <equipoise/state/checkpoint.hpp>
#include <equipoise/state/field_map.hpp>
#include <equipoise/state/inspect.hpp>
#include <equipoise/state/run_file.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

namespace equipoise::state {
namespace {

namespace fs = std::filesystem;
using parallel::Comm;
using partition::Partition;

/// x_i = i / 7 by coordinate, and lists of different lengths by agent.
struct Solution : Stateful {
  Solution(const Comm& comm, std::int64_t size, bool filled)
      : rank(comm.rank()), rows(Partition::uniform(size, comm.size())) {
    if (!filled) return;
    value = 2.5;
    front = {1.0, 2.0};
    for (auto i = rows.range(rank).begin; i < rows.range(rank).end; ++i) {
      x.push_back(static_cast<double>(i) / 7.0);
      routes.emplace_back(static_cast<std::size_t>(i % 3), i);
    }
  }
  void fields(FieldVisitor& visit) override {
    visit.scalar("value", value);
    visit.replicated("front", front);
    visit.partitioned("x", rows, rank, 1, x);
    visit.ragged("routes", rows, rank, routes);
  }
  int rank;
  Partition rows;
  double value = 0;
  std::vector<double> front, x;
  std::vector<std::vector<std::int64_t>> routes;
};

RunRecord sample_record() {
  RunRecord record;
  record.config_toml = "method.name = \"masha1\"\n";
  record.versions = {{"equipoise", "0.1.0"}, {"hdf5", "1.10.8"}};
  record.problem = {{"rows", "100"}, {"hash", "αβγ"}};
  record.identity_problem = "p";
  record.identity_method = "m";
  record.summary_json = R"({"schema":1})";
  record.certificate = {{"residual", 1e-7}, {"bound", std::numeric_limits<double>::infinity()}};
  record.traffic = {{"sent_max_bytes", 123.0}};
  record.trace.names = {"iteration", "seconds"};
  record.trace.columns = {{0, 1, 2}, {0.0, 0.5, std::numeric_limits<double>::quiet_NaN()}};
  return record;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(RunFile, RecordAndSolutionComeBack) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "run");
  const std::string path = scratch.path + "/my run.h5";
  const RunRecord record = sample_record();
  for (const std::int64_t size : {0, 3, 50}) {
    Solution written(comm, size, true);
    write_run_file(comm, path, record, written, true);
    const RunRecord read = read_run_record(comm, path);
    EXPECT_EQ(read.config_toml, record.config_toml);
    EXPECT_EQ(read.versions, record.versions);
    EXPECT_EQ(read.problem, record.problem);
    EXPECT_EQ(read.identity_problem, "p");
    EXPECT_EQ(read.identity_method, "m");
    EXPECT_EQ(read.summary_json, record.summary_json);
    EXPECT_EQ(read.certificate, record.certificate);
    EXPECT_EQ(read.traffic, record.traffic);
    EXPECT_EQ(read.trace.names, record.trace.names);
    EXPECT_EQ(read.trace.columns.at(0), record.trace.columns[0]);
    EXPECT_TRUE(std::isnan(read.trace.columns.at(1).at(2)));
    Solution solution(comm, size, false);
    read_solution(comm, path, solution);
    EXPECT_EQ(solution.x, written.x);
    EXPECT_EQ(solution.routes, written.routes);
    EXPECT_EQ(solution.front, written.front);
    EXPECT_EQ(solution.value, 2.5);
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path), fs::directory_iterator()), 1);
}

TEST(RunFile, AnObjectMayReadPartOfTheSolutionOnAnotherNumberOfRanks) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "part");
  const std::string path = scratch.path + "/run.h5";
  Solution written(comm, 11, true);
  write_run_file(comm, path, sample_record(), written, false);
  struct Vector : Stateful {
    std::vector<double> x;
    void fields(FieldVisitor& visit) override {
      visit.partitioned("x", Partition::uniform(11, 1), 0, 1, x);
    }
  } vector;
  read_solution(Comm(), path, vector);
  EXPECT_EQ(vector.x, Solution(Comm(), 11, true).x);
  comm.barrier();
}

TEST(RunFile, OutputPathsAreCheckedBeforeTheWork) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "check");
  const std::string path = scratch.path + "/run.h5";
  EXPECT_NO_THROW(check_output(comm, path, false));
  EXPECT_THROW(check_output(comm, scratch.path, true), ConfigurationError);
  EXPECT_THROW(check_output(comm, scratch.path + "/no/run.h5", false), CheckpointError);
  if (comm.rank() == 0) replace(path, "precious");
  comm.barrier();
  EXPECT_THROW(check_output(comm, path, false), ConfigurationError);
  EXPECT_NO_THROW(check_output(comm, path, true));
  EXPECT_THROW(check_output(comm, path + "/below.h5", true), CheckpointError);
  Solution solution(comm, 3, true);
  EXPECT_THROW(write_run_file(comm, path, sample_record(), solution, false), ConfigurationError);
  EXPECT_EQ(content(path), "precious");
}

TEST(RunFile, WhatIsNoRunFileIsRefused) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "no");
  if (comm.rank() == 0) replace(scratch.path + "/text.h5", "not HDF5");
  CheckpointStore store(comm, scratch.path);
  Solution solution(comm, 3, true);
  const std::string checkpoint = store.save(solution, {"p", "m"}, "");
  for (const auto& path : {scratch.path + "/none.h5", scratch.path + "/text.h5", checkpoint}) {
    try {
      read_run_record(comm, path);
      ADD_FAILURE() << path << " was accepted";
    } catch (const CheckpointError& error) {
      EXPECT_TRUE(has(error.what(), path)) << error.what();
    }
    EXPECT_THROW(read_solution(comm, path, solution), CheckpointError);
  }
}

TEST(RunFile, AFlippedBitAnywhereIsRefused) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "anywhere");
  const std::string path = scratch.path + "/run.h5";
  Solution written(comm, 20, true);
  write_run_file(comm, path, sample_record(), written, false);
  const std::string data = content(path);
  comm.barrier();
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    std::string bytes = data;
    const std::uint64_t bit = (trial * 0x9e3779b97f4a7c15U >> 13U) % (8 * bytes.size());
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    if (comm.rank() == 0) replace(path, bytes);
    comm.barrier();
    Solution read(comm, 20, false);
    EXPECT_THROW(static_cast<void>(read_run_record(comm, path)), CheckpointError) << bit;
    EXPECT_THROW(read_solution(comm, path, read), CheckpointError) << bit;
    comm.barrier();
  }
  if (comm.rank() == 0) replace(path, data);
  comm.barrier();
  EXPECT_NO_THROW(static_cast<void>(read_run_record(comm, path)));
}

TEST(RunFile, PlainH5pyReadsIt) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "h5py");
  const std::string path = scratch.path + "/run.h5";
  const bool present =
      comm.rank() == 0 &&
      std::system("/usr/bin/env -i /usr/bin/python3 -c 'import h5py' 2>/dev/null") == 0;
  if (!comm.any(present)) GTEST_SKIP() << "python3 with h5py is not installed";
  Solution solution(comm, 50, true);
  write_run_file(comm, path, sample_record(), solution, false);
  if (comm.rank() == 0) {
    replace(scratch.path + "/read.py", R"PY(
import h5py, sys
import numpy as np
f = h5py.File(sys.argv[1], "r")
assert f.attrs["format"] == "equipoise run" and f.attrs["complete"] == 1
assert f["config"][()].decode() == 'method.name = "masha1"\n'
assert f["summary"][()].decode() == '{"schema":1}'
assert f["versions"].attrs["equipoise"] == "0.1.0"
assert f["problem"].attrs["hash"] == "αβγ"
assert f["certificate"].attrs["residual"] == 1e-7
assert f["traffic"].attrs["sent_max_bytes"] == 123
assert list(f["trace/iteration"][:]) == [0, 1, 2]
assert np.array_equal(f["solution/x"][:], np.arange(50) / 7)
assert f["solution/value"][()] == 2.5
o, d = f["solution/routes/offsets"][:], f["solution/routes/data"][:]
assert len(o) == 51 and all(list(d[o[i]:o[i + 1]]) == [i] * (i % 3) for i in range(50))
# The checksum, by the formula of the documentation.
x = f["solution/x"][:].view(np.uint64) + np.arange(1, 51, dtype=np.uint64) * np.uint64(0x9e3779b97f4a7c15)
x = (x ^ (x >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
assert (x ^ (x >> np.uint64(31))).sum(dtype=np.uint64) == f["solution/x"].attrs["checksum"]
)PY");
    EXPECT_EQ(std::system(("/usr/bin/env -i PYTHONUTF8=1 /usr/bin/python3 '" + scratch.path +
                           "/read.py' '" + path + "'")
                              .c_str()),
              0);
  }
  comm.barrier();
}

TEST(Table, ColumnsAreFields) {
  Table table = sample_record().trace;
  FieldMap map;
  table.fields(map);
  EXPECT_EQ(map.fields().size(), 2U);
  EXPECT_EQ(map.doubles("trace/iteration").size(), 3U);
}

TEST(FieldMap, HoldsLocalDataByName) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  Solution solution(comm, 10, true);
  FieldMap map;
  solution.fields(map);
  EXPECT_EQ(map.number("value"), 2.5);
  const auto x = map.doubles("x");
  EXPECT_TRUE(std::equal(x.begin(), x.end(), solution.x.begin(), solution.x.end()));
  EXPECT_EQ(map.at("x").rows, solution.rows.range(comm.rank()));
  EXPECT_EQ(map.at("x").total, 10);
  const auto& routes = map.at("routes");
  EXPECT_EQ(routes.offsets.size(), solution.routes.size() + 1);
  EXPECT_EQ(routes.offsets.back(), static_cast<std::int64_t>(routes.integers.size()));
  EXPECT_THROW(static_cast<void>(map.integers("x")), InputError);
  EXPECT_THROW(static_cast<void>(map.doubles("y")), InputError);
  EXPECT_THROW(static_cast<void>(map.number("front")), InputError);
}

TEST(Inspect, ListsRunFilesAndCheckpoints) {
  const Comm comm = Comm::duplicate(MPI_COMM_WORLD);
  const Scratch scratch(comm, "inspect");
  const std::string path = scratch.path + "/run.h5";
  Solution solution(comm, 50, true);
  write_run_file(comm, path, sample_record(), solution, false);
  const std::string run = describe_file(comm, path);
  for (const std::string part :
       {"@format = equipoise run", "x: doubles [50]", "value = 2.5", "@residual = 1e-07",
        "| method.name = \"masha1\"", "offsets: integers [51]", "iteration: doubles [3]"}) {
    EXPECT_TRUE(has(run, part)) << part << " is missing in\n" << run;
  }
  CheckpointStore store(comm, scratch.path);
  const std::string checkpoint = store.save(solution, {"p", "m"}, "");
  EXPECT_TRUE(has(describe_file(comm, checkpoint), "valid: the content"));
  comm.barrier();
  if (comm.rank() == 0) fs::resize_file(checkpoint, fs::file_size(checkpoint) / 2);
  comm.barrier();
  EXPECT_TRUE(has(describe_file(comm, checkpoint), "NOT valid"));
  EXPECT_THROW(describe_file(comm, scratch.path + "/none.h5"), CheckpointError);
}

}  // namespace
}  // namespace equipoise::state
