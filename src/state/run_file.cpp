#include "checkpoint_file.hpp"
#include "field_io.hpp"

#include <equipoise/state/run_file.hpp>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace equipoise::state {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* format_name = "equipoise run";

template <class T>
using Pairs = std::vector<std::pair<std::string, T>>;

/// Attributes of a new group; an empty name is spelled "-", as HDF5 has no empty names.
template <class T>
void write_pairs(hid_t file, const std::string& group, const Pairs<T>& pairs) {
  const hdf5::Handle made = hdf5::create_group(file, group);
  for (const auto& [name, value] : pairs) {
    hdf5::write_attribute(made.get(), name.empty() ? "-" : name, value);
  }
}

Pairs<std::string> read_texts(hid_t file, const std::string& group) {
  const hdf5::Handle opened = hdf5::open_group(file, group);
  Pairs<std::string> pairs;
  for (const auto& name : hdf5::attribute_names(opened.get())) {
    pairs.emplace_back(name, hdf5::read_text_attribute(opened.get(), name));
  }
  return pairs;
}

Pairs<double> read_numbers(hid_t file, const std::string& group) {
  const hdf5::Handle opened = hdf5::open_group(file, group);
  Pairs<double> pairs;
  for (const auto& name : hdf5::attribute_names(opened.get())) {
    pairs.emplace_back(name, hdf5::read_number_attribute(opened.get(), name));
  }
  return pairs;
}

/// Takes the attribute `name` out of the list, "" where there is none.
std::string take(Pairs<std::string>& pairs, const std::string& name) {
  for (auto it = pairs.begin(); it != pairs.end(); ++it) {
    if (it->first != name) continue;
    std::string value = std::move(it->second);
    pairs.erase(it);
    return value;
  }
  return "";
}

void write_trace(hid_t file, const Table& trace) {
  const hdf5::Handle group = hdf5::create_group(file, "trace");
  for (std::size_t i = 0; i < trace.names.size(); ++i) {
    const auto& column = trace.columns.at(i);
    const auto rows = static_cast<std::int64_t>(column.size());
    const hdf5::Shape shape{false, {rows}};
    const hdf5::Handle dataset = hdf5::create_dataset(group.get(), trace.names[i], shape);
    hdf5::write_rows(dataset.get(), shape, {0, rows}, column.data());
  }
}

Table read_trace(hid_t file) {
  const hdf5::Handle group = hdf5::open_group(file, "trace");
  Table trace;
  for (const auto& name : hdf5::member_names(group.get())) {
    const hdf5::Handle dataset = hdf5::open_dataset(group.get(), name);
    const hdf5::Shape shape = hdf5::shape_of(dataset.get(), name);
    std::vector<double> column(static_cast<std::size_t>(shape.rows() * shape.width()));
    hdf5::read_rows(dataset.get(), shape, {0, shape.rows()}, column.data());
    trace.names.push_back(name);
    trace.columns.push_back(std::move(column));
  }
  return trace;
}

void write_record(hid_t file, const RunRecord& record) {
  hdf5::write_attribute(file, "format", std::string(format_name));
  hdf5::write_attribute(file, "schema", std::int64_t{1});
  hdf5::write_text(file, "config", record.config_toml);
  write_pairs(file, "versions", record.versions);
  auto problem = record.problem;
  problem.emplace_back("identity_problem", record.identity_problem);
  problem.emplace_back("identity_method", record.identity_method);
  write_pairs(file, "problem", problem);
  hdf5::write_text(file, "summary", record.summary_json);
  write_pairs(file, "certificate", record.certificate);
  write_pairs(file, "traffic", record.traffic);
  write_trace(file, record.trace);
}

RunRecord read_record(const std::string& path) {
  const hdf5::Handle file = hdf5::open_file(path, false);
  RunRecord record;
  record.config_toml = hdf5::read_text(file.get(), "config");
  record.versions = read_texts(file.get(), "versions");
  record.problem = read_texts(file.get(), "problem");
  record.identity_problem = take(record.problem, "identity_problem");
  record.identity_method = take(record.problem, "identity_method");
  record.summary_json = hdf5::read_text(file.get(), "summary");
  record.certificate = read_numbers(file.get(), "certificate");
  record.traffic = read_numbers(file.get(), "traffic");
  record.trace = read_trace(file.get());
  return record;
}

/// Throws CheckpointError unless the file is an undamaged run file. **Collective.**
void require_seal(const parallel::Comm& comm, const std::string& path) {
  agreed(comm, [&] {
    if (comm.rank() == 0 && access(path.c_str(), R_OK) != 0) {
      throw CheckpointError("{}: {}", path, std::strerror(errno));
    }
  });
  if (!has_seal(comm, path)) {
    throw CheckpointError("{}: it is no run file of equipoise; give a file written by --out", path);
  }
  const std::string problem = seal_damage(comm, path);
  if (!problem.empty()) throw CheckpointError("{}: {}", path, problem);
}

/// The record as CBOR, which keeps NaN and infinity.
std::string pack(const RunRecord& r) {
  std::string packed;
  json::to_cbor(
      json::array({r.config_toml, r.versions, r.problem, r.identity_problem, r.identity_method,
                   r.summary_json, r.certificate, r.traffic, r.trace.names, r.trace.columns}),
      packed);
  return packed;
}

RunRecord unpack(const std::string& packed) {
  const json all = json::from_cbor(packed);
  RunRecord r;
  std::size_t i = 0;
  const auto next = [&](auto& field) { all.at(i++).get_to(field); };
  next(r.config_toml);
  next(r.versions);
  next(r.problem);
  next(r.identity_problem);
  next(r.identity_method);
  next(r.summary_json);
  next(r.certificate);
  next(r.traffic);
  next(r.trace.names);
  next(r.trace.columns);
  return r;
}

void check_path(const std::string& path, bool overwrite) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::is_directory(status)) {
    throw ConfigurationError("{}: it is a directory; name a file", path);
  }
  if (fs::exists(status) && !overwrite) {
    throw ConfigurationError("{}: it exists; choose another name or give --overwrite", path);
  }
  const std::string directory = directory_of(path);
  if (!fs::is_directory(directory, error)) {
    throw CheckpointError("{}: there is no directory {}; make it first", path, directory);
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    throw CheckpointError("{}: files cannot be written in {} ({}); choose another directory", path,
                          directory, std::strerror(errno));
  }
  // Some directories let nobody create files whatever their permissions say; better known before
  // the work than after.
  const std::string probe = path + ".probe";
  const int file = open(probe.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0) {
    throw CheckpointError("{}: no file can be made in {} ({}); choose another directory", path,
                          directory, std::strerror(errno));
  }
  close(file);
  unlink(probe.c_str());
}

}  // namespace

void Table::fields(FieldVisitor& visit) {
  columns.resize(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) visit.replicated("trace/" + names[i], columns[i]);
}

void check_output(const parallel::Comm& comm, const std::string& path, bool overwrite) {
  agreed(comm, [&] {
    if (comm.rank() == 0) check_path(path, overwrite);
  });
}

void write_run_file(const parallel::Comm& comm, const std::string& path, const RunRecord& record,
                    Stateful& solution, bool overwrite) {
  check_output(comm, path, overwrite);
  std::int64_t bytes = seal_bytes + 65536;
  for (const auto& column : record.trace.columns)
    bytes += 8 * static_cast<std::int64_t>(column.size());
  bytes += static_cast<std::int64_t>(record.config_toml.size() + record.summary_json.size());
  write_partial(comm, path, "solution", solution,
                {[&](hid_t file) { write_record(file, record); }, bytes, seal_bytes});
  const std::string partial = path + ".partial";
  try {
    seal(comm, partial);
    agreed(comm, [&] {
      if (comm.rank() == 0) rename_on_disk(partial, path);
    });
  } catch (const Error&) {
    if (comm.rank() == 0) unlink(partial.c_str());
    comm.barrier();
    throw;
  }
}

RunRecord read_run_record(const parallel::Comm& comm, const std::string& path) {
  const hdf5::Quiet quiet;
  require_seal(comm, path);
  std::string packed;
  agreed(comm, [&] {
    if (comm.rank() != 0) return;
    try {
      packed = pack(read_record(path));
    } catch (const CheckpointError& error) {
      if (std::string_view(error.what()).starts_with(path)) throw;
      throw CheckpointError("{}: {}", path, error.what());
    }
  });
  return unpack(broadcast_text(comm, std::move(packed)));
}

void read_solution(const parallel::Comm& comm, const std::string& path, Stateful& solution) {
  require_seal(comm, path);
  read_fields(comm, path, "solution", solution, false);
}

}  // namespace equipoise::state
