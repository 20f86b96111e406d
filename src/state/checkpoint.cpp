#include "checkpoint_file.hpp"
#include "field_io.hpp"

#include <equipoise/state/checkpoint.hpp>

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>
#include <utility>

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

/// An earlier run may live on for a moment after its launcher died, write one more checkpoint and
/// remove the oldest: reading starts again where the files changed meanwhile, this often at most.
constexpr int attempts = 20;
constexpr auto pause = std::chrono::milliseconds(50);

/// The newest checkpoint that can be trusted, with the damaged ones that were passed over.
CheckpointStore::Loaded newest_valid(const parallel::Comm& comm, const std::string& directory,
                                     int attempt = 1) {
  CheckpointStore::Loaded found;
  const auto numbers = shared_numbers(comm, directory);
  for (auto number = numbers.rbegin(); number != numbers.rend(); ++number) {
    found.path = checkpoint_path(directory, *number);
    const std::string problem = damage(comm, found.path);
    if (problem.empty()) return found;
    found.warnings.push_back(fmt::format("{}: passed over, {}", found.path, problem));
  }
  if (attempt < attempts && shared_numbers(comm, directory) != numbers) {
    std::this_thread::sleep_for(pause);
    return newest_valid(comm, directory, attempt + 1);
  }
  if (numbers.empty()) {
    throw CheckpointError("{}: no checkpoint here; check the directory, or start without --resume",
                          directory);
  }
  std::string reasons;
  for (const auto& warning : found.warnings) reasons += "\n" + warning;
  throw CheckpointError("{}: no valid checkpoint here{}", directory, reasons);
}

/// `read(found)` of the newest checkpoint that can be trusted; once more where that file was
/// removed while it was read.
template <class Read>
auto read_newest(const parallel::Comm& comm, const std::string& directory, const Read& read) {
  for (int attempt = 1;; ++attempt) {
    const auto found = newest_valid(comm, directory);
    try {
      return read(found);
    } catch (const CheckpointError&) {
      const bool there = comm.any(comm.rank() == 0 && access(found.path.c_str(), F_OK) == 0);
      if (there || attempt == attempts) throw;
    }
  }
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

void write_text_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw CheckpointError("{}: it cannot be written: {}", path, std::strerror(errno));
  flush_to_disk(path);
}

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string owner_path(const std::string& directory) { return directory + "/owner"; }

/// Throws CheckpointError where another run has taken the directory over. "" owns any.
void require_owner(const std::string& directory, const std::string& owner) {
  if (owner.empty()) return;
  const std::string now = read_text_file(owner_path(directory));
  if (now == owner) return;
  throw CheckpointError("{}: another run ({}) writes its checkpoints here now, so this one ends",
                        directory, now.substr(0, now.find('\n')));
}

/// Removes half-written checkpoints, whoever wrote them.
void remove_partial(const std::string& directory) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("checkpoint-") && name.ends_with(".partial")) unlink(it->path().c_str());
  }
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

struct CheckpointStore::Pending {
  std::thread thread;
  std::string error;  ///< read after the thread was joined
  std::atomic<bool> done{false};
  ~Pending() {
    if (thread.joinable()) thread.join();
  }
};

CheckpointStore::~CheckpointStore() = default;

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

void CheckpointStore::claim() {
  agreed(comm_, [&] {
    if (comm_.rank() != 0) return;
    std::random_device random;
    partial_ = fmt::format(".{:08x}{:08x}", random(), random());
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    owner_ = fmt::format("process {} on {}\n{}\n", getpid(), host, partial_.substr(1));
    const std::string fresh = owner_path(directory_) + partial_;
    write_text_file(fresh, owner_);
    rename_on_disk(fresh, owner_path(directory_));
    remove_partial(directory_);
  });
  partial_ = comm_.broadcast(std::move(partial_));
}

std::string CheckpointStore::begin(Stateful& object, const Identity& identity,
                                   const std::string& config_toml) {
  wait();
  agreed(comm_, [&] { require_owner(directory_, owner_); });
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
  write_partial(comm_, path + partial_, group_name, object,
                {head, static_cast<std::int64_t>(texts) + 65536, 0});
  if (comm_.rank() == 0) {
    pending_ = std::make_unique<Pending>();
    pending_->thread = std::thread([this, path, pending = pending_.get()] {
      try {
        place(path);
      } catch (const std::exception& error) {
        pending->error = error.what();
      }
      pending->done = true;
    });
  }
  return path;
}

/// From the half-written file to the checkpoint. Without communication; on failure without a trace.
void CheckpointStore::place(const std::string& path) const {
  const std::string partial = path + partial_ + ".partial";
  const std::string manifest = manifest_path(path);
  const std::string partial_manifest = manifest + partial_ + ".partial";
  bool placed = false;
  try {
    flush_to_disk(partial);
    write_text_file(partial_manifest,
                    manifest_text(fs::path(path).filename().string(), digest_file(partial)));
    require_owner(directory_, owner_);
    rename_on_disk(partial, path);
    placed = true;
    rename_on_disk(partial_manifest, manifest);
  } catch (...) {
    unlink(partial.c_str());
    unlink(partial_manifest.c_str());
    if (placed) unlink(path.c_str());
    throw;
  }
  remove_older(directory_, keep_);
}

bool CheckpointStore::busy() const { return pending_ && !pending_->done; }

void CheckpointStore::wait() {
  agreed(comm_, [&] {
    const auto pending = std::exchange(pending_, nullptr);
    if (!pending) return;
    pending->thread.join();
    if (!pending->error.empty()) throw CheckpointError("{}", pending->error);
  });
}

std::string CheckpointStore::save(Stateful& object, const Identity& identity,
                                  const std::string& config_toml) {
  std::string path = begin(object, identity, config_toml);
  wait();
  return path;
}

CheckpointStore::Loaded CheckpointStore::load(Stateful& object, const Identity& identity) {
  const hdf5::Quiet quiet;
  return read_newest(comm_, directory_, [&](Loaded loaded) {
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
  });
}

bool CheckpointStore::any() const { return !shared_numbers(comm_, directory_).empty(); }

std::string CheckpointStore::stored_config() const {
  const hdf5::Quiet quiet;
  return read_newest(comm_, directory_,
                     [&](const Loaded& found) { return read_head(comm_, found.path).config; });
}

}  // namespace equipoise::state
