#include "checkpoint_file.hpp"
#include "field_io.hpp"

#include <equipoise/state/checkpoint.hpp>

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace equipoise::state {
namespace {

namespace fs = std::filesystem;

constexpr const char* format_name = "equipoise checkpoint";
constexpr const char* group_name = "state";

std::vector<std::int64_t> shared_numbers(const parallel::Comm& comm, const std::string& directory) {
  std::vector<std::int64_t> numbers;
  agreed(comm, [&] {
    if (comm.rank() == 0) numbers = checkpoint_numbers(directory);
  });
  auto count = static_cast<std::int64_t>(numbers.size());
  comm.broadcast(std::span(&count, 1));
  numbers.resize(static_cast<std::size_t>(count));
  comm.broadcast(std::span(numbers));
  return numbers;
}

/// The newest checkpoint that can be trusted, with the damaged ones that were passed over.
CheckpointStore::Loaded newest_valid(const parallel::Comm& comm, const std::string& directory) {
  CheckpointStore::Loaded found;
  const auto numbers = shared_numbers(comm, directory);
  for (auto number = numbers.rbegin(); number != numbers.rend(); ++number) {
    found.path = checkpoint_path(directory, *number);
    const std::string problem = damage(comm, found.path);
    if (problem.empty()) return found;
    found.warnings.push_back(fmt::format("{}: passed over, {}", found.path, problem));
  }
  if (numbers.empty()) {
    throw CheckpointError("{}: no checkpoint here; check the directory, or start without --resume",
                          directory);
  }
  std::string reasons;
  for (const auto& warning : found.warnings) reasons += "\n" + warning;
  throw CheckpointError("{}: no valid checkpoint here{}", directory, reasons);
}

/// Texts of a checkpoint, from rank 0 to all.
struct Head {
  std::string config, problem, method;
};
Head read_head(const parallel::Comm& comm, const std::string& path) {
  Head head;
  agreed(comm, [&] {
    if (comm.rank() != 0) return;
    const hdf5::Handle file = hdf5::open_file(path, false);
    if (hdf5::read_text_attribute(file.get(), "format") != format_name ||
        hdf5::read_bits_attribute(file.get(), "complete") != 1) {
      throw CheckpointError("{}: it is no complete checkpoint", path);
    }
    head = {hdf5::read_text(file.get(), "config"), hdf5::read_text_attribute(file.get(), "problem"),
            hdf5::read_text_attribute(file.get(), "method")};
  });
  head.config = broadcast_text(comm, std::move(head.config));
  head.problem = broadcast_text(comm, std::move(head.problem));
  head.method = broadcast_text(comm, std::move(head.method));
  return head;
}

void write_manifest(const std::string& path, const Digest& digest) {
  const std::string manifest = manifest_path(path);
  std::ofstream file(manifest + ".partial", std::ios::binary | std::ios::trunc);
  file << manifest_text(fs::path(path).filename().string(), digest);
  file.close();
  if (!file) throw CheckpointError("{}: the manifest cannot be written", manifest);
  flush_to_disk(manifest + ".partial");
}

/// Removes all but the newest `keep` files that have a manifest. What cannot be removed stays.
void remove_older(const std::string& directory, int keep) {
  const auto numbers = checkpoint_numbers(directory);
  int kept = 0;
  for (auto number = numbers.rbegin(); number != numbers.rend(); ++number) {
    const std::string path = checkpoint_path(directory, *number);
    if (kept < keep) {
      kept += access(manifest_path(path).c_str(), F_OK) == 0 ? 1 : 0;
      continue;
    }
    unlink(manifest_path(path).c_str());
    unlink(path.c_str());
  }
}

}  // namespace

CheckpointStore::CheckpointStore(parallel::Comm comm, std::string directory, int keep)
    : comm_(std::move(comm)), directory_(std::move(directory)), keep_(keep) {
  if (keep_ < 1) throw ConfigurationError("{} checkpoints are to be kept; keep at least 1", keep_);
  agreed(comm_, [&] {
    if (comm_.rank() != 0) return;
    std::error_code error;
    fs::create_directories(directory_, error);
    if (error || !fs::is_directory(directory_, error) ||
        access(directory_.c_str(), W_OK | X_OK) != 0) {
      throw CheckpointError(
          "{}: checkpoints cannot be written here ({}); choose a directory that can be", directory_,
          error ? error.message() : std::strerror(errno));
    }
  });
}

std::string CheckpointStore::save(Stateful& object, const Identity& identity,
                                  const std::string& config_toml) {
  const auto numbers = shared_numbers(comm_, directory_);
  const std::string path = checkpoint_path(directory_, numbers.empty() ? 1 : numbers.back() + 1);
  const auto head = [&](hid_t file) {
    hdf5::write_attribute(file, "format", std::string(format_name));
    hdf5::write_attribute(file, "schema", std::int64_t{1});
    hdf5::write_attribute(file, "problem", identity.problem);
    hdf5::write_attribute(file, "method", identity.method);
    hdf5::write_text(file, "config", config_toml);
  };
  const std::size_t texts = config_toml.size() + identity.problem.size() + identity.method.size();
  write_partial(comm_, path, group_name, object,
                {head, static_cast<std::int64_t>(texts) + 65536, 0});
  const std::string partial = path + ".partial";
  const std::string manifest = manifest_path(path);
  try {
    const Digest digest = digest_file(comm_, partial);
    agreed(comm_, [&] {
      if (comm_.rank() != 0) return;
      write_manifest(path, digest);
      rename_on_disk(partial, path);
      rename_on_disk(manifest + ".partial", manifest);
    });
  } catch (const Error&) {
    if (comm_.rank() == 0) {
      for (const auto& name : {partial, path, manifest + ".partial", manifest})
        unlink(name.c_str());
    }
    comm_.barrier();
    throw;
  }
  agreed(comm_, [&] {
    if (comm_.rank() == 0) remove_older(directory_, keep_);
  });
  return path;
}

CheckpointStore::Loaded CheckpointStore::load(Stateful& object, const Identity& identity) {
  const hdf5::Quiet quiet;
  Loaded loaded = newest_valid(comm_, directory_);
  const Head head = read_head(comm_, loaded.path);
  const auto compare = [&](const char* what, const std::string& stored, const std::string& mine) {
    if (stored == mine) return;
    throw CheckpointError(
        "{}: it belongs to another {}: `{}` is stored, this run has `{}`; "
        "resume with the same case, or start anew in another directory",
        loaded.path, what, stored, mine);
  };
  compare("problem", head.problem, identity.problem);
  compare("method", head.method, identity.method);
  read_fields(comm_, loaded.path, group_name, object, true);
  loaded.config_toml = head.config;
  return loaded;
}

bool CheckpointStore::any() const { return !shared_numbers(comm_, directory_).empty(); }

std::string CheckpointStore::stored_config() const {
  const hdf5::Quiet quiet;
  return read_head(comm_, newest_valid(comm_, directory_).path).config;
}

}  // namespace equipoise::state
